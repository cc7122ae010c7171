"""The page of one client: it builds widgets and scene, and keeps them in step with the session."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from guidance.goals.goal_set import Goal
from visualize.studio.generation import Models, Poses, Take
from visualize.studio.job_queue import JobQueue
from visualize.studio.plan import Plan
from visualize.studio.plan_panels import (
    PLAY,
    DrawPanel,
    ExamplesPanel,
    FilesPanel,
    GoalPanel,
    KnownActionsPanel,
    PromptPanel,
    ReportPanel,
    TimePanel,
)
from visualize.studio.scene_view import DisplayedMotion, Point, SceneCallbacks, SceneView
from visualize.studio.session import Session
from visualize.studio.take_panels import MakePanel, TakePanel, UndoingPanel
from visualize.studio.threads import EventLoop, Task
from visualize.studio.tools import handles
from visualize.studio.widgets import Controls

CAMERAS: dict[str, tuple[Point, float]] = {
    "Side": ((-1.0, 0.6, -0.35), 4.8),
    "Front": ((0.25, 0.35, 1.0), 4.0),
    "Behind": ((0.3, 0.55, -1.0), 4.0),
    "Above": ((0.0, 1.0, -0.02), 7.5),
}
"""Direction to the camera, and its distance in metres from a scene without extent, by label."""
PLAN_KEY = "plan"
"""Key of the plan in the browser's local storage."""
HINTS_KEY = "hints"
"""Key of what the person has done of that which hints ask for, joined by commas."""
TOOLS_THROUGH_GOALS = ("Key frame", "Facing")
"""Tools that are used where goals are, so that goals must not be grabbed."""
MOTION_SPACING = 1.4
"""Metres between takes side by side, in addition to their width."""
LOOK_HEIGHT = 0.25
"""Height in metres at which the camera looks; the time line covers the lower part of the picture."""
OVERLAY_OPACITY = 0.35
"""Opacity of takes overlaid on the chosen one."""


class Page:
    """Everything of one client. It is built and used on its own event loop."""

    def __init__(self, client: Any, models: Models, queue: JobQueue, *, live: bool = True):
        """Create the session and schedule the construction of the page.

        Args:
            client: viser's handle.
            models: offered by the studio.
            queue: shared job queue.
            live: whether the motion follows the plan.
        """
        self._client = client
        self._loop = EventLoop(self._tick)
        self.session = Session(
            models=models,
            queue=queue,
            owner=client.client_id,
            post=lambda task: self._loop.post_always(lambda: self._run_and_refresh(task)),
            post_newest=lambda key, task: self._loop.post_newest(key, lambda: self._run_and_refresh(task)),
            post_later=lambda key, seconds, task: self._loop.post_later(
                key, seconds, lambda: self._run_and_refresh(task)
            ),
            deliver=self._deliver,
        )
        self.session.live.enabled = live
        self._last_tick = time.monotonic()
        self._shown: list[DisplayedMotion] = []
        self._last_shown: dict[str, object] = {"plays": 0}
        self._loop.post(self._build)

    def close(self) -> None:
        """Stop the event loop, then cancel the client's jobs."""
        self._loop.close()
        self.session.close()

    def show_message(self, message: str) -> None:
        """Show a message. Safe to call from any thread."""

        def show() -> None:
            self.session.message = message

        self._loop.post(lambda: self._run_and_refresh(show))

    def _build(self) -> None:
        if kept := self._stored(PLAN_KEY):
            self.session.restore(kept)
        self.session.mark_done(*self._stored(HINTS_KEY).split(","))
        self.session.live.follow(self.session.plan)
        gui = self._client.gui
        controls = Controls(gui, self._loop, self.session, self._refresh)
        callbacks = SceneCallbacks(
            click=lambda place: self._run_action(lambda session: session.click(place)),
            stroke=lambda points: self._run_action(lambda session: session.draw_stroke(points)),
            select=lambda index: self._run_action(lambda session: session.select(index)),
            move=lambda index, number, spot, done: self._run_action(
                lambda session: session.move_goal(index, number, spot, done=done)
            ),
        )
        self._scene_view = SceneView(self._client, self._loop, callbacks)
        gui.set_panel_label("Motion studio")
        self._examples, self._prompt = ExamplesPanel(controls), PromptPanel(controls)
        self._draw, self._goal = DrawPanel(controls), GoalPanel(controls)
        self._report_panel = ReportPanel(controls)
        gui.main_panel.dock_left()
        gui.main_panel.set_width(330)
        side = gui.add_panel()
        with side.add_tab("Takes", "users"):
            self._make, self._takes = MakePanel(controls), TakePanel(controls)
        with side.add_tab("Analysis", "chart-line"):
            self._undoing = UndoingPanel(controls)
        with side.add_tab("Files", "folder"):
            FilesPanel(controls)
        with side.add_tab("Actions", "list"):
            self._known_actions = KnownActionsPanel(controls)
        side.dock_right()
        side.set_width(310)
        below = gui.add_panel()
        with below.add_tab("Timeline", "clock"):
            self._time = TimePanel(controls)
            controls.on_press(gui.add_button_group("Camera", tuple(CAMERAS)), lambda session, value: self._look(value))
        below.float(x=20, y=-16, width=460)
        controls.on_key("Undo", "Z", lambda session: session.undo(), "cmd/ctrl")
        controls.on_key("Redo", "Y", lambda session: session.redo(), "cmd/ctrl")
        controls.on_key("Redo", "Z", lambda session: session.redo(), "cmd/ctrl+shift")
        controls.on_key("Play or pause", "space", lambda session: self._time.press(PLAY))
        controls.on_key("Previous frame", "pageup", lambda session: self._time.step(-1))
        controls.on_key("Next frame", "pagedown", lambda session: self._time.step(1))
        controls.on_key("First frame", "home", lambda session: self._time.seek_end(False))
        controls.on_key("Last frame", "end", lambda session: self._time.seek_end(True))
        controls.on_key("Delete the selected goal", "delete", lambda session: session.remove_goal())
        controls.on_key("Delete the selected goal", "backspace", lambda session: session.remove_goal())
        controls.on_key("Move tool", "escape", lambda session: session.select_tool("Move"))
        controls.on_key("Generate", "enter", lambda session: session.generate(), "cmd/ctrl")
        self._refresh()

    def _stored(self, key: str) -> str:
        """A value that the browser keeps; empty without one."""
        try:
            return str(self._client.local_storage.get_item(key, timeout=5.0) or "")
        except (RuntimeError, TimeoutError):  # a browser without local storage
            return ""

    # Actions

    def _run_and_refresh(self, task: Task) -> None:
        """Run a task and update the page."""
        try:
            task()
        finally:
            self._refresh()

    def _run_action(self, action: Callable[[Session], None]) -> None:
        self._run_and_refresh(lambda: action(self.session))

    def _deliver(self, name: str, content: bytes) -> None:
        self._client.send_file_download(name, content, save_immediately=True)

    def _tick(self) -> None:
        now = time.monotonic()
        self._time.player = self._time.player.advanced(now - self._last_tick)
        self._last_tick = now
        self._time.show_time()
        self._scene_view.show_time(self._time.player.time)
        self.session.set_time(self._time.player.time)

    # Display

    def _refresh(self) -> None:
        """Display what has changed."""
        session = self.session
        takes, preview = self._takes.shown(session), session.live.poses
        new_motions = self._has_changed("motions", (takes, preview, self._takes.layout))
        begins = new_motions and not self._shown and bool(takes or preview)
        if self._has_changed("plays", session.plays) or begins:
            self._time.player = self._time.player.seek(0.0).toggled(True)
        self._time.show(session)
        session.set_time(self._time.player.time)
        self._examples.show(session)
        if self._has_changed("hints", session.done):
            self._client.local_storage.set_item(HINTS_KEY, ",".join(sorted(session.done)))
        self._draw.show(session)
        self._scene_view.enable_drawing(session.tool_state.tool != "Move")
        if self._has_changed("plan", (session.plan, session.refusals)):
            self._prompt.show(session)
            self._make.show(session.plan)
            self._known_actions.show(session)
            self._store_plan(session.plan)
            self._loop.post_newest("report", self._show_report)
            base = session.plan.base
            self._scene_view.show_source_path(
                None if base is None else base.motion.joints[:, 0, [0, 2]].double().numpy()
            )
        if new_motions:
            self._takes.show(session)
            self._shown = self._displayed_motions(takes, preview)
            self._scene_view.show_motions(self._shown)
        self._undoing.show(session)
        grabbable = session.tool_state.tool not in TOOLS_THROUGH_GOALS
        goals = (session.plan, session.refusals, session.selected, session.held, session.chosen, grabbable)
        if self._has_changed("goals", goals):
            self._goal.show(session)
            if session.held is None:
                self._scene_view.show_goals(session.plan, session.selected, session.joints_at, grabbable=grabbable)
            else:
                self._scene_view.show_held_goal(session.plan.goals[session.held], session.held, session.joints_at)
        self._make.show_progress(session)
        self._report_panel.show_progress(session)
        self._scene_view.show_time(self._time.player.time)
        if self._time.player.playing and not self._loop.ticking:
            self._last_tick = time.monotonic()
        self._loop.ticking = self._time.player.playing

    def _has_changed(self, key: str, value: object) -> bool:
        """Whether a value differs from the one last displayed; stores it."""
        before, self._last_shown[key] = self._last_shown.get(key), value
        return before is None or before != value

    def _show_report(self) -> None:
        report = self.session.report()
        self._report_panel.show(report, self.session.plan)
        self._prompt.show_unlearned(report.unlearned)

    def _store_plan(self, plan: Plan) -> None:
        self._client.local_storage.set_item(PLAN_KEY, plan.to_json())

    def _displayed_motions(self, takes: list[Take], preview: Poses | None) -> list[DisplayedMotion]:
        """The preview, or else the chosen take, at the origin, the other takes beside it or overlaid."""
        beside = self._takes.layout == "Side by side"
        several = beside and len(takes) > 1
        motions = [DisplayedMotion(take.poses, take.name if several else "", take.plan.goals) for take in takes]
        if preview is not None:
            motions[:1] = [DisplayedMotion(preview)]
        displayed, offset = [], 0.0
        for k, motion in enumerate(motions):
            goals: tuple[Goal, ...] = motion.goals if k > 0 and beside else ()
            opacity = OVERLAY_OPACITY if k > 0 and not beside else None
            displayed.append(replace(motion, goals=goals, offset=offset, opacity=opacity))
            if beside:
                offset += MOTION_SPACING + float(np.ptp(motion.poses.positions[:, 0, 0]))
        return displayed

    def _look(self, camera: str) -> None:
        """Point the camera at the extent of plan and takes."""
        session = self.session
        spots = [(0.0, 0.0, 0.0)]
        for goal in session.plan.goals:
            spots += [handle.position for handle in handles(goal, session.joints_at(goal.last_time).numpy())]
        for motion in self._shown:
            spots += [(x + motion.offset, 0.0, z) for x, _, z in motion.poses.positions[::20, 0].tolist()]
        low, high = np.min(spots, axis=0), np.max(spots, axis=0)
        x, _, z = ((low + high) / 2).tolist()
        direction, distance = CAMERAS[camera]
        away = np.array(direction) / np.linalg.norm(direction) * (distance + 0.375 * np.linalg.norm(high - low))
        eye = self._client.camera
        with self._client.atomic():
            eye.up_direction = (0.0, 1.0, 0.0)
            eye.position = tuple((np.array([x, LOOK_HEIGHT, z]) + away).tolist())
            eye.look_at = (x, LOOK_HEIGHT, z)
