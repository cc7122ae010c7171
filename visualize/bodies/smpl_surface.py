"""SMPL, SMPL-H and SMPL-X bodies (Loper et al. 2015) from the user's model files, moved by a rig.

The body keeps the bones of its mean shape and takes the rig's rotations; its pelvis is placed such that feet in contact
are where the motion's feet are.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from torch import Tensor

from data_loaders.body_model import load_body_model, smplx_lbs
from motion_diffusion.body.rig import Rig
from motion_diffusion.body.skeleton import JOINTS, PARENTS, TOES
from motion_diffusion.errors import InputError
from motion_diffusion.safe_numpy import read_members
from visualize.drawing.goal_glyphs import frame_at
from visualize.drawing.style import suit_colours
from visualize.scene import detect_footprints

_SKIN = ("v_template", "posedirs", "J_regressor", "kintree_table", "weights", "f")
_HANDS = ("hands_meanl", "hands_meanr")
_FIRST_FINGER = {"smplh": 22, "smplx": 25}
_FINGERS = 15
_SMOOTHING = 0.08
"""Standard deviation in seconds of the smoothing of the pelvis offset."""


@dataclass(frozen=True, eq=False)
class SmplModel:
    """Parameters of a body of mean shape, float32."""

    path: Path
    template: Tensor
    """(V, 3) metres."""
    directions: Tensor
    """(9 (J - 1), 3 V) pose blend shapes."""
    regressor: Tensor
    """(J, V) joint regressor."""
    parents: Tensor
    """(J,) parent indices."""
    weights: Tensor
    """(V, J) skinning weights."""
    faces: NDArray[np.int64]
    """(T, 3) vertex indices."""
    hands: Tensor
    """(J, 3, 3) rotations of joints that this project's motions lack: relaxed fingers, where the file has them."""

    @cached_property
    def rest(self) -> Tensor:
        """(22, 3) rest positions of this project's joints."""
        return (self.regressor @ self.template)[: len(JOINTS)]


@dataclass(frozen=True, eq=False)
class SmplSurface:
    """A moving SMPL body; see `surface.Surface`."""

    model: SmplModel
    rig: Rig
    pelvis: NDArray[np.float64]
    """(frames, 3) metres."""

    @staticmethod
    def of(rig: Rig, kind: str, gender: str, folder: Path) -> SmplSurface:
        """Load a model and place it.

        Args:
            rig: the motion.
            kind: smpl, smplh or smplx.
            gender: of the model.
            folder: of model files, see `body_model.places`.

        Raises:
            InputError: for a missing file, with what to get and where to put it.
        """
        model = load_smpl(kind, gender, folder)
        return SmplSurface(model, rig, _pelvis_positions(rig, model.rest))

    @property
    def faces(self) -> NDArray[np.int64]:
        return self.model.faces

    @cached_property
    def colours(self) -> NDArray[np.float64]:
        carriers = list(range(len(JOINTS)))
        for parent in self.model.parents[len(JOINTS) :].tolist():
            carriers.append(carriers[parent])
        ours = np.eye(len(JOINTS))[carriers]
        return suit_colours(self.model.weights.double().numpy() @ ours)

    @property
    def sole(self) -> float:
        return float(self.model.rest[list(TOES), 1].min() - self.model.template[:, 1].min())

    @torch.no_grad()
    def at(self, time: float) -> NDArray[np.float64]:
        lbs, model = smplx_lbs(), self.model
        frame = frame_at(time, self.rig.fps, len(self.pelvis))
        pose = model.hands.clone()
        pose[: len(JOINTS)] = self.rig.rotations[frame].float()
        vertices, _ = lbs.lbs(
            torch.zeros(1, 1),
            pose[None],
            model.template,
            torch.zeros(*model.template.shape, 1),
            model.directions,
            model.regressor,
            model.parents,
            model.weights,
            pose2rot=False,
        )
        return vertices[0].double().numpy() + self.pelvis[frame] - model.rest[0].double().numpy()


def _pelvis_positions(rig: Rig, rest: Tensor) -> NDArray[np.float64]:
    """Pelvis positions for which the body's feet are at the rig's feet, weighted 21 : 1 towards feet in contact.

    Args:
        rig: the motion.
        rest: (22, 3) rest joints of the body, metres.

    Returns:
        (frames, 3) metres.
    """
    world, joints = rig.world.numpy(), rig.joints.numpy()
    offsets = (rest - rest[list(PARENTS)]).double().numpy()
    theirs = np.zeros_like(joints)
    for joint, parent in enumerate(PARENTS[1:], 1):
        theirs[:, joint] = theirs[:, parent] + world[:, parent] @ offsets[joint]
    clock = np.arange(len(joints)) / rig.fps
    stands = {toe: np.zeros(len(joints)) for toe in TOES}
    for step in detect_footprints(joints, rig.fps):
        stands[step.toe][(clock > step.time - 1e-6) & (clock < step.last + 1e-6)] = 1.0
    shares = 0.05 + np.stack(list(stands.values()), axis=1)
    asked = joints[:, list(stands)] - theirs[:, list(stands)]
    moved = (shares[..., None] * asked).sum(axis=1) / shares.sum(axis=1)[:, None] - joints[:, 0]
    smooth: NDArray[np.float64] = gaussian_filter1d(moved, _SMOOTHING * rig.fps, axis=0, mode="nearest")
    return joints[:, 0] + smooth


def load_smpl(kind: str, gender: str, folder: Path) -> SmplModel:
    """Load the model of a kind and gender from a folder.

    Raises:
        InputError: for a file that is missing, a pickle or damaged, or has no mesh.
    """
    lbs = smplx_lbs()
    if kind == "smplh" or kind == "smplx":
        path = load_body_model(folder, kind, gender).path
    else:
        path = _smpl_file(folder, gender)
    remedy = "get the model file again, as .npz"
    arrays = read_members(path, (*_SKIN, *_HANDS), remedy)
    if missing := set(_SKIN) - arrays.keys():
        raise InputError(f"{path} has no skin: {', '.join(sorted(missing))} missing; {remedy}")
    vertices, joints = (arrays[name].shape[-1] if arrays[name].ndim else 0 for name in ("J_regressor", "kintree_table"))
    shapes = {
        "v_template": (vertices, 3), "posedirs": (vertices, 3, 9 * (joints - 1)), "weights": (vertices, joints),
        "J_regressor": (joints, vertices), "kintree_table": (2, joints), "f": (arrays["f"].size // 3, 3),
        "hands_meanl": (3 * _FINGERS,), "hands_meanr": (3 * _FINGERS,),
    }  # fmt: skip
    for name, array in arrays.items():
        if array.shape != shapes[name] or array.dtype.kind not in "fiu" or not np.isfinite(array).all():
            raise InputError(f"{path}: {name} is not {shapes[name]} finite numbers; {remedy}")
    floats = ("v_template", "posedirs", "weights", "J_regressor")
    numbers = {name: torch.from_numpy(arrays[name].astype(np.float32)) for name in floats}
    parents = torch.from_numpy(arrays["kintree_table"][0].astype(np.int64))
    parents[0] = -1
    triangles = arrays["f"].astype(np.int64)
    fits = triangles.size and triangles.min() >= 0 and triangles.max() < vertices
    if not fits or tuple(parents[: len(PARENTS)].tolist()) != PARENTS:
        raise InputError(f"{path}: its joints or triangles do not fit each other; {remedy}")
    hands = torch.eye(3).repeat(joints, 1, 1)
    for side, name in enumerate(_HANDS):
        if kind in _FIRST_FINGER and name in arrays:
            first = _FIRST_FINGER[kind] + side * _FINGERS
            turns = torch.from_numpy(arrays[name].astype(np.float32)).view(-1, 3)
            hands[first : first + _FINGERS] = lbs.batch_rodrigues(turns)
    return SmplModel(
        path,
        numbers["v_template"],
        numbers["posedirs"].reshape(3 * vertices, -1).T.contiguous(),
        numbers["J_regressor"],
        parents,
        numbers["weights"],
        triangles,
        hands,
    )


def _smpl_file(folder: Path, gender: str) -> Path:
    """Path of the SMPL model in a folder."""
    here, or_here = folder / "smpl" / gender / "model.npz", folder / "smpl" / f"SMPL_{gender.upper()}.npz"
    for path in (here, or_here):
        if path.is_file():
            return path
    raise InputError(
        f"no SMPL body model for {gender}: get SMPL, from smpl.is.tue.mpg.de, save its arrays as .npz (a .pkl could "
        f"run anything and is not read), and put it at {here} or {or_here}"
    )
