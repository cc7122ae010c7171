"""The undoing of guidance in a take."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from guidance.analysis.runs import Chain
from guidance.analysis.undoing import ledger
from guidance.compose import ComposedGuidance, parse_methods
from guidance.protocol import GuidanceProblem
from motion_diffusion.diffusion.samplers import OnStep
from motion_diffusion.errors import InputError
from motion_diffusion.model import MotionModel
from sample.generate import from_the_origin
from sample.segments import is_stitched
from visualize.studio.generation import report_steps
from visualize.studio.job_queue import JobMonitor
from visualize.studio.plan import Plan

SEED_COUNT = 4
"""Number of consecutive seeds, starting with the take's, that figures are averaged over."""


@dataclass(frozen=True, eq=False)
class UndoingReport:
    """Metres along the direction to the goals, per step (N,) and in total.

    Attributes:
        times: (N,) diffusion times, descending.
        push: (N,) displacement by guidance.
        back: (N,) part of it that the network's next estimate undid.
        wanted: distance of the unguided motion from the goals.
        left: part of that distance covered in the end.
    """

    times: Tensor
    push: Tensor
    back: Tensor
    wanted: float
    left: float

    @property
    def share(self) -> float:
        """Undone share of all pushes."""
        return float(self.back.sum() / self.push.sum().clamp_min(1e-9))

    def summary(self) -> str:
        """Summary in two sentences."""
        return (
            f"Guidance pushed {self.push.sum():.2f} m towards the goals, and the network took {self.back.sum():.2f} m "
            f"({100 * self.share:.0f} %) of it back. In the end the motion has come {self.left:.2f} m of the "
            f"{self.wanted:.2f} m that were wanted."
        )


def report_undoing(plan: Plan, model: MotionModel, seed: int, monitor: JobMonitor) -> UndoingReport:
    """Measure the undoing of a plan's guidance with ancestral sampling. See `guidance.analysis.undoing`.

    Raises:
        InputError: if guidance does not act in the steps alone, no goal constrains the pelvis, or the plan needs
            several windows.
    """
    methods = parse_methods(plan.guidance)
    if not {"projection", "classifier", "imputation"} & set(methods):
        raise InputError("this plan does not push in its steps; choose projection, classifier or imputation")
    if before := [name for name in ("stages", "noise") if name in methods]:
        raise InputError(
            f"{before[0]} guides before the first step, where nothing is taken back; leave {before[0]} out"
        )
    if is_stitched(plan.parts, model.config.max_frames) or plan.base is not None:
        raise InputError("what is woven of several windows cannot be looked at; take one prompt that is short enough")
    return compare_guided(sampling_chain(model, plan, seed), plan, report_steps(monitor, 2 * plan.steps, 1.0))


def sampling_chain(model: MotionModel, plan: Plan, seed: int) -> Chain:
    """Sampling chain of a plan; with masks in its guidance, the network is conditioned on the observed motion."""
    chain = Chain.of(
        model, [plan.text], range(seed, seed + SEED_COUNT), frames=plan.frames, steps=plan.steps,
        text_scale=plan.text_scale, shift=model.config.recommended.shift,
    )  # fmt: skip
    observed = plan_guidance(chain, plan).observed
    if observed is None:
        return chain
    exist = torch.ones(chain.z.shape[1], chain.frames, dtype=torch.bool, device=chain.z.device)
    texts = [plan.text] * chain.z.shape[1]
    conditioned = model.denoise_fn(texts, exist, text_scale=plan.text_scale, observed=observed)
    return Chain(model, conditioned, chain.times, chain.z)


def plan_guidance(chain: Chain, plan: Plan) -> ComposedGuidance:
    """The plan's guidance for all motions of a chain, which start at the origin."""
    count = chain.z.shape[1]
    lengths = torch.full((count,), chain.frames, device=chain.z.device)
    problem = GuidanceProblem.of(chain.model, [from_the_origin(plan.goal_set, chain.frames)] * count, lengths)
    return ComposedGuidance.of(plan.settings.methods(plan.guidance), problem, chain.model)


def compare_guided(chain: Chain, plan: Plan, on_step: OnStep | None = None) -> UndoingReport:
    """Run a chain with and without guidance and compare. `on_step` is called after each step of both.

    Raises:
        InputError: if no goal constrains the pelvis.
    """
    plain = chain.run(on_step=on_step)
    guided = chain.run(plan_guidance(chain, plan).guide, on_step=on_step)
    book = ledger(chain, guided, plain, plan.goal_set)
    return UndoingReport(
        torch.tensor(chain.times[:-1]),
        book.push.mean(1),
        book.back.mean(1),
        book.wanted.mean().item(),
        book.left.mean().item(),
    )
