"""Stick figure: a body of capsules, each drawn as one polygon (the convex hull of two circles)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from motion_diffusion.body.skeleton import JOINTS, PARENTS
from visualize.drawing.camera import Camera
from visualize.drawing.canvas import Canvas
from visualize.drawing.style import BACKGROUND, GOAL, mix, rgb, side_colour

CORNERS = 28
"""Vertices per polygon."""
SOLE_DEPTH = 0.03
"""Metres from the ball of the foot to the ground below it."""
# Radii in metres at the upper and lower end of the bone that ends in a joint.
_RADII = {
    "hip": (0.085, 0.085), "knee": (0.082, 0.052), "ankle": (0.053, 0.036), "foot": (0.040, 0.030),
    "spine1": (0.105, 0.100), "spine2": (0.100, 0.105), "spine3": (0.105, 0.105), "neck": (0.085, 0.045),
    "head": (0.045, 0.050), "collar": (0.070, 0.065), "shoulder": (0.060, 0.052), "elbow": (0.048, 0.036),
    "wrist": (0.036, 0.026),
}  # fmt: skip
_HEAD, _WRISTS, _ELBOWS = JOINTS.index("head"), (20, 21), (18, 19)


@dataclass(frozen=True)
class Solids:
    """Capsules in space.

    Attributes:
        start: (n, 3) metres.
        end: (n, 3) metres.
        radii: (n, 2) metres, at both ends.
        colours: (n, 3), 0…1.
    """

    start: NDArray[np.float64]
    end: NDArray[np.float64]
    radii: NDArray[np.float64]
    colours: NDArray[np.float64]

    def __add__(self, other: Solids) -> Solids:
        return Solids(
            np.concatenate([self.start, other.start]),
            np.concatenate([self.end, other.end]),
            np.concatenate([self.radii, other.radii]),
            np.concatenate([self.colours, other.colours]),
        )


_BONES = np.arange(1, len(JOINTS))
_BONE_RADII = np.array([_RADII[JOINTS[joint].removeprefix("left_").removeprefix("right_")] for joint in _BONES])
_BONE_COLOURS = np.array([rgb(side_colour(joint)) for joint in _BONES.tolist()])


def stick_figure(joints: NDArray, tint: str | None = None) -> Solids:
    """The capsules of a body: bones, a head above the head joint, and hands beyond the wrists.

    Args:
        joints: (22, 3) metres.
        tint: colour of the whole body; by default the colour of each side.
    """
    joints = joints.astype(np.float64)
    bones = Solids(joints[list(PARENTS[1:])], joints[1:], _BONE_RADII, _BONE_COLOURS)
    up = joints[_HEAD] - joints[9]
    skull = joints[_HEAD] + 0.075 * up / max(np.linalg.norm(up), 1e-9)
    wrists, elbows = joints[list(_WRISTS)], joints[list(_ELBOWS)]
    along = wrists - elbows
    hands = wrists + 0.075 * along / np.maximum(np.linalg.norm(along, axis=-1, keepdims=True), 1e-9)
    solids = bones + Solids(
        np.stack([skull, *wrists]),
        np.stack([skull + [0, 0.03, 0], *hands]),
        np.array([[0.095, 0.1], [0.030, 0.032], [0.030, 0.032]]),
        np.stack([rgb(side_colour(_HEAD)), rgb(side_colour(_WRISTS[0])), rgb(side_colour(_WRISTS[1]))]),
    )
    return solids if tint is None else replace(solids, colours=np.tile(rgb(tint), (len(solids.start), 1)))


def fade(solids: Solids, share: float) -> Solids:
    """Blend the colours with the background; `share` is the background's weight, 0…1."""
    return replace(solids, colours=mix(solids.colours, rgb(BACKGROUND), share))


def capsule_outlines(start: NDArray, end: NDArray, radii: NDArray) -> NDArray:
    """Convex hulls of pairs of circles in the plane.

    Args:
        start: (n, 2) centres.
        end: (n, 2) centres.
        radii: (n, 2) radii at both ends.

    Returns:
        (n, CORNERS, 2) polygons.
    """
    along = end - start
    length = np.maximum(np.linalg.norm(along, axis=-1), 1e-9)
    angle = np.arctan2(along[:, 1], along[:, 0])[:, None]
    tangent = np.arccos(np.clip((radii[:, 0] - radii[:, 1]) / length, -1, 1))[:, None]
    turn = np.linspace(0, 1, CORNERS // 2)
    far = angle - tangent + 2 * tangent * turn
    near = angle + tangent + 2 * (np.pi - tangent) * turn
    arc = np.concatenate(
        [
            end[:, None] + radii[:, 1, None, None] * np.stack([np.cos(far), np.sin(far)], axis=-1),
            start[:, None] + radii[:, 0, None, None] * np.stack([np.cos(near), np.sin(near)], axis=-1),
        ],
        axis=1,
    )
    return arc


def project_solids(solids: Solids, camera: Camera) -> tuple[NDArray, NDArray]:
    """Polygons (n, CORNERS, 2) in pixels of projected capsules, and their depths (n,) in metres."""
    start, near = camera.project(solids.start)
    end, far = camera.project(solids.end)
    scale = camera.focal / np.maximum(np.stack([near, far], axis=-1), 0.1)
    return capsule_outlines(start, end, solids.radii * scale), (near + far) / 2


def paint_solids(canvas: Canvas, camera: Camera, bodies: Solids, goals: Solids, unit: float) -> None:
    """Paint capsules by decreasing depth, each with a highlight and a light rim. The rim of goals is `style.GOAL`."""
    solids = bodies + goals
    shapes, depth = project_solids(solids, camera)
    scale = camera.focal / np.maximum(depth, 0.1)
    shine = replace(solids, radii=solids.radii * 0.5)
    bright, _ = project_solids(shine, camera)
    bright = bright + (solids.radii.mean(axis=1) * scale)[:, None, None] * np.array([-0.22, 0.26])
    is_goal = np.arange(len(depth)) >= len(bodies.start)
    order = np.argsort(-depth)
    white = np.ones(3)
    corners = np.stack([shapes, bright], axis=1)[order].reshape(-1, *shapes.shape[1:])
    faces = np.stack([solids.colours, mix(solids.colours, white, 0.16)], axis=1)[order].reshape(-1, 3)
    rim = np.where(is_goal[:, None], rgb(GOAL), mix(solids.colours, white, 0.75))
    edges = np.stack([rim, mix(solids.colours, white, 0.16)], axis=1)[order].reshape(-1, 3)
    canvas.polygons(corners, faces, edges=edges, width=1.1 * unit)


def shadows(solids: Solids, camera: Camera) -> NDArray:
    """Polygons (n, CORNERS, 2) in pixels of the shadows on the floor, with a light almost overhead."""
    lean = 0.22 * camera.axes[0, [0, 2]] - 0.10 * camera.axes[2, [0, 2]]
    fallen = [point[:, [0, 2]] + point[:, 1:2] * lean for point in (solids.start, solids.end)]
    return project_floor(capsule_outlines(fallen[0], fallen[1], solids.radii), camera)


def project_floor(shapes: NDArray, camera: Camera) -> NDArray:
    """Project floor points (..., 2), x and z in metres, to pixels (..., 2)."""
    return camera.project(np.stack([shapes[..., 0], np.zeros(shapes.shape[:-1]), shapes[..., 1]], axis=-1))[0]


def circles(centres: NDArray, radii: NDArray) -> NDArray:
    """Circles (n, CORNERS, 2) on the floor around centres (n, 2), in metres."""
    turn = np.linspace(0, 2 * np.pi, CORNERS, endpoint=False)
    return centres[:, None] + radii[:, None, None] * np.stack([np.cos(turn), np.sin(turn)], axis=-1)
