"""A motion with its goals, footprints and title, ready to be drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from scipy.interpolate import make_interp_spline

from guidance.goals.goal_file import explain
from guidance.goals.goal_set import GoalSet
from motion_diffusion.body.foot_contacts import detect_contacts
from motion_diffusion.body.motion import Motion
from motion_diffusion.body.skeleton import ANKLES, FPS, TOES
from motion_diffusion.errors import InputError
from visualize.bodies.surface import Surface
from visualize.drawing.camera import Camera
from visualize.drawing.goal_glyphs import Glyph, make_glyphs
from visualize.drawing.stick_figure import SOLE_DEPTH


@dataclass(frozen=True)
class Scene:
    """A motion to draw.

    Attributes:
        joints: (frames, 22, 3) metres.
        fps: frames per second.
        text: prompt.
        glyphs: goals to draw with it.
        footprints: where its feet stand.
        title: its name among several motions.
    """

    joints: NDArray
    fps: float
    text: str = ""
    glyphs: Sequence[Glyph] = field(default_factory=tuple)
    footprints: Sequence[Footprint] = field(default_factory=tuple)
    title: str = ""

    @property
    def full_title(self) -> str:
        """Title and text, as far as present."""
        return ": ".join(word for word in (self.title, self.text) if word)

    @property
    def seconds(self) -> float:
        """Time of the last frame, seconds."""
        return (len(self.joints) - 1) / self.fps

    @property
    def visible_points(self) -> NDArray:
        """Points (n, 3) in metres that the picture must contain: pelvis positions and goals."""
        glyphs = [glyph.visible_points(self.joints, self.fps) for glyph in self.glyphs]
        return np.concatenate([self.joints[:, 0], *glyphs])

    def covers(self, glyph: Glyph) -> bool:
        """Whether the motion lasts until the end of a goal, so that its error is defined."""
        return glyph.last <= self.seconds + 0.5 / self.fps

    def at(self, time: float) -> NDArray:
        """Joints (22, 3) at `time` seconds: linear between frames, constant beyond the ends."""
        place = float(np.clip(time * self.fps, 0, len(self.joints) - 1))
        index = min(int(place), max(len(self.joints) - 2, 0))
        share = place - index
        return self.joints[index] * (1 - share) + self.joints[min(index + 1, len(self.joints) - 1)] * share


def make_scene(motion: Motion, goals: GoalSet | None, *, title: str = "") -> Scene:
    """Combine a motion and its goals into a scene."""
    glyphs = [] if goals is None else make_glyphs(goals, seconds=motion.seconds)
    joints = motion.joints.detach().cpu().numpy()
    return Scene(joints, motion.fps, motion.text, glyphs, detect_footprints(joints, motion.fps), title)


def make_scenes(
    motions: Sequence[Motion], goals: GoalSet | Sequence[GoalSet] | None, titles: Sequence[str] | None
) -> list[Scene]:
    """Combine several motions with their goals into scenes.

    Args:
        motions: one scene each.
        goals: of all motions, or one set per motion.
        titles: one per motion; by default those of `make_titles`.
    """
    named = make_titles(motions) if titles is None else titles
    of_each = goals if isinstance(goals, Sequence) else [goals] * len(motions)
    return [
        make_scene(motion, wanted, title=title) for motion, wanted, title in zip(motions, of_each, named, strict=True)
    ]


def recorded_goals(motion: Motion, file: Path | None = None) -> GoalSet:
    """Goals that a motion, perhaps of a file, says it was generated with; empty if it names none.

    Raises:
        InputError: with the file and the reason, if they are not valid goals.
    """
    try:
        return GoalSet.model_validate(motion.provenance.get("goals", {}))
    except ValidationError as error:
        of = "the motion" if file is None else file
        raise InputError(f"{of}: the goals it was made with: {explain(error)}; give a goal file as --goals") from None


def short_names(files: Sequence[Path]) -> list[str]:
    """File names without suffix, with as many parent folders as needed to be distinct."""
    for parts in range(1, max(len(file.parts) for file in files) + 1):
        names = ["/".join(file.with_suffix("").parts[-parts:]) for file in files]
        if len(set(names)) == len(names):
            break
    return names


def make_titles(motions: Sequence[Motion], names: Sequence[str] | None = None) -> list[str]:
    """Distinguishing titles of motions.

    The title is the model, followed by guidance and seed where these differ between the motions. A motion that no model
    generated is called by its name. Equal titles with equal texts are numbered; a single motion has no title.

    Args:
        motions: to be titled.
        names: one per motion; by default the file in its provenance, or "real".
    """
    if len(motions) == 1:
        return [""]
    facts = [_facts(motion, name) for motion, name in zip(motions, names or [""] * len(motions), strict=True)]
    made = [fact for fact in facts if fact[2]]
    differ = [True, *(len({fact[part] for fact in made}) > 1 for part in (1, 2))]
    titles = [", ".join(word for word, tells in zip(fact, differ, strict=True) if tells and word) for fact in facts]
    labels = [(title, motion.text) for title, motion in zip(titles, motions, strict=True)]
    return [f"{of[0]} ({number})" if labels.count(of) > 1 else of[0] for number, of in enumerate(labels, 1)]


def _facts(motion: Motion, name: str) -> tuple[str, str, str]:
    """Model, guidance and seed that generated a motion."""
    about, settings = (motion.provenance.get(key) for key in ("model", "settings"))
    if not isinstance(about, dict):
        return name or str(motion.provenance.get("file", "real")), "", ""
    guidance = settings.get("guidance", "") if isinstance(settings, dict) else ""
    return str(about.get("name", "a model")), str(guidance), f"seed {motion.provenance.get('seed', '?')}"


@dataclass(frozen=True)
class Footprint:
    """A foot contact projected to the floor.

    Attributes:
        time: start of the contact, seconds.
        last: end of the contact, seconds.
        toe: index of the foot joint.
        ball: (2,) x and z of the foot joint, metres.
        heel: (2,) mean x and z of the ankle during the contact, metres.
    """

    time: float
    last: float
    toe: int
    ball: NDArray[np.float64]
    heel: NDArray[np.float64]


def detect_footprints(joints: NDArray, fps: float) -> list[Footprint]:
    """Foot contacts of a motion (frames, 22, 3) in the order of their start."""
    joints = joints.astype(np.float64)
    if fps != FPS and len(joints) > 1:
        clock = np.arange(len(joints)) / fps
        joints = make_interp_spline(clock, joints, k=1)(np.arange(0, clock[-1] + 1e-6, 1 / FPS))
    ankles = dict(zip(TOES, ANKLES, strict=True))
    stands = [stand for stand in detect_contacts(torch.from_numpy(joints)) if stand.joint in ankles]
    return [
        Footprint(
            stand.start / FPS,
            (stand.end - 1) / FPS,
            stand.joint,
            stand.place.numpy()[[0, 2]],
            joints[stand.start : stand.end, ankles[stand.joint]].mean(axis=0)[[0, 2]],
        )
        for stand in sorted(stands, key=lambda stand: stand.start)
    ]


_SINKS = (-0.03, 0.1)


@dataclass(frozen=True)
class Actor:
    """A scene with the look of its body.

    Attributes:
        scene: the motion.
        tint: colour of the whole body; by default the colour of each side.
        surface: mesh of the body; by default a stick figure.
    """

    scene: Scene
    tint: str | None = None
    surface: Surface | None = None

    @property
    def sole_offset(self) -> float:
        """Metres by which the standing soles lie below y = 0, at most a few centimetres; negative above."""
        level = float(np.quantile(self.scene.joints[:, TOES, 1].min(axis=1), 0.05))
        return float(np.clip((self.surface.sole if self.surface else SOLE_DEPTH) - level, *_SINKS))


def floor_camera(camera: Camera, actors: Sequence[Actor]) -> Camera:
    """The camera for painting a floor that touches the actors' soles, whose thickness depends on the body."""
    return replace(camera, target=camera.target + [0, max(actor.sole_offset for actor in actors), 0])
