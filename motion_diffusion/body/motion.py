"""A motion of the body with its text and provenance: joints and rotations in every frame, saved as .npz."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from motion_diffusion.atomic_io import atomic
from motion_diffusion.body.body_fit import fit_frames
from motion_diffusion.body.features import encode
from motion_diffusion.body.heading import heading, turn
from motion_diffusion.body.rig import Rig
from motion_diffusion.body.rotations import about_y
from motion_diffusion.body.skeleton import BONE_LENGTHS, FPS, JOINTS, PARENTS
from motion_diffusion.errors import InputError
from motion_diffusion.safe_numpy import read_members

VERSION = 1
"""Version of the file format."""
MAX_SECONDS = 3600.0
"""Maximum duration of a motion: an hour."""
MAX_FPS = 1000.0
"""Maximum frames per second; files with more are damaged."""
TALL = 1.7
"""Approximate height of this body, metres."""
SIZES = (1 / 3, 3.0)
"""Sizes of a person relative to this body; outside of them the units cannot be metres."""
AGREE = 1e-5
"""Metres: maximum distance between joints and forward kinematics of the rotations."""


def disagreement(joints: Tensor, rotations: Tensor) -> float:
    """Largest distance in metres between joints and forward kinematics of the rotations, less the rounding of float32.

    Args:
        joints: (frames, 22, 3) metres.
        rotations: (frames, 22, 3, 3), relative to the parents.

    Returns:
        The distance; inf if the rotations are invalid or have another shape.
    """
    turns = rotations.double()
    if turns.shape != (*joints.shape, 3) or not (turns @ turns.mT - torch.eye(3)).abs().max() < 1e-4:
        return math.inf
    away = (Rig(turns, joints[:, 0].double(), 1.0).joints - joints).norm(dim=-1).max().item()
    return away - 2 * torch.finfo(torch.float32).eps * joints.abs().max().item()


@dataclass(frozen=True, eq=False)
class Motion:
    """A motion of the body, whose bones have the lengths of `skeleton.OFFSETS`.

    Given joints alone, the nearest body is fitted (`body_fit.fit_frames`), and its joints replace those given.

    Raises:
        InputError: if joints or rotations are not finite, have another shape, or disagree by more than 0.01 mm.
    """

    joints: Tensor
    """(frames, 22, 3) float32: positions in metres, y up."""
    fps: float = FPS
    text: str = ""
    provenance: Mapping[str, Any] = field(default_factory=dict)
    """All that reproduces the motion, and how well goals were met, as JSON: model and hash, seed, sampler and guidance
    settings, goals and the residual of each.
    """
    rotations: Tensor = None  # type: ignore[assignment]
    """(frames, 22, 3, 3) float32: SMPL's pose, each joint relative to its parent and the pelvis in the world."""

    @staticmethod
    def of(rig: Rig, *, text: str = "", provenance: Mapping[str, Any] | None = None) -> Motion:
        """Construct from a rig."""
        return Motion(rig.joints, rig.fps, text, provenance or {}, rig.rotations)

    def __post_init__(self) -> None:
        object.__setattr__(self, "joints", self.joints.detach().to("cpu", torch.float32))
        if self.joints.ndim != 3 or self.joints.shape[1:] != (len(JOINTS), 3) or not len(self.joints):
            raise InputError(f"joints have shape {tuple(self.joints.shape)}; a motion needs (frames, {len(JOINTS)}, 3)")
        if not torch.isfinite(self.joints).all():
            frame = int((~torch.isfinite(self.joints)).flatten(1).any(1).nonzero()[0])
            raise InputError(f"joints of frame {frame} are not all finite numbers; a motion needs positions in metres")
        if not (math.isfinite(self.fps) and self.fps > 0):
            raise InputError(f"fps is {self.fps}; a motion needs a positive number of frames a second")
        if self.rotations is None:
            rig = fit_frames(self.joints, self.fps)
            object.__setattr__(self, "joints", rig.joints.float())
            object.__setattr__(self, "rotations", rig.rotations.float())
        else:
            object.__setattr__(self, "rotations", self.rotations.detach().to("cpu", torch.float32))
            if (away := disagreement(self.joints, self.rotations)) > AGREE:
                raise InputError(f"rotations lead {1000 * away:.3g} mm away from the joints; leave them out")

    @property
    def frames(self) -> int:
        """Number of frames."""
        return len(self.joints)

    @property
    def seconds(self) -> float:
        """Duration: each frame lasts 1/fps seconds."""
        return self.frames / self.fps

    @cached_property
    def features(self) -> Tensor:
        """(frames, 263), see `features`. Velocities are per frame, whatever fps is."""
        return encode(self.joints)

    @cached_property
    def rig(self) -> Rig:
        """Root and rotations in float64."""
        return Rig(self.rotations.double(), self.joints[:, 0].double(), self.fps)

    @cached_property
    def from_origin(self) -> Motion:
        """The same motion, moved and rotated to begin at x = z = 0 and face +z. Heights are kept."""
        angle, floor = heading(self.joints[:1].double(), smooth=False), torch.tensor([1.0, 0.0, 1.0])
        rotations = self.rig.rotations.clone()
        rotations[:, 0] = about_y(angle) @ rotations[:, 0]
        root = turn((self.rig.root - self.rig.root[:1] * floor)[:, None], angle)[:, 0]
        return Motion.of(Rig(rotations, root, self.fps), text=self.text, provenance=self.provenance)

    @property
    def provenance_json(self) -> str:
        """Provenance as stored in files. InputError for values that JSON cannot hold."""
        try:
            return json.dumps(dict(self.provenance), allow_nan=False)
        except (TypeError, ValueError) as error:
            raise InputError(
                f"the motion's provenance does not fit into JSON ({error}); give plain finite values"
            ) from None

    def save(self, path: str | Path) -> None:
        """Write an .npz of joints, rotations, features, fps, joint names, text and provenance, atomically."""
        provenance = self.provenance_json
        with atomic(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(
                file,
                version=np.array(VERSION),
                joints=self.joints.numpy(),
                rotations=self.rotations.numpy(),
                features=self.features.numpy(),
                fps=np.array(self.fps),
                joint_names=np.array(JOINTS),
                text=np.array(self.text),
                provenance=np.array(provenance),
            )

    def render(self, path: str | Path) -> None:
        """Write a film, key poses or a file for other programs, by the path's ending; see `visualize.film.render`."""
        from visualize.film import render  # the one import upwards: what a notebook expects of a motion

        render(self, path)

    @staticmethod
    def load(path: str | Path) -> Motion:
        """Read a file written by `save`; nothing in the file is executed.

        Features are recomputed from the joints.

        Raises:
            FileNotFoundError: if there is no such file.
            InputError: for a file that is not a complete motion of this project.
        """
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(f"no motion at {path}; give an .npz file that this project wrote")
        entries = _read(path)
        version = _scalar(path, entries, "version")
        if version != VERSION:
            raise InputError(f"{path}: version is {version}; this program reads version {VERSION}")
        names = entries["joint_names"]
        if names.shape != (len(JOINTS),) or tuple(str(name) for name in names) != JOINTS:
            raise InputError(
                f"{path}: joint_names are not the {len(JOINTS)} joints of this body; convert the motion first"
            )
        joints, fps = entries["joints"], _scalar(path, entries, "fps")
        if joints.dtype.kind not in "fiu" or not isinstance(fps, int | float):
            raise InputError(f"{path}: joints and fps must be numbers; write the file again")
        if joints.size // (3 * len(JOINTS)) > MAX_SECONDS * min(max(fps, 1), MAX_FPS):  # before it is processed further
            raise InputError(f"{path} lasts more than {MAX_SECONDS:g} s; give a shorter motion, or cut it")
        try:
            provenance = json.loads(str(_scalar(path, entries, "provenance")))
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path}: provenance is not JSON ({error}); write the file again") from None
        if not isinstance(provenance, dict):
            raise InputError(f"{path}: provenance is not a JSON object; write the file again")
        text, placed = str(_scalar(path, entries, "text")), torch.from_numpy(joints.astype(np.float32))
        rotations: Any = _rotations(entries, placed)
        try:
            if rotations is None:
                check_metres(placed)
            return Motion(placed, float(fps), text, provenance, rotations)
        except InputError as error:
            raise InputError(f"{path}: {error}") from None


def check_metres(joints: Tensor) -> None:
    """Raise InputError if joints (frames, 22, 3) have the size of no person. Invalid joints are left to `Motion` to
    refuse.
    """
    if joints.shape[1:] != (len(JOINTS), 3) or not len(joints) or not joints.isfinite().all():
        return
    bones = (joints[:, 1:] - joints[:, list(PARENTS[1:])]).norm(dim=-1).median(dim=0).values
    size = float((bones / BONE_LENGTHS[1:]).median())
    if not SIZES[0] <= size <= SIZES[1]:
        raise InputError(f"its body is about {TALL * size:.3g} m tall; give joints in metres")


def _read(path: Path) -> dict[str, NDArray[Any]]:
    """The entries of an .npz file that make up a motion."""
    wanted = ("version", "joints", "fps", "joint_names", "text", "provenance")
    entries = read_members(path, (*wanted, "rotations"), "copy or make it again")
    if missing := [name for name in wanted if name not in entries]:
        raise InputError(f"{path}: {', '.join(missing)} missing; give an .npz file that this project wrote")
    return entries


def _rotations(entries: Mapping[str, NDArray[Any]], joints: Tensor) -> Tensor | None:
    """Rotations of a file if they agree with its joints; in files of older versions, whose bones vary, they do not."""
    if "rotations" not in entries or entries["rotations"].dtype.kind != "f" or joints.ndim != 3:
        return None
    rotations = torch.from_numpy(entries["rotations"].astype(np.float32))
    return rotations if disagreement(joints, rotations) <= AGREE else None


def _scalar(path: Path, entries: Mapping[str, NDArray[Any]], name: str) -> int | float | str:
    """The single value of an entry."""
    if entries[name].shape != () or entries[name].dtype.kind not in "fiuU":
        raise InputError(f"{path}: {name} is not a single number or text; write the file again")
    value: int | float | str = entries[name].item()
    return value
