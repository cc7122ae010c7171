"""Editing of motions: continuation, and regeneration of a part, and their command-line options.

Frames that are kept stay bit-identical.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from tqdm.auto import tqdm

from data_loaders.load_motion import read_motion
from data_loaders.skeleton_mapping import Axis
from guidance.compose import ComposedGuidance, check_request, is_exact, name_of, single_window
from guidance.goals.base import MAX_COORDINATE
from guidance.goals.goal_set import GoalSet, Segment
from guidance.goals.poses import Pose
from guidance.protocol import Function, Guidance, GuidanceProblem
from guidance.windows import Inpainted, Stitched
from motion_diffusion.body.motion import Motion
from motion_diffusion.body.rig import Rig
from motion_diffusion.body.skeleton import FPS, JOINTS, frame_of
from motion_diffusion.diffusion.samplers import Estimate, Sampler, SamplerName
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
"""Kept frames on either side of a part that are sampled with it, as poses that it has to meet."""

MAX_EDITED_FRAMES = 2400
"""Maximum frames of a motion, two minutes, since guidance works on the whole motion."""

_NO_GOALS, _USUAL = GoalSet(), Settings()


@dataclass(frozen=True, eq=False)
class Part:
    """A motion and the part of it to generate: from frame `start` to before frame `end`, which may be beyond the end.

    Raises:
        InputError: If the motion has no such part, is too long or far from the origin, or does not have 20 frames per
            second.
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
        """A continuation of so many seconds. InputError for less than a frame."""
        frames = frame_of(seconds)
        if frames < 1:
            raise InputError(f"{seconds:g} s are less than a frame; let the motion go on for {1 / FPS:g} s or more")
        return Part(motion, motion.frames, motion.frames + frames)

    @staticmethod
    def between(motion: Motion, start: float, end: float) -> Part:
        """The part between two times in seconds. InputError unless they are a frame or more apart within the motion."""
        if not (0 < start < end <= motion.seconds and 0 < frame_of(start) < frame_of(end)):
            raise InputError(
                f"from {start:g} to {end:g} s: the motion lasts from 0 to {motion.seconds:g} s; give a part that "
                f"begins after its first frame and lasts {1 / FPS:g} s or more"
            )
        return Part(motion, frame_of(start), frame_of(end))

    @property
    def frames(self) -> int:
        """Number of frames of the edited motion."""
        return max(self.motion.frames, self.end)

    @property
    def joints(self) -> Tensor:
        """(N, 22, 3) metres; beyond the end of the motion its last pose."""
        return self._held(self.motion.joints)

    @property
    def rotations(self) -> Tensor:
        """(N, 22, 3, 3), likewise."""
        return self._held(self.motion.rotations)

    def _held(self, values: Tensor) -> Tensor:
        return torch.cat([values, values[-1:].expand(self.frames - len(values), *values.shape[1:])])

    @property
    def kept(self) -> tuple[Rig, Tensor]:
        """The body of the edited motion, and the frames (N,) bool that are kept."""
        frames = torch.ones(self.frames, dtype=torch.bool)
        frames[self.start : self.end] = False
        return (Rig(self.rotations.double(), self.joints[:, 0].double(), FPS), frames)

    @property
    def window(self) -> slice:
        """The frames that are sampled: the part and up to `AROUND` frames on either side."""
        return slice(max(self.start - AROUND, 0), min(self.end + AROUND, self.frames))

    @property
    def poses(self) -> list[Pose]:
        """The kept poses within the window."""
        joints, window = self.joints, self.window
        before = Pose.of(joints[window.start : self.start], frame=window.start)
        return [before, *([Pose.of(joints[self.end : window.stop], frame=self.end)] if self.end < window.stop else [])]

    def check(self, goals: GoalSet) -> None:
        """Raise InputError for goals beyond the end, or in contradiction to each other or to kept frames."""
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
    guidance: str | Sequence[Guidance] | None = None,
    sampler: SamplerName | Sampler | None = None,
    functions: Sequence[Function] = (),
    progress: bool = False,
    on_step: Callable[[int, Estimate], None] | None = None,
) -> Motion:
    """Generate a part of a motion and keep the rest.

    The part is sampled with `AROUND` kept frames on either side, moved to the origin where motions begin, and moved
    back.

    Args:
        model: The motion model.
        text: Prompt for the part; segments among the goals take its place.
        part: The motion and the part of it to generate.
        goals: Goals with times and positions of the whole motion.
        seed: Random seed.
        settings: Settings of sampling and guidance; the guidance must meet goals exactly.
        guidance: Names or methods in place of those of the settings, see `sample.generate.generate`.
        sampler: Sampler in place of that of the settings, likewise.
        functions: Further objectives in Python, see `guidance.protocol.Function`.
        progress: Whether to show a progress bar.
        on_step: Called after each step with its time and estimate; exceptions that it raises end sampling.

    Raises:
        InputError: For a seed out of range, and as `check_edit`; before anything is sampled.
    """
    check_edit(model, text, part, goals, settings, functions, guidance=guidance)
    SEED.check("--seed", seed)
    request, methods = _request(model, text, part, goals, seed), methods_of(settings, guidance)
    settings = settings.of(model)
    total = sampling_of(settings, methods).total
    with tqdm(total=total, desc="sampling", unit="step", disable=not progress or None) as bar:
        ((points, rig, report),) = request.sample(methods, functions, settings, bar, on_step, sampler=sampler)
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
    comes_from = provenance(body, goals, seed, settings, known_by(model), report, guidance, sampler)
    return Motion(whole, text=said, provenance={**comes_from, "part": about}, rotations=rotations)


def check_edit(
    model: MotionModel,
    text: str,
    part: Part,
    goals: GoalSet,
    settings: Settings,
    functions: Sequence[Function] = (),
    *,
    guidance: str | Sequence[Guidance] | None = None,
) -> None:
    """Check a request of `edited`.

    Raises:
        InputError: For an empty prompt, goals beyond the end or in contradiction to kept frames, segments whose total
            length is not that of the part, and guidance that is not exact.
    """
    methods = methods_of(settings, guidance)
    check_settings(model, settings, methods)
    check_words(text, goals)
    if not is_exact(methods):
        named = settings.guidance if guidance is None else guidance
        named = named if isinstance(named, str) else "+".join(map(name_of, named)) or "none"
        raise InputError(f"guidance {named} does not hold what is kept of a motion; give projection")
    if (method := single_window(methods)) is not None:
        name = name_of(method)
        raise InputError(f"{name} does not make a part of a motion; leave {name} out")
    part.check(goals)
    check_request(methods, model, part.frames)
    request = _request(model, text, part, goals, 0)
    problem = GuidanceProblem.of(model, request.goals, request.windows, functions)
    ComposedGuidance.of(methods, problem, model)


def _request(model: MotionModel, text: str, part: Part, goals: GoalSet, seed: int) -> Request:
    """The windows of the part and of the kept frames around it."""
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


@dataclass(frozen=True)
class EditOptions:
    """The motion to edit."""

    continue_from: Path | None = None
    """Motion to continue with the prompt, for --seconds more: this project's .npz, a .bvh, an .amc, AMASS's .npz or
    HumanML3D's .npy. Times of goals refer to the whole motion. Motions from other sources are moved to begin at (0, 0),
    facing +z."""
    regenerate: Path | None = None
    """Motion, of the same formats, whose part --between is regenerated with the prompt."""
    between: tuple[float, float] | None = None
    """Start and end of that part in seconds, such as 1.5 3."""
    keep: tuple[float, float] | None = None
    """Start and end in seconds of the section of the file to use, such as 0 4; by default all. Other times are relative
    to its start."""
    mapping: Path | None = None
    """For a .bvh or .amc with an unknown skeleton: a JSON file like those in assets/mappings."""
    up: Axis | None = None
    """For a .bvh or .amc: the vertical axis, where it cannot be determined."""

    def part(self, seconds: float) -> Part | None:
        """Read the motion and determine the part to generate.

        Args:
            seconds: Duration of a continuation.

        Returns:
            The part to generate; None if no motion is given.

        Raises:
            FileNotFoundError: The motion does not exist.
            InputError: Options contradict each other, the motion cannot be read, or it does not have the part.
        """
        if self.continue_from and self.regenerate:
            raise InputError("--continue-from and --regenerate do not go together; give one of them")
        path = self.continue_from or self.regenerate
        for name in ("keep", "mapping", "up") * (path is None) + ("between",) * (self.regenerate is None):
            if getattr(self, name) is not None:
                needed = "--regenerate" if name == "between" else "--continue-from or --regenerate"
                raise InputError(f"--{name} goes with {needed}; give a motion, or leave it out")
        if path is None:
            return None
        motion = self._section(path, read_motion(path, mapping=self.mapping, up=self.up, from_origin=True))
        if self.continue_from:
            return Part.after(motion, seconds)
        if self.between is None:
            raise InputError(f"--regenerate {path}: say which part with --between, such as --between 1.5 3")
        return Part.between(motion, *self.between)

    def _section(self, path: Path, motion: Motion) -> Motion:
        if self.keep is None:
            return motion
        start, end = self.keep
        if not (0 <= start < end <= motion.seconds and frame_of(start) < frame_of(end)):
            raise InputError(f"--keep {start:g} {end:g}: {path} lasts {motion.seconds:g} s; give two of its seconds")
        section = slice(frame_of(start), frame_of(end))
        return dataclasses.replace(motion, joints=motion.joints[section], rotations=motion.rotations[section])
