"""The panel of files: goals and motions come in and go out, all through the browser."""

from __future__ import annotations

from guidance.methods import NOT_WITH_SEGMENTS, parse_methods
from visualize.studio import words
from visualize.studio.controls import QUIET, Controls, put
from visualize.studio.document import Document
from visualize.studio.files import DOWNLOADS, LARGEST

ABOUT = {
    "Motion": "a .npz that this studio and the command line read again, with all it was made from",
    "BVH": "for Blender, Maya, MotionBuilder",
    "GLB": "a body with its motion, for Blender, Unity, Unreal, the web",
    "AMASS": "a .npz as SMPL's tools read it",
    "CSV": "the joints' positions",
    "Film": "an .mp4",
}
"""What each download is good for."""


class FilePanel:
    """Loading, saving, taking away."""

    def __init__(self, controls: Controls):
        gui = controls.gui
        gui.add_html(words.box("<b>The plan</b>"))
        controls.uploaded(
            gui.add_upload_button("Load goals (.json)", mime_type=".json", color=QUIET, icon="upload"),
            lambda bench, file: bench.load_goals(file.content),
        )
        controls.pressed(
            gui.add_button("Save goals", color=QUIET, icon="download", hint="a goal file of the command line"),
            lambda bench, _: bench.save_goals(),
        )
        self._without = gui.add_html("")
        gui.add_html(words.box("<b>Motions</b>", top=0.6))
        controls.uploaded(
            gui.add_upload_button("Load a motion", mime_type=".npz,.bvh,.npy", color=QUIET, icon="upload",
                                  hint=f".npz, .bvh or .npy, up to {LARGEST // 2**20} MB"),
            lambda bench, file: bench.load_motion(file.name, file.content),
        )  # fmt: skip
        controls.pressed(
            gui.add_button_group("Take away", tuple(DOWNLOADS)), lambda bench, value: bench.download(value)
        )
        lines = "".join(f"<div><b>{kind}</b>: {what}</div>" for kind, what in ABOUT.items())
        gui.add_html(words.box(lines))

    def show(self, plan: Document) -> None:
        """Say what a goal file of the plan does not go with."""
        put(self._without, "content", _without(plan))


def _without(plan: Document) -> str:
    apart = " and ".join(name for name in parse_methods(plan.guidance) if name in NOT_WITH_SEGMENTS)
    if not apart:
        return ""
    return words.note(
        f"The words are saved as segments, which {apart} does not go with: on the command line guide without {apart}, "
        "or take the segments out of the file and give the words there."
    )
