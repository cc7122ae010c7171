"""The predicted clean path at successive t under guidance (GMD, figure 4): does it contract as t goes to 0?"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from guidance.analysis.output import Result, Row
from guidance.analysis.runs import Chain, confidence
from guidance.goals.goal_set import GoalSet
from motion_diffusion.errors import InputError


def evolution(chains: Sequence[Chain], goals: GoalSet, method: str, scale: float, *, drawn: int = 9) -> Result:
    """The analysis: for each model the first motion's x̂0 after guidance at `drawn` times, from above, beside what is
    wanted (`goal`); and in rows without a frame all motions' mean distance to the goals at every t (`off`).

    Contraction is how much of its nearest approach x̂0 loses again by t = 0, in metres.
    """
    observation = goals.observe(chains[0].frames)
    mask = observation.mask[:, 0][:, [0, 2]].all(-1)
    if not mask.any():
        raise InputError("no goal says where the pelvis should be; give way-points or a path")
    target = observation.values[:, 0][:, [0, 2]]
    what = f"{method}, {chains[0].z.shape[1]} motions a model, {len(chains[0].times) - 1} steps"
    rows: list[Row] = []
    parts = []
    for chain in chains:
        model = chain.model
        guide = None if method == "none" else chain.guide(goals, method, scale)
        trace = chain.run(guide, words=f"{model.name}, {method}")
        paths = torch.cat([chain.paths(trace.guided), chain.paths(trace.final)[None]])
        about: dict[str, str | float | int] = {
            "model": model.name, "prediction": model.config.prediction, "guidance": method,
            "motions": chain.z.shape[1],
        }  # fmt: skip
        for i in sorted({round(i) for i in torch.linspace(0, len(paths) - 1, drawn).tolist()}):
            for frame, (x, z) in enumerate(paths[i, 0].tolist()):
                row = about | {"t": chain.times[i], "frame": frame, "x_m": x, "z_m": z}
                goal_x, goal_z = target[frame].tolist()
                rows.append(row | {"goal_x_m": goal_x, "goal_z_m": goal_z} if mask[frame] else row)
        miss = (paths[:, :, mask] - target[mask].to(paths)).norm(dim=-1).mean(-1)
        mean, spread = confidence(miss)
        for t, off, half in zip(chain.times, mean.tolist(), spread.tolist(), strict=True):
            rows.append(about | {"t": t, "off_m": off, "off_95": half})
        lost, spread_of_lost = confidence(miss[-1] - miss.min(0).values)
        nearest = chain.times[int(mean.argmin())]
        parts.append(
            f"{model.name}: nearest to the goals at t = {nearest} ({mean.min():.2f} m), ends {mean[-1]:.2f} m "
            f"off, contraction {lost:.2f} ± {spread_of_lost:.2f} m"
        )
    return Result("evolution", rows, f"evolution ({what}): {'; '.join(parts)}.")
