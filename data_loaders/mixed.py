"""Examples from clips of several data sets: rare actions seen often enough, and some clips after each other."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray

from data_loaders.augment import change_pace, cut, mirror, seam, stitch
from data_loaders.captioned import Passage, passages
from data_loaders.captions import VERBS, caption, mirror_words, motion_facts
from data_loaders.clip import Clip
from data_loaders.example import Example
from data_loaders.training import drifting_pace
from motion_diffusion.errors import InputError
from motion_diffusion.heading import to_origin

TEMPERATURE = 0.5
"""An action is drawn with a probability that grows as its length in the data to this power: 1 is as they are, 0 is all
alike."""
STITCHED, CANDIDATES = 0.3, 8
"""Share of the examples that go over into another clip, and clips that are tried for that."""
NEAR = 0.8
"""Largest difference of poses and speeds at a seam, as `augment.seam` measures it: three quarters of pairs of clips of
the same action are below, and a quarter of other pairs."""

_SUBJECT = re.compile(r"^(?:a|an|the|some)\b.*?\b(?:person|human|figure|man|woman)\s+|^some(?:one|body)\s+")


@dataclass(frozen=True, eq=False)
class _Said:
    """A part of an example, before left and right are swapped."""

    joints: NDArray[np.float64]
    text: str


class MixedClips:
    """Passages of clips of many actions, cut, stitched, mirrored, faster and slower, without end.

    `example(i)` is the same for the same seed and i. Lengths are min_frames … frames. Raises InputError if no captioned
    passage is long enough.
    """

    def __init__(
        self,
        clips: Sequence[Clip],
        frames: int = 200,
        min_frames: int = 40,
        seed: int = 0,
        *,
        mirrored: bool = False,
    ):
        """mirrored: whether there are copies with left and right swapped already; if not, half are swapped here."""
        self.longest, self.min_frames, self.seed, self.mirrored = frames, min_frames, seed, mirrored
        self.by_action: dict[str, list[Passage]] = {}
        for passage in passages(clips, min_frames):
            self.by_action.setdefault(passage.clip.action or passage.clip.name, []).append(passage)
        if not self.by_action:
            raise InputError(f"no captioned clip has {min_frames} frames or more; give more data")
        self.actions = tuple(sorted(self.by_action))
        lengths = [sum(passage.frames for passage in self.by_action[action]) for action in self.actions]
        chance = np.array(lengths, dtype=np.float64) ** TEMPERATURE
        self.chance = chance / chance.sum()

    def example(self, index: int) -> Example:
        """Example number `index` (0 or more): joints (n, 22, 3) from the origin, facing +z, and a caption."""
        rng = np.random.default_rng((self.seed, index))
        first = self._part(rng)
        joints, text = first.joints, first.text
        if rng.random() < STITCHED and len(joints) < self.longest - self.min_frames:
            others = [self._part(rng) for _ in range(CANDIDATES)]
            gaps = [seam(joints, other.joints) for other in others]
            if min(gaps) < NEAR:
                other = others[int(np.argmin(gaps))]
                joints = stitch(joints, other.joints)[: self.longest]
                text = _then(text, other.text, rng)
        if rng.random() < 0.4:
            joints = change_pace(joints, drifting_pace(len(joints), rng))[: self.longest]
        if not self.mirrored and rng.random() < 0.5:
            joints, text = mirror(joints), mirror_words(text)
        return Example(to_origin(torch.from_numpy(joints)).numpy().astype(np.float32), text)

    def frames(self, index: int) -> int:
        """The length of `example(index)`, which has to be made: how clips are stitched says how long they become."""
        return len(self.example(index).joints)

    def _part(self, rng: Generator) -> _Said:
        """A passage, cut, with one of the sentences about it."""
        some = self.by_action[self.actions[rng.choice(len(self.actions), p=self.chance)]]
        lengths = np.array([min(passage.frames, self.longest) for passage in some], dtype=np.float64)
        passage = some[rng.choice(len(some), p=lengths / lengths.sum())]
        joints = cut(passage.joints, self.longest, rng)
        if passage.clip.action in VERBS and passage.clip.style:
            return _Said(joints, caption([passage.clip.action], passage.clip.style, motion_facts(joints), rng))
        return _Said(joints, passage.captions[int(rng.integers(len(passage.captions)))].text)


def _then(first: str, second: str, rng: Generator) -> str:
    """One sentence of two: the second without its subject."""
    does = _SUBJECT.sub("", second.rstrip("."), count=1)
    return first.rstrip(".") + str(rng.choice([", then ", " and then ", " and "])) + does
