"""Goals in a browser's scene: rings and lines on the floor, balls in the air, zones, arrows, and when they are due."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from guidance.goals.goal_set import Goal
from guidance.goals.heading import Heading
from guidance.goals.obstacles import Obstacle
from guidance.goals.poses import Pose
from guidance.goals.positions import Joint, PathGoal, Waypoint
from guidance.goals.relations import Contact
from motion_diffusion.body.skeleton import FPS, JOINTS, PARENTS
from visualize.drawing import style
from visualize.studio.drawing import Place, filled

Array = NDArray[np.float64]
Colour = tuple[int, int, int]

LIFT = 0.012
"""Metres of marks above the floor, so that they are seen."""
TALL = 0.5
"""Metres of a zone's height."""
BELOW = 0.1
"""Metres of labels below the floor, so that they are beside their marks."""
_RING = np.linspace(0, 2 * np.pi, 40)


def colour(hue: str, share: float = 1.0) -> Colour:
    """Red, green and blue in 0…255 of a hue, or of what a share of it makes with white."""
    red, green, blue = np.round(255 * (1 - share + share * style.rgb(hue))).astype(int).tolist()
    return red, green, blue


def line(scene: Any, name: str, points: Array, hue: Colour, thickness: float = 0.025) -> Any:
    """A line through points (n, 3)."""
    return scene.add_line_segments(name, np.stack([points[:-1], points[1:]], axis=1), hue, thickness=thickness)


def flat(places: Array) -> Array:
    """(n, 3): places (n, 2) a little above the floor."""
    return np.insert(places, 1, LIFT, axis=-1)


def sign(scene: Any, name: str, goal: Goal, standing: Callable[[float], Tensor], *, in_hand: bool) -> Any:
    """Draw a goal below a node, and give back the node of a zone.

    standing: where the body is at a second, for what the goal leaves free.
    """
    hue = colour(style.OBSTACLE if isinstance(goal, Obstacle) else style.GOAL, 1.0 if in_hand else 0.8)
    if isinstance(goal, PathGoal):
        _path(scene, name, goal, hue, 0.045 if in_hand else 0.03)
    elif isinstance(goal, Waypoint):
        _ring(scene, f"{name}/ring", (goal.x, goal.z), 0.18, hue)
        label(scene, name, goal.when, (goal.x, goal.z))
    elif isinstance(goal, Obstacle):
        return zone(scene, f"{name}/zone", goal, hue, 0.55 if in_hand else 0.35)
    elif isinstance(goal, Joint):
        spot = filled(goal.position, _joint(standing, goal.joint, goal.last_time))
        _stem(scene, name, spot, hue)
        label(scene, name, f"{goal.joint.replace('_', ' ')}, {goal.when}", (spot[0], spot[2]))
    elif isinstance(goal, Contact):
        spot = filled(goal.position or (None, None, None), _joint(standing, goal.joint, goal.start))
        _ring(scene, f"{name}/ring", (spot[0], spot[2]), 0.12, hue)
        label(scene, name, f"{goal.joint.replace('_', ' ')} stays", (spot[0], spot[2]))
    elif isinstance(goal, Heading):
        _arrow(scene, name, goal, standing(goal.last_time), hue)
    elif isinstance(goal, Pose):
        _pose(scene, name, goal, hue)
    return None


def _path(scene: Any, name: str, goal: PathGoal, hue: Colour, thickness: float) -> None:
    _, places = goal.schedule()
    points = flat(places)
    line(scene, f"{name}/line", points, hue, thickness)
    ahead = points[-1] - points[max(len(points) - 4, 0)]
    if (size := float(np.linalg.norm(ahead))) > 1e-6:
        tip = np.stack([points[-1] - 0.02 * ahead / size, points[-1] + 0.22 * ahead / size])
        scene.add_arrows(f"{name}/tip", tip[None], hue, shaft_radius=0.012, head_radius=0.07, head_length=0.16)


def _ring(scene: Any, name: str, place: Place, radius: float, hue: Colour) -> None:
    round_it = np.asarray(place) + radius * np.stack([np.sin(_RING), np.cos(_RING)], axis=-1)
    line(scene, name, flat(round_it), hue, 0.03)


def zone(scene: Any, name: str, goal: Obstacle, hue: Colour, opacity: float) -> Any:
    """The place to stay out of, where it is at first. The node is to be moved if the goal moves."""
    x, z = goal.center or (goal.centers or [(0.0, 0.0)])[0]
    at = (x, TALL / 2, z)
    if goal.size is None:
        quarter = (0.7071068, 0.7071068, 0.0, 0.0)  # cylinders of the browser stand along z
        return scene.add_cylinder(
            name, radius=goal.radius or 0.1, height=TALL, color=hue, opacity=opacity, wxyz=quarter, position=at
        )
    half = np.radians(goal.degrees) / 2
    turned = (float(np.cos(half)), 0.0, float(np.sin(half)), 0.0)
    size = (goal.size[0], TALL, goal.size[1])
    return scene.add_box(name, color=hue, dimensions=size, opacity=opacity, wxyz=turned, position=at)


def _stem(scene: Any, name: str, spot: tuple[float, float, float], hue: Colour) -> None:
    """From the floor up to a spot."""
    x, y, z = spot
    line(scene, f"{name}/stem", np.array([[x, LIFT, z], [x, max(y, LIFT), z]]), hue, 0.012)
    _ring(scene, f"{name}/foot", (x, z), 0.07, hue)


def _arrow(scene: Any, name: str, goal: Heading, standing: Tensor, hue: Colour) -> None:
    """On the floor, from where the body is."""
    start = np.array([float(standing[0, 0]), LIFT + 0.02, float(standing[0, 2])])
    turn = np.radians(goal.degrees)
    end = start + 0.7 * np.array([np.sin(turn), 0.0, np.cos(turn)])
    ends = np.stack([start, end])[None]
    scene.add_arrows(f"{name}/arrow", ends, hue, shaft_radius=0.022, head_radius=0.07, head_length=0.18)
    label(scene, name, goal.when, (float(end[0]), float(end[2])))


def _pose(scene: Any, name: str, goal: Pose, hue: Colour) -> None:
    """The joints of its first frame, and the bones between those that are wanted as wholes."""
    seen = goal.observe(goal.last + 1)
    whole = seen.mask[goal.first].all(-1)
    spots = seen.values[goal.first].numpy()
    kept = whole.nonzero()[:, 0].tolist()
    bones = [(spots[PARENTS[joint]], spots[joint]) for joint in kept if joint > 0 and whole[PARENTS[joint]]]
    if bones:
        scene.add_line_segments(f"{name}/bones", np.array(bones), hue, thickness=0.02)
    if kept:
        label(scene, name, goal.when, (float(spots[kept[0], 0]), float(spots[kept[0], 2])))


def label(scene: Any, name: str, words: str, place: Place) -> None:
    """Words just below a place on the floor, where they cover no body."""
    x, z = place
    scene.add_label(f"{name}/label", words, position=(x, -BELOW, z), font_screen_scale=0.72, anchor="top-center")


def _joint(standing: Callable[[float], Tensor], joint: str, time: float) -> Array:
    place: Array = standing(time)[JOINTS.index(joint)].numpy()
    return place


def moves(goal: Goal) -> bool:
    """Whether it is elsewhere as time goes by."""
    return isinstance(goal, Obstacle) and goal.centers is not None


def middle(goal: Obstacle, time: float) -> tuple[float, float, float]:
    """Where the node of a zone that moves is at a second."""
    ((x, z),) = goal.middle(torch.tensor([time * FPS])).tolist()
    return x, TALL / 2, z
