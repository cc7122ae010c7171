"""Goals of whole poses: key frames from positions, rotations, or a motion file."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol, get_args

import torch
from pydantic import Field, model_validator
from torch import Tensor

from guidance.goals.base import (
    MAX_COORDINATE,
    Degrees,
    Frame,
    JointName,
    Place,
    Position,
    Quaternion,
    Span,
    asking,
    during,
    free_as_nan,
    nothing,
)
from guidance.goals.observation import Observation
from guidance.goals.orientations import Orientation, Turning
from motion_diffusion.body.heading import facing_angle, turn
from motion_diffusion.body.motion import Motion
from motion_diffusion.body.rig import Rig
from motion_diffusion.body.rotations import from_quaternion, to_quaternion
from motion_diffusion.body.skeleton import FPS, JOINTS
from motion_diffusion.errors import InputError

_OF_FILE = ("file_frame", "mapping", "up", "at", "degrees")
"""Fields that refer to `file`."""

Rotations22 = Annotated[list[Quaternion], Field(min_length=len(JOINTS), max_length=len(JOINTS))]
Frame22 = Annotated[list[Position | None], Field(min_length=len(JOINTS), max_length=len(JOINTS))]


class ReadMotion(Protocol):
    """Reads a motion file at 20 frames per second, e.g. `data_loaders.load_motion.read_motion`."""

    def __call__(
        self, path: Path, *, mapping: Path | None, up: Literal["x", "y", "z"] | None, from_origin: bool
    ) -> Motion: ...


class Pose(Span):
    """Have a pose, or part of one, at a time; or from `start` to `end`.

    Give one of `joints` or `rotations` (held throughout), `motion` and `file` (frame by frame).
    """

    kind: Literal["pose"] = "pose"
    joints: dict[JointName, Position] | None = None
    """Positions by joint name: {"left_wrist": [x, y, z], ...}, metres, null for free axes."""
    motion: Annotated[list[Frame22], Field(min_length=1)] | None = None
    """Frames, 20 per second, each with 22 positions [x, y, z] in the order of the skeleton; null where free."""
    rotations: Rotations22 | None = None
    """22 quaternions [w, x, y, z] in the order of the skeleton, each relative to its parent and the first in the world,
    as in SMPL: all 1, 0, 0, 0 is the T-pose that faces +z. Held throughout.
    """
    root: Position | None = None
    """Position of the pelvis for `rotations`, metres; null for axes along which the motion's own is kept."""
    file: str | None = None
    """A motion: .npz of this project or of AMASS, .bvh, .amc, or HumanML3D's .npy; path relative to the folder of the
    goal file. Motions from elsewhere are moved to begin at (0, 0) and face +z.
    """
    file_frame: Frame | None = None
    """The first frame taken from the file, at 20 frames per second; 0 by default."""
    mapping: str | None = None
    """For a .bvh or .amc with an unknown skeleton: a JSON file like those in assets/mappings, with a path like that of
    `file`.
    """
    up: Literal["x", "y", "z"] | None = None
    """For a .bvh or .amc: the axis that points up, where it cannot be detected."""
    only: Annotated[list[JointName], Field(min_length=1)] | None = None
    """Names of the joints that are constrained; the others are free."""
    at: Place | None = None
    """[x, z]: position of the pelvis in the first frame from the file."""
    degrees: Degrees | None = None
    """Direction that the first frame from the file faces: 0 is +z, 90 is +x."""

    retargeted: bool = False
    """Whether `motion` is that of another body, transferred to this one by the directions of its bones."""

    @model_validator(mode="after")
    def _one_source(self) -> Pose:
        if [self.joints, self.motion, self.rotations, self.file].count(None) != 3:
            raise ValueError("give one of 'joints', 'motion', 'rotations' and 'file'")
        if self.root is not None and self.rotations is None:
            raise ValueError("'root' goes with 'rotations'; take it out")
        if self.file is None and any(getattr(self, name) is not None for name in _OF_FILE):
            raise ValueError(f"{', '.join(map(repr, _OF_FILE))} go with 'file'; take them out")
        if self.joints is not None and self.only is not None:
            raise ValueError("'only' goes with 'motion', 'rotations' or 'file'; name fewer 'joints'")
        if self.joints is not None and all(axis is None for place in self.joints.values() for axis in place):
            raise ValueError("'joints' leaves every axis free; give at least one number")
        if self.motion is not None and self.is_interval and len(self.motion) < self.frames:
            raise ValueError(f"'motion' has {len(self.motion)} frames; 'start' to 'end' are {self.frames}")
        return self

    @staticmethod
    def of(joints: Tensor, frame: int, only: Sequence[str] | None = None, **common: Any) -> Pose:
        """A pose, or consecutive frames of a motion (n, 22, 3), from a frame on. common: tolerance and weight."""
        return Pose(frame=frame, motion=joints.tolist(), only=None if only is None else list(only), **common)

    @property
    def frames(self) -> int:
        """Number of frames of the goal."""
        return len(self.motion) if self.motion is not None and not self.is_interval else super().last - self.first + 1

    @property
    def last(self) -> int:
        return self.first + self.frames - 1

    @property
    def is_motion_dependent(self) -> bool:
        return self.rotations is not None and None in self._root

    @property
    def _root(self) -> Position:
        return self.root or (None, None, None)

    def _body(self) -> Rig:
        """The body of `rotations`, with the pelvis at the origin."""
        turns = from_quaternion(torch.tensor(self.rotations, dtype=torch.float64))[None]
        return Rig(turns, torch.zeros(1, 3, dtype=torch.float64), FPS)

    def turns(self) -> list[Orientation]:
        """Orientation goals for `rotations`, of which positions determine only a part."""
        if self.rotations is None or self.only is not None:
            return []
        world, when = self._body().world[0], {name: getattr(self, name) for name in ("time", "frame", "start", "end")}
        names: tuple[Turning, ...] = get_args(Turning)
        return [Orientation(joint=name, rotation=to_quaternion(world[JOINTS.index(name)]), **when) for name in names]

    def target_for(self, joints: Tensor) -> Observation:
        if self.rotations is None:
            return super().target_for(joints)
        rows = self.within(len(joints))
        values, mask = joints.double().clone(), torch.zeros_like(joints, dtype=torch.bool)
        at = slice(rows.start, rows.stop)
        root = torch.tensor(free_as_nan(self._root), dtype=torch.float64)
        root = torch.where(root.isnan(), values[at, :1], root)
        values[at] = root + self._body().joints
        mask[at] = ~torch.tensor([name not in (self.only or JOINTS) for name in JOINTS])[:, None]
        return asking(joints, values, mask)

    def given(self, frames: int) -> tuple[range, Tensor]:
        if self.file is not None:
            raise InputError(f"the pose of {self.file} has not been read yet; use load_goals, or GoalSet.resolved")
        rows = self.within(frames)
        if self.joints is not None:
            values = nothing(1)
            for name, position in self.joints.items():
                values[0, JOINTS.index(name)] = torch.tensor(free_as_nan(position), dtype=torch.float64)
            return rows, values
        if self.rotations is not None:
            values = self._body().joints + torch.tensor(free_as_nan(self._root), dtype=torch.float64)
            if self.only is not None:
                values[:, [joint for joint, name in enumerate(JOINTS) if name not in self.only]] = torch.nan
            return rows, values
        free: Position = (None, None, None)
        poses = [[free_as_nan(place or free) for place in pose] for pose in (self.motion or [])[: len(rows)]]
        values = torch.tensor(poses, dtype=torch.float64).reshape(-1, len(JOINTS), 3)
        if self.only is not None:
            values[:, [joint for joint, name in enumerate(JOINTS) if name not in self.only]] = torch.nan
        return rows, values

    def describe(self, joints: Tensor, world: Tensor | None = None) -> str:
        entries = int(self.compared(joints)[0].mask.any(-1).any(0).sum())
        return f"{entries} joints, {self.frames} frame{'s' * (self.frames > 1)}" if entries > 1 else ""

    def resolved(self, folder: Path, read_motion: ReadMotion | None) -> Pose:
        """The same pose with the content of its file as numbers.

        Args:
            folder: folder that the file's path is relative to.
            read_motion: reads motion files; None if there is no reader.

        Raises:
            InputError: for a file that is missing, too short or invalid, or if a reader is needed and not given.
        """
        if self.file is None:
            return self
        if read_motion is None:
            raise InputError("no reader of motions was given; pass read_motion=data_loaders.load_motion.read_motion")
        mapping = None if self.mapping is None else folder / self.mapping
        try:
            motion = read_motion(folder / self.file, mapping=mapping, up=self.up, from_origin=True)
        except OSError as error:
            raise InputError(f"{error}, from the folder of the goal file") from None
        joints = motion.joints
        first = self.file_frame or 0
        if first + self.frames > len(joints):
            raise InputError(
                f"{self.file} has {len(joints)} frames; frame {first} and the {self.frames - 1} after it are not all "
                "there; choose another 'file_frame' or times"
            )
        joints = joints[first : first + self.frames].double()
        if self.degrees is not None:
            floor = joints[:1, :1] * joints.new_tensor([1.0, 0.0, 1.0])
            joints = turn(joints - floor, math.radians(self.degrees) - facing_angle(joints[:1])) + floor
        if self.at is not None:
            joints = joints - joints[:1, :1] * joints.new_tensor([1.0, 0.0, 1.0])
            joints = joints + joints.new_tensor([self.at[0], 0.0, self.at[1]])
        if joints.abs().max() > MAX_COORDINATE:
            raise InputError(f"{self.file} goes more than {MAX_COORDINATE:g} m away; place it with 'at'")
        kept = self.model_dump(exclude={"file", "motion", "retargeted", *_OF_FILE})
        retargeted = bool(motion.provenance.get("retargeted"))
        return Pose(**kept, motion=joints.tolist(), retargeted=retargeted)

    @property
    def when(self) -> str:
        return during(self.first / FPS, self.last_time)
