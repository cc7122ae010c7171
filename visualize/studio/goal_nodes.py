"""Nodes of the scene for goals: lines, rings, arrows, obstacles and labels on the floor."""

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
from visualize.studio.goal_editing import FloorPoint
from visualize.studio.tools import fill_free_axes

Array = NDArray[np.float64]
RGB = tuple[int, int, int]
LIFT = 0.012
"""Height in metres of goals above the floor, which would hide them."""
OBSTACLE_HEIGHT = 0.5
"""Displayed height of obstacles, metres."""
LABEL_DEPTH = 0.1
"""Depth in metres of labels below the floor, so that they appear beside their goals."""
_RING = np.linspace(0, 2 * np.pi, 40)


def scene_colour(hue: str, share: float = 1.0) -> RGB:
    """RGB in 0…255 of a colour blended with white; `share` is the colour's weight."""
    red, green, blue = np.round(255 * (1 - share + share * style.rgb(hue))).astype(int).tolist()
    return red, green, blue


def add_line(scene: Any, name: str, points: Array, hue: RGB, thickness: float = 0.025) -> Any:
    """Add a line through points (n, 3)."""
    return scene.add_line_segments(name, np.stack([points[:-1], points[1:]], axis=1), hue, thickness=thickness)


def above_floor(places: Array) -> Array:
    """Floor points (n, 2) as points (n, 3) slightly above the floor."""
    return np.insert(places, 1, LIFT, axis=-1)


def add_goal(scene: Any, name: str, goal: Goal, joints_at: Callable[[float], Tensor], *, selected: bool) -> Any:
    """Add a goal below a node.

    Args:
        scene: of viser.
        name: of the node.
        goal: to draw.
        joints_at: joints (22, 3) by time, for free axes.
        selected: whether to highlight it.

    Returns:
        The node of an obstacle; None for other goals.
    """
    hue = scene_colour(style.OBSTACLE if isinstance(goal, Obstacle) else style.GOAL, 1.0 if selected else 0.8)
    if isinstance(goal, PathGoal):
        _add_path(scene, name, goal, hue, 0.045 if selected else 0.03)
    elif isinstance(goal, Waypoint):
        _add_ring(scene, f"{name}/ring", (goal.x, goal.z), 0.18, hue)
        add_label(scene, name, goal.when, (goal.x, goal.z))
    elif isinstance(goal, Obstacle):
        return add_obstacle(scene, f"{name}/zone", goal, hue, 0.55 if selected else 0.35)
    elif isinstance(goal, Joint):
        spot = fill_free_axes(goal.position, _joint_position(joints_at, goal.joint, goal.last_time))
        _add_stem(scene, name, spot, hue)
        add_label(scene, name, f"{goal.joint.replace('_', ' ')}, {goal.when}", (spot[0], spot[2]))
    elif isinstance(goal, Contact):
        spot = fill_free_axes(goal.position or (None, None, None), _joint_position(joints_at, goal.joint, goal.start))
        _add_ring(scene, f"{name}/ring", (spot[0], spot[2]), 0.12, hue)
        add_label(scene, name, f"{goal.joint.replace('_', ' ')} locked", (spot[0], spot[2]))
    elif isinstance(goal, Heading):
        _add_heading(scene, name, goal, joints_at(goal.last_time), hue)
    elif isinstance(goal, Pose):
        _add_pose(scene, name, goal, hue)
    return None


def _add_path(scene: Any, name: str, goal: PathGoal, hue: RGB, thickness: float) -> None:
    _, places = goal.schedule()
    points = above_floor(places)
    add_line(scene, f"{name}/line", points, hue, thickness)
    ahead = points[-1] - points[max(len(points) - 4, 0)]
    if (size := float(np.linalg.norm(ahead))) > 1e-6:
        tip = np.stack([points[-1] - 0.02 * ahead / size, points[-1] + 0.22 * ahead / size])
        scene.add_arrows(f"{name}/tip", tip[None], hue, shaft_radius=0.012, head_radius=0.07, head_length=0.16)


def _add_ring(scene: Any, name: str, place: FloorPoint, radius: float, hue: RGB) -> None:
    round_it = np.asarray(place) + radius * np.stack([np.sin(_RING), np.cos(_RING)], axis=-1)
    add_line(scene, name, above_floor(round_it), hue, 0.03)


def add_obstacle(scene: Any, name: str, goal: Obstacle, hue: RGB, opacity: float) -> Any:
    """Add an obstacle at its initial position; the node must be moved if the obstacle moves."""
    x, z = goal.center or (goal.centers or [(0.0, 0.0)])[0]
    at = (x, OBSTACLE_HEIGHT / 2, z)
    if goal.size is None:
        quarter = (0.7071068, 0.7071068, 0.0, 0.0)  # viser's cylinders are along z
        return scene.add_cylinder(
            name,
            radius=goal.radius or 0.1,
            height=OBSTACLE_HEIGHT,
            color=hue,
            opacity=opacity,
            wxyz=quarter,
            position=at,
        )
    half = np.radians(goal.degrees) / 2
    turned = (float(np.cos(half)), 0.0, float(np.sin(half)), 0.0)
    size = (goal.size[0], OBSTACLE_HEIGHT, goal.size[1])
    return scene.add_box(name, color=hue, dimensions=size, opacity=opacity, wxyz=turned, position=at)


def _add_stem(scene: Any, name: str, spot: tuple[float, float, float], hue: RGB) -> None:
    """Add a vertical line from the floor to a point."""
    x, y, z = spot
    add_line(scene, f"{name}/stem", np.array([[x, LIFT, z], [x, max(y, LIFT), z]]), hue, 0.012)
    _add_ring(scene, f"{name}/foot", (x, z), 0.07, hue)


def _add_heading(scene: Any, name: str, goal: Heading, joints_at: Tensor, hue: RGB) -> None:
    """Add an arrow on the floor at the body."""
    start = np.array([float(joints_at[0, 0]), LIFT + 0.02, float(joints_at[0, 2])])
    turn = np.radians(goal.degrees)
    end = start + 0.7 * np.array([np.sin(turn), 0.0, np.cos(turn)])
    ends = np.stack([start, end])[None]
    scene.add_arrows(f"{name}/arrow", ends, hue, shaft_radius=0.022, head_radius=0.07, head_length=0.18)
    add_label(scene, name, goal.when, (float(end[0]), float(end[2])))


def _add_pose(scene: Any, name: str, goal: Pose, hue: RGB) -> None:
    """Add the bones between joints of the first frame that are fully constrained."""
    observed = goal.observe(goal.last + 1)
    whole = observed.mask[goal.first].all(-1)
    spots = observed.values[goal.first].numpy()
    kept = whole.nonzero()[:, 0].tolist()
    bones = [(spots[PARENTS[joint]], spots[joint]) for joint in kept if joint > 0 and whole[PARENTS[joint]]]
    if bones:
        scene.add_line_segments(f"{name}/bones", np.array(bones), hue, thickness=0.02)
    if kept:
        add_label(scene, name, goal.when, (float(spots[kept[0], 0]), float(spots[kept[0], 2])))


def add_label(scene: Any, name: str, words: str, place: FloorPoint) -> None:
    """Add a label just below a floor point, where it hides no body."""
    x, z = place
    scene.add_label(f"{name}/label", words, position=(x, -LABEL_DEPTH, z), font_screen_scale=0.72, anchor="top-center")


def _joint_position(joints_at: Callable[[float], Tensor], joint: str, time: float) -> Array:
    place: Array = joints_at(time)[JOINTS.index(joint)].numpy()
    return place


def obstacle_position(goal: Obstacle, time: float) -> tuple[float, float, float]:
    """Position of a moving obstacle's node at `time` seconds."""
    ((x, z),) = goal.middle(torch.tensor([time * FPS])).tolist()
    return x, OBSTACLE_HEIGHT / 2, z
