"""Examples from clips of several data sets: balanced actions, repeated short clips, and transitions between clips."""

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
    still_frames,
    stitch,
)
from data_loaders.augmented_dataset import random_pace, random_turns
from data_loaders.caption_dataset import Passage, passages
from data_loaders.captions.templates import LOCOMOTION, caption, is_labelled, mirror_words, motion_facts
from data_loaders.types import Clip, Example
from motion_diffusion.body.heading import to_origin
from motion_diffusion.errors import InputError

TEMPERATURE = 0.25
"""Exponent of the total duration of an action in its probability: 1 keeps the data's distribution, 0 is uniform. With
0.25, an action of ten seconds has a fifth of the probability of one of an hour and a half."""
STITCH_SHARE, CANDIDATES = 0.2, 8
"""Share of examples that continue with another clip, and number of clips compared for the best transition."""
REPEAT_CANDIDATES, REPEAT_PROBABILITY = 2, 0.8
"""Clips of the same action compared for a repetition, and probability of repeating while a motion is too short."""
MIN_CROP = 100
"""Passages of this length are not cropped further."""
REST, REST_SHARE = "stand", 0.5
"""Action that may follow another one without being mentioned, and share of examples, locomotion aside, that begin later
in the rest before their action and may end with this action."""
BENT, BEND_SHARE = ("walk", "walk-back", "run", "dash"), 0.75
"""Actions whose path may be bent without making their captions false, and the share of these examples that is bent."""
MAX_SEAM_GAP = 0.8
"""Maximum pose distance at a transition, see `augment.Seam`. Three quarters of pairs of clips of the same action are
below, and one quarter of other pairs."""
MAX_MEASURED = 4096
"""Examples kept between a call of `frames` and one of `example`; of 100 frames each, 0.1 GB."""

_SUBJECT = re.compile(r"^(?:a|an|the|some)\b.*?\b(?:person|human|figure|man|woman)\s+|^some(?:one|body)\s+")


_COUNTED = re.compile(
    r"\b(once|twice|times|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|steps?|metres?|then|and|turns?|"
    r"turning|stops?|again)\b"
)
"""Words that make a caption false if its motion is repeated."""


@dataclass(frozen=True, eq=False)
class _Part:
    """Part of an example before mirroring."""

    passage: Passage
    joints: NDArray[np.float64]
    text: str
    """One of the passage's captions."""


class MixedClips:
    """Endless examples from clips of many actions: cropped, repeated, stitched, mirrored, and played faster or slower.

    Examples depend only on seed and index and have min_frames to frames frames.

    Args:
        clips: Captioned clips.
        frames: Maximum number of frames of an example.
        min_frames: Minimum number of frames.
        seed: Seed of the random draws.
        mirrored: Whether the clips contain mirrored copies; if not, half of the examples are mirrored.

    Raises:
        InputError: If no captioned passage is long enough.
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
        self.max_frames, self.min_frames, self.seed, self.mirrored = frames, min_frames, seed, mirrored
        self.by_action: dict[str, list[Passage]] = {}
        self._entries: dict[Passage, SeamCandidates] = {}
        self._measured: dict[int, Example] = {}
        for passage in passages(clips, min_frames):
            self.by_action.setdefault(passage.clip.action or passage.clip.name, []).append(passage)
        if not self.by_action:
            raise InputError(f"no captioned clip has {min_frames} frames or more; give more data")
        self.actions = tuple(sorted(self.by_action))
        lengths = [sum(passage.frames for passage in self.by_action[action]) for action in self.actions]
        chance = np.array(lengths, dtype=np.float64) ** TEMPERATURE
        self.chance = chance / chance.sum()

    def example(self, index: int) -> Example:
        """Example with an index of 0 or more: joints (n, 22, 3) starting at the origin and facing +z, and a caption."""
        return self._measured.pop(index, None) or self._make(index)

    def frames(self, index: int) -> int:
        """Number of frames of `example(index)`, which is generated, since stitching determines its length."""
        if len(self._measured) >= MAX_MEASURED:
            self._measured.clear()
        self._measured[index] = example = self._make(index)
        return len(example.joints)

    def _make(self, index: int) -> Example:
        rng = np.random.default_rng((self.seed, index))
        wanted = self.min_frames + int((self.max_frames - self.min_frames + 1) * rng.random() ** 2)  # mostly short
        first = self._part(self._action(rng), rng, wanted=wanted)
        joints = self._with_rest(first, self._repeat(first, wanted, rng), wanted, rng)
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

    def _action(self, rng: Generator) -> str:
        return self.actions[rng.choice(len(self.actions), p=self.chance)]

    def _part(self, action: str, rng: Generator, style: str | None = None, wanted: int | None = None) -> _Part:
        """Random passage of an action, and of a style if given, cropped, with one of its captions.

        Passages whose captions are composed after cropping are cropped to about `wanted` frames if given; others may
        show what their caption says at one moment only and keep up to the maximum number of frames.
        """
        some = [each for each in self.by_action[action] if style is None or each.clip.style == style]
        lengths = np.array([min(passage.frames, self.max_frames) for passage in some], dtype=np.float64)
        passage = some[rng.choice(len(some), p=lengths / lengths.sum())]
        text = passage.captions[int(rng.integers(len(passage.captions)))].text
        clip, frames = passage.clip, self.max_frames
        if wanted is not None and is_labelled(clip.action, clip.style):
            frames = min(max(wanted, MIN_CROP), frames)
        return _Part(passage, random_crop(passage.joints, frames, rng), text)

    def _best_continuation(
        self, joints: NDArray[np.float64], actions: Sequence[str], rng: Generator, style: str | None = None
    ) -> _Part | None:
        """Part with the best transition among random parts of the given actions; None if its pose distance is too
        large.
        """
        parts, out = [self._part(action, rng, style) for action in actions], exit_candidates(joints)
        gaps = [find_seam(out, self._entry(part)).gap for part in parts]
        return parts[int(np.argmin(gaps))] if min(gaps) < MAX_SEAM_GAP else None

    def _entry(self, part: _Part) -> SeamCandidates:
        """Entry candidates of a part; cached for uncropped passages."""
        if part.passage.frames > self.max_frames:
            return entry_candidates(part.joints)
        if part.passage not in self._entries:
            self._entries[part.passage] = entry_candidates(part.joints)
        return self._entries[part.passage]

    def _repeat(self, part: _Part, wanted: int, rng: Generator) -> NDArray[np.float64]:
        """Repeat a part up to about `wanted` frames, unless its caption would become false; labelled locomotion may be
        bent.
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
        if is_labelled(clip.action, clip.style) and clip.action in BENT and rng.random() < BEND_SHARE:
            joints = bend(joints, random_turns(joints, rng))
        return joints

    def _with_rest(self, part: _Part, joints: NDArray[np.float64], wanted: int, rng: Generator) -> NDArray[np.float64]:
        """A part with less of the rest before its action, and with rest after it up to `wanted` frames.

        So short actions occur early and late in long motions.
        """
        if part.passage.clip.action in LOCOMOTION or rng.random() > REST_SHARE:
            return joints
        start = int(rng.integers(still_frames(joints) + 1))
        if len(joints) - start >= self.min_frames:
            joints = joints[start:]
        if len(joints) < wanted - self.min_frames // 2 and REST in self.by_action:
            rest = self._best_continuation(joints, [REST] * REPEAT_CANDIDATES, rng)
            if rest is not None:
                joints = stitch(joints, rest.joints)[:wanted]
        return joints

    def _text(self, part: _Part, joints: NDArray[np.float64], rng: Generator) -> str:
        """Caption of a part for its final joints."""
        clip = part.passage.clip
        return (
            caption([clip.action], clip.style, motion_facts(joints), rng)
            if is_labelled(clip.action, clip.style)
            else part.text
        )


def _join_sentences(first: str, second: str, rng: Generator) -> str:
    """Join two captions, omitting the subject of the second one."""
    does = _SUBJECT.sub("", second.rstrip("."), count=1)
    return first.rstrip(".") + str(rng.choice([", then ", " and then ", " and "])) + does
