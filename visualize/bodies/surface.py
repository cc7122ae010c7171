"""Bodies by name, skinned meshes, and the moving surface of a body."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from data_loaders.body_model import usual_folder
from motion_diffusion.body.motion import Motion
from motion_diffusion.body.rig import REST, Rig
from motion_diffusion.body.skeleton import JOINTS, TOES
from motion_diffusion.errors import InputError
from visualize.drawing.goal_glyphs import frame_at

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Skin:
    """A triangle mesh with skinning weights, in the rest pose of `skeleton.OFFSETS`: metres, y up, the pelvis at the
    origin."""

    vertices: Array
    """(V, 3) metres."""
    faces: NDArray[np.int64]
    """(T, 3) vertex indices, anticlockwise as seen from outside."""
    joints: NDArray[np.int64]
    """(V, 4) joints that move a vertex; 0 where the weight is 0."""
    weights: Array
    """(V, 4) weights of these joints; each row sums to 1."""
    colours: Array
    """(V, 3) sRGB, 0…1."""

    @cached_property
    def dense_weights(self) -> Array:
        """(V, 22) weight of every joint."""
        shares = np.zeros((len(self.vertices), len(JOINTS)))
        np.add.at(shares, (np.arange(len(shares))[:, None], self.joints), self.weights)
        return shares

    def posed(self, rig: Rig) -> Array:
        """Vertices (frames, V, 3) in every frame by linear blend skinning, as in glTF and SMPL."""
        world, root = rig.world.numpy(), rig.joints.numpy()
        moved = root - (world @ REST.numpy()[..., None])[..., 0]  # translation of the origin
        carried = np.concatenate([world, moved[..., None]], axis=-1)  # (frames, 22, 3, 4)
        blended = np.tensordot(self.dense_weights, carried, axes=(1, 1))  # (V, frames, 3, 4)
        here: Array = np.einsum("vfij,vj->fvi", blended[..., :3], self.vertices) + blended[..., 3].swapaxes(0, 1)
        return here

    def posed_at(self, rig: Rig, frame: int) -> Array:
        """Vertices (V, 3) in one frame."""
        one = slice(frame, frame + 1)
        return self.posed(replace(rig, rotations=rig.rotations[one], root=rig.root[one]))[0]


BODIES = ("stick", "capsules", "anny", "smpl", "smplh", "smplx")
"""Names of all bodies."""
Gender = Literal["neutral", "female", "male"]


@dataclass(frozen=True)
class Looks:
    """The body that a motion is shown with."""

    body: str = "stick"
    """stick: flat and fast; capsules: a shaded mesh of capsules; anny: a human whose age and build follow the prompt;
    smpl, smplh or smplx: from your own model files."""
    body_models: Path | None = None
    """Folder of the model files of smpl, smplh and smplx, also used to read AMASS recordings; by default $BODY_MODELS,
    or body_models in the cache."""
    gender: Gender = "neutral"
    """Variant of the smpl, smplh or smplx model."""


class Surface(Protocol):
    """The moving surface of a body."""

    @property
    def faces(self) -> NDArray[np.int64]:
        """(T, 3) vertex indices."""

    @property
    def colours(self) -> NDArray[np.float64]:
        """(V, 3), 0…1."""

    @property
    def sole(self) -> float:
        """Metres from the ball of the foot to the ground below it."""

    def at(self, time: float) -> NDArray[np.float64]:
        """Vertices (V, 3) in metres at the frame nearest to `time` seconds."""


@dataclass(frozen=True)
class SkinnedSurface:
    """A skin of this project's skeleton, moved by a rig."""

    skin: Skin
    rig: Rig

    @property
    def faces(self) -> NDArray[np.int64]:
        return self.skin.faces

    @property
    def colours(self) -> NDArray[np.float64]:
        return self.skin.colours

    @property
    def sole(self) -> float:
        return float(REST[TOES[0], 1] - self.skin.vertices[:, 1].min())

    def at(self, time: float) -> NDArray[np.float64]:
        return self.skin.posed_at(self.rig, frame_at(time, self.rig.fps, len(self.rig.root)))


def check_looks(looks: Looks) -> None:
    """Check that a body exists and its dependencies are installed.

    Raises:
        InputError: with the bodies to choose from, or what to install.
    """
    if looks.body not in BODIES:
        raise InputError(f"unknown body {looks.body!r}; choose one of {', '.join(BODIES)}")
    if looks.body == "anny":
        _needs("anny", "that body is in", extra="anny")
    if looks.body != "stick":
        _needs("pyvista", "meshes are drawn by", extra="mesh")


def make_surface(motion: Motion, looks: Looks, *, fps: float) -> Surface | None:
    """The surface of a body that performs a motion.

    Args:
        motion: to perform.
        looks: the body.
        fps: frames per second of the surface.

    Returns:
        The surface; None for `stick`, which has none.

    Raises:
        InputError: as `check_looks`, and for a missing model file.
    """
    check_looks(looks)
    if looks.body == "stick":
        return None
    rig = motion.rig
    rig = rig if fps == rig.fps else rig.at(fps)
    if looks.body == "capsules":
        from visualize.bodies.capsules import capsule_skin

        return SkinnedSurface(capsule_skin(), rig)
    if looks.body == "anny":
        from visualize.bodies.anny_skin import anny_skin, phenotype_from_text

        return SkinnedSurface(anny_skin(phenotype_from_text(motion.text)), rig)
    from visualize.bodies.smpl_surface import SmplSurface

    return SmplSurface.of(rig, looks.body, looks.gender, looks.body_models or usual_folder())


def _needs(module: str, why: str, *, extra: str) -> None:
    """Raise InputError with the extra to install if a module cannot be imported."""
    try:
        import_module(module)
    except ImportError as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f'{why} {module}, which does not import here ({reason}); pip install "motion-diffusion[{extra}]"'
        ) from None
