"""Export to Blender, or any program that reads BVH or GLB.

    python docs/examples/10_export_to_blender.py                 # of a walk that is made first
    python docs/examples/10_export_to_blender.py motion.npz --fps 60

`walk.glb` has a skinned body and its animation: File > Import > glTF 2.0. `walk.bvh` has the skeleton alone, in metres,
a T-pose in its first frame: File > Import > Motion Capture (.bvh), with the usual settings. Both stand upright. Between
frames joints turn evenly, whatever the frame rate. `python -m visualize motion.npz --out walk.glb` does the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from motion_diffusion.body.motion import Motion
from motion_diffusion.errors import command, parse_arguments
from motion_diffusion.model import MotionModel
from sample.generate import Settings, generate
from visualize.export.formats import export
from visualize.stills import draw_strip


@dataclass(frozen=True)
class Options:
    """Write a motion for other programs."""

    source: Annotated[Path | None, tyro.conf.Positional] = None
    """A motion (.npz); without one, "a proud person walks" is made first."""
    fps: float = 30.0
    """Frames a second to write."""
    steps: int = 50
    out: Path = Path("out/export")


@command
def main() -> None:
    options = parse_arguments(Options)
    if options.source is None:
        settings = Settings(steps=options.steps)
        (motion,) = generate(MotionModel.load("v-masks"), ["a proud person walks"], [80], settings=settings)
    else:
        motion = Motion.load(options.source)
    draw_strip(motion, options.out / "walk.png")
    export(motion, options.out / "walk.glb", fps=options.fps)
    export(motion, options.out / "walk.bvh", fps=options.fps, t_pose=True)
    export(motion, options.out / "walk.csv", fps=options.fps)
    print(f"wrote walk.glb, walk.bvh and walk.csv, {options.fps:g} frames a second, to {options.out}")


if __name__ == "__main__":
    main()
