"""Motions that are there: one goes on, or a part of it is made anew. What is kept stays as it is, to the bit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from tqdm.auto import tqdm

from guidance.compose import ComposedGuidance, is_exact, name_of, single_window
from guidance.goals.base import MAX_COORDINATE
from guidance.goals.goal_set import GoalSet, Segment
from guidance.goals.poses import Pose
from guidance.protocol import Function, GuidanceProblem
from guidance.windows import Inpainted, Stitched
from motion_diffusion.body.motion import Motion
from motion_diffusion.body.rig import Rig
from motion_diffusion.body.skeleton import FPS, JOINTS, frame_of
from motion_diffusion.diffusion.samplers import Estimate
from motion_diffusion.errors import InputError
from motion_diffusion.model import MotionModel
from motion_diffusion.option_ranges import SEED
from sample.generate import (
    Request,
    Settings,
    check_settings,
    check_words,
    known_by,
    methods_of,
    provenance,
    sampling_of,
    words,
)
from sample.segments import lengths_of, segment_windows

AROUND = 20
"""Frames of what is kept that are made along with a part on either side, as poses that it meets."""

MAX_EDITED_FRAMES = 2400
"""Frames of a motion at most, two minutes: guidance looks at it as a whole."""

_NO_GOALS, _USUAL = GoalSet(), Settings()


@dataclass(frozen=True, eq=False)
class Part:
    """A motion, and the part of it that is to be made: from frame `start` to before frame `end`, which may lie beyond
    the motion's end. InputError if there is no such part, or the motion does not have 20 frames a second.
    """

    motion: Motion
    start: int
    end: int

    def __post_init__(self) -> None:
        motion = self.motion
        if motion.fps != FPS:
            raise InputError(f"the motion has {motion.fps:g} frames a second; {FPS:g} are needed, read it anew")
        if not 0 < self.start <= motion.frames or not self.start < self.end:
            raise InputError(
                f"from {self.start / FPS:g} to {self.end / FPS:g} s of {motion.seconds:g} s: give a part that begins "
                "after the first frame and ends later"
            )
        if (away := motion.joints.abs().max()) > MAX_COORDINATE:
            raise InputError(f"the motion is {away:.0f} m from the origin; move it to within {MAX_COORDINATE:g} m")
        if self.frames > MAX_EDITED_FRAMES:
            raise InputError(
                f"{self.frames / FPS:g} s are too long to go on from or to change at once, "
                f"{MAX_EDITED_FRAMES / FPS:g} s are not; keep less of the motion"
            )

    @staticmethod
    def after(motion: Motion, seconds: float) -> Part:
        """What comes after a motion's end, for so many seconds. InputError for less than a frame."""
        frames = frame_of(seconds)
        if frames < 1:
            raise InputError(f"{seconds:g} s are less than a frame; let the motion go on for {1 / FPS:g} s or more")
        return Part(motion, motion.frames, motion.frames + frames)

    @staticmethod
    def between(motion: Motion, start: float, end: float) -> Part:
        """What a motion has between two seconds. InputError if these are not in it, in order, by a frame or more."""
        if not (0 < start < end <= motion.seconds and 0 < frame_of(start) < frame_of(end)):
            raise InputError(
                f"from {start:g} to {end:g} s: the motion lasts from 0 to {motion.seconds:g} s; give a part that "
                f"begins after its first frame and lasts {1 / FPS:g} s or more"
            )
        return Part(motion, frame_of(start), frame_of(end))

    @property
    def frames(self) -> int:
        """Of the whole."""
        return max(self.motion.frames, self.end)

    @property
    def joints(self) -> Tensor:
        """(N, 22, 3) of the whole; where there is nothing yet, the last pose."""
        return self._held(self.motion.joints)

    @property
    def rotations(self) -> Tensor:
        """(N, 22, 3, 3) likewise."""
        return self._held(self.motion.rotations)

    def _held(self, values: Tensor) -> Tensor:
        return torch.cat([values, values[-1:].expand(self.frames - len(values), *values.shape[1:])])

    @property
    def kept(self) -> tuple[Rig, Tensor]:
        """The body of the whole, and the frames (N,) bool that stay as they are."""
        frames = torch.ones(self.frames, dtype=torch.bool)
        frames[self.start : self.end] = False
        return (Rig(self.rotations.double(), self.joints[:, 0].double(), FPS), frames)

    @property
    def window(self) -> slice:
        """What is sampled: the part and some frames around it."""
        return slice(max(self.start - AROUND, 0), min(self.end + AROUND, self.frames))

    @property
    def poses(self) -> list[Pose]:
        """What is kept within the window."""
        joints, window = self.joints, self.window
        before = Pose.of(joints[window.start : self.start], frame=window.start)
        return [before, *([Pose.of(joints[self.end : window.stop], frame=self.end)] if self.end < window.stop else [])]

    def check(self, goals: GoalSet) -> None:
        """InputError for goals beyond the end, against each other, or against what is kept."""
        joints, kept = self.joints, torch.ones(self.frames, dtype=torch.bool)
        kept[self.start : self.end] = False
        goals.check(self.frames)
        for number, goal in enumerate(goals.goals, 1):
            wanted = goal.observe(self.frames)
            off = (wanted.values - joints).abs() * wanted.mask * kept[:, None, None]
            if off.max() > goal.tolerance:
                frame, joint = (off.amax(-1) > goal.tolerance).nonzero()[0].tolist()
                raise InputError(
                    f"goal {number} ({goal.kind}) wants {JOINTS[joint]} elsewhere at {frame / FPS:.2f} s, which is "
                    f"kept; what is made lasts from {self.start / FPS:g} s to {self.end / FPS:g} s"
                )


def edited(
    model: MotionModel,
    text: str,
    part: Part,
    *,
    goals: GoalSet = _NO_GOALS,
    seed: int = 0,
    settings: Settings = _USUAL,
    functions: Sequence[Function] = (),
    progress: bool = False,
    on_step: Callable[[int, Estimate], None] | None = None,
) -> Motion:
    """The motion with its part made by a model, as a text or the goals' segments say, and everything else kept.

    Times and places of the goals are those of the whole. The part is sampled with `AROUND` frames of what is kept on
    either side, moved to the origin where motions begin, and put back. Raises InputError, before anything is sampled,
    for a seed that cannot be and for what `check_edit` refuses.
    """
    check_edit(model, text, part, goals, settings, functions)
    SEED.check("--seed", seed)
    request, methods = _request(model, text, part, goals, seed), methods_of(settings)
    total = sampling_of(settings, methods).total
    with tqdm(total=total, desc="sampling", unit="step", disable=not progress or None) as bar:
        ((points, rig, report),) = request.sample(methods, functions, settings, bar, on_step)
    given, made = part.joints, slice(part.start, part.end)
    off = (points - given)[part.window].norm(dim=-1)
    off[part.start - part.window.start : part.end - part.window.start] = 0
    whole, rotations = given.clone(), part.rotations.clone()
    whole[made], rotations[made] = rig.joints[made].float(), rig.rotations[made].float()
    said, source = words(text, goals), part.motion
    if source.text:
        within = part.start < source.frames
        when = f"from {part.start / FPS:g} to {part.end / FPS:g} s" if within else "then"
        said = f"{source.text}; {when} {said}"
    about = {
        "start": part.start / FPS,
        "end": part.end / FPS,
        "seam_cm": 100 * off.max().item(),
        "of": {"text": source.text, "provenance": dict(source.provenance)},
    }
    body = Rig(rotations.double(), whole[:, 0].double(), FPS)
    comes_from = provenance(body, goals, seed, settings, known_by(model), report)
    return Motion(whole, text=said, provenance={**comes_from, "part": about}, rotations=rotations)


def check_edit(
    model: MotionModel,
    text: str,
    part: Part,
    goals: GoalSet,
    settings: Settings,
    functions: Sequence[Function] = (),
) -> None:
    """InputError for a prompt that is empty, goals beyond the end or against what is kept, segments that are not as
    long as the part, and guidance that does not hold what is kept.
    """
    methods = methods_of(settings)
    check_settings(model, settings, methods)
    check_words(text, goals)
    if not is_exact(methods):
        raise InputError(f"guidance {settings.guidance} does not hold what is kept of a motion; give projection")
    if (method := single_window(methods)) is not None:
        name = name_of(method)
        raise InputError(f"{name} does not make a part of a motion; leave {name} out")
    part.check(goals)
    request = _request(model, text, part, goals, 0)
    problem = GuidanceProblem.of(model, request.goals, request.windows, functions)
    ComposedGuidance.of(methods, problem, model)


def _request(model: MotionModel, text: str, part: Part, goals: GoalSet, seed: int) -> Request:
    """The windows of the part, and of what is kept around it."""
    made, window = part.end - part.start, part.window
    segments = goals.segments or [Segment(text=text, seconds=made / FPS)]
    frames = lengths_of(segments)
    if sum(frames) != made:
        raise InputError(f"segments of {sum(frames) / FPS:g} s for {made / FPS:g} s that are to be made; give the same")
    frames[0] += part.start - window.start
    frames[-1] += window.stop - part.end
    longer = [Segment(text=each.text, seconds=n / FPS) for each, n in zip(segments, frames, strict=True)]
    of = segment_windows(longer, model.config.max_frames)
    windows = Inpainted(Stitched(model.representation, of.starts, of.lengths), part.joints, window.start)
    pinned = goals.model_copy(update={"goals": [*goals.goals, *part.poses]})
    return Request(model, of.texts, of.lengths, of.seeds(seed), [pinned], windows, part.kept)
