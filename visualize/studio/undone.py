"""The undoing of guidance for a take: the same goals, words and noise with and without guidance, step by step."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from guidance.analysis.runs import Chain
from guidance.analysis.undoing import ledger
from guidance.compose import ComposedGuidance, parse_methods
from guidance.protocol import GuidanceProblem
from motion_diffusion.errors import InputError
from motion_diffusion.model import MotionModel
from sample.generate import from_the_origin
from sample.segments import woven
from visualize.studio.document import Document
from visualize.studio.making import counting
from visualize.studio.watched import Watched
from visualize.studio.work import Watch

SEEDS = 4
"""With the seed of the take and those after it: figures are means over them."""


@dataclass(frozen=True, eq=False)
class Undone:
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

    def words(self) -> str:
        """In a sentence."""
        return (
            f"Guidance pushed {self.push.sum():.2f} m towards the goals, and the network took {self.back.sum():.2f} m "
            f"({100 * self.share:.0f} %) of it back. In the end the motion has come {self.left:.2f} m of the "
            f"{self.wanted:.2f} m that were wanted."
        )


def undone(plan: Document, model: MotionModel, seed: int, watch: Watch) -> Undone:
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
    model = Watched.of(model, counting(watch, 2 * steps, 1.0))
    return account(chain_of(model, plan, seed), plan)


def chain_of(model: MotionModel, plan: Document, seed: int) -> Chain:
    """The runs of a plan, which are told what is known if its guidance has masks."""
    chain = Chain.of(
        model, [plan.text], range(seed, seed + SEEDS), frames=plan.frames, steps=plan.steps,
        text_scale=plan.text_scale,
    )  # fmt: skip
    observed = guidance_of(chain, plan).observed
    if observed is None:
        return chain
    exist = torch.ones(chain.z.shape[1], chain.frames, dtype=torch.bool, device=chain.z.device)
    texts = [plan.text] * chain.z.shape[1]
    told = model.denoise_fn(texts, exist, text_scale=plan.text_scale, observed=observed)
    return Chain(model, told, chain.times, chain.z)


def guidance_of(chain: Chain, plan: Document) -> ComposedGuidance:
    """The plan's way of guiding all motions of a chain, which begin at the origin as all that are made."""
    count = chain.z.shape[1]
    lengths = torch.full((count,), chain.frames, device=chain.z.device)
    problem = GuidanceProblem.of(chain.model, [from_the_origin(plan.wanted, chain.frames)] * count, lengths)
    return ComposedGuidance.of(plan.settings.methods(plan.guidance), problem, chain.model)


def account(chain: Chain, plan: Document) -> Undone:
    """Run a chain without and with guidance, and compare. InputError if no goal says where the pelvis should be."""
    plain = chain.run()
    guided = chain.run(guidance_of(chain, plan).guide)
    book = ledger(chain, guided, plain, plan.wanted)
    return Undone(
        torch.tensor(chain.times[:-1]),
        book.push.mean(1),
        book.back.mean(1),
        book.wanted.mean().item(),
        book.left.mean().item(),
    )
