"""Panels of the plan: examples, drawing tools, goals, feasibility, files, and what the model knows."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import Any

from guidance.goals.goal_set import Goal
from guidance.goals.relations import Contact, Loop, Relation
from motion_diffusion.body.skeleton import JOINTS
from motion_diffusion.prompts import Known, in_words
from visualize.studio.file_transfer import DOWNLOADS, MAX_UPLOAD_BYTES
from visualize.studio.generation import PlanReport
from visualize.studio.goal_editing import FIELDS, Field, goal_label, is_moment, time_span, with_time
from visualize.studio.plan import EXAMPLES, Plan, next_hint
from visualize.studio.session import Session
from visualize.studio.tools import HINTS, TOOLS
from visualize.studio.widgets import (
    BAD,
    FAINT,
    GOOD,
    QUIET,
    Controls,
    block,
    capitalise,
    headed,
    note,
    set_if_changed,
    table,
    table_row,
)


class ExamplesPanel:
    """The next hint, and the examples."""

    def __init__(self, controls: Controls):
        self._hint = controls.gui.add_html("")
        controls.on_press(
            controls.gui.add_button_group("Examples", tuple(EXAMPLES)),
            lambda session, value: session.try_example(value),
        )

    def show(self, session: Session) -> None:
        """Display the next hint."""
        hint = next_hint(session.done)
        set_if_changed(self._hint, "content", block(hint, top=0.3) if hint else "")


class DrawPanel:
    """The drawing tools."""

    def __init__(self, controls: Controls):
        gui = controls.gui
        controls.on_press(gui.add_button_group("Draw", TOOLS), lambda session, value: session.select_tool(value))
        self._hint = gui.add_html("")
        joints = [joint.replace("_", " ") for joint in JOINTS]
        self._joint = controls.on_change(
            gui.add_dropdown("Joint", joints),
            lambda session, value: session.set_tool_options(joint=value.replace(" ", "_")),
        )
        self._along = controls.on_change(
            gui.add_checkbox("Orient along path", False, hint="whether the body faces where the path goes"),
            lambda session, value: session.set_tool_options(face_along=value),
        )
        controls.on_press(gui.add_button_group("Edit", ("Undo", "Redo", "Clear")), _step)

    def show(self, session: Session) -> None:
        """Display the selected tool."""
        state = session.tool_state
        hint = f'<b style="color:{GOOD}">{state.tool}.</b> {HINTS[state.tool]}'
        set_if_changed(self._hint, "content", block(hint))
        set_if_changed(self._joint, "visible", state.tool == "Key frame")
        set_if_changed(self._joint, "value", state.joint.replace("_", " "))
        set_if_changed(self._along, "visible", state.tool == "Path")
        set_if_changed(self._along, "value", state.face_along)


def _step(session: Session, value: str) -> None:
    if value == "Undo":
        session.undo()
    elif value == "Redo":
        session.redo()
    else:
        session.clear()


NO_GOAL = "–"
OTHER_GOALS = ("Key this pose", "Lock a foot", "Hands together", "Loop")
"""Goals that are added without drawing."""


class GoalPanel:
    """List of the goals, and widgets for the selected one."""

    def __init__(self, controls: Controls):
        self._controls, gui = controls, controls.gui
        controls.on_press(gui.add_button_group("Constrain", OTHER_GOALS), _add_other_goal)
        self._list = controls.on_change(
            gui.add_dropdown("Selected", (NO_GOAL,), hint="the goal to edit"),
            lambda session, value: session.select(_goal_index(value)),
        )
        self._folder = gui.add_folder(None, visible=False)
        with self._folder:
            self._when = controls.on_change(gui.add_slider("Key at, s", 0.0, 4.0, 0.05, 0.0), self._set_moment)
            self._span = controls.on_change(
                gui.add_multi_slider("From–to, s", 0.0, 4.0, 0.05, (0.0, 4.0), fixed_endpoints=False), self._set_span
            )
            self._fields = [(field, self._add(field)) for field in FIELDS]
            controls.on_press(gui.add_button("Delete goal", color=QUIET), lambda session, _: session.remove_goal())

    def show(self, session: Session) -> None:
        """Display the goals."""
        plan, index = session.plan, session.selected
        options = (NO_GOAL, *(goal_label(number, goal) for number, goal in enumerate(plan.goals, 1)))
        if tuple(self._list.options) != options:
            self._list.options = options
        set_if_changed(self._list, "visible", len(options) > 1)
        set_if_changed(self._list, "value", options[0 if index is None else index + 1])
        set_if_changed(self._folder, "visible", index is not None)
        if index is not None:
            self._show(plan.goals[index], plan)

    def _show(self, goal: Goal, plan: Plan) -> None:
        when = time_span(goal, plan.seconds)
        moment = is_moment(goal)
        set_if_changed(self._when, "visible", when is not None and moment)
        set_if_changed(self._when, "max", plan.seconds)
        set_if_changed(self._span, "visible", when is not None and not moment)
        set_if_changed(self._span, "max", plan.seconds)
        if when is not None:
            start, end = (min(second, plan.seconds) for second in when)
            set_if_changed(self._when if moment else self._span, "value", start if moment else (start, end))
        for field, widget in self._fields:
            mine = field.applies(goal)
            set_if_changed(widget, "visible", mine)
            if mine:
                set_if_changed(widget, "value", field.read(goal))

    def _add(self, field: Field) -> Any:
        def write(session: Session, value: Any) -> None:
            self._change(session, lambda goal: field.write(goal, value, session.joints_at), field.label)

        return self._controls.on_change(field.widget(self._controls.gui, field.label), write)

    def _set_moment(self, session: Session, value: float) -> None:
        self._change(session, lambda goal: with_time(goal, value, value, session.plan.seconds), "time")

    def _set_span(self, session: Session, value: tuple[float, ...]) -> None:
        self._change(session, lambda goal: with_time(goal, value[0], value[-1], session.plan.seconds), "time")

    @staticmethod
    def _change(session: Session, change: Callable[[Any], Goal], change_name: str) -> None:
        if (index := session.selected) is not None:
            session.edit(lambda plan: plan.with_goal(change(plan.goals[index]), index), f"{change_name} {index}")


def _goal_index(value: str) -> int | None:
    """Index of the goal of a list entry."""
    number = value.split(" ", 1)[0]
    return int(number) - 1 if number.isdigit() else None


def _add_other_goal(session: Session, value: str) -> None:
    end = session.plan.seconds
    start = min(session.tool_state.time, end)
    if value == OTHER_GOALS[0]:
        session.pin_pose()
    elif value == OTHER_GOALS[1]:
        session.add_goal(Contact(joint="left_foot", start=start, end=min(start + 1.0, end)))
    elif value == OTHER_GOALS[2]:
        session.add_goal(Relation(joints=["left_wrist", "right_wrist"], distance=0.1, time=start))
    elif value == OTHER_GOALS[3]:
        session.add_goal(Loop())


class ReportPanel:
    """Feasibility of the plan, the running job, and the last message."""

    def __init__(self, controls: Controls):
        self._report = controls.gui.add_html("")
        self._status = controls.gui.add_html("")

    def show(self, report: PlanReport, plan: Plan) -> None:
        """Display the feasibility of the plan."""
        set_if_changed(self._report, "content", plan_report(report, plan))

    def show_progress(self, session: Session) -> None:
        """Display the running job and the last message."""
        status = note(capitalise(session.message), BAD) if session.message else ""
        if (running := session.running) is not None:
            ahead = session.queue.position(running.job)
            waits = f", {ahead} before it" if ahead else ""
            status += note(f"{capitalise(running.label)}{waits} …")
        set_if_changed(self._status, "content", status)


def plan_report(found: PlanReport, plan: Plan) -> str:
    """Feasibility of a plan."""
    if found.error:
        return block(f'<b style="color:{BAD}">Cannot be generated.</b> {escape(capitalise(found.error))}')
    if found.warnings:
        return headed("Hard for a person.", found.warnings)
    return note("A person can do this.", GOOD) if plan.goals else ""


ABOUT_KNOWN = "What the model was trained on, the most first: minutes of motion, a sentence that asks for it, styles."


class KnownActionsPanel:
    """Table of the actions that the model was trained on."""

    def __init__(self, controls: Controls):
        controls.gui.add_html(note(ABOUT_KNOWN))
        self._table = controls.gui.add_html("")

    def show(self, session: Session) -> None:
        """Display the actions of the plan's model."""
        set_if_changed(self._table, "content", known_actions_table(session.models.known.get(session.plan.model)))


def known_actions_table(known: Known | None) -> str:
    """Table of what a model was trained on: actions, minutes, examples and styles."""
    if known is None:
        return note("This model does not say what it was trained on.")
    rows = [table_row("", ["minutes"], head=True)]
    for action in known.actions:
        styles = f"<br><small>{escape(in_words(action.styles))}</small>" if action.styles else ""
        example = f'<br><span style="color:{FAINT}">{escape(action.example)}</span>'
        rows.append(table_row(f"{escape(action.name)}{example}{styles}", [f"{60 * action.hours:.1f}"]))
    return table(rows)


ABOUT_DOWNLOADS = {
    "Motion": "a .npz that this studio and the command line read again, with all it was made from",
    "BVH": "for Blender, Maya, MotionBuilder",
    "GLB": "a body with its motion, for Blender, Unity, Unreal, the web",
    "AMASS": "a .npz as SMPL's tools read it",
    "CSV": "the joints' positions",
    "Film": "an .mp4",
}
"""Description of each download."""


class FilesPanel:
    """Uploads and downloads."""

    def __init__(self, controls: Controls):
        gui = controls.gui
        gui.add_html(block("<b>Goals</b>"))
        controls.on_upload(
            gui.add_upload_button("Load goals (.json)", mime_type=".json", color=QUIET, icon="upload"),
            lambda session, file: session.load_goals(file.content),
        )
        controls.on_press(
            gui.add_button("Save goals", color=QUIET, icon="download", hint="with the prompt, for python -m sample"),
            lambda session, _: session.save_goals(),
        )
        gui.add_html(block("<b>Motions</b>", top=0.6))
        controls.on_upload(
            gui.add_upload_button("Load a motion", mime_type=".npz,.bvh,.npy", color=QUIET, icon="upload",
                                  hint=f".npz, .bvh or .npy, up to {MAX_UPLOAD_BYTES // 2**20} MB"),
            lambda session, file: session.load_motion(file.name, file.content),
        )  # fmt: skip
        controls.on_press(
            gui.add_button_group("Export", tuple(DOWNLOADS)), lambda session, value: session.download(value)
        )
        lines = "".join(f"<div><b>{kind}</b>: {what}</div>" for kind, what in ABOUT_DOWNLOADS.items())
        gui.add_html(block(lines))
