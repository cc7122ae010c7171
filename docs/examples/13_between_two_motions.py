"""From one motion to another, through noise.

Two motions are sampled, and what lies between them is made in two ways. *Inversion* finds the noise from which DDIM
makes each of them, goes along the arc between the two noises, and samples from every point of it: the ends come back,
nearly, and what lies between is a motion of its own. *Shared noise* gives both motions the same noise of a time on the
way, mixes them there, and samples on: the nearer that time is to 0, the more the result is a plain average of the two.

    python docs/examples/13_between_two_motions.py "a person walks" "a person runs"
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
import tyro

from motion_diffusion.body.motion import Motion
from motion_diffusion.body.motion_metrics import fastest_root
from motion_diffusion.diffusion.interpolation import by_inversion, by_shared_noise
from motion_diffusion.errors import InputError, command, parse_arguments
from motion_diffusion.model import MotionModel
from visualize.stills import draw_strip


@dataclass(frozen=True)
class Options:
    """Make the motions between two, and draw each."""

    first: Annotated[str, tyro.conf.Positional] = "a person walks"
    second: Annotated[str, tyro.conf.Positional] = "a person runs"
    model: str = "v-mixed"
    between: int = 3
    """Motions between the two."""
    frames: int = 80
    steps: int = 300
    mixed_at: float = 0.6
    """Where shared noise mixes, as a share of T."""
    seed: int = 0
    out: Path = Path("out/between")


@command
def main() -> None:
    options = parse_arguments(Options)
    if options.between < 1:
        raise InputError(f"--between is {options.between}; give 1 or more")
    model = MotionModel.load(options.model)
    times = model.schedule.times(options.steps)
    count = options.between + 2
    share = torch.linspace(0, 1, count)
    a, b = model.sample(
        [options.first, options.second],
        [options.frames] * 2,
        seeds=[options.seed] * 2,
        steps=options.steps,
        text_scale=1.0,
    )
    # Neither way is told the words: what lies between two sentences is not a sentence.
    ends, points = (
        model.denoise_fn([""] * n, torch.ones(n, options.frames, dtype=torch.bool), text_scale=1.0) for n in (2, count)
    )
    late = [t for t in times if t <= options.mixed_at * model.schedule.T]
    generator = torch.Generator().manual_seed(options.seed)
    with torch.no_grad():
        made = {
            "inversion": by_inversion(ends, points, a, b, share, model.schedule, times),
            "shared-noise": by_shared_noise(
                points, a, b, share, model.schedule, late, eps=torch.randn(a.shape, generator=generator)
            ),
        }
    print(f"{'':14}" + "".join(f"{100 * value:8.0f} %" for value in share.tolist()) + "   of the way")
    for way, x in made.items():
        joints = model.representation.decode(x)
        print(f"{way:14}" + "".join(f"{fastest_root(motion):10.2f}" for motion in joints) + "   fastest root, m/s")
        for i, motion in enumerate(joints):
            text = f"{way}: {100 * share[i]:.0f} % of the way from “{options.first}” to “{options.second}”"
            draw_strip(Motion(motion, text=text), options.out / f"{way}-{i}.png", poses=6, size=(1200, 480))
    print(f"drew {2 * count} motions into {options.out}")


if __name__ == "__main__":
    main()
