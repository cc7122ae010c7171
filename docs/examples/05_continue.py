"""Going on: a new motion begins as another one ends, and both together are one.

    python docs/examples/05_continue.py                          # a walk that is made first goes on as a run
    python docs/examples/05_continue.py motion.npz --text "a person dances"

The last half second of the first motion is moved to the origin, where motions begin, and given as a `pose` over the
first half second of the new one; that is then put back to where the first one was.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
import tyro
from torch import Tensor

from guidance.goals import Goals, Pose
from motion_diffusion.errors import InputError, command
from motion_diffusion.heading import heading, to_origin, turn
from motion_diffusion.model import MotionModel
from motion_diffusion.motion import Motion
from motion_diffusion.skeleton import FPS
from sample.generate import Settings, generate
from visualize.strip import draw_strip

SHARED = 10
"""Frames that both motions have: half a second."""


@dataclass(frozen=True)
class Options:
    """Let a motion go on."""

    source: Annotated[Path | None, tyro.conf.Positional] = None
    """A motion (.npz); without one, "a person walks" is made first."""
    text: str = "a person runs"
    seconds: float = 4.0
    """How long it goes on."""
    model: str = "v-masks"
    steps: int = 50
    seed: int = 0
    out: Path = Path("out/continued")


def put_back(joints: Tensor, first: Tensor) -> Tensor:
    """Joints (F, 22, 3) that begin at the origin, moved to where a motion's frame (22, 3) stands and faces."""
    angle = heading(first[None], smooth=False).expand(len(joints))
    return turn(joints, -angle) + first[0] * first.new_tensor([1.0, 0.0, 1.0])


@command
def main() -> None:
    options = tyro.cli(Options)
    model, settings = MotionModel.load(options.model), Settings(steps=options.steps)
    if options.source is None:
        (source,) = generate(model, ["a person walks"], [60], goals=[Goals()], seeds=[0], settings=settings)
    else:
        source = Motion.load(options.source)
    if source.frames < SHARED:
        raise InputError(f"{options.source} has {source.frames} frames; a motion that goes on has {SHARED} or more")
    shared = source.joints[-SHARED:]
    goals = Goals(goals=[Pose.of(to_origin(shared), frame=0)])
    frames = SHARED + round(options.seconds * FPS)
    (new,) = generate(
        model, [options.text], [frames], goals=[goals], seeds=[options.seed], settings=settings, progress=True
    )
    after = put_back(new.joints, shared[0])
    seam = 100 * (after[:SHARED] - shared).norm(dim=-1).max()
    motion = Motion(torch.cat([source.joints, after[SHARED:]]), text=f"{source.text}; then {options.text}")
    motion.save(options.out / "motion.npz")
    draw_strip(motion, options.out / "motion.png")
    print(f"{source.seconds:g} s went on to {motion.seconds:g} s; where both are, they differ by {seam:.3f} cm at most")
    print(f"wrote {options.out}/motion.npz and motion.png")


if __name__ == "__main__":
    main()
