"""One person's page: widgets and scene on one side, their bench on the other, kept alike."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from guidance.goals.goal_set import Goal
from visualize.studio import drawing
from visualize.studio.bench import Bench
from visualize.studio.body import Poses
from visualize.studio.controls import Controls
from visualize.studio.desk import Desk, Task
from visualize.studio.document import Document
from visualize.studio.file_panel import FilePanel
from visualize.studio.goal_panel import GoalPanel
from visualize.studio.known_panel import KnownPanel
from visualize.studio.make_panel import MakePanel, ReportPanel
from visualize.studio.making import Take
from visualize.studio.models import Models
from visualize.studio.plan_panel import DrawPanel, WordsPanel
from visualize.studio.stage import CAMERAS, Acts, Lane, Spot, Stage
from visualize.studio.take_panel import TakePanel
from visualize.studio.time_panel import TimePanel
from visualize.studio.undoing_panel import UndoingPanel
from visualize.studio.work import Work

KEPT = "plan"
"""Under which the browser keeps the plan."""
THROUGH = ("Key frame", "Facing")
"""Tools that are used where goals are, and are not to take hold of these."""
APART = 1.4
"""Metres between takes side by side, beyond what they need."""
MIDDLE = 0.25
"""Metres above the floor at which the camera looks: the lower part of the picture lies behind the time line."""
SHEER = 0.35
"""Opacity of takes that are laid over the chosen one."""


class Page:
    """Everything of one browser. It is built and used on the person's own thread."""

    def __init__(self, client: Any, models: Models, work: Work):
        """client: of viser."""
        self._client = client
        self._desk = Desk(self._tick)
        self.bench = Bench(
            models,
            work=work,
            person=client.client_id,
            post=lambda task: self._desk.insist(lambda: self._show_after(task)),
            post_newest=lambda what, task: self._desk.post_newest(what, lambda: self._show_after(task)),
            deliver=self._deliver,
        )
        self._ticked = time.monotonic()
        self._poses: dict[int, Poses] = {}
        self._shown: list[Lane] = []
        self._seen: dict[str, object] = {}
        self._desk.post(self._build)

    def close(self) -> None:
        """The person is gone: stop their work, once no more of it can come."""
        self._desk.close()
        self.bench.leave()

    def tell(self, said: str) -> None:
        """Say something to the person; from any thread."""

        def told() -> None:
            self.bench.message = said

        self._desk.post(lambda: self._show_after(told))

    def _build(self) -> None:
        try:
            if kept := self._client.local_storage.get_item(KEPT, timeout=5.0):
                self.bench.restore(kept)
        except (RuntimeError, TimeoutError):
            pass  # a browser that keeps nothing
        gui = self._client.gui
        controls = Controls(gui, self._desk, self.bench, self._refresh)
        acts = Acts(
            click=lambda place: self._act(lambda bench: bench.click(place)),
            stroke=lambda points: self._act(lambda bench: bench.draw(points)),
            select=lambda index: self._act(lambda bench: bench.select(index)),
            moved=self._move,
        )
        self._stage = Stage(self._client, self._desk, acts)
        gui.set_panel_label("Motion studio")
        self._words, self._draw, self._goal = WordsPanel(controls), DrawPanel(controls), GoalPanel(controls)
        self._said = ReportPanel(controls)
        gui.main_panel.dock_left()
        gui.main_panel.set_width(330)
        side = gui.add_panel()
        with side.add_tab("Takes", "users"):
            self._make, self._takes = MakePanel(controls), TakePanel(controls)
        with side.add_tab("Undoing", "arrow-back-up"):
            self._undoing = UndoingPanel(controls)
        with side.add_tab("Files", "folder"):
            FilePanel(controls)
        with side.add_tab("Knows", "list"):
            self._known = KnownPanel(controls)
        side.dock_right()
        side.set_width(310)
        below = gui.add_panel()
        with below.add_tab("Time", "clock"):
            self._time = TimePanel(controls)
            controls.pressed(gui.add_button_group("Look from", tuple(CAMERAS)), lambda bench, value: self._look(value))
        below.float(x=20, y=-16, width=460)
        controls.key("Undo", "Z", lambda bench: bench.undo(), "cmd/ctrl")
        controls.key("Redo", "Y", lambda bench: bench.redo(), "cmd/ctrl")
        controls.key("Play or stop", "space", lambda bench: self._time.press("Play"))
        controls.key("Take the goal away", "delete", lambda bench: bench.remove_goal())
        self._refresh()

    # What happens

    def _show_after(self, task: Task) -> None:
        """Do something, and show what became of it."""
        try:
            task()
        finally:
            self._refresh()

    def _act(self, act: Callable[[Bench], None]) -> None:
        self._show_after(lambda: act(self.bench))

    def _move(self, index: int, number: int, spot: Spot) -> None:
        def moved(bench: Bench) -> None:
            if index < len(bench.plan.goals):
                bench.edit(lambda plan: plan.with_goal(drawing.moved(plan.goals[index], number, spot), index))
                bench.select(index)

        self._act(moved)

    def _deliver(self, name: str, content: bytes) -> None:
        self._client.send_file_download(name, content, save_immediately=True)

    def _tick(self) -> None:
        now = time.monotonic()
        self._time.player = self._time.player.after(now - self._ticked)
        self._ticked = now
        self._time.show_time()
        self._stage.show(self._time.player.time)
        self.bench.at(self._time.player.time)

    # What is shown

    def _refresh(self) -> None:
        """Show what has changed."""
        bench = self.bench
        new_takes = self._differs("takes", (bench.takes, bench.chosen, self._takes.layout))
        if new_takes and bench.chosen is not None and self._differs("chosen", bench.chosen):
            self._time.player = self._time.player.at(0.0).turned(True)
        self._time.show(bench)
        bench.at(self._time.player.time)
        self._draw.show(bench)
        self._stage.hold(bench.hand.tool != "Look")
        if self._differs("plan", (bench.plan, bench.refused)):
            self._words.show(bench.plan)
            self._make.show(bench.plan)
            self._known.show(bench)
            self._keep(bench.plan)
            self._desk.post_newest("report", self._report)
            base = bench.plan.base
            self._stage.trail(None if base is None else base.motion.joints[:, 0, [0, 2]].double().numpy())
        if new_takes:
            self._takes.show(bench)
            self._shown = self._lanes(self._takes.seen(bench))
            self._stage.lanes(self._shown)
        self._undoing.show(bench)
        held = bench.hand.tool not in THROUGH
        if self._differs("goals", (bench.plan, bench.refused, bench.selected, bench.chosen, held)):
            self._goal.show(bench)
            self._stage.goals(bench.plan, bench.selected, bench.standing, held=held)
        self._make.show_work(bench)
        self._said.show_work(bench)
        self._stage.show(self._time.player.time)
        if self._time.player.playing and not self._desk.ticking:
            self._ticked = time.monotonic()
        self._desk.ticking = self._time.player.playing

    def _differs(self, what: str, value: object) -> bool:
        """Whether something is not what was shown last; from now on it is."""
        before, self._seen[what] = self._seen.get(what), value
        return before is None or before != value

    def _report(self) -> None:
        self._said.show(self.bench.report(), self.bench.plan)

    def _keep(self, plan: Document) -> None:
        self._client.local_storage.set_item(KEPT, plan.to_json())

    def _lanes(self, takes: list[Take]) -> list[Lane]:
        """The chosen take at home, the others beside it or over it."""
        self._poses = {take.number: self._poses.get(take.number) or Poses.of(take.rig) for take in takes}
        beside = self._takes.layout == "Side by side"
        lanes, away = [], 0.0
        for k, take in enumerate(takes):
            goals: tuple[Goal, ...] = take.plan.goals if k > 0 and beside else ()
            name = take.name if beside and len(takes) > 1 else ""
            lanes.append(Lane(self._poses[take.number], name, goals, away, SHEER if k > 0 and not beside else None))
            if beside:
                away += APART + float(np.ptp(self._poses[take.number].places[:, 0, 0]))
        return lanes

    def _look(self, camera: str) -> None:
        """Look at where the plan and the takes go."""
        bench = self.bench
        spots = [(0.0, 0.0, 0.0)]
        for goal in bench.plan.goals:
            spots += [handle.position for handle in drawing.handles(goal, bench.standing(goal.last_time).numpy())]
        for lane in self._shown:
            spots += [(x + lane.away, 0.0, z) for x, _, z in lane.poses.places[::20, 0].tolist()]
        low, high = np.min(spots, axis=0), np.max(spots, axis=0)
        middle = (low + high) / 2
        self._stage.look(camera, (float(middle[0]), MIDDLE, float(middle[2])), float(np.linalg.norm(high - low)) / 2)
