"""A recording of AMASS: how a body moved, as the turns of its joints, in an .npz file.

Of SMPL-H (156 numbers a pose) or SMPL-X (165) bodies; members have other names in either. Members that are not needed
are not touched: in SMPL-X files one is a pickle.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_loaders.body_model import BodyModel, Kind
from data_loaders.resampling import FASTEST, SLOWEST, check_length
from motion_diffusion.errors import InputError
from motion_diffusion.safe_npz import read_members

_REMEDY = "download it from AMASS again"
_WIDTHS: dict[int, Kind] = {156: "smplh", 165: "smplx"}
_SHAPES = 1000
"""Numbers of a body's shape, at most."""
_BODY = 66
"""Numbers of a pose for the pelvis and the 21 joints of the body; the face's and the hands' come after."""


@dataclass(frozen=True, eq=False)
class Recording:
    """A file as it stands. z is up."""

    path: Path
    kind: Kind
    gender: str
    """Of the body: "male", "female" or "neutral"."""
    gender_is_bytes: bool
    """Whether the file has it as bytes, which HumanML3D's scripts do not understand."""
    fps: float
    pose: NDArray[np.float64]
    """(F, 66)"""
    trans: NDArray[np.float64]
    """(F, 3)"""
    betas: NDArray[np.float64]

    def joints(self, model: BodyModel) -> NDArray[np.float64]:
        """Joints (F, 22, 3), y up. InputError, with the file's name, if the model has not shapes enough."""
        try:
            joints = model.joints(self.pose, self.betas, self.trans)
        except InputError as error:
            raise InputError(f"{self.path}: {error}") from None
        return y_up(joints)


def y_up(joints: NDArray[np.float64]) -> NDArray[np.float64]:
    """From z up to y up by two turns, (x, y, z) → (-x, z, y): left stays left.

    HumanML3D's scripts first swap y and z, a mirror, and later negate x, another; together they do the same.
    """
    return joints[..., [0, 2, 1]] * np.array([-1.0, 1.0, 1.0])


def read_recording(path: Path, *, longest: float | None = None) -> Recording:
    """Read a file of AMASS. longest: seconds that it may last.

    Raises FileNotFoundError, or InputError for one that is damaged, longer, or something else.
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
    if not SLOWEST <= fps <= FASTEST:
        raise InputError(f"{path}: {rate} is {fps:g}, no number of frames a second; {_REMEDY}")
    moving = [arrays[name] for name in ("poses", "root_orient", "pose_body", "trans") if name in arrays]
    check_length(path, max(array.shape[0] if array.ndim else 0 for array in moving), fps, longest)
    kind, pose = _kind_and_pose(path, arrays)
    gender, is_bytes = _text(path, "gender", arrays["gender"])
    if gender not in ("male", "female", "neutral"):
        raise InputError(f"{path}: gender is {gender[:20]!r}, not male, female or neutral; {_REMEDY}")
    trans = _numbers(path, "trans", arrays["trans"], len(pose), 3)
    betas = _numbers(path, "betas", arrays["betas"], min(arrays["betas"].size, _SHAPES))
    return Recording(path, kind, gender, is_bytes, fps, pose, trans, betas)


def _kind_and_pose(path: Path, arrays: dict[str, NDArray[Any]]) -> tuple[Kind, NDArray[np.float64]]:
    if "poses" in arrays:
        poses = arrays["poses"]
        width = poses.shape[-1] if poses.ndim == 2 else 0
        if width not in _WIDTHS or not len(poses):
            raise InputError(
                f"{path}: poses are of shape {poses.shape}, where SMPL-H has (frames, 156) and SMPL-X (frames, 165); "
                "give files of AMASS's SMPL-H or SMPL-X data"
            )
        return _WIDTHS[width], _numbers(path, "poses", poses, len(poses), width)[:, :_BODY]
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
    """An array of finite numbers as float64; one of another shape but as many numbers in it only if it is flat."""
    if array.dtype.kind not in "fiu" or (array.shape != shape and not (len(shape) == 1 and array.size == shape[0])):
        raise InputError(f"{path}: {name}, {array.dtype} of shape {array.shape}, should be numbers {shape}; {_REMEDY}")
    array = array.reshape(shape)
    if not np.isfinite(array).all():
        frame = int((~np.isfinite(array)).reshape(len(array), -1).any(1).argmax())
        raise InputError(f"{path}: {name} of frame {frame} are not all finite numbers; {_REMEDY}")
    return array.astype(np.float64)


def _text(path: Path, name: str, array: NDArray[Any]) -> tuple[str, bool]:
    """A single text, and whether it stands there as bytes."""
    if array.size != 1 or array.dtype.kind not in "US":
        raise InputError(f"{path}: {name} is not a text; {_REMEDY}")
    text = array.item()
    return (text.decode(errors="replace"), True) if isinstance(text, bytes) else (text, False)
