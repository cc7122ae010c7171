"""Scene view of one client: a floor to draw on, bodies, goals, and the handles that move them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
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
from motion_diffusion.body.rig import REST
from motion_diffusion.body.skeleton import FPS, JOINTS, PARENTS, frame_of
from visualize.bodies.capsules import capsule_parts
from visualize.drawing import style
from visualize.studio.generation import Poses
from visualize.studio.goal_editing import FloorPoint
from visualize.studio.plan import Plan
from visualize.studio.threads import EventLoop
from visualize.studio.tools import Handle, fill_free_axes, handles, intersect_floor

Array = NDArray[np.float64]
RGB = tuple[int, int, int]
Point = tuple[float, float, float]
FLOOR = 60.0
"""Side length in metres of the floor that accepts strokes."""
LIFT = 0.012
"""Height in metres of goals above the floor, which would hide them."""
OBSTACLE_HEIGHT = 0.5
"""Displayed height of obstacles, metres."""
MAX_PATH_POINTS = 120
"""Maximum points of the displayed path of a motion, and up to twice as many."""
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


class BodyMesh:
    """A body in the scene. The mesh is sent once; afterwards only bone poses are."""

    def __init__(self, scene: Any, name: str):
        """Add the body's meshes.

        Args:
            scene: of viser.
            name: of the node.
        """
        self._parts = capsule_parts()
        self._root = scene.add_frame(name, show_axes=False)
        still = np.tile([1.0, 0.0, 0.0, 0.0], (len(JOINTS), 1))
        self._meshes = [
            scene.add_mesh_skinned(
                f"{name}/{k}",
                piece.vertices,
                piece.faces,
                bone_wxyzs=still[list(piece.joints)],
                bone_positions=REST.numpy()[list(piece.joints)],
                skin_weights=piece.weights,
                color=piece.colour,
            )
            for k, piece in enumerate(self._parts)
        ]

    def show(self, poses: Poses, time: float) -> None:
        """Take the pose of a motion at `time` seconds."""
        frame = poses.frame(time)
        for piece, mesh in zip(self._parts, self._meshes, strict=True):
            for joint, bone in zip(piece.joints, mesh.bones, strict=True):
                bone.wxyz, bone.position = poses.orientations[frame, joint], poses.positions[frame, joint]

    def set_offset(self, offset: float) -> None:
        """Move to `offset` metres left of the origin."""
        self._root.position = (offset, 0.0, 0.0)

    def set_opacity(self, opacity: float | None) -> None:
        """Set the opacity; None for opaque."""
        for mesh in self._meshes:
            mesh.opacity = opacity

    def set_hidden(self, hidden: bool) -> None:
        """Hide or show the body."""
        self._root.visible = not hidden


@dataclass(frozen=True)
class SceneCallbacks:
    """Callbacks of the scene, called on the page's event loop.

    Attributes:
        click: on the floor.
        stroke: along the floor.
        select: a goal, by its index.
        move: handle of a goal (index, number) to a point, and whether it is released there.
    """

    click: Callable[[FloorPoint], None]
    stroke: Callable[[list[FloorPoint]], None]
    select: Callable[[int], None]
    move: Callable[[int, int, Point, bool], None]


@dataclass(frozen=True, eq=False)
class DisplayedMotion:
    """A motion in the scene.

    Attributes:
        poses: joints over time.
        name: label on the floor.
        goals: drawn with it if it is not at the origin.
        offset: metres to the left of the origin.
        opacity: None for opaque.
    """

    poses: Poses
    name: str = ""
    goals: tuple[Goal, ...] = ()
    offset: float = 0.0
    opacity: float | None = None


class SceneView:
    """The scene of one client. Use it on the page's event loop only."""

    def __init__(self, client: Any, loop: EventLoop, callbacks: SceneCallbacks):
        """Add the floor.

        Args:
            client: viser's handle.
            loop: event loop of the page.
            callbacks: for clicks, strokes and handles.
        """
        self._client, self._scene, self._loop, self._callbacks = client, client.scene, loop, callbacks
        half = FLOOR / 2
        corners = np.array([[-half, 0, -half], [-half, 0, half], [half, 0, half], [half, 0, -half]])
        self._floor = self._scene.add_mesh_simple(
            "/floor", corners, np.array([[0, 1, 2], [0, 2, 3]]), color=(255, 255, 255), opacity=0.0,
            cast_shadow=False, receive_shadow=False, side="double",
        )  # fmt: skip
        self._drawing = False
        self._stroke: list[FloorPoint] = []
        self._bodies: list[BodyMesh] = []
        self._motions: list[DisplayedMotion] = []
        self._frames: list[Any] = []
        self._moving: dict[int, tuple[Any, Obstacle]] = {}
        self._balls: dict[int, list[Any]] = {}
        self._goals: Any = None
        self._trail: Any = None

    # The floor

    def enable_drawing(self, drawing: bool) -> None:
        """Let drags draw on the floor, or else turn the camera."""
        if drawing == self._drawing:
            return
        self._drawing = drawing
        if drawing:
            self._floor.on_click(self._on_floor_click)
            self._floor.on_drag("left")(self._on_floor_drag)
        else:
            self._floor.remove_click_callback("all")
            self._floor.remove_drag_callback("all")

    async def _on_floor_click(self, event: Any) -> None:
        place = intersect_floor(event.ray_origin, event.ray_direction)
        if place is not None:
            self._loop.post(lambda: self._callbacks.click(place))

    async def _on_floor_drag(self, event: Any) -> None:
        if event.phase == "start":
            self._stroke = [(event.start_position[0], event.start_position[2])]
        if (place := _floor_point_of(event)) is not None:
            self._stroke.append(place)
        points = list(self._stroke)
        if event.phase == "end":
            self._loop.post(lambda: self._end_stroke(points))
        else:
            self._loop.post_newest("stroke", lambda: self._preview_stroke(points))

    def _preview_stroke(self, points: list[FloorPoint]) -> None:
        if len(points) > 1:
            add_line(self._scene, "/stroke", above_floor(np.array(points)), scene_colour(style.GOAL_DUE), 0.03)

    def _end_stroke(self, points: list[FloorPoint]) -> None:
        self._scene.add_frame("/stroke", show_axes=False)  # replaces the line
        self._callbacks.stroke(points)

    # Goals

    def show_goals(
        self, plan: Plan, selected: int | None, joints_at: Callable[[float], Tensor], *, grabbable: bool = True
    ) -> None:
        """Display the goals within the plan's time, with handles.

        Args:
            plan: whose goals.
            selected: index of the highlighted goal.
            joints_at: joints (22, 3) by time, for free axes.
            grabbable: whether goals accept clicks and drags; else these pass through to the floor.
        """
        with self._client.atomic():
            if self._goals is not None:
                self._goals.remove()
            self._moving, self._balls = {}, {}
            self._goals = self._scene.add_frame("/goals", show_axes=False)
            for index, goal in enumerate(plan.goals):
                if frame_of(goal.last_time) >= plan.frames:
                    continue
                name = f"/goals/{index}"
                self._add_goal(goal, index, joints_at, selected=index == selected)
                for handle in handles(goal, joints_at(goal.last_time).numpy()):
                    ball = self._ball(f"{name}/handle/{handle.number}", goal, handle, index == selected)
                    self._balls.setdefault(index, []).append(ball)
                    if handle.free and index == selected:
                        self._gizmo(f"{name}/arrows", index, handle)
                    if grabbable:
                        ball.on_click(self._on_goal_click(index))
                    if grabbable and not handle.free:
                        ball.on_drag("left")(self._on_ball_drag(index, handle.number))

    def show_held_goal(self, goal: Goal, index: int, joints_at: Callable[[float], Tensor]) -> None:
        """Display a goal that is being dragged. Its handles stay, since removing them would end the drag."""
        with self._client.atomic():
            self._add_goal(goal, index, joints_at, selected=True)
            spots = handles(goal, joints_at(goal.last_time).numpy())
            for ball, handle in zip(self._balls.get(index, []), spots, strict=False):
                ball.position = _ball_position(handle)

    def _add_goal(self, goal: Goal, index: int, joints_at: Callable[[float], Tensor], *, selected: bool) -> None:
        """Add a goal without handles, in place of the nodes of the same goal."""
        node = add_goal(self._scene, f"/goals/{index}", goal, joints_at, selected=selected)
        if isinstance(goal, Obstacle) and goal.centers is not None:
            self._moving[index] = (node, goal)

    def _ball(self, name: str, goal: Goal, handle: Handle, selected: bool) -> Any:
        hue = scene_colour(style.OBSTACLE if isinstance(goal, Obstacle) else style.GOAL, 1.0 if selected else 0.75)
        radius = 0.06 if isinstance(goal, Joint) else 0.075 if selected else 0.06
        return self._scene.add_icosphere(
            name, radius=radius, color=hue, position=_ball_position(handle), cast_shadow=False
        )

    def _gizmo(self, name: str, index: int, handle: Handle) -> None:
        gizmo = self._scene.add_transform_controls(
            name, scale=0.32, disable_rotations=True, depth_test=False, position=handle.position
        )
        gizmo.on_update(self._on_gizmo_drag(index, handle.number))

    def _on_goal_click(self, index: int) -> Callable[[Any], Any]:
        async def clicked(event: Any) -> None:
            self._loop.post(lambda: self._callbacks.select(index))

        return clicked

    def _on_ball_drag(self, index: int, number: int) -> Callable[[Any], Any]:
        last: list[Point] = []

        async def dragged(event: Any) -> None:
            if (place := _floor_point_of(event)) is not None:
                last[:] = [(place[0], LIFT, place[1])]
            if last:
                self._move(index, number, last[0], event.phase)

        return dragged

    def _on_gizmo_drag(self, index: int, number: int) -> Callable[[Any], Any]:
        async def pulled(event: Any) -> None:
            x, y, z = (float(axis) for axis in event.target.position)
            self._move(index, number, (x, y, z), event.phase)

        return pulled

    def _move(self, index: int, number: int, spot: Point, phase: str) -> None:
        """Report a drag; of those that the event loop has not come to, the newest."""
        if phase == "end":
            self._loop.post_always(lambda: self._callbacks.move(index, number, spot, True))
        elif phase == "update":
            self._loop.post_newest("move", lambda: self._callbacks.move(index, number, spot, False))

    # Bodies

    def show_motions(self, motions: Sequence[DisplayedMotion]) -> None:
        """Display motions."""
        with self._client.atomic():
            for frame in self._frames:
                frame.remove()
            self._frames = []
            while len(self._bodies) < len(motions):
                self._bodies.append(BodyMesh(self._scene, f"/bodies/{len(self._bodies)}"))
            for k, body in enumerate(self._bodies):
                body.set_hidden(k >= len(motions))
            for k, motion in enumerate(motions):
                self._bodies[k].set_opacity(motion.opacity)
                self._bodies[k].set_offset(motion.offset)
                self._add_motion_labels(f"/lanes/{k}", motion)
        self._motions = list(motions)

    def _add_motion_labels(self, name: str, motion: DisplayedMotion) -> None:
        self._frames.append(self._scene.add_frame(name, show_axes=False, position=(motion.offset, 0.0, 0.0)))
        way = motion.poses.positions[:: max(len(motion.poses.positions) // MAX_PATH_POINTS, 1), 0][:, [0, 2]]
        if float(np.ptp(way, axis=0).max()) > 0.1:
            add_line(self._scene, f"{name}/path", above_floor(way), scene_colour(style.WALKED, 0.5), 0.02)
        if motion.name:
            x, _, z = motion.poses.positions[0, 0].tolist()
            add_label(self._scene, name, motion.name, (x, z))
        for index, goal in enumerate(motion.goals):
            add_goal(self._scene, f"{name}/{index}", goal, motion.poses.joints_at, selected=False)

    def show_time(self, time: float) -> None:
        """Display all motions at `time` seconds; those that have ended keep their last pose."""
        with self._client.atomic():
            for body, motion in zip(self._bodies, self._motions, strict=False):
                body.show(motion.poses, time)
            for node, goal in self._moving.values():
                node.position = obstacle_position(goal, time)

    def show_source_path(self, way: NDArray[np.float64] | None) -> None:
        """Display the path (n, 2) of the motion that the plan edits; None removes it."""
        if self._trail is not None:
            self._trail.remove()
            self._trail = None
        if way is not None and len(way) > 1:
            self._trail = add_line(self._scene, "/trail", above_floor(way), scene_colour(style.WALKED, 0.5), 0.02)


def _ball_position(handle: Handle) -> Point:
    x, y, z = handle.position
    return x, max(y, LIFT), z


def _floor_point_of(event: Any) -> FloorPoint | None:
    """Floor point below the pointer of a drag."""
    eye = np.asarray(event.client.camera.position, dtype=float)
    return intersect_floor(eye.tolist(), (np.asarray(event.end_position, dtype=float) - eye).tolist())
