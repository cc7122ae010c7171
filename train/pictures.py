"""Pictures of a run while it trains: what the model makes of three sentences, and its losses so far."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

from motion_diffusion.files import atomic
from motion_diffusion.model import MotionModel
from motion_diffusion.motion import Motion
from visualize.strip import draw_strip

PROMPTS = ("a person walks forward", "a person walks in a curve to the left", "a person runs")


@dataclass(frozen=True)
class Pictures:
    """Draws into the run directory: `pictures/<step>-<n>.png` (`<step>.png` for models of the root) and `loss.png`."""

    run: Path
    steps: int = 50

    def __call__(self, model: MotionModel, step: int) -> None:
        """Sample with the model as it is and draw; the same noise every time, so that pictures can be compared."""
        frames = model.config.max_frames
        steps = min(self.steps, model.config.T)
        x = model.sample(PROMPTS, [frames] * len(PROMPTS), seeds=range(len(PROMPTS)), steps=steps)
        joints = model.representation.decode(x)
        if model.representation.whole_body:
            for number, (motion, text) in enumerate(zip(joints, PROMPTS, strict=True), 1):
                draw_strip(Motion(motion, text=text), self.run / "pictures" / f"{step:06d}-{number}.png")
        else:
            draw_paths(joints[:, :, 0], self.run / "pictures" / f"{step:06d}.png")
        draw_losses(self.run)


def draw_paths(paths: Tensor, path: Path) -> None:
    """Ways of the root (B, F, 3) from above, one for each of PROMPTS; ahead is up and left is left."""
    figure = Figure(figsize=(6, 6), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for way, text in zip(paths, PROMPTS, strict=True):
        axes.plot(way[:, 0], way[:, 2], label=text)
    axes.set(xlabel="x, m", ylabel="z, m", aspect="equal")
    axes.invert_xaxis()
    axes.legend()
    axes.grid(alpha=0.3)
    with atomic(path) as temporary:
        figure.savefig(temporary)


def draw_losses(run: Path) -> None:
    """`loss.png`: the squared error of x0 by quartile of t, on training (pale) and held-out examples."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    figure = Figure(figsize=(8, 5), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for quarter, colour in enumerate(("tab:blue", "tab:green", "tab:orange", "tab:red"), 1):
        for prefix, alpha in (("", 0.3), ("held_out_", 1.0)):
            name = f"{prefix}x0_error_q{quarter}"
            points = [(line["step"], line[name]) for line in lines if name in line]
            if points:
                label = f"quarter {quarter} of t" if prefix else None
                axes.plot(*zip(*points, strict=True), color=colour, alpha=alpha, label=label)
    axes.set(xlabel="step", ylabel="squared error of x0 (solid: held out)", yscale="log", title=run.name)
    axes.legend()
    axes.grid(alpha=0.3)
    with atomic(run / "loss.png") as path:
        figure.savefig(path)
