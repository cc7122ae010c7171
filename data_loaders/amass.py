"""AMASS: motion capture of many laboratories as parameters of SMPL-H and SMPL-X bodies, in .npz files.

Each file is one clip; loaders for training cut it. `humanml3d.from_amass` cuts the same files as HumanML3D does. Files
of SMPL-H (156 pose parameters) and SMPL-X (165) bodies differ in the names of their members. Members that are not
needed are not read; one member of SMPL-X files is pickled.

References:
    Mahmood et al. 2019, "AMASS: Archive of Motion Capture as Surface Shapes", amass.is.tue.mpg.de.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_loaders.body_model import BodyKind, BodyModel, load_body_model, model_files, smplx_lbs
from data_loaders.captions.tables import Annotation, read_caption_table
from data_loaders.retarget import align_to_floor, resample, uniform_skeleton
from data_loaders.types import MAX_FPS, MIN_FPS, Clip, Source, check_duration
from motion_diffusion.body.skeleton import BONE_LENGTHS
from motion_diffusion.errors import InputError
from motion_diffusion.safe_numpy import read_members

LICENCE = "AMASS's licence, for non-commercial scientific research; trained on AMASS (Mahmood et al. 2019)"
_REMEDY = "download it from AMASS again"
_POSE_WIDTHS: dict[int, BodyKind] = {156: "smplh", 165: "smplx"}

_MAX_BETAS = 1000
"""Maximum number of shape parameters."""

_BODY_POSE = 66
"""Pose parameters of the pelvis and the 21 joints of the body, which precede those of the face and the hands."""

_SUBJECT = re.compile(r"^shape\.npz$|_stagei\.npz$")
"""Files that describe a subject and contain no recording."""


@dataclass(frozen=True)
class Amass:
    """AMASS, each recording as one clip; HumanML3D can be made from it too, see humanml3d-from-amass."""

    data_root: Path
    """Folder with AMASS's .npz files (SMPL-H or SMPL-X), in any subfolders."""
    body_models: Path
    """Folder with body models of your own: smplh/male/model.npz, smplx/SMPLX_NEUTRAL.npz …"""
    captions: Path | None = None
    """CSV file with the columns file,text and optionally start,end (seconds),split,action,style; file is the path in
    --data-root without .npz. AMASS has no captions of its own; clips without captions can be displayed, but not used
    for training."""

    def source(self) -> Source:
        """List all recordings of the folder. A clip's name is its path without suffix.

        Raises:
            FileNotFoundError: If there is no such folder or captions file.
            InputError: If there are no recordings or no body models, if the library smplx is missing, or if the
                captions file is no table.
        """
        root = self.data_root
        if not root.is_dir():
            raise FileNotFoundError(f"no folder {root}; give --data-root the folder of AMASS's recordings")
        paths = sorted(path for path in root.rglob("*.npz") if not _SUBJECT.search(path.name))
        if not paths:
            raise InputError(f"{root} has no recordings (.npz); unpack AMASS's archives there")
        smplx_lbs()
        models = model_files(self.body_models)
        named = {path.relative_to(root).with_suffix("").as_posix(): path for path in paths}
        annotations, problems = read_caption_table(self.captions, named.keys()) if self.captions else ({}, [])
        entries = [
            AmassEntry(path, name, self.body_models, annotations.get(name, Annotation()))
            for name, path in named.items()
        ]
        files = [*paths, *models, *([self.captions] if self.captions else [])]
        return Source(entries, mirrored=False, licence=LICENCE, files=files, problems=problems)


@dataclass(frozen=True)
class AmassEntry:
    """Recording as one clip."""

    path: Path
    name: str
    body_models: Path
    annotation: Annotation

    def read(self) -> Clip:
        return self.annotation.clip(self.path, self.name, read_amass_joints(self.path, self.body_models))


def read_amass_joints(path: Path, body_models: Path, *, max_seconds: float | None = None) -> NDArray[np.float64]:
    """Read a recording as joints (F, 22, 3) of this body in metres, at 20 frames per second, y up, on the floor.

    Args:
        path: The recording.
        body_models: Folder with body models, see `body_model.model_paths`.
        max_seconds: Maximum duration.

    Raises:
        FileNotFoundError: If there is no such file.
        InputError: With the file's name, or with the body model that is missing.
    """
    recording = read_recording(path, max_seconds=max_seconds)
    model = load_body_model(body_models, recording.kind, recording.gender)
    joints = resample(recording.joints(model), recording.fps)
    return align_to_floor(uniform_skeleton(joints, BONE_LENGTHS.numpy()))


@dataclass(frozen=True, eq=False)
class Recording:
    """Contents of a recording, z up."""

    path: Path
    kind: BodyKind
    gender: str
    """Gender of the body model: "male", "female" or "neutral"."""
    gender_is_bytes: bool
    """Whether the file stores the gender as bytes, which HumanML3D's scripts do not recognise."""
    fps: float
    pose: NDArray[np.float64]
    """(F, 66) axis-angle rotations of 22 joints relative to their parents."""
    trans: NDArray[np.float64]
    """(F, 3) translation in metres."""
    betas: NDArray[np.float64]
    """(B,) shape parameters."""

    def joints(self, model: BodyModel) -> NDArray[np.float64]:
        """Joints (F, 22, 3) in metres, y up.

        Raises:
            InputError: With the file's name, if the model has too few shape parameters.
        """
        try:
            joints = model.joints(self.pose, self.betas, self.trans)
        except InputError as error:
            raise InputError(f"{self.path}: {error}") from None
        return y_up(joints)


def y_up(joints: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rotate joints from z up to y up: (x, y, z) → (-x, z, y). Left and right are preserved.

    HumanML3D's scripts obtain the same by two reflections: they swap y and z, and later negate x.
    """
    return joints[..., [0, 2, 1]] * np.array([-1.0, 1.0, 1.0])


def read_recording(path: Path, *, max_seconds: float | None = None) -> Recording:
    """Read a recording.

    Args:
        path: The file.
        max_seconds: Maximum duration.

    Raises:
        FileNotFoundError: If there is no such file.
        InputError: If the file is damaged, too long, or no recording of SMPL-H or SMPL-X.
    """
    arrays = read_members(
        path,
        (
            "poses", "root_orient", "pose_body", "surface_model_type", "trans", "betas", "gender", "mocap_framerate",
            "mocap_frame_rate",
        ),
        _REMEDY,
    )  # fmt: skip
    rate = "mocap_framerate" if "mocap_framerate" in arrays else "mocap_frame_rate"
    if missing := [name for name in ("trans", "betas", "gender", rate) if name not in arrays]:
        raise InputError(f"{path} has no {', no '.join(missing)}; give files of AMASS's SMPL-H or SMPL-X data")
    fps = float(_numbers(path, rate, arrays[rate], 1)[0])
    if not MIN_FPS <= fps <= MAX_FPS:
        raise InputError(f"{path}: {rate} is {fps:g}, no number of frames a second; {_REMEDY}")
    moving = [arrays[name] for name in ("poses", "root_orient", "pose_body", "trans") if name in arrays]
    check_duration(path, max(array.shape[0] if array.ndim else 0 for array in moving), fps, max_seconds)
    kind, pose = _kind_and_pose(path, arrays)
    gender, is_bytes = _text(path, "gender", arrays["gender"])
    if gender not in ("male", "female", "neutral"):
        raise InputError(f"{path}: gender is {gender[:20]!r}, not male, female or neutral; {_REMEDY}")
    trans = _numbers(path, "trans", arrays["trans"], len(pose), 3)
    betas = _numbers(path, "betas", arrays["betas"], min(arrays["betas"].size, _MAX_BETAS))
    return Recording(path, kind, gender, is_bytes, fps, pose, trans, betas)


def _kind_and_pose(path: Path, arrays: dict[str, NDArray[Any]]) -> tuple[BodyKind, NDArray[np.float64]]:
    """Kind of body and pose (F, 66)."""
    if "poses" in arrays:
        poses = arrays["poses"]
        width = poses.shape[-1] if poses.ndim == 2 else 0
        if width not in _POSE_WIDTHS or not len(poses):
            raise InputError(
                f"{path}: poses are of shape {poses.shape}, where SMPL-H has (frames, 156) and SMPL-X (frames, 165); "
                "give files of AMASS's SMPL-H or SMPL-X data"
            )
        return _POSE_WIDTHS[width], _numbers(path, "poses", poses, len(poses), width)[:, :_BODY_POSE]
    if missing := [name for name in ("root_orient", "pose_body", "surface_model_type") if name not in arrays]:
        raise InputError(f"{path} has no poses and no {', no '.join(missing)}; give files of AMASS")
    kind, _ = _text(path, "surface_model_type", arrays["surface_model_type"])
    if kind not in ("smplh", "smplx"):
        raise InputError(f"{path}: its bodies are {kind[:20]!r}; give files of AMASS's SMPL-H or SMPL-X data")
    frames = len(arrays["root_orient"]) if arrays["root_orient"].ndim else 0
    parts = [
        _numbers(path, name, arrays[name], frames, width) for name, width in (("root_orient", 3), ("pose_body", 63))
    ]
    if not frames:
        raise InputError(f"{path} has no frame; {_REMEDY}")
    return ("smplh" if kind == "smplh" else "smplx"), np.concatenate(parts, axis=1)


def _numbers(path: Path, name: str, array: NDArray[Any], *shape: int) -> NDArray[np.float64]:
    """Finite numbers of the given shape as float64; one-dimensional shapes accept any array of the same size."""
    if array.dtype.kind not in "fiu" or (array.shape != shape and not (len(shape) == 1 and array.size == shape[0])):
        raise InputError(f"{path}: {name}, {array.dtype} of shape {array.shape}, should be numbers {shape}; {_REMEDY}")
    array = array.reshape(shape)
    if not np.isfinite(array).all():
        frame = int((~np.isfinite(array)).reshape(len(array), -1).any(1).argmax())
        raise InputError(f"{path}: {name} of frame {frame} are not all finite numbers; {_REMEDY}")
    return array.astype(np.float64)


def _text(path: Path, name: str, array: NDArray[Any]) -> tuple[str, bool]:
    """Single string, and whether it is stored as bytes."""
    if array.size != 1 or array.dtype.kind not in "US":
        raise InputError(f"{path}: {name} is not a text; {_REMEDY}")
    text = array.item()
    return (text.decode(errors="replace"), True) if isinstance(text, bytes) else (text, False)
