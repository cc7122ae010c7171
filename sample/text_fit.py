"""How well prompts fit a model and motions fit their prompts, and the best of several motions.

A prompt is compared with the words of the model's training data before sampling. A motion is compared with its text by
the cosine of their embeddings (see `motion_diffusion.network.text_motion_encoder`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import torch

from guidance.goals.goal_set import GoalSet
from motion_diffusion.body.motion import Motion
from motion_diffusion.network.text_motion_encoder import SENTENCES, TextMotionEncoder, Verdict
from motion_diffusion.option_ranges import Range
from motion_diffusion.prompts import Known, unknown_in
from sample.editing import Part
from sample.segments import lengths_of

DEFAULT_MATCHER = "mixed"
"""The shipped text–motion embedding model."""
Tries = Annotated[int, Range(1, 64)]


def unknown_words(known: Known | None, text: str, goals: GoalSet) -> list[str]:
    """Find prompts with words that are unlike all in a model's training data.

    Args:
        known: Actions and words in the training data; None if the model does not say.
        text: Prompt of the motion.
        goals: Goals, whose segments have prompts in place of `text`.

    Returns:
        A line on each such prompt.
    """
    if known is None:
        return []
    prompts = [segment.text for segment in goals.segments] or [text]
    lines = []
    for number, prompt in enumerate(prompts, 1):
        if unknown := unknown_in(prompt, known):
            lines.append(f"segment {number}: {unknown.warning}" if len(prompts) > 1 else unknown.warning)
    return lines


@dataclass(frozen=True)
class TextFit:
    """How well a motion fits its text."""

    similarity: float
    """Cosine of the embeddings of motion and text, -1 to 1; with several prompts their mean."""
    words: Verdict | None
    """The similarity on the embedding model's scale; None for a model without a scale."""
    matcher: str
    """Name and digest of the embedding model."""

    @property
    def sentence(self) -> str:
        """The verdict as a sentence; empty without a scale."""
        return SENTENCES[self.words] if self.words else ""


@torch.no_grad()
def text_fit(
    encoder: TextMotionEncoder, motion: Motion, text: str, goals: GoalSet, part: Part | None = None
) -> TextFit:
    """Measure how well a motion fits its text.

    Args:
        encoder: Text–motion embedding model.
        motion: The motion.
        text: Its prompt.
        goals: Its goals; if they have segments, each segment is compared with its own text.
        part: The generated part of an edited motion; None for the whole motion.
    """
    start, end = (part.start, part.end) if part else (0, motion.frames)
    passages = [(text, start, end)]
    if goals.segments:
        passages, at = [], start
        for segment, frames in zip(goals.segments, lengths_of(goals.segments), strict=True):
            passages.append((segment.text, at, at + frames))
            at += frames
    joints = [motion.joints[max(min(first, last - 2), 0) : last] for _, first, last in passages]  # two frames at least
    motions, texts = encoder.embed_motions(joints), encoder.embed_texts([words for words, _, _ in passages])
    similarity = round((motions * texts).sum(-1).mean().item(), 4)
    verdict = encoder.scale.verdict(similarity) if encoder.scale else None
    return TextFit(similarity, verdict, f"{encoder.name} ({encoder.digest})")


def best_motion(motions: Sequence[Motion], fits: Sequence[TextFit]) -> tuple[Motion, TextFit]:
    """Choose among motions of the same request.

    Returns:
        The motion that misses the fewest goals, and among those the one that fits its text best; with its fit.
    """

    def order(i: int) -> tuple[int, float]:
        missed = sum(not residual["met"] for residual in motions[i].provenance["residuals"])
        return missed, -fits[i].similarity

    chosen = min(range(len(motions)), key=order)
    return motions[chosen], fits[chosen]
