"""Scene view of one client: a floor to draw on, bodies, goals, and the handles that move them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from guidance.goals.goal_set import Goal
from guidance.goals.obstacles import Obstacle
from guidance.goals.positions import Joint
from motion_diffusion.body.rig import REST
from motion_diffusion.body.skeleton import JOINTS, frame_of
from visualize.bodies.capsules import capsule_parts
from visualize.drawing import style
from visualize.studio.generation import Poses
from visualize.studio.goal_editing import FloorPoint
from visualize.studio.goal_nodes import (
    LIFT,
    above_floor,
    add_goal,
    add_label,
    add_line,
    obstacle_position,
    scene_colour,
)
from visualize.studio.plan import Plan
from visualize.studio.threads import EventLoop
from visualize.studio.tools import Handle, handles, intersect_floor

Point = tuple[float, float, float]
FLOOR = 60.0
"""Side length in metres of the floor that accepts strokes."""
MAX_PATH_POINTS = 120
"""Maximum points of the displayed path of a motion, and up to twice as many."""


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
