"""Examples from captioned clips: each clip once per epoch, cropped, with one of its captions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from data_loaders.augment import mirror, random_crop
from data_loaders.captions.templates import mirror_words
from data_loaders.types import Caption, Clip, Example
from motion_diffusion.body.heading import to_origin
from motion_diffusion.body.skeleton import frame_of
from motion_diffusion.errors import InputError


@dataclass(frozen=True, eq=False)
class Passage:
    """Part of a clip and the captions that describe it."""

    clip: Clip
    start: int
    frames: int
    captions: tuple[Caption, ...]

    @property
    def joints(self) -> NDArray[np.float32]:
        """Joints (frames, 22, 3) of the part."""
        return self.clip.joints[self.start : self.start + self.frames]


def passages(clips: Sequence[Clip], min_frames: int) -> list[Passage]:
    """All captioned parts of clips, usually whole clips.

    As in HumanML3D's own loader, captions with a time span yield a passage for each distinct span.

    Args:
        clips: The clips.
        min_frames: Minimum number of frames of a passage.
    """
    result = []
    for clip in clips:
        parts: dict[tuple[int, int], list[Caption]] = {}
        for caption in clip.captions:
            end = frame_of(caption.end) if caption.end else len(clip.joints)
            span = (min(frame_of(caption.start), len(clip.joints)), min(end, len(clip.joints)))
            parts.setdefault(span, []).append(caption)
        for (start, end), captions in parts.items():
            if end - start >= min_frames:
                result.append(Passage(clip, start, end - start, tuple(captions)))
    return result


class CaptionedClips:
    """Endless examples from captioned clips: each passage once per epoch, in random order.

    Examples depend only on seed and index and have min_frames to frames frames; longer passages are cropped at random.

    Args:
        clips: Captioned clips.
        frames: Maximum number of frames of an example.
        min_frames: Minimum number of frames.
        seed: Seed of the random draws.
        mirrored: Whether the clips contain mirrored copies; if not, half of the examples are mirrored with their
            captions.
        part: Name of the part of the data set for error messages.

    Raises:
        InputError: If no passage is long enough.
    """

    def __init__(
        self,
        clips: Sequence[Clip],
        frames: int = 196,
        min_frames: int = 40,
        seed: int = 0,
        *,
        mirrored: bool = True,
        part: str = "training",
    ):
        self.passages = passages(clips, min_frames)
        self.max_frames, self.seed, self.mirrored = frames, seed, mirrored
        if not self.passages:
            raise InputError(
                f"the {part} part has no captioned clip of {min_frames} frames or more; give more data, or another "
                "split (python -m data_loaders check says what there is)"
            )
        self._epoch = (-1, np.zeros(0, dtype=np.int64))

    def frames(self, index: int) -> int:
        """Number of frames of `example(index)`, without generating it."""
        return min(self._passage(index).frames, self.max_frames)

    def example(self, index: int) -> Example:
        """Example with an index of 0 or more: joints (n, 22, 3) starting at the origin and facing +z, and a caption."""
        passage, rng = self._passage(index), np.random.default_rng((self.seed, index))
        text = passage.captions[int(rng.integers(len(passage.captions)))].text
        joints = random_crop(passage.joints, self.max_frames, rng)
        if not self.mirrored and rng.random() < 0.5:
            joints, text = mirror(joints), mirror_words(text)
        return Example(to_origin(torch.from_numpy(joints)).numpy().astype(np.float32), text)

    def _passage(self, index: int) -> Passage:
        epoch, place = divmod(index, len(self.passages))
        if self._epoch[0] != epoch:
            self._epoch = (epoch, np.random.default_rng((self.seed, epoch, 1)).permutation(len(self.passages)))
        return self.passages[self._epoch[1][place]]
