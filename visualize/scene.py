"""A motion with its goals and footprints, ready to be drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from guidance.goals.goal_set import GoalSet
from motion_diffusion.body.motion import Motion
from visualize.drawing.footprints import Print, prints_of
from visualize.drawing.goal_glyphs import Sign, marks_of
from visualize.drawing.titles import titles_of


@dataclass(frozen=True)
class Scene:
    """joints: (frames, 22, 3) metres, at `fps` frames a second; marks: the goals to draw with them."""

    joints: NDArray
    fps: float
    text: str = ""
    marks: Sequence[Sign] = field(default_factory=tuple)
    prints: Sequence[Print] = field(default_factory=tuple)
    title: str = ""
    """What it is, where several are seen."""

    @property
    def told(self) -> str:
        """Its title and its text, as far as it has them."""
        return ": ".join(word for word in (self.title, self.text) if word)

    @property
    def seconds(self) -> float:
        return (len(self.joints) - 1) / self.fps

    @property
    def places(self) -> NDArray:
        """(n, 3) everywhere that the pelvis goes and the marks are, metres."""
        marks = [mark.places(self.joints, self.fps) for mark in self.marks]
        return np.concatenate([self.joints[:, 0], *marks])

    def reaches(self, mark: Sign) -> bool:
        """Whether it lasts until a mark's end, so that there is something to measure."""
        return mark.last <= self.seconds + 0.5 / self.fps

    def at(self, time: float) -> NDArray:
        """(22, 3) joints at `time` seconds, straight between the frames on either side, held at the ends."""
        place = float(np.clip(time * self.fps, 0, len(self.joints) - 1))
        index = min(int(place), max(len(self.joints) - 2, 0))
        share = place - index
        return self.joints[index] * (1 - share) + self.joints[min(index + 1, len(self.joints) - 1)] * share


def scene_of(motion: Motion, goals: GoalSet | None, *, title: str = "") -> Scene:
    """A motion and its goals, ready to be drawn."""
    marks = [] if goals is None else marks_of(goals, seconds=motion.seconds)
    joints = motion.joints.detach().cpu().numpy()
    return Scene(joints, motion.fps, motion.text, marks, prints_of(joints, motion.fps), title)


def scenes_of(
    motions: Sequence[Motion], goals: GoalSet | Sequence[GoalSet] | None, titles: Sequence[str] | None
) -> list[Scene]:
    """Several motions. goals: of all, or of each. titles: of each; by default what tells them apart."""
    named = titles_of(motions) if titles is None else titles
    of_each = goals if isinstance(goals, Sequence) else [goals] * len(motions)
    return [
        scene_of(motion, wanted, title=title) for motion, wanted, title in zip(motions, of_each, named, strict=True)
    ]
