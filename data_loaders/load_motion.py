"""Reader for motion files of any kind as a `Motion` of this body, at 20 frames per second by default.

| suffix | contents |
|---|---|
| .npz | a motion of this project, at any frame rate, or a recording of AMASS, distinguished by its members |
| .bvh | a motion of any skeleton, see `skeleton_files` |
| .amc | a motion of any skeleton in ASF/AMC; its .asf file is found by `formats.amc.find_asf` |
| .npy | HumanML3D's joints (F, 22, 3) or features (F, 263), also with GMD's absolute root |
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data_loaders.amass import read_amass_joints
from data_loaders.body_model import NoBodyModel, usual_folder
from data_loaders.humanml3d.clip_files import decode_joints, is_root_consistent
from data_loaders.humanml3d.dataset import LAYOUT
from data_loaders.skeleton_files import read_amc_motion, read_bvh_motion, to_motion
from data_loaders.skeleton_mapping import Axis, load_mapping
from data_loaders.types import MAX_FPS, MIN_FPS, check_duration
from motion_diffusion.body.motion import MAX_SECONDS, Motion
from motion_diffusion.body.skeleton import FPS, JOINTS
from motion_diffusion.errors import InputError
from motion_diffusion.safe_numpy import read_members, read_npy

ENDINGS = (".npz", ".bvh", ".amc", ".npy")
"""Supported suffixes."""


@np.errstate(over="ignore", invalid="ignore")  # non-finite results are refused at the end
def read_motion(
    path: str | Path,
    *,
    mapping: Path | None = None,
    up: Axis | None = None,
    body_models: Path | None = None,
    from_origin: bool = False,
    own_rate: bool = False,
    max_seconds: float = MAX_SECONDS,
) -> Motion:
    """Read a motion file.

    Args:
        path: The file.
        mapping: JSON file with the correspondence of joints for a .bvh or .amc file, see `skeleton_mapping`.
        up: Vertical axis of a .bvh or .amc file.
        body_models: Folder with body models for a recording of AMASS; by default `body_model.usual_folder`.
        from_origin: Move a foreign motion to begin at the origin and face +z. Motions of this project keep their place.
        own_rate: Keep the frame rate of a motion of this project, for display and conversion.
        max_seconds: Maximum duration, checked before the motion is expanded in memory.

    Raises:
        FileNotFoundError: If there is no such file.
        InputError: With the file's name, if it is damaged, of unknown kind, too long, or not in metres.
    """
    path = Path(path)
    if not _is_file(path):
        raise FileNotFoundError(f"no file {path}; give the path of a motion ({', '.join(ENDINGS)})")
    ending = path.suffix.lower()
    if ending not in ENDINGS:
        raise InputError(f"{path}: motions are read from {', '.join(ENDINGS)}; give one of these")
    if ending == ".npz" and "trans" not in _members(path):
        return _own_motion(path, own_rate=own_rate, max_seconds=max_seconds)
    if ending in (".bvh", ".amc"):
        read = read_bvh_motion if ending == ".bvh" else read_amc_motion
        motion = read(path, load_mapping(mapping) if mapping else None, up=up, max_seconds=max_seconds)
    elif ending == ".npz":
        motion = to_motion(path, _amass(path, body_models or usual_folder(), max_seconds))
    else:
        motion = to_motion(path, _humanml3d(path, max_seconds))
    return motion.from_origin if from_origin else motion


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # e.g. a name that is too long
        return False


def _members(path: Path) -> set[str]:
    """Names of an .npz file's members; empty for other files, which are reported when they are read."""
    try:
        with zipfile.ZipFile(path) as archive:
            return {name.removesuffix(".npy") for name in archive.namelist()}
    except (OSError, zipfile.BadZipFile):
        return set()


def _own_motion(path: Path, *, own_rate: bool, max_seconds: float) -> Motion:
    if max_seconds < MAX_SECONDS:
        _check_stored_duration(path, max_seconds)
    motion = Motion.load(path)
    if not MIN_FPS <= motion.fps <= MAX_FPS:
        raise InputError(f"{path} has {motion.fps:g} frames a second; {MIN_FPS:g} to {MAX_FPS:g} can be read")
    if own_rate or motion.fps == FPS:
        return motion
    return Motion.of(motion.rig.at(FPS), text=motion.text, provenance=motion.provenance)


def _check_stored_duration(path: Path, max_seconds: float) -> None:
    """Check the duration of compressed joints before they are expanded. Other errors are reported by loading."""
    arrays = read_members(path, ("joints", "fps"), "copy or make it again")
    if arrays.keys() == {"joints", "fps"} and arrays["fps"].size == 1:
        fps = arrays["fps"].item()
        if isinstance(fps, int | float) and fps > 0:
            check_duration(path, arrays["joints"].size // (3 * len(JOINTS)), fps, max_seconds)


def _amass(path: Path, body_models: Path, max_seconds: float) -> NDArray[np.float64]:
    """Joints (F, 22, 3) of a recording of AMASS."""
    try:
        return read_amass_joints(path, body_models, max_seconds=max_seconds)
    except NoBodyModel as error:
        raise InputError(f"{path}: {error}, or say with --body-models or $BODY_MODELS which folder has it") from None


def _humanml3d(path: Path, max_seconds: float) -> NDArray[np.float64]:
    """Joints (F, 22, 3) of a file of HumanML3D."""
    remedy = "give joints or features of HumanML3D, as its scripts leave them"
    numbers = read_npy(
        path,
        (None, LAYOUT.joints, 3),
        remedy,
        or_shape=(None, LAYOUT.features),
        check=lambda shape: check_duration(path, shape[0], FPS, max_seconds),
    )
    if numbers.ndim == 3:
        return numbers
    for relative in (True, False):
        if is_root_consistent(numbers, LAYOUT, relative=relative):
            return decode_joints(numbers, LAYOUT, relative=relative)
    raise InputError(f"{path}: the root's first numbers and its velocities disagree; {remedy}")
