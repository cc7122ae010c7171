"""The scene in one person's browser: a floor to draw on, bodies, goals, and the handles by which these are moved."""

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
from motion_diffusion.body.skeleton import FPS
from visualize.drawing import style
from visualize.studio import signs
from visualize.studio.body import Body, Poses
from visualize.studio.desk import Desk
from visualize.studio.document import Document
from visualize.studio.drawing import Handle, Place, handles, on_floor

Spot = tuple[float, float, float]

FLOOR = 60.0
"""Metres of the floor that can be drawn on, in each direction."""
CAMERAS: dict[str, tuple[Spot, float]] = {
    "Side": ((-1.0, 0.6, -0.35), 4.8),
    "Front": ((0.25, 0.35, 1.0), 4.0),
    "Behind": ((0.3, 0.55, -1.0), 4.0),
    "Above": ((0.0, 1.0, -0.02), 7.5),
}
"""From where the camera looks, a direction and metres, by the name on the page."""


@dataclass(frozen=True)
class Acts:
    """What a person does in the scene; called on their own thread."""

    click: Callable[[Place], None]
    """On the floor."""
    stroke: Callable[[list[Place]], None]
    """Along the floor."""
    select: Callable[[int], None]
    """On a goal."""
    moved: Callable[[int, int, Spot], None]
    """A handle of a goal, to a spot."""


@dataclass(frozen=True, eq=False)
class Lane:
    """A motion on the stage, with its name, and with goals beside it where it is not at home."""

    poses: Poses
    name: str = ""
    goals: tuple[Goal, ...] = ()
    away: float = 0.0
    """Metres to the left of home."""
    opacity: float | None = None


class Stage:
    """What a person sees. To be used on their own thread alone."""

    def __init__(self, client: Any, desk: Desk, acts: Acts):
        """client: of viser."""
        self._client, self._scene, self._desk, self._acts = client, client.scene, desk, acts
        half = FLOOR / 2
        corners = np.array([[-half, 0, -half], [-half, 0, half], [half, 0, half], [half, 0, -half]])
        self._floor = self._scene.add_mesh_simple(
            "/floor", corners, np.array([[0, 1, 2], [0, 2, 3]]), color=(255, 255, 255), opacity=0.0,
            cast_shadow=False, receive_shadow=False, side="double",
        )  # fmt: skip
        self._drawing = False
        self._stroke: list[Place] = []
        self._bodies: list[Body] = []
        self._lanes: list[Lane] = []
        self._frames: list[Any] = []
        self._moving: list[tuple[Any, Obstacle]] = []
        self._goals: Any = None
        self._trail: Any = None

    # The floor

    def hold(self, drawing: bool) -> None:
        """Let the floor be drawn on, or else the camera be turned by dragging it."""
        if drawing == self._drawing:
            return
        self._drawing = drawing
        if drawing:
            self._floor.on_click(self._clicked)
            self._floor.on_drag("left")(self._dragged)
        else:
            self._floor.remove_click_callback("all")
            self._floor.remove_drag_callback("all")

    async def _clicked(self, event: Any) -> None:
        place = on_floor(event.ray_origin, event.ray_direction)
        if place is not None:
            self._desk.post(lambda: self._acts.click(place))

    async def _dragged(self, event: Any) -> None:
        if event.phase == "start":
            self._stroke = [(event.start_position[0], event.start_position[2])]
        if (place := _beneath(event)) is not None:
            self._stroke.append(place)
        points = list(self._stroke)
        if event.phase == "end":
            self._desk.post(lambda: self._drawn(points))
        else:
            self._desk.post_newest("stroke", lambda: self._preview(points))

    def _preview(self, points: list[Place]) -> None:
        if len(points) > 1:
            signs.line(self._scene, "/stroke", signs.flat(np.array(points)), signs.colour(style.GOAL_DUE), 0.03)

    def _drawn(self, points: list[Place]) -> None:
        self._scene.add_frame("/stroke", show_axes=False)  # instead of the line
        self._acts.stroke(points)

    # Goals

    def goals(
        self, plan: Document, selected: int | None, standing: Callable[[float], Tensor], *, held: bool = True
    ) -> None:
        """Show the goals of the plan that lie in its time, with handles; the one in hand stands out.

        held: whether they can be taken hold of; else clicks and strokes go through them.
        """
        with self._client.atomic():
            if self._goals is not None:
                self._goals.remove()
            self._moving = []
            self._goals = self._scene.add_frame("/goals", show_axes=False)
            for index, goal in enumerate(plan.goals):
                if round(goal.last_time * FPS) >= plan.frames:
                    continue
                name = f"/goals/{index}"
                node = signs.sign(self._scene, name, goal, standing, in_hand=index == selected)
                if isinstance(goal, Obstacle) and signs.moves(goal):
                    self._moving.append((node, goal))
                for handle in handles(goal, standing(goal.last_time).numpy()):
                    ball = self._ball(f"{name}/handle/{handle.number}", goal, handle, index == selected)
                    if handle.free and index == selected:
                        self._gizmo(f"{name}/arrows", index, handle)
                    if held:
                        ball.on_click(self._selecting(index))
                    if held and not handle.free:
                        ball.on_drag("left")(self._carrying(index, handle.number, ball))

    def _ball(self, name: str, goal: Goal, handle: Handle, in_hand: bool) -> Any:
        hue = signs.colour(style.OBSTACLE if isinstance(goal, Obstacle) else style.GOAL, 1.0 if in_hand else 0.75)
        x, y, z = handle.position
        radius = 0.06 if isinstance(goal, Joint) else 0.075 if in_hand else 0.06
        return self._scene.add_icosphere(
            name, radius=radius, color=hue, position=(x, max(y, signs.LIFT), z), cast_shadow=False
        )

    def _gizmo(self, name: str, index: int, handle: Handle) -> None:
        gizmo = self._scene.add_transform_controls(
            name, scale=0.32, disable_rotations=True, depth_test=False, position=handle.position
        )
        gizmo.on_update(self._pulling(index, handle.number))

    def _selecting(self, index: int) -> Callable[[Any], Any]:
        async def clicked(event: Any) -> None:
            self._desk.post(lambda: self._acts.select(index))

        return clicked

    def _carrying(self, index: int, number: int, ball: Any) -> Callable[[Any], Any]:
        async def dragged(event: Any) -> None:
            place = _beneath(event)
            if place is None:
                return
            spot = (place[0], signs.LIFT, place[1])
            if event.phase == "end":
                self._desk.post(lambda: self._acts.moved(index, number, spot))
            else:
                ball.position = spot

        return dragged

    def _pulling(self, index: int, number: int) -> Callable[[Any], Any]:
        async def pulled(event: Any) -> None:
            if event.phase == "end":
                x, y, z = (float(axis) for axis in event.target.position)
                self._desk.post(lambda: self._acts.moved(index, number, (x, y, z)))

        return pulled

    # Bodies

    def lanes(self, lanes: Sequence[Lane]) -> None:
        """Put motions on the stage."""
        with self._client.atomic():
            for frame in self._frames:
                frame.remove()
            self._frames = []
            while len(self._bodies) < len(lanes):
                self._bodies.append(Body(self._scene, f"/bodies/{len(self._bodies)}"))
            for k, body in enumerate(self._bodies):
                body.hide(k >= len(lanes))
            for k, lane in enumerate(lanes):
                self._bodies[k].fade(lane.opacity)
                self._bodies[k].stand(lane.away)
                self._lane_signs(f"/lanes/{k}", lane)
        self._lanes = list(lanes)

    def _lane_signs(self, name: str, lane: Lane) -> None:
        self._frames.append(self._scene.add_frame(name, show_axes=False, position=(lane.away, 0.0, 0.0)))
        if lane.name:
            x, _, z = lane.poses.places[0, 0].tolist()
            signs.label(self._scene, name, lane.name, (x, z))
        for index, goal in enumerate(lane.goals):
            signs.sign(self._scene, f"{name}/{index}", goal, lane.poses.joints_at, in_hand=False)

    def show(self, time: float) -> None:
        """Show a second of all motions; one that is over stands still."""
        with self._client.atomic():
            for body, lane in zip(self._bodies, self._lanes, strict=False):
                body.show(lane.poses, time)
            for node, goal in self._moving:
                node.position = signs.middle(goal, time)

    def trail(self, way: NDArray[np.float64] | None) -> None:
        """Show where a motion that is gone on from went, places (n, 2); None: nothing."""
        if self._trail is not None:
            self._trail.remove()
            self._trail = None
        if way is not None and len(way) > 1:
            self._trail = signs.line(self._scene, "/trail", signs.flat(way), signs.colour(style.WALKED, 0.5), 0.02)

    def look(self, camera: str, middle: Spot, reach: float) -> None:
        """Look from a side at a spot, from as far that so many metres around it are seen."""
        direction, distance = CAMERAS[camera]
        towards = np.array(direction) / np.linalg.norm(direction)
        eye = self._client.camera
        with self._client.atomic():
            eye.up_direction = (0.0, 1.0, 0.0)
            eye.position = tuple((np.array(middle) + towards * (distance + 0.75 * reach)).tolist())
            eye.look_at = middle


def _beneath(event: Any) -> Place | None:
    """The place on the floor beneath the pointer of a drag."""
    eye = np.asarray(event.client.camera.position, dtype=float)
    return on_floor(eye.tolist(), (np.asarray(event.end_position, dtype=float) - eye).tolist())
