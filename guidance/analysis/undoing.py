"""Undoing of guidance: at each step of a guided run, how far guidance pushed and how much the network took back.

The same noise is run with and without guidance. At every step, with n the network's x̂0 and g the x̂0 after guidance,

    D = n − n_unguided            displacement by guidance so far, without drift
    push = g − n                  displacement by guidance in this step
    back = push − (D_next − D)    the part that the network's next estimate does not follow

so D_end = Σ push − Σ back, exactly. All are measured in metres on the floor at the goals' frames, along the direction
from where the unguided motion ends to where it should be.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from matplotlib.figure import Figure
from torch import Tensor

from guidance.analysis.runs import Chain, Trace, confidence, ratio
from guidance.analysis.style import band, label, legend, model_styles, panels, reference_line, time_axis
from guidance.analysis.table import Result, Row, floats, group_by, rows_with
from guidance.goals.goal_set import GoalSet
from motion_diffusion.errors import InputError


@dataclass(frozen=True, eq=False)
class Ledger:
    """Metres along the desired direction, averaged over the goals' frames: (N, B) for N steps; wanted and left:
    (B,).
    """

    wanted: Tensor
    steered: Tensor
    """D before each step's push."""
    push: Tensor
    back: Tensor
    left: Tensor
    """D at the end."""


def ledger(chain: Chain, guided: Trace, literal: Trace, goals: GoalSet) -> Ledger:
    """Account for a guided run against the unguided run with the same noise. InputError if no goal concerns the
    path.
    """
    observation = goals.observe(chain.frames)
    mask = observation.mask[:, 0][:, [0, 2]]
    if not mask.any():
        raise InputError("no goal says where the pelvis should be; give way-points or a path")
    frames = mask.any(-1)
    target = observation.values[:, 0][:, [0, 2]].to(chain.z)[frames]
    mask = mask[frames].to(chain.z)

    def at_goals(x0: Tensor) -> Tensor:
        return chain.paths(x0)[..., frames, :] * mask

    ends = at_goals(literal.final)
    way = target * mask - ends
    wanted = way.norm(dim=-1)
    direction = way / wanted.clamp_min(1e-9)[..., None]

    def along(vectors: Tensor) -> Tensor:
        return (vectors * direction).sum(-1).mean(-1)

    n, n_plain, g = (
        torch.stack([at_goals(x0) for x0 in run]) for run in (guided.network, literal.network, guided.guided)
    )
    left = along(at_goals(guided.final) - ends)
    steered, push = along(n - n_plain), along(g - n)
    following = torch.cat([steered[1:], left[None]])
    return Ledger(wanted.mean(-1), steered, push, push - (following - steered), left)


def undoing(chains: Sequence[Chain], goals: GoalSet, method: str, scale: float) -> Result:
    """Run the analysis for every model.

    Rows contain, for every t, what was pushed and taken back in metres and the displacement before, and as shares: what
    was taken back of all pushes so far (`undone`), and the share of the distance to the goals that x̂0 has covered
    after guidance, or at t = 0 the motion (`way`).

    Args:
        chains: one per model.
        goals: the goals.
        method: the guidance method.
        scale: strength of the gradient.
    """
    if method == "none":
        raise InputError("guidance none pushes nothing; choose classifier, imputation or classifier+imputation")
    rows: list[Row] = []
    parts = []
    what = f"{method}, {chains[0].z.shape[1]} motions a model, {len(chains[0].times) - 1} steps"
    for chain in chains:
        model = chain.model
        literal = chain.run(words=f"{model.name}, unguided")
        guided = chain.run(chain.guide(goals, method, scale), words=f"{model.name}, {method}")
        book = ledger(chain, guided, literal, goals)
        way = book.wanted.mean()
        steered = torch.cat([book.steered, book.left[None]])
        reached = torch.cat([book.steered + book.push, book.left[None]])
        curves = {
            ("steered_m", "steered_95"): confidence(steered),
            ("push_m", "push_95"): confidence(book.push),
            ("back_m", "back_95"): confidence(book.back),
            ("undone", "undone_95"): ratio(book.back.cumsum(0), book.push.cumsum(0)),
            ("way", "way_95"): ratio(reached, book.wanted.expand_as(reached)),
        }
        for i, time in enumerate(chain.times):
            row: dict[str, str | float | int] = {
                "model": model.name, "prediction": model.prediction.name, "guidance": method,
                "motions": chain.z.shape[1], "t": time, "wanted_m": way.item(),
            }  # fmt: skip
            for columns, curve in curves.items():
                if i < len(curve[0]) and curve[0][i].isfinite():  # the share of nothing is undefined
                    row |= {column: values[i].item() for column, values in zip(columns, curve, strict=True)}
            rows.append(row)
        early = torch.tensor(chain.times[:-1]) > model.schedule.T / 2
        before, after = (
            f"pushed {book.push[when].sum(0).mean():.2f} m and taken back {book.back[when].sum(0).mean():.2f}"
            for when in (early, ~early)
        )
        kept, spread = ratio(book.left, book.wanted)
        undone, spread_of_undone = ratio(book.back.sum(0), book.push.sum(0))
        parts.append(
            f"{model.name}: wanted {way:.2f} m; {before} while t > T/2, {after} after, "
            f"{100 * undone:.0f} ± {100 * spread_of_undone:.0f} % in all; left {book.left.mean():.2f} m, "
            f"{100 * kept:.0f} ± {100 * spread:.0f} % of the way"
        )
    return Result("undoing", rows, f"undoing ({what}): {'; '.join(parts)}.")


SHOWN = {
    "push_m": ("push_95", "Pushed in this step", "m towards the goals"),
    "back_m": ("back_95", "… and taken back by the network's next answer", "m away from the goals"),
    "undone": ("undone_95", "Share of all pushes so far that was taken back", "share"),
    "way": ("way_95", "x̂0 after guidance (at t = 0: the motion)", "share of the way to the goals"),
}
"""Columns of the panels, with the column of half the interval, title and axis label."""


def undoing_figure(rows: Sequence[Row]) -> Figure:
    """The figure of `python -m guidance undoing`."""
    styles = model_styles({str(row["model"]): str(row["prediction"]) for row in rows})
    models = group_by(rows, "model")
    first, T = rows[0], max(floats(rows, "t"))
    steps = len(next(iter(models.values()))) - 1
    what = f"{first['guidance']}, {first['motions']} motions a model, {steps} steps"
    figure, axes = panels(2, 2, size=(11, 7.6), title=f"Where guidance gets undone  ({what})")
    for axis, (column, (half, words, y)) in zip(axes, SHOWN.items(), strict=True):
        for name, mine in models.items():
            shown = rows_with(mine, column)
            band(axis, floats(shown, "t"), floats(shown, column), floats(shown, half, least=0), styles[name], name)
        reference_line(axis, 0)
        time_axis(axis, T)
        label(axis, title=words, x="t", y=y)
    least = min(floats(rows_with(rows, "undone"), "undone"), default=0)
    axes[2].set_ylim(max(-1, min(0, least) - 0.03), 1.2)
    reference_line(axes[3], 1, dotted=True)
    legend(axes[0])
    return figure
