"""The panel of the goal in hand: what of it can be set by numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from guidance.goals.goal_set import Goal
from guidance.goals.relations import Contact, Loop, Relation
from visualize.studio import words
from visualize.studio.bench import Bench
from visualize.studio.controls import QUIET, Controls, put
from visualize.studio.document import Document
from visualize.studio.goal_fields import FIELDS, Field
from visualize.studio.timing import is_moment, span, timed

NONE = "–"
OTHERS = ("Pin this pose", "A foot stays", "Hands together", "End as it began")
"""Goals that are not drawn."""


class GoalPanel:
    """A list of the goals, and the widgets for the one in hand."""

    def __init__(self, controls: Controls):
        self._controls, gui = controls, controls.gui
        controls.pressed(gui.add_button_group("Also", OTHERS), _other)
        self._list = controls.changed(
            gui.add_dropdown("In hand", (NONE,), hint="a goal, to be changed"),
            lambda bench, value: bench.select(_index(value)),
        )
        self._folder = gui.add_folder(None, visible=False)
        with self._folder:
            self._when = controls.changed(gui.add_slider("At second", 0.0, 4.0, 0.05, 0.0), self._move)
            self._span = controls.changed(
                gui.add_multi_slider("Seconds", 0.0, 4.0, 0.05, (0.0, 4.0), fixed_endpoints=False), self._stretch
            )
            self._fields = [(field, self._add(field)) for field in FIELDS]
            controls.pressed(gui.add_button("Take this goal away", color=QUIET), lambda bench, _: bench.remove_goal())

    def show(self, bench: Bench) -> None:
        """Show the goals as they are."""
        plan, index = bench.plan, bench.selected
        options = (NONE, *(words.name(number, goal) for number, goal in enumerate(plan.goals, 1)))
        if tuple(self._list.options) != options:
            self._list.options = options
        put(self._list, "visible", len(options) > 1)
        put(self._list, "value", options[0 if index is None else index + 1])
        put(self._folder, "visible", index is not None)
        if index is not None:
            self._show(plan.goals[index], plan)

    def _show(self, goal: Goal, plan: Document) -> None:
        when = span(goal, plan.seconds)
        moment = is_moment(goal)
        put(self._when, "visible", when is not None and moment)
        put(self._when, "max", plan.seconds)
        put(self._span, "visible", when is not None and not moment)
        put(self._span, "max", plan.seconds)
        if when is not None:
            start, end = (min(second, plan.seconds) for second in when)
            put(self._when if moment else self._span, "value", start if moment else (start, end))
        for field, widget in self._fields:
            mine = field.applies(goal)
            put(widget, "visible", mine)
            if mine:
                put(widget, "value", field.read(goal))

    def _add(self, field: Field) -> Any:
        def write(bench: Bench, value: Any) -> None:
            self._change(bench, lambda goal: field.write(goal, value, bench.standing), field.label)

        return self._controls.changed(field.widget(self._controls.gui, field.label), write)

    def _move(self, bench: Bench, value: float) -> None:
        self._change(bench, lambda goal: timed(goal, value, value, bench.plan.seconds), "time")

    def _stretch(self, bench: Bench, value: tuple[float, ...]) -> None:
        self._change(bench, lambda goal: timed(goal, value[0], value[-1], bench.plan.seconds), "time")

    @staticmethod
    def _change(bench: Bench, change: Callable[[Any], Goal], what: str) -> None:
        if (index := bench.selected) is not None:
            bench.edit(lambda plan: plan.with_goal(change(plan.goals[index]), index), f"{what} {index}")


def _index(value: str) -> int | None:
    """The goal's number from 0 of an entry in the list."""
    number = value.split(" ", 1)[0]
    return int(number) - 1 if number.isdigit() else None


def _other(bench: Bench, value: str) -> None:
    end = bench.plan.seconds
    start = min(bench.hand.time, end)
    if value == OTHERS[0]:
        bench.pin()
    elif value == OTHERS[1]:
        bench.add_goal(Contact(joint="left_foot", start=start, end=min(start + 1.0, end)))
    elif value == OTHERS[2]:
        bench.add_goal(Relation(joints=["left_wrist", "right_wrist"], distance=0.1, time=start))
    elif value == OTHERS[3]:
        bench.add_goal(Loop())
