"""Examples from clips of several data sets: rare actions seen often enough, and some clips after each other."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray

from data_loaders.augment import Way, bend, change_pace, cut, mirror, seam, stitch, way_in, way_out
from data_loaders.augmented_dataset import drifting_pace, turns
from data_loaders.caption_dataset import Passage, passages
from data_loaders.captions import LOCOMOTION, caption, is_labelled, mirror_words, motion_facts
from data_loaders.clip import Clip
from data_loaders.example import Example
from motion_diffusion.body.heading import to_origin
from motion_diffusion.errors import InputError

TEMPERATURE = 0.5
"""An action is drawn with a probability that grows as its length in the data to this power: 1 is as they are, 0 is all
alike."""
STITCHED, CANDIDATES = 0.3, 8
"""Share of the examples that go over into another clip, and clips that are tried for that."""
AGAIN, MORE = 2, 0.8
"""Clips of the same action that are tried to go on with, and how often it is tried while a motion is too short."""
BENT = 0.75
"""Share of the walks and runs that are bent into curves."""
NEAR = 0.8
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
        self.longest, self.min_frames, self.seed, self.mirrored = frames, min_frames, seed, mirrored
        self.by_action: dict[str, list[Passage]] = {}
        self._ways: dict[Passage, Way] = {}
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
        wanted = int(rng.integers(self.min_frames, self.longest + 1))
        joints = self._longer(first, wanted, rng)
        text = self._text(first, joints, rng)
        if rng.random() < STITCHED and len(joints) < self.longest - self.min_frames:
            following = self._following(joints, [self._action(rng) for _ in range(CANDIDATES)], rng)
            if following is not None:
                text = _then(text, self._text(following, following.joints, rng), rng)
                joints = stitch(joints, following.joints)[: self.longest]
        if rng.random() < 0.4:
            joints = change_pace(joints, drifting_pace(len(joints), rng))[: self.longest]
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
        lengths = np.array([min(passage.frames, self.longest) for passage in some], dtype=np.float64)
        passage = some[rng.choice(len(some), p=lengths / lengths.sum())]
        text = passage.captions[int(rng.integers(len(passage.captions)))].text
        return _Part(passage, cut(passage.joints, self.longest, rng), text)

    def _following(
        self, joints: NDArray[np.float64], actions: Sequence[str], rng: Generator, style: str | None = None
    ) -> _Part | None:
        """Of a part of each of these actions the one that goes on best; None if none does well."""
        parts, out = [self._part(action, rng, style) for action in actions], way_out(joints)
        gaps = [seam(out, self._way_in(part)).gap for part in parts]
        return parts[int(np.argmin(gaps))] if min(gaps) < NEAR else None

    def _way_in(self, part: _Part) -> Way:
        """Of whole passages it is kept."""
        if part.passage.frames > self.longest:
            return way_in(part.joints)
        if part.passage not in self._ways:
            self._ways[part.passage] = way_in(part.joints)
        return self._ways[part.passage]

    def _longer(self, part: _Part, wanted: int, rng: Generator) -> NDArray[np.float64]:
        """The same done again, where poses agree, up to about so many frames; as it is if its words are then untrue.

        Who goes somewhere may go in a curve, if words for that are written afterwards.
        """
        joints, clip = part.joints, part.passage.clip
        if not is_labelled(clip.action, clip.style) and _COUNTED.search(part.text):
            return joints
        action = clip.action or clip.name
        while len(joints) < wanted - self.min_frames // 2 and rng.random() < MORE:
            again = self._following(joints, [action] * AGAIN, rng, clip.style)
            if again is None:
                break
            joints = stitch(joints, again.joints)
        joints = joints[: self.longest]
        if (
            is_labelled(clip.action, clip.style)
            and clip.action in LOCOMOTION
            and "turn" not in clip.action
            and rng.random() < BENT
        ):
            joints = bend(joints, turns(joints, rng))
        return joints

    def _text(self, part: _Part, joints: NDArray[np.float64], rng: Generator) -> str:
        """Words for a part that became joints."""
        clip = part.passage.clip
        return (
            caption([clip.action], clip.style, motion_facts(joints), rng)
            if is_labelled(clip.action, clip.style)
            else part.text
        )


def _then(first: str, second: str, rng: Generator) -> str:
    """One sentence of two: the second without its subject."""
    does = _SUBJECT.sub("", second.rstrip("."), count=1)
    return first.rstrip(".") + str(rng.choice([", then ", " and then ", " and "])) + does
