"""Comparison of models with the same goals, noise and settings: adherence, realism, time; at one strength or at many.

In the data bones have constant lengths, so what the network's own x̂0, before any fit of a body, does to them measures
exactly how far it is from the data: `bones_mm` is the largest range of a bone's length within a motion. Against real
clips, the motions of a row are compared as a set, in the space of an embedding model: FID, precision, density and
coverage.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from guidance.analysis.runs import Chain, confidence
from guidance.analysis.style import (
    band,
    interval_dot,
    label,
    legend,
    model_styles,
    panels,
    reference_line,
    row_names,
)
from guidance.analysis.table import Result, Row, columns, floats, group_by
from guidance.goals.goal_set import GoalSet
from motion_diffusion.body.motion_metrics import bone_length_range, fastest_root, foot_skating_ratio, root_jitter
from motion_diffusion.errors import InputError
from motion_diffusion.network.embedding_metrics import frechet_distance, neighbourhoods
from motion_diffusion.network.text_motion_encoder import TextMotionEncoder, in_batches

MEASURED = (
    "error_cm", "within_20_cm", "bones_mm", "skating", "jitter", "fastest", "fid", "precision", "density", "coverage",
    "seconds",
)  # fmt: skip
"""Measured columns."""


@dataclass(frozen=True, eq=False)
class RealClips:
    """Real motions that generated ones are compared with as a set.

    Attributes:
        encoder: The embedding model.
        embeddings: (N, D) of the real motions.
    """

    encoder: TextMotionEncoder
    embeddings: Tensor

    @staticmethod
    def of(encoder: TextMotionEncoder, clips: Sequence[NDArray[np.floating]], frames: int) -> RealClips:
        """Embed the beginnings of those clips (F, 22, 3) that have so many frames. InputError for fewer than 20."""
        long_enough = [torch.from_numpy(np.array(clip[:frames])) for clip in clips if len(clip) >= frames]
        if len(long_enough) < MIN_REAL:
            raise InputError(
                f"only {len(long_enough)} real clips have {frames} frames or more, {MIN_REAL} are needed; give shorter "
                "--seconds or more clips"
            )
        return RealClips(encoder, in_batches(encoder.embed_motions, long_enough))

    def compare(self, motions: Tensor) -> dict[str, float]:
        """FID, precision, density and coverage of motions (B, F, 22, 3)."""
        return self.measures(self.embeddings, in_batches(self.encoder.embed_motions, list(motions)))

    def against_itself(self, count: int) -> dict[str, float]:
        """The measures of real clips, at most `count`, against the others, which generated ones can hardly surpass."""
        order = torch.randperm(len(self.embeddings), generator=torch.Generator().manual_seed(0))
        some = min(count, len(order) // 2)
        return self.measures(self.embeddings[order[some:]], self.embeddings[order[:some]])

    @staticmethod
    def measures(real: Tensor, made: Tensor) -> dict[str, float]:
        """FID, precision, density and coverage of embeddings (N, D) and (M, D)."""
        near = neighbourhoods(real, made)
        return {"fid": frechet_distance(real, made)} | {
            name: near[name] for name in ("precision", "density", "coverage")
        }


MIN_REAL = 20
"""Minimum number of real clips."""


def compare(chains: Sequence[Chain], goals: GoalSet, method: str, scale: float) -> Result:
    """Run the analysis: a row for each model with and without guidance. Bones and skating need a body, which models of
    paths lack.
    """
    ways: list[str] = ["none"] if method == "none" else ["none", method]
    rows = [_measured(chain, way, goals, scale) for chain in chains for way in ways]
    what = f"{method}, {chains[0].z.shape[1]} motions a model, {len(chains[0].times) - 1} steps"
    return Result("compare", rows, f"compare ({what}):\n{table(rows)}")


def adherence(
    chains: Sequence[Chain], goals: GoalSet, method: str, scales: Sequence[float], real: RealClips | None = None
) -> Result:
    """Measure every model at several strengths of the gradient, to compare models at equal error.

    Args:
        chains: One per model.
        goals: The goals.
        method: The guidance method.
        scales: Strengths; without guidance, strength 0, is measured in addition.
        real: Real clips to compare with.
    """
    rows: list[Row] = []
    for chain in chains:
        rows.append({"scale": 0.0} | _measured(chain, "none", goals, 0.0, real))
        rows += [{"scale": scale} | _measured(chain, method, goals, scale, real) for scale in scales]
    same: dict[str, float] = {"steps": len(chains[0].times) - 1}
    if real is not None:
        same |= {f"{name}_real": value for name, value in real.against_itself(chains[0].z.shape[1]).items()}
    return adherence_result([{**row, **same} for row in rows])


def adherence_result(rows: Sequence[Row]) -> Result:
    """The result with these rows, of an analysis or its file; the conclusion is a table."""
    first = rows[0]
    guided = next((row["guidance"] for row in rows if row["guidance"] != "none"), "none")
    what = f"{guided}, {first['motions']} motions a model, {first['steps']} steps"
    text = f"adherence ({what}), by strength:\n{table(rows)}"
    real = [f"{name} {float(first[f'{name}_real']):.3g}" for name in MEASURED if first.get(f"{name}_real", "") != ""]
    if real:
        text += f"\nreal clips against others: {', '.join(real)}"
    return Result("adherence", rows, text)


def _measured(
    chain: Chain, way: str, goals: GoalSet, scale: float, real: RealClips | None = None
) -> dict[str, str | float | int]:
    """Sample with one method, and measure the motions."""
    started = time.perf_counter()
    guide = None if way == "none" else chain.guide(goals, way, scale)
    final = chain.run(guide, words=f"{chain.model.name}, {way} {scale:g}").final
    seconds = time.perf_counter() - started
    joints = chain.model.representation.decode(final).cpu()
    observation = goals.observe(chain.frames).known_to(chain.model.representation)
    errors = torch.stack([observation.errors(motion) for motion in joints])
    measured = {
        "error_cm": 100 * errors.mean(1),
        "within_20_cm": (errors < 0.2).all(1).double(),
        "jitter": torch.tensor([root_jitter(motion) for motion in joints]),
        "fastest": torch.tensor([fastest_root(motion) for motion in joints]),
    }
    if chain.model.representation.whole_body:
        measured["bones_mm"] = 1000 * torch.tensor([bone_length_range(motion) for motion in joints])
        measured["skating"] = torch.tensor([foot_skating_ratio(motion) for motion in joints])
    row: dict[str, str | float | int] = {
        "model": chain.model.name, "prediction": chain.model.prediction.name, "guidance": way, "motions": len(joints),
    }  # fmt: skip
    for key in MEASURED:
        if key in measured:
            mean, spread = confidence(measured[key])
            row[key], row[f"{key}_95"] = mean.item(), spread.item()
    if real is not None:
        row |= real.compare(joints)
    return row | {"seconds": seconds / len(joints)}


def table(rows: Sequence[Row]) -> str:
    """A plain-text table with a row for each model and method."""
    shown = [key for key in MEASURED if any(key in row for row in rows)]
    named = [key for key in ("model", "guidance", "scale") if key in rows[0]]
    lines = [[*named, *shown]]
    for row in rows:
        names = (f"{float(row[key]):g}" if key == "scale" else str(row[key]) for key in named)
        lines.append([*names, *(_cell(row, key) for key in shown)])
    return columns(lines)


def _cell(row: Row, key: str) -> str:
    if key not in row:
        return "-"
    return f"{float(row[key]):.3g}" + (f" ± {float(row[f'{key}_95']):.2g}" if f"{key}_95" in row else "")


SHOWN = {
    "error_cm": "mean error at the goals, cm",
    "within_20_cm": "within 20 cm of every goal",
    "bones_mm": "range of a bone's length, mm",
    "skating": "foot skating ratio",
    "jitter": "root jitter, m/s³",
    "fastest": "fastest root, m/s",
    "seconds": "seconds a motion",
}
"""Columns of the panels and their titles."""


def compare_figure(rows: Sequence[Row]) -> Figure:
    """The figure of `python -m guidance compare`: markers are hollow for unguided motions."""
    styles = model_styles({str(row["model"]): str(row["prediction"]) for row in rows})
    guided = [str(row["guidance"]) for row in rows if row["guidance"] != "none"]
    what = f"{', '.join(dict.fromkeys(guided)) or 'none'}, {rows[0]['motions']} motions a model"
    shown = [column for column in SHOWN if column in rows[0]]
    wide = (len(shown) + 1) // 2
    title = f"The same goals through several models  ({what}, 95 % intervals; hollow: unguided)"
    figure, axes = panels(2, wide, size=(11, 1.8 + 0.7 * len(rows)), title=title)
    names = [f"{row['model']}, {row['guidance']}" for row in rows]
    for place, (axis, column) in enumerate(zip(axes, shown, strict=False)):
        halves = floats(rows, f"{column}_95", least=0) if f"{column}_95" in rows[0] else [0.0] * len(rows)
        for i, (row, value, half) in enumerate(zip(rows, floats(rows, column), halves, strict=True)):
            interval_dot(axis, value, i, half, styles[str(row["model"])], filled=row["guidance"] != "none")
        row_names(axis, names, shown=place % wide == 0)
        left, right = axis.get_xlim()
        axis.set_xlim(min(left, -0.03 * right), right)
        label(axis, title=SHOWN[column])
    if "within_20_cm" in shown:
        axes[shown.index("within_20_cm")].set_xlim(-0.03, 1.03)
    for axis in axes[len(shown) :]:
        axis.set_visible(False)
    return figure


REALISM = {
    "bones_mm": "range of a bone's length, mm",
    "skating": "foot skating ratio",
    "jitter": "root jitter, m/s³",
    "fid": "FID",
    "density": "density",
    "coverage": "coverage",
}
"""Columns that are drawn against the error, and their axis labels."""


def adherence_figure(rows: Sequence[Row]) -> Figure:
    """The figure of `adherence`: realism against the error at the goals; a line joins the strengths of a model."""
    shown = {column: words for column, words in REALISM.items() if rows[0].get(column, "") != ""}
    styles = model_styles({str(row["model"]): str(row["prediction"]) for row in rows})
    guided = next((str(row["guidance"]) for row in rows if row["guidance"] != "none"), "none")
    strengths = sorted({float(row["scale"]) for row in rows})
    dotted = "; dotted: real clips" if "fid_real" in rows[0] else ""
    title = f"Realism at equal error  ({guided}, strengths {strengths[0]:g} to {strengths[-1]:g}{dotted})"
    wide = min(len(shown), 3)
    high = -(-len(shown) // wide)
    figure, axes = panels(high, wide, size=(4.2 * wide, 0.6 + 3.8 * high), title=title)
    for axis, (column, words) in zip(axes, shown.items(), strict=False):
        for name, mine in group_by(rows, "model").items():
            values = floats(mine, column)
            halves = floats(mine, f"{column}_95") if mine[0].get(f"{column}_95", "") != "" else [0.0] * len(values)
            band(axis, floats(mine, "error_cm"), values, halves, styles[name], name)
        if rows[0].get(f"{column}_real", "") != "":
            reference_line(axis, float(rows[0][f"{column}_real"]), dotted=True)
        axis.set_xscale("log")
        label(axis, title=words, x="mean error at the goals, cm", y=words)
    legend(axes[0])
    return figure
