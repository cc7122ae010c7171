"""motion-diffusion: the commands of this project as verbs of one program.

`motion-diffusion sample …` is `python -m sample …`, and likewise for the others.
"""

from __future__ import annotations

import runpy
import sys

VERBS = {
    "sample": ("sample", "make a motion from a sentence and goals"),
    "studio": ("visualize.studio", "a page on this machine, without a terminal from there on"),
    "visualize": ("visualize", "films, pictures and files for other programs"),
    "guidance": ("guidance", "analyses of guidance: share, survival, undoing, evolution, compare"),
    "evaluate": ("sample.evaluate", "measure a model by the field's protocols"),
    "data": ("data_loaders", "prepare, check, merge and export data sets"),
    "train": ("train", "train a model"),
}
"""Module that each verb runs, and its description."""


def main() -> None:
    """Run the verb of the command line."""
    verb, *rest = sys.argv[1:] or ["--help"]
    if verb not in VERBS:
        usage = "\n".join(f"  {name:10} {does}" for name, (_, does) in VERBS.items())
        text = f"usage: motion-diffusion VERB …\n\n{usage}\n\nmotion-diffusion VERB --help says more."
        if verb in ("-h", "--help"):
            print(text)
            return
        print(f"error: unknown verb {verb!r}; choose from {', '.join(VERBS)}", file=sys.stderr)
        sys.exit(2)
    sys.argv[1:] = rest
    runpy.run_module(VERBS[verb][0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
