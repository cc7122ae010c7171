"""Examples for training and validation from clips with action and style labels, as those of Bandai-Namco."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray

from data_loaders.augment import bend, change_pace, mirror, random_crop, stitch
from data_loaders.captions.templates import LOCOMOTION, caption, mirror_words, motion_facts, plain_caption
from data_loaders.types import Clip, Example
from motion_diffusion.body.heading import to_origin
from motion_diffusion.errors import InputError

_LOCOMOTION_SHARE = 0.65
"""Minimum share of examples with locomotion."""
_MAX_TURN = np.radians(150)
"""Maximum turn of one bend in radians."""
_MAX_TURN_RATE = np.radians(4.5)
"""Maximum turn in radians per frame, 90 degrees per second."""


class AugmentedClips:
    """Endless training examples: clips cropped, stitched, mirrored, bent, and played faster or slower.

    Examples depend only on seed and index and have min_frames to frames frames. The probability of an action is
    proportional to the square root of its duration in the data, which balances rare and frequent actions.

    Args:
        clips: Clips with labels; those shorter than `min_frames` are ignored.
        frames: Maximum number of frames of an example.
        min_frames: Minimum number of frames.
        seed: Seed of the random draws.

    Raises:
        InputError: If no clip is long enough.
    """

    def __init__(self, clips: Sequence[Clip], frames: int = 120, min_frames: int = 40, seed: int = 0):
        self.max_frames, self.min_frames, self.seed = frames, min_frames, seed
        self.by_action: dict[str, list[Clip]] = {}
        self.by_style: dict[str, list[Clip]] = {}
        for clip in clips:
            if len(clip.joints) >= min_frames:
                self.by_action.setdefault(clip.action, []).append(clip)
                if clip.action in LOCOMOTION:
                    self.by_style.setdefault(clip.style, []).append(clip)
        if not self.by_action:
            raise InputError(f"no clip has {min_frames} frames or more; give more data")
        self.actions = tuple(sorted(self.by_action))
        chance = np.array([sum(len(c.joints) for c in self.by_action[action]) for action in self.actions]) ** 0.5
        goes = np.array([action in LOCOMOTION for action in self.actions])
        for group, share in ((goes, _LOCOMOTION_SHARE), (~goes, 1 - _LOCOMOTION_SHARE)):
            chance[group] *= share / max(chance[group].sum(), 1e-9)
        self.chance = chance / chance.sum()

    def example(self, index: int) -> Example:
        """Example with an index of 0 or more: joints (n, 22, 3) starting at the origin and facing +z, and a caption."""
        rng = np.random.default_rng((self.seed, index))
        first = self._pick(self.by_action[self.actions[rng.choice(len(self.actions), p=self.chance)]], rng)
        parts, joints = [first], random_crop(first.joints, self.max_frames, rng)
        wanted = self.max_frames if rng.random() < 0.7 else int(rng.integers(self.min_frames, self.max_frames + 1))
        while len(joints) < wanted - 10 and rng.random() < (0.9 if len(parts) == 1 else 0.75):
            parts.append(self._next(parts[-1], rng))
            joints = stitch(joints, random_crop(parts[-1].joints, self.max_frames, rng))
        actions = [part.action for i, part in enumerate(parts) if i == 0 or part.action != parts[i - 1].action]
        travels = all(action in LOCOMOTION for action in actions)
        if rng.random() < 0.4:
            joints = change_pace(joints, random_pace(len(joints), rng))
        joints = joints[: self.max_frames]
        if travels and not any("turn" in action for action in actions) and rng.random() < 0.75:
            joints = bend(joints, random_turns(joints, rng))
        if rng.random() < 0.5:
            joints = mirror(joints)
            actions = [mirror_words(action) for action in actions]
        joints = to_origin(torch.from_numpy(joints)).numpy()
        text = caption(actions, first.style, motion_facts(joints), rng)
        return Example(joints.astype(np.float32), text)

    def frames(self, index: int) -> int:
        """Number of frames of `example(index)`, which is generated, since stitching determines its length."""
        return len(self.example(index).joints)

    def _pick(self, clips: Sequence[Clip], rng: Generator) -> Clip:
        lengths = np.array([min(len(clip.joints), self.max_frames) for clip in clips], dtype=np.float64)
        return clips[rng.choice(len(clips), p=lengths / lengths.sum())]

    def _next(self, clip: Clip, rng: Generator) -> Clip:
        """Clip to continue with, in the same style: mostly of the same action; walks may change to other locomotion."""
        if clip.action in LOCOMOTION and clip.action.startswith("walk-") is (rng.random() < 0.6):
            return self._pick(self.by_style[clip.style], rng)
        same = [other for other in self.by_action[clip.action] if other.style == clip.style]
        return self._pick(same, rng)


def random_pace(frames: int, rng: Generator) -> NDArray[np.float64]:
    """Frames per new frame: a random factor from 0.8 to 1.25, constant or changing gradually."""
    low, high = np.log(0.8), np.log(1.25)
    start, end = rng.uniform(low, high, size=2)
    return np.exp(np.linspace(start, end if rng.random() < 0.5 else start, int(frames * 1.3)))


def random_turns(joints: NDArray[np.float64], rng: Generator) -> NDArray[np.float64]:
    """Random turns in radians per frame: one to three smooth bends, reduced where the body is slow."""
    step = np.linalg.norm(np.diff(joints[:, 0, [0, 2]], axis=0), axis=-1)
    turns = np.zeros(len(step))
    for _ in range(int(rng.choice([1, 1, 2, 3]))):
        middle, width = rng.uniform(0, len(step)), rng.uniform(8, 40)
        bump = np.exp(-0.5 * ((np.arange(len(step)) - middle) / width) ** 2) * np.minimum(step / 0.03, 1.0)
        turns += rng.uniform(-1, 1) * _MAX_TURN * bump / max(bump.sum(), 10.0)
    return np.clip(turns, -_MAX_TURN_RATE, _MAX_TURN_RATE)


class RealClips:
    """Validation examples: clips without augmentation, cropped, with plain captions.

    Args:
        clips: Clips with labels; those shorter than `min_frames` are ignored.
        frames: Maximum number of frames of an example.
        min_frames: Minimum number of frames.

    Raises:
        InputError: If no clip is long enough.
    """

    def __init__(self, clips: Sequence[Clip], frames: int = 120, min_frames: int = 40):
        self.clips = [clip for clip in clips if len(clip.joints) >= min_frames]
        self.max_frames = frames
        if not self.clips:
            raise InputError(f"no held-out clip has {min_frames} frames or more; give more data")

    def example(self, index: int) -> Example:
        """Example with an index of 0 or more: the clips in order, repeatedly, each time with another random crop."""
        clip = self.clips[index % len(self.clips)]
        joints = to_origin(torch.from_numpy(random_crop(clip.joints, self.max_frames, np.random.default_rng(index))))
        return Example(joints.numpy().astype(np.float32), plain_caption(clip.action, clip.style))

    def frames(self, index: int) -> int:
        """Number of frames of `example(index)`, without generating it."""
        return min(len(self.clips[index % len(self.clips)].joints), self.max_frames)
