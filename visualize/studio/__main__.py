"""python -m visualize.studio: an interactive page on this machine for drawing goals and generating motions."""

from __future__ import annotations

if __name__ == "__main__":
    from motion_diffusion.errors import interruptible_imports

    interruptible_imports()

import os
import sys
import threading
import webbrowser
from dataclasses import dataclass
from pathlib import Path

import torch

from motion_diffusion.errors import InputError, command, parse_arguments


@dataclass(frozen=True)
class Options:
    """Open the studio: type a prompt, draw a path on the floor, generate several takes, keep one, download it."""

    host: str = "127.0.0.1"
    """Address to listen on; the default is this machine alone. Any other lets others in without a password."""
    port: int = 8080
    """Port to listen on."""
    models: tuple[Path, ...] = ()
    """Run directories to offer besides the shipped models; the first one is selected initially."""
    threads: int = 2
    """Processor threads for generation."""
    live: bool = True
    """Let the motion follow every change of its plan; otherwise it is made when Generate is pressed."""
    browser: bool = True
    """Open the page in a browser if a display is available."""


def run(options: Options) -> None:
    """Run the studio until it is interrupted.

    Raises:
        InputError: if it cannot start.
    """
    try:
        from visualize.studio.server import Address, Studio
    except ImportError as error:
        raise InputError(f"the studio needs {error.name}: pip install 'motion-diffusion[studio]'") from None
    most = max(os.cpu_count() or 1, 2)
    if not 1 <= options.threads <= most:
        raise InputError(f"--threads {options.threads}: give 1 to {most}")
    torch.set_num_threads(options.threads)
    studio = Studio(Address(options.host, options.port), runs=options.models, live=options.live)
    if not studio.address.is_local:
        print(f"warning: --host {options.host} lets anybody who can reach it in; there is no password", file=sys.stderr)
    print(f"the studio is at {studio.address.url} (ctrl-c ends it)", flush=True)
    try:
        if options.browser and _has_screen():
            webbrowser.open(studio.address.url)
        threading.Event().wait()
    finally:
        studio.close()


def _has_screen() -> bool:
    """Whether a display is available; without one, a text browser would take over the terminal."""
    return sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


@command
def main() -> None:
    """Run the command."""
    run(parse_arguments(Options, prog="python -m visualize.studio"))


if __name__ == "__main__":
    main()
