"""TODO."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from guidance.analysis.runs import Chain
from guidance.analysis.undoing import ledger
from guidance.compose import Guidance, parse_methods
from guidance.protocol import GuidanceProblem
from motion_diffusion.errors import InputError
from motion_diffusion.model import MotionModel
from sample.generate import from_the_origin
from sample.segments import woven
from visualize.studio.generation import MonitoredModel, count_calls
from visualize.studio.jobs import JobMonitor
from visualize.studio.plan import Plan

SEED_COUNT = 4
"""With the seed of the take and those after it: figures are means over them."""


@dataclass(frozen=True, eq=False)
class UndoingReport:
    """Metres along the way to the goals, at each of N steps, and in all."""

    times: Tensor
    """(N,) the diffusion times, descending."""
    push: Tensor
    """(N,) what guidance pushed."""
    back: Tensor
    """(N,) what of that the network's next answer took back."""
    wanted: float
    """How far the goals are from where the words alone lead."""
    left: float
    """How far the motion has come of that in the end."""

    @property
    def share(self) -> float:
        """Of all that was pushed, what was taken back."""
        return float(self.back.sum() / self.push.sum().clamp_min(1e-9))

    def summary(self) -> str:
        """In a sentence."""
        return (
            f"Guidance pushed {self.push.sum():.2f} m towards the goals, and the network took {self.back.sum():.2f} m "
            f"({100 * self.share:.0f} %) of it back. In the end the motion has come {self.left:.2f} m of the "
            f"{self.wanted:.2f} m that were wanted."
        )


def report_undoing(plan: Plan, model: MotionModel, seed: int, monitor: JobMonitor) -> UndoingReport:
    """Account for the guidance of a plan, by ancestral steps. See `guidance.analysis.undoing`.

    InputError if guidance does not push in the steps, or in more than these, for no goal of the pelvis, and for more
    than one window.
    """
    methods = parse_methods(plan.guidance)
    if not {"projection", "classifier", "imputation"} & set(methods):
        raise InputError("this plan does not push in its steps; choose projection, classifier or imputation")
    if before := [name for name in ("stages", "noise") if name in methods]:
        raise InputError(
            f"{before[0]} guides before the first step, where nothing is taken back; leave {before[0]} out"
        )
    if woven(plan.parts, model.config.max_frames) or plan.base is not None:
        raise InputError("what is woven of several windows cannot be looked at; take one prompt that is short enough")
    steps = plan.steps
    model = MonitoredModel.of(model, count_calls(monitor, 2 * steps, 1.0))
    return compare_guided(sampling_chain(model, plan, seed), plan)


def sampling_chain(model: MotionModel, plan: Plan, seed: int) -> Chain:
    """The runs of a plan, which are told what is known if its guidance has masks."""
    chain = Chain.of(
        model, [plan.text], range(seed, seed + SEED_COUNT), frames=plan.frames, steps=plan.steps,
        text_scale=plan.text_scale,
    )  # fmt: skip
    observed = plan_guidance(chain, plan).observed
    if observed is None:
        return chain
    exist = torch.ones(chain.z.shape[1], chain.frames, dtype=torch.bool, device=chain.z.device)
    texts = [plan.text] * chain.z.shape[1]
    told = model.denoise_fn(texts, exist, text_scale=plan.text_scale, observed=observed)
    return Chain(model, told, chain.times, chain.z)


def plan_guidance(chain: Chain, plan: Plan) -> Guidance:
    """The plan's way of guiding all motions of a chain, which begin at the origin as all that are made."""
    count = chain.z.shape[1]
    lengths = torch.full((count,), chain.frames, device=chain.z.device)
    problem = GuidanceProblem.of(chain.model, [from_the_origin(plan.goal_set, chain.frames)] * count, lengths)
    return Guidance(parse_methods(plan.guidance), problem, plan.settings)


def compare_guided(chain: Chain, plan: Plan) -> UndoingReport:
    """Run a chain without and with guidance, and compare. InputError if no goal says where the pelvis should be."""
    plain = chain.run()
    guided = chain.run(plan_guidance(chain, plan).guide)
    book = ledger(chain, guided, plain, plan.goal_set)
    return UndoingReport(
        torch.tensor(chain.times[:-1]),
        book.push.mean(1),
        book.back.mean(1),
        book.wanted.mean().item(),
        book.left.mean().item(),
    )
