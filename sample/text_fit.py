"""How well a motion fits its words, by the text-motion embedding, and the best of several motions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import torch

from guidance.goals.goal_set import GoalSet
from motion_diffusion.body.motion import Motion
from motion_diffusion.network.text_motion_encoder import SENTENCES, TextMotionEncoder, Verdict
from motion_diffusion.option_ranges import Range
from sample.editing import Part
from sample.segments import lengths_of

DEFAULT_MATCHER = "bandai"
Tries = Annotated[int, Range(1, 64)]


@dataclass(frozen=True)
class TextFit:
    """How well a motion fits its words."""

    similarity: float
    """Cosine of the embeddings of motion and words, -1 to 1; the mean over several prompts."""
    words: Verdict | None
    """The same in a word; None for a matcher without a scale."""
    matcher: str
    """Its name and weights."""

    @property
    def sentence(self) -> str:
        """The same in a sentence; empty without a scale."""
        return SENTENCES[self.words] if self.words else ""


@torch.no_grad()
def text_fit(
    matcher: TextMotionEncoder, motion: Motion, text: str, goals: GoalSet, part: Part | None = None
) -> TextFit:
    """How well a motion, or the part of it that was made, fits a text, or the segments of the goals theirs."""
    start, end = (part.start, part.end) if part else (0, motion.frames)
    passages = [(text, start, end)]
    if goals.segments:
        passages, at = [], start
        for segment, frames in zip(goals.segments, lengths_of(goals.segments), strict=True):
            passages.append((segment.text, at, at + frames))
            at += frames
    joints = [motion.joints[max(min(first, last - 2), 0) : last] for _, first, last in passages]  # two frames at least
    motions, texts = matcher.embed_motions(joints), matcher.embed_texts([words for words, _, _ in passages])
    similarity = round((motions * texts).sum(-1).mean().item(), 4)
    verdict = matcher.scale.verdict(similarity) if matcher.scale else None
    return TextFit(similarity, verdict, f"{matcher.name} ({matcher.digest})")


def best(motions: Sequence[Motion], fits: Sequence[TextFit]) -> tuple[Motion, TextFit]:
    """Of motions from the same request the one that misses the fewest goals, and among those fits its words best."""

    def order(i: int) -> tuple[int, float]:
        missed = sum(not residual["met"] for residual in motions[i].provenance["residuals"])
        return missed, -fits[i].similarity

    chosen = min(range(len(motions)), key=order)
    return motions[chosen], fits[chosen]
