"""A guided run, step by step: what guidance pushed, what the network took back, what was there in the end.

The same noise is run with and without guidance. At every step, with n the network's x̂0 and g what guidance made of it,

    D = n − n_unguided        how far guidance has steered the run so far, drift taken out
    push = g − n              how far it steers now
    back = push − (D_next − D)    how much of that the network's next answer does not follow

so D_end = Σ push − Σ back, exactly. All are read as metres on the floor at the goals' frames, along the way from where
the unguided motion ends up to where it should be.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from guidance.analysis.output import COLOURS, FAINT, Result, Row, band, label, panels, time_axis
from guidance.analysis.runs import Chain, Trace, confidence, ratio
from guidance.goals import Goals
from motion_diffusion.errors import InputError


@dataclass(frozen=True, eq=False)
class Ledger:
    """Metres along the wanted way, each (N, B) for N steps but wanted and left: (B,). Means over the goals' frames."""

    wanted: Tensor
    steered: Tensor
    """D before each step's push."""
    push: Tensor
    back: Tensor
    left: Tensor
    """D at the end."""


def ledger(chain: Chain, guided: Trace, plain: Trace, goals: Goals) -> Ledger:
    """Account for a guided run beside the unguided run of the same noise. InputError if no goal is about the path."""
    observation = goals.observe(chain.frames)
    mask = observation.mask[:, 0][:, [0, 2]]
    if not mask.any():
        raise InputError("no goal says where the pelvis should be; give way-points or a path")
    frames = mask.any(-1)
    target = observation.values[:, 0][:, [0, 2]].to(chain.z)[frames]
    mask = mask[frames].to(chain.z)

    def at_goals(x0: Tensor) -> Tensor:
        return chain.paths(x0)[..., frames, :] * mask

    ends = at_goals(plain.final)
    way = target * mask - ends
    wanted = way.norm(dim=-1)
    direction = way / wanted.clamp_min(1e-9)[..., None]

    def along(vectors: Tensor) -> Tensor:
        return (vectors * direction).sum(-1).mean(-1)

    n, n_plain, g = (
        torch.stack([at_goals(x0) for x0 in run]) for run in (guided.network, plain.network, guided.guided)
    )
    left = along(at_goals(guided.final) - ends)
    steered, push = along(n - n_plain), along(g - n)
    following = torch.cat([steered[1:], left[None]])
    return Ledger(wanted.mean(-1), steered, push, push - (following - steered), left)


def undoing(chains: Sequence[Chain], goals: Goals, method: str, scale: float) -> Result:
    """The analysis, a column of panels for all models: pushed and taken back at each step, and steered so far."""
    if method == "none":
        raise InputError("guidance none pushes nothing; choose classifier, imputation or classifier+imputation")
    rows: list[Row] = []
    parts = []
    what = f"{method}, {chains[0].z.shape[1]} motions a model, {len(chains[0].times) - 1} steps"
    title = f"Where guidance gets undone  ({what})"
    figure, axes = panels(2, 2, size=(11, 7.6), title=title)
    for chain in chains:
        name, model = chain.model.config.prediction, chain.model
        plain = chain.run(words=f"{model.name}, unguided")
        guided = chain.run(chain.guide(goals, method, scale), words=f"{model.name}, {method}")
        book = ledger(chain, guided, plain, goals)
        t = chain.times[:-1]
        way = book.wanted.mean()
        curves = (
            confidence(book.push),
            confidence(book.back),
            ratio(book.back.cumsum(0), book.push.cumsum(0)),
            ratio(book.steered + book.push, book.wanted.expand_as(book.push)),
        )
        for axis, curve in zip(axes, curves, strict=True):
            band(axis, t, *curve, prediction=name, name=model.name)
        axes[3].plot([0], [book.left.sum() / book.wanted.sum()], "o", color=COLOURS[name], markersize=6, clip_on=False)
        columns = {"steered": torch.cat([book.steered, book.left[None]]), "push": book.push, "back": book.back}
        for i, time in enumerate(chain.times):
            row: dict[str, str | float | int] = {
                "model": model.name, "prediction": name, "t": time, "wanted_m": way.item(),
            }  # fmt: skip
            for column, values in columns.items():
                if i < len(values):
                    mean, spread = confidence(values[i])
                    row |= {f"{column}_m": mean.item(), f"{column}_95": spread.item()}
            rows.append(row)
        early = torch.tensor(t) > model.schedule.T / 2
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
    for axis in axes:
        axis.axhline(0, color=FAINT, linewidth=0.8)
        time_axis(axis, chains[0].model.schedule.T)
    axes[3].axhline(1, color=FAINT, linewidth=0.8, linestyle=":")
    label(axes[0], title="Pushed in this step", x="t", y="m towards the goals")
    label(axes[1], title="… and taken back by the network's next answer", x="t", y="m away from the goals")
    axes[2].set_ylim(0, 1.2)
    label(axes[2], title="Share of all pushes so far that was taken back", x="t", y="share")
    label(axes[3], title="x̂0 after guidance (dot: the motion)", x="t", y="share of the way to the goals")
    axes[0].legend(fontsize=8, frameon=False)
    return Result("undoing", figure, rows, f"undoing ({what}): {'; '.join(parts)}.")
