"""Capsule body: a skinned mesh generated from the skeleton, free of any licence.

Limbs are convex hulls of spheres; trunk and head are surfaces of revolution with elliptic cross-sections. A limb moves
with one bone and overlaps the next limb in a common sphere, so that joints stay closed at any angle. The trunk is one
piece that bends smoothly.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import trimesh
from numpy.typing import NDArray

from motion_diffusion.body.rig import REST, STANDING
from motion_diffusion.body.skeleton import JOINTS, MIRRORED
from visualize.bodies.surface import Skin
from visualize.drawing.style import rgb, side_colour

Array = NDArray[np.float64]
Ball = tuple[Array, float]
CORNERS = 18
"""Vertices per cross-section."""
BALL_ROWS = 9
"""Rows of vertices of a sphere, poles included."""
BLEND = 0.05
"""Metres below and above a spine joint over which the trunk's weights pass from one bone to the next."""
# Height, forward offset from the pelvis, half width, half depth; metres.
_TRUNK = np.array([
    (-0.125, -0.010, 0.000, 0.000), (-0.115, -0.010, 0.075, 0.065), (-0.080, -0.012, 0.142, 0.106),
    (-0.025, -0.016, 0.162, 0.115), (0.030, -0.020, 0.154, 0.108), (0.080, -0.022, 0.142, 0.099),
    (0.126, -0.021, 0.136, 0.095), (0.170, -0.016, 0.137, 0.096), (0.220, -0.010, 0.143, 0.102),
    (0.270, -0.006, 0.152, 0.109), (0.324, -0.006, 0.164, 0.116), (0.380, -0.012, 0.172, 0.116),
    (0.430, -0.022, 0.165, 0.105), (0.470, -0.032, 0.135, 0.087), (0.500, -0.037, 0.090, 0.073),
    (0.530, -0.036, 0.066, 0.064), (0.570, -0.026, 0.059, 0.061), (0.620, -0.010, 0.057, 0.060),
    (0.660, 0.000, 0.000, 0.000),
])  # fmt: skip
_HEAD = np.array([
    (0.586, 0.050, 0.000, 0.000), (0.594, 0.048, 0.032, 0.036), (0.625, 0.036, 0.059, 0.073),
    (0.665, 0.026, 0.071, 0.091), (0.715, 0.016, 0.079, 0.101), (0.760, 0.008, 0.078, 0.099),
    (0.797, 0.004, 0.064, 0.082), (0.824, 0.002, 0.037, 0.047), (0.834, 0.002, 0.000, 0.000),
])  # fmt: skip
_SPINE = ("pelvis", "spine1", "spine2", "spine3", "neck")


@cache
def capsule_skin() -> Skin:
    """The capsule body: left blue, right orange, trunk and head grey."""
    trunk, head = _lathed(_TRUNK), _lathed(_HEAD)
    parts = [(trunk, _along_the_spine(trunk.vertices[:, 1]), "pelvis"), (head, _one("head", head), "head")]
    nose = _hull([(np.array([0, 0.706, 0.110]), 0.011), (np.array([0, 0.680, 0.122]), 0.014)])
    parts.append((nose, _one("head", nose), "head"))
    for carrier, balls in _limbs():
        limb = _hull(balls)
        parts.append((limb, _one(carrier, limb), carrier))
        mirrored = limb.copy()
        mirrored.apply_scale([-1, 1, 1])
        other = JOINTS[MIRRORED[JOINTS.index(carrier)]]
        parts.append((mirrored, _one(other, mirrored), other))
    vertices, faces = trimesh.util.append_faces(
        [part.vertices for part, _, _ in parts], [part.faces for part, _, _ in parts]
    )
    shares = np.concatenate([weights for _, weights, _ in parts])
    colours = [np.tile(rgb(side_colour(JOINTS.index(joint))), (len(part.vertices), 1)) for part, _, joint in parts]
    joints = np.argsort(-shares, axis=1, kind="stable")[:, :4]
    weights = np.take_along_axis(shares, joints, axis=1)
    return Skin(
        vertices.astype(np.float64),
        faces.astype(np.int64),
        np.where(weights > 0, joints, 0),
        weights,
        np.concatenate(colours),
    )


def _limbs() -> list[tuple[str, list[Ball]]]:
    """Joint and spheres of every limb on the left side."""
    at = {name: REST[JOINTS.index(name)].numpy() for name in JOINTS}
    shoulder, elbow, wrist = (at[f"left_{name}"] for name in ("shoulder", "elbow", "wrist"))
    hip, knee, ankle, ball = (at[f"left_{name}"] for name in ("hip", "knee", "ankle", "foot"))
    ahead = (ball - ankle) * [1, 0, 1] / np.linalg.norm((ball - ankle) * [1, 0, 1])
    out = np.array([ahead[2], 0.0, -ahead[0]])

    def sole(radius: float, forward: float, outward: float) -> Ball:
        place = ball + forward * ahead + outward * out
        return np.array([place[0], radius - STANDING, place[2]]), radius

    def hand(x: float, z: float, radius: float) -> Ball:
        return wrist + [x, -0.002, z], radius

    balls_of_foot = [sole(0.022, 0.010, -0.026), sole(0.019, -0.008, 0.030)]
    return [
        ("left_collar", [(at["left_collar"], 0.068), (np.array([0.030, 0.530, -0.040]), 0.040), (shoulder, 0.053)]),
        ("left_shoulder", [(shoulder, 0.054), (0.55 * shoulder + 0.45 * elbow, 0.047), (elbow, 0.039)]),
        ("left_elbow", [(elbow, 0.039), (0.75 * elbow + 0.25 * wrist, 0.041), (wrist, 0.027)]),
        ("left_wrist", [hand(0.0, 0.0, 0.026), hand(0.088, 0.026, 0.017), hand(0.085, -0.028, 0.015),
                        hand(0.165, 0.016, 0.010), hand(0.150, -0.024, 0.009)]),
        ("left_wrist", [hand(0.028, 0.018, 0.017), hand(0.062, 0.044, 0.013), hand(0.092, 0.056, 0.010)]),
        ("left_hip", [(hip, 0.088), (0.6 * hip + 0.4 * knee + [0.004, 0, 0.006], 0.078), (knee, 0.054)]),
        ("left_knee", [(knee, 0.054), (0.7 * knee + 0.3 * ankle + [0, 0, -0.014], 0.055), (ankle, 0.037)]),
        ("left_ankle", [(ankle, 0.037), sole(0.031, -0.168, -0.008), *balls_of_foot]),
        ("left_foot", [*balls_of_foot, sole(0.014, 0.070, -0.022), sole(0.012, 0.046, 0.026)]),
    ]  # fmt: skip


def _hull(balls: list[Ball]) -> trimesh.Trimesh:
    """Convex hull of spheres, whose poles lie along the line from the first to the last."""
    turn = np.linspace(0, np.pi, BALL_ROWS)
    sphere = trimesh.creation.revolve(np.stack([np.sin(turn), -np.cos(turn)], axis=1), sections=CORNERS)
    sphere.apply_transform(trimesh.geometry.align_vectors([0, 0, 1], balls[-1][0] - balls[0][0]))
    return trimesh.convex.convex_hull(np.concatenate([centre + radius * sphere.vertices for centre, radius in balls]))


def _lathed(rows: Array) -> trimesh.Trimesh:
    """Connected ellipses, given by height, forward offset, half width and half depth."""
    profile = np.stack([rows[:, 2] > 0, rows[:, 0]], axis=1).astype(np.float64)
    mesh = trimesh.creation.revolve(profile, sections=CORNERS)
    across, height = mesh.vertices[:, :2], mesh.vertices[:, 2]
    front, width, depth = (np.interp(height, rows[:, 0], column) for column in rows[:, 1:].T)
    mesh.vertices = np.stack([across[:, 1] * width, height, across[:, 0] * depth + front], axis=1)
    return mesh


def _along_the_spine(heights: Array) -> Array:
    """Weights (V, 22) of the trunk at heights (V,): the overlap of each bone with the interval of ±BLEND."""
    shares = np.zeros((len(heights), len(JOINTS)))
    joints = [JOINTS.index(name) for name in _SPINE]
    ends = [-np.inf, *REST[joints[1:], 1].tolist(), np.inf]
    for joint, low, high in zip(joints, ends[:-1], ends[1:], strict=True):
        within = np.minimum(heights + BLEND, high) - np.maximum(heights - BLEND, low)
        shares[:, joint] = np.maximum(within, 0) / (2 * BLEND)
    return shares


def _one(joint: str, mesh: trimesh.Trimesh) -> Array:
    """Weights (V, 22) of a part that moves with one joint."""
    shares = np.zeros((len(mesh.vertices), len(JOINTS)))
    shares[:, JOINTS.index(joint)] = 1
    return shares


@dataclass(frozen=True, eq=False)
class MeshPart:
    """The part of a skin that has one colour.

    Attributes:
        vertices: (V, 3) metres.
        faces: (T, 3) vertex indices.
        joints: that move it.
        weights: (V, joints).
        colour: RGB, 0…255.
    """

    vertices: Array
    faces: NDArray[np.int64]
    joints: tuple[int, ...]
    weights: Array
    colour: tuple[int, int, int]


@cache
def capsule_parts() -> tuple[MeshPart, ...]:
    """The capsule body split by colour, for viewers whose skinned meshes have one colour each."""
    skin = capsule_skin()
    colours, which = np.unique(skin.colours, axis=0, return_inverse=True)
    cut = []
    for k, colour in enumerate(colours):
        mine = np.flatnonzero(which == k)
        number = np.full(len(which), -1)
        number[mine] = np.arange(len(mine))
        faces = number[skin.faces]
        joints = np.flatnonzero(skin.dense_weights[mine].max(axis=0) > 0)
        red, green, blue = np.round(255 * colour).astype(int).tolist()
        whole = faces[(faces >= 0).all(axis=1)]
        cut.append(
            MeshPart(
                skin.vertices[mine],
                whole,
                tuple(joints.tolist()),
                skin.dense_weights[np.ix_(mine, joints)],
                (red, green, blue),
            )
        )
    return tuple(cut)
