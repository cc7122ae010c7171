"""Pictures of a run while it trains: what the model makes of three sentences, and its losses so far."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from guidance.analysis.style import SMALL, label, line, panels, styles_in_order
from motion_diffusion.body.motion import Motion
from motion_diffusion.model import MotionModel
from train.logging import METRICS
from visualize.plots.io import read_metrics
from visualize.plots.registry import save
from visualize.plots.training import training
from visualize.stills import draw_strip

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
        of_model = {"prediction": model.config.prediction}
        rows = [{**row, **of_model} for row in read_metrics(self.run / METRICS, self.run.resolve().name)]
        save(training(rows), self.run, "loss", ("png",))


def draw_paths(paths: Tensor, path: Path) -> None:
    """Ways of the root (B, F, 3) from above, one for each of PROMPTS; ahead is up and left is left."""
    figure, (axes,) = panels(1, 1, size=(6, 6), title="")
    for way, (text, style) in zip(paths, styles_in_order(PROMPTS).items(), strict=True):
        line(axes, way[:, 0].tolist(), way[:, 2].tolist(), style, text)
    label(axes, title="", x="x, m", y="z, m")
    axes.set_aspect("equal")
    axes.invert_xaxis()
    figure.legend(loc="outside lower center", frameon=False, fontsize=SMALL, handlelength=4)
    save(figure, path.parent, path.stem, ("png",))
