"""Pictures of a training: samples for three prompts, and the losses so far."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from guidance.analysis.style import SMALL, label, line, panels, styles_in_order
from motion_diffusion.body.motion import Motion
from motion_diffusion.model import MotionModel
from train.logging import METRICS
from visualize.plots.registry import save
from visualize.plots.results import read_metrics, training
from visualize.stills import draw_strip

PROMPTS = ("a person walks forward", "a person walks in a curve to the left", "a person runs")


@dataclass(frozen=True)
class SamplePictures:
    """Draws `pictures/<step>-<n>.png` (`<step>.png` for models of the root) and `loss.png` into the run directory."""

    run: Path
    """Run directory."""
    steps: int = 50
    """Denoising steps."""

    def __call__(self, model: MotionModel, step: int) -> None:
        """Sample and draw, with the same noise at every step so that pictures can be compared.

        Args:
            model: The model with averaged weights.
            step: Training step, for the file names.
        """
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
    """Draw root paths (B, F, 3), one for each of PROMPTS, from above: forward is up and left is left."""
    figure, (axes,) = panels(1, 1, size=(6, 6), title="")
    for root, (text, look) in zip(paths, styles_in_order(PROMPTS).items(), strict=True):
        line(axes, root[:, 0].tolist(), root[:, 2].tolist(), look, text)
    label(axes, title="", x="x, m", y="z, m")
    axes.set_aspect("equal")
    axes.invert_xaxis()
    figure.legend(loc="outside lower center", frameon=False, fontsize=SMALL, handlelength=4)
    save(figure, path.parent, path.stem, ("png",))
