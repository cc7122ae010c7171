"""Examples from clips of several data sets: rare actions seen often enough, and some clips after each other."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray

from data_loaders.augment import (
    SeamCandidates,
    bend,
    change_pace,
    entry_candidates,
    exit_candidates,
    find_seam,
    mirror,
    random_crop,
    stitch,
)
from data_loaders.augmented_dataset import random_pace, random_turns
from data_loaders.caption_dataset import Passage, passages
from data_loaders.captions.templates import LOCOMOTION, caption, is_labelled, mirror_words, motion_facts
from data_loaders.types import Clip, Example
from motion_diffusion.body.heading import to_origin
from motion_diffusion.errors import InputError

TEMPERATURE = 0.5
"""An action is drawn with a probability that grows as its length in the data to this power: 1 is as they are, 0 is all
alike."""
STITCH_SHARE, CANDIDATES = 0.3, 8
"""Share of the examples that go over into another clip, and clips that are tried for that."""
REPEAT_CANDIDATES, REPEAT_PROBABILITY = 2, 0.8
"""Clips of the same action that are tried to go on with, and how often it is tried while a motion is too short."""
BEND_SHARE = 0.75
"""Share of the walks and runs that are bent into curves."""
MAX_SEAM_GAP = 0.8
"""Largest difference of poses and speeds at a seam, as `augment.seam` measures it: three quarters of pairs of clips of
the same action are below, and a quarter of other pairs."""

_SUBJECT = re.compile(r"^(?:a|an|the|some)\b.*?\b(?:person|human|figure|man|woman)\s+|^some(?:one|body)\s+")


_COUNTED = re.compile(
    r"\b(once|twice|times|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|steps?|metres?|then|and|turns?|"
    r"turning|stops?|again)\b"
)
"""Words that are no longer true of what is done again."""


@dataclass(frozen=True, eq=False)
class _Part:
    """Part of an example, before left and right are swapped."""

    passage: Passage
    joints: NDArray[np.float64]
    text: str
    """One of the sentences about it."""


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
        self.max_frames, self.min_frames, self.seed, self.mirrored = frames, min_frames, seed, mirrored
        self.by_action: dict[str, list[Passage]] = {}
        self._entries: dict[Passage, SeamCandidates] = {}
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
        first = self._part(self._action(rng), rng)
        wanted = int(rng.integers(self.min_frames, self.max_frames + 1))
        joints = self._repeat(first, wanted, rng)
        text = self._text(first, joints, rng)
        if rng.random() < STITCH_SHARE and len(joints) < self.max_frames - self.min_frames:
            following = self._best_continuation(joints, [self._action(rng) for _ in range(CANDIDATES)], rng)
            if following is not None:
                text = _join_sentences(text, self._text(following, following.joints, rng), rng)
                joints = stitch(joints, following.joints)[: self.max_frames]
        if rng.random() < 0.4:
            joints = change_pace(joints, random_pace(len(joints), rng))[: self.max_frames]
        if not self.mirrored and rng.random() < 0.5:
            joints, text = mirror(joints), mirror_words(text)
        return Example(to_origin(torch.from_numpy(joints)).numpy().astype(np.float32), text)

    def frames(self, index: int) -> int:
        """The length of `example(index)`, which has to be made: how clips are stitched says how long they become."""
        return len(self.example(index).joints)

    def _action(self, rng: Generator) -> str:
        return self.actions[rng.choice(len(self.actions), p=self.chance)]

    def _part(self, action: str, rng: Generator, style: str | None = None) -> _Part:
        """A passage of an action (in a style), cut, with one of the sentences about it."""
        some = [each for each in self.by_action[action] if style is None or each.clip.style == style]
        lengths = np.array([min(passage.frames, self.max_frames) for passage in some], dtype=np.float64)
        passage = some[rng.choice(len(some), p=lengths / lengths.sum())]
        text = passage.captions[int(rng.integers(len(passage.captions)))].text
        return _Part(passage, random_crop(passage.joints, self.max_frames, rng), text)

    def _best_continuation(
        self, joints: NDArray[np.float64], actions: Sequence[str], rng: Generator, style: str | None = None
    ) -> _Part | None:
        """Of a part of each of these actions the one that goes on best; None if none does well."""
        parts, out = [self._part(action, rng, style) for action in actions], exit_candidates(joints)
        gaps = [find_seam(out, self._entry(part)).gap for part in parts]
        return parts[int(np.argmin(gaps))] if min(gaps) < MAX_SEAM_GAP else None

    def _entry(self, part: _Part) -> SeamCandidates:
        """Of whole passages it is kept."""
        if part.passage.frames > self.max_frames:
            return entry_candidates(part.joints)
        if part.passage not in self._entries:
            self._entries[part.passage] = entry_candidates(part.joints)
        return self._entries[part.passage]

    def _repeat(self, part: _Part, wanted: int, rng: Generator) -> NDArray[np.float64]:
        """The same done again, where poses agree, up to about so many frames; as it is if its words are then untrue.

        Who goes somewhere may go in a curve, if words for that are written afterwards.
        """
        joints, clip = part.joints, part.passage.clip
        if not is_labelled(clip.action, clip.style) and _COUNTED.search(part.text):
            return joints
        action = clip.action or clip.name
        while len(joints) < wanted - self.min_frames // 2 and rng.random() < REPEAT_PROBABILITY:
            again = self._best_continuation(joints, [action] * REPEAT_CANDIDATES, rng, clip.style)
            if again is None:
                break
            joints = stitch(joints, again.joints)
        joints = joints[: self.max_frames]
        if (
            is_labelled(clip.action, clip.style)
            and clip.action in LOCOMOTION
            and "turn" not in clip.action
            and rng.random() < BEND_SHARE
        ):
            joints = bend(joints, random_turns(joints, rng))
        return joints

    def _text(self, part: _Part, joints: NDArray[np.float64], rng: Generator) -> str:
        """Words for a part that became joints."""
        clip = part.passage.clip
        return (
            caption([clip.action], clip.style, motion_facts(joints), rng)
            if is_labelled(clip.action, clip.style)
            else part.text
        )


def _join_sentences(first: str, second: str, rng: Generator) -> str:
    """One sentence of two: the second without its subject."""
    does = _SUBJECT.sub("", second.rstrip("."), count=1)
    return first.rstrip(".") + str(rng.choice([", then ", " and then ", " and "])) + does
