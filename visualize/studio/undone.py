"""The undoing of guidance for a take: the same goals, words and noise with and without guidance, step by step."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from guidance.analysis.runs import Chain
from guidance.analysis.undoing import ledger
from guidance.goals import Goals
from guidance.methods import Guidance, parse_methods
from guidance.task import Task
from motion_diffusion.errors import InputError
from motion_diffusion.model import MotionModel
from visualize.studio.document import Document
from visualize.studio.making import counting
from visualize.studio.watched import Watched
from visualize.studio.work import Watch

MOTIONS = 4
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

    InputError if there is no guidance in the steps, no goal of the pelvis, or more than one window.
    """
    wanted, methods = plan.wanted(model.config.max_frames), parse_methods(plan.guidance)
    if not {"projection", "classifier", "imputation"} & set(methods):
        raise InputError("this plan does not push in its steps; choose projection, classifier or imputation")
    if wanted.segments or plan.base is not None:
        raise InputError("what is woven of several windows cannot be looked at; take one prompt that is short enough")
    steps = plan.steps
    model = Watched.of(model, counting(watch, 2 * steps, 1.0))
    return account(chain_of(model, plan, wanted, seed), wanted, plan)


def chain_of(model: MotionModel, plan: Document, wanted: Goals, seed: int) -> Chain:
    """The runs of a plan, which are told what is known if its guidance has masks."""
    chain = Chain.of(
        model, [plan.text], range(seed, seed + MOTIONS), frames=plan.frames, steps=plan.steps,
        text_scale=plan.text_scale,
    )  # fmt: skip
    observed = guidance_of(chain, plan, wanted).observed
    if observed is None:
        return chain
    exist = torch.ones(chain.z.shape[1], chain.frames, dtype=torch.bool, device=chain.z.device)
    texts = [plan.text] * chain.z.shape[1]
    told = model.denoise_fn(texts, exist, text_scale=plan.text_scale, observed=observed)
    return Chain(model, told, chain.times, chain.z)


def guidance_of(chain: Chain, plan: Document, wanted: Goals) -> Guidance:
    """The plan's way of guiding all motions of a chain."""
    count = chain.z.shape[1]
    lengths = torch.full((count,), chain.frames, device=chain.z.device)
    task = Task.of(chain.model, [wanted] * count, lengths)
    return Guidance(parse_methods(plan.guidance), task, plan.settings)


def account(chain: Chain, wanted: Goals, plan: Document) -> Undone:
    """Run a chain without and with guidance, and compare. InputError if no goal says where the pelvis should be."""
    plain = chain.run()
    guided = chain.run(guidance_of(chain, plan, wanted).guide)
    book = ledger(chain, guided, plain, wanted)
    return Undone(
        torch.tensor(chain.times[:-1]),
        book.push.mean(1),
        book.back.mean(1),
        book.wanted.mean().item(),
        book.left.mean().item(),
    )
