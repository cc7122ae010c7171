"""A motion: where 22 joints are in every frame, what was said about it, and where it came from."""

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

from motion_diffusion.errors import InputError
from motion_diffusion.files import atomic
from motion_diffusion.npz import read_members
from motion_diffusion.representation import encode
from motion_diffusion.rotations import orientations, relative_to_parents
from motion_diffusion.skeleton import FPS, JOINTS

VERSION = 1
"""Of the file format."""
MAX_SECONDS = 3600.0
"""That a motion lasts at most: an hour."""
MAX_FPS = 1000.0
"""Frames a second, at most; beyond, files are damaged."""


@dataclass(frozen=True, eq=False)
class Motion:
    """A motion of the 22 joints. Raises InputError if joints are not finite numbers of shape (frames, 22, 3)."""

    joints: Tensor
    """(frames, 22, 3) float32: positions in metres, y up."""
    fps: float = FPS
    text: str = ""
    provenance: Mapping[str, Any] = field(default_factory=dict)
    """What it takes to make it again, and how well it was met, all JSON: model and its hash, seed, sampler and guidance
    settings, goals and the residual of each."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "joints", self.joints.detach().to("cpu", torch.float32))
        if self.joints.ndim != 3 or self.joints.shape[1:] != (len(JOINTS), 3) or not len(self.joints):
            raise InputError(f"joints have shape {tuple(self.joints.shape)}; a motion needs (frames, {len(JOINTS)}, 3)")
        if not torch.isfinite(self.joints).all():
            frame = int((~torch.isfinite(self.joints)).flatten(1).any(1).nonzero()[0])
            raise InputError(f"joints of frame {frame} are not all finite numbers; a motion needs positions in metres")
        if not (math.isfinite(self.fps) and self.fps > 0):
            raise InputError(f"fps is {self.fps}; a motion needs a positive number of frames a second")

    @property
    def frames(self) -> int:
        """Number of frames."""
        return len(self.joints)

    @property
    def seconds(self) -> float:
        """How long it lasts: each frame stands for 1/fps seconds."""
        return self.frames / self.fps

    @cached_property
    def features(self) -> Tensor:
        """(frames, 263), see `representation`. Velocities are a frame's, whatever fps is."""
        return encode(self.joints)

    @cached_property
    def rotations(self) -> Tensor:
        """(frames, 22, 3, 3): SMPL's pose, each joint relative to its parent and the pelvis in the world."""
        return relative_to_parents(orientations(self.joints))

    @property
    def provenance_json(self) -> str:
        """Where it came from, as files hold it. InputError for what is no JSON."""
        try:
            return json.dumps(dict(self.provenance), allow_nan=False)
        except (TypeError, ValueError) as error:
            raise InputError(
                f"the motion's provenance does not fit into JSON ({error}); give plain finite values"
            ) from None

    def save(self, path: str | Path) -> None:
        """Write an .npz of joints, rotations, features, fps, joint names, text and provenance; whole or not at all."""
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

    @staticmethod
    def load(path: str | Path) -> Motion:
        """Read what `save` wrote; nothing in the file is executed.

        Rotations and features follow from the joints and are not read. Raises FileNotFoundError, or InputError for
        a file that is not a whole motion of this project.
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
        if joints.size // (3 * len(JOINTS)) > MAX_SECONDS * min(max(fps, 1), MAX_FPS):  # before more is made of it
            raise InputError(f"{path} lasts more than {MAX_SECONDS:g} s; give a shorter motion, or cut it")
        try:
            provenance = json.loads(str(_scalar(path, entries, "provenance")))
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path}: provenance is not JSON ({error}); write the file again") from None
        if not isinstance(provenance, dict):
            raise InputError(f"{path}: provenance is not a JSON object; write the file again")
        try:
            return Motion(
                torch.from_numpy(joints.astype(np.float32)), float(fps), str(_scalar(path, entries, "text")), provenance
            )
        except InputError as error:
            raise InputError(f"{path}: {error}") from None


def _read(path: Path) -> dict[str, NDArray[Any]]:
    """The entries of an .npz file that a motion is made from."""
    wanted = ("version", "joints", "fps", "joint_names", "text", "provenance")
    entries = read_members(path, wanted, "copy or make it again")
    if missing := [name for name in wanted if name not in entries]:
        raise InputError(f"{path}: {', '.join(missing)} missing; give an .npz file that this project wrote")
    return entries


def _scalar(path: Path, entries: Mapping[str, NDArray[Any]], name: str) -> int | float | str:
    """The single value of an entry."""
    if entries[name].shape != () or entries[name].dtype.kind not in "fiuU":
        raise InputError(f"{path}: {name} is not a single number or text; write the file again")
    value: int | float | str = entries[name].item()
    return value
