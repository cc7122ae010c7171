"""Joints of SMPL-H and SMPL-X bodies from the user's own body model files, whose licences do not allow distribution.

Computing joints needs four arrays of a model and no skin: shape parameters move the joints at rest (blend shapes
through the joint regressor), and pose parameters rotate them (`smplx.lbs`). The first 22 joints of both bodies, which
are independent of fingers and face, are this project's. smplx's own loaders are not used because they unpickle files.

References:
    Romero, Tzionas, Black 2017, "Embodied Hands".
    Pavlakos et al. 2019, "Expressive Body Capture".
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from motion_diffusion.atomic_io import cache_folder
from motion_diffusion.body.skeleton import JOINTS, PARENTS
from motion_diffusion.errors import InputError
from motion_diffusion.safe_numpy import read_members

BodyKind = Literal["smplh", "smplx"]

_TITLES = {24: "SMPL", 52: "SMPL-H", 55: "SMPL-X", 16: "MANO", 5: "FLAME"}
_JOINTS: dict[BodyKind, int] = {"smplh": 52, "smplx": 55}
_DOWNLOADS: dict[BodyKind, str] = {
    "smplh": 'the "extended SMPL+H model" that AMASS uses, from mano.is.tue.mpg.de',
    "smplx": "SMPL-X, from smpl-x.is.tue.mpg.de",
}
_BATCH_FRAMES = 4096
"""Frames evaluated at once."""


@dataclass(frozen=True, eq=False)
class BodyModel:
    """Joints at rest and their dependence on shape parameters, in metres."""

    path: Path
    rest: NDArray[np.float64]
    """(22, 3) joints at rest of the mean shape."""
    shapes: NDArray[np.float64]
    """(22, 3, B) derivatives of the joints by the shape parameters."""

    @torch.no_grad()
    def joints(
        self, pose: NDArray[np.float64], betas: NDArray[np.float64], trans: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Forward kinematics of a body.

        Args:
            pose: (F, 66) rotation of each joint relative to its parent as axis times angle.
            betas: (B,) shape parameters.
            trans: (F, 3) translation in metres.

        Returns:
            Joints (F, 22, 3) in metres, with the axes of `trans`.

        Raises:
            InputError: If the model has fewer shape parameters than `betas`.
        """
        if len(betas) > self.shapes.shape[-1]:
            raise InputError(
                f"{len(betas)} numbers of shape, where body model {self.path} has {self.shapes.shape[-1]}; get the one "
                "that the recordings were made with"
            )
        lbs = smplx_lbs()
        rest = torch.from_numpy(self.rest + self.shapes[..., : len(betas)] @ betas)
        parents, turns = torch.tensor(PARENTS), torch.from_numpy(pose)
        parts = []
        for part in turns.split(_BATCH_FRAMES):
            rotations = lbs.batch_rodrigues(part.reshape(-1, 3)).view(-1, len(JOINTS), 3, 3)
            at = rest.expand(len(part), -1, -1)
            parts.append(lbs.batch_rigid_transform(rotations, at, parents, dtype=torch.float64)[0])
        return torch.cat(parts).numpy() + trans[:, None]


def smplx_lbs() -> ModuleType:
    """Import the module of the library smplx for linear blend skinning.

    Raises:
        InputError: If the library is not installed.
    """
    try:
        from smplx import lbs
    except ImportError as error:
        raise InputError(
            f"bodies of AMASS need the library smplx, which does not import here ({' '.join(str(error).split())}); "
            "install the extra `body`"
        ) from None
    return lbs


def usual_folder() -> Path:
    """Default folder of body models: $BODY_MODELS, else `body_models` in the cache folder."""
    return Path(os.environ.get("BODY_MODELS") or cache_folder() / "body_models")


def model_paths(folder: Path, kind: BodyKind, gender: str) -> tuple[Path, Path]:
    """Possible paths of a body model: as AMASS's authors distribute it, and as smplx names it."""
    return folder / kind / gender / "model.npz", folder / kind / f"{kind.upper()}_{gender.upper()}.npz"


def model_files(folder: Path) -> list[Path]:
    """All body models of a folder.

    Raises:
        InputError: With what to download and where to put it, if there is none.
    """
    kinds, genders = get_args(BodyKind), ("male", "female", "neutral")
    found = [
        path for kind in kinds for gender in genders for path in model_paths(folder, kind, gender) if path.is_file()
    ]
    if not found:
        here, or_here = model_paths(folder, "smplh", "male")
        raise InputError(
            f"no body models in {folder}: get {_DOWNLOADS['smplh']}, and put the male one at {here} or {or_here}"
        )
    return found


class NoBodyModel(InputError):
    """A body model is missing."""


@lru_cache(maxsize=6)
def load_body_model(folder: Path, kind: BodyKind, gender: str) -> BodyModel:
    """Load a body model from a folder, see `model_paths`.

    Raises:
        NoBodyModel: With what to download and where to put it, if it is missing or pickled.
        InputError: If the file is damaged or of another kind.
    """
    here, or_here = model_paths(folder, kind, gender)
    path = here if here.is_file() else or_here
    get = f"get {_DOWNLOADS[kind]}, and put it at {here} or {or_here}"
    if not path.is_file():
        pickled = [file for file in (here.with_suffix(".pkl"), or_here.with_suffix(".pkl")) if file.is_file()]
        if pickled:
            raise NoBodyModel(f"{pickled[0]} is a pickle, which could run anything, and is not read; {get} as .npz")
        raise NoBodyModel(f"no {_TITLES[_JOINTS[kind]]} body model for {gender}: {get}")
    arrays = read_members(path, ("v_template", "shapedirs", "J_regressor", "kintree_table"), get)
    if missing := {"v_template", "shapedirs", "J_regressor", "kintree_table"} - arrays.keys():
        raise InputError(f"{path} is no body model, it has no {', '.join(sorted(missing))}; {get}")
    template, shapes, regressor, tree = (arrays[n] for n in ("v_template", "shapedirs", "J_regressor", "kintree_table"))
    if not all(array.dtype.kind in "fiu" for array in (template, shapes, regressor, tree)):
        raise InputError(f"{path}: not all of its arrays are numbers; {get}")
    joints = len(regressor) if regressor.ndim else 0
    if joints != _JOINTS[kind]:
        called = _TITLES.get(joints, "of some other kind")
        raise InputError(f"{path} is {called}, with {joints} joints, where {_TITLES[_JOINTS[kind]]} is needed; {get}")
    vertices = len(template) if template.ndim else 0
    fits = template.shape == (vertices, 3) and regressor.shape == (joints, vertices) and shapes.ndim == 3
    if not fits or shapes.shape[:2] != (vertices, 3) or tree.shape != (2, joints):
        raise InputError(f"{path}: its arrays do not fit each other; {get}")
    if not all(np.isfinite(array).all() for array in (template, shapes, regressor)):
        raise InputError(f"{path}: not all of its numbers are finite; {get}")
    if tuple(tree[0, 1 : len(PARENTS)].tolist()) != PARENTS[1:]:
        raise InputError(f"{path}: its joints hang on each other in another way than {_TITLES[joints]}'s; {get}")
    regressor = regressor[: len(JOINTS)].astype(np.float64)
    count = _shape_count(kind, shapes.shape[-1])
    moved = np.tensordot(regressor, shapes[..., :count].astype(np.float64), axes=1)
    return BodyModel(path, regressor @ template.astype(np.float64), moved)


def _shape_count(kind: BodyKind, directions: int) -> int:
    """Number of a model's blend shapes that are body shape; SMPL-X appends those of the face after 300, or 10."""
    if kind == "smplh":
        return directions
    return 300 if directions >= 400 else min(directions, 10)
