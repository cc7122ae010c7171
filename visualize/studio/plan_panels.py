"""Panels of the plan: examples, prompt, tools, goals, timeline, feasibility, files, and what the model knows."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from html import escape
from typing import Any

from guidance.goals.goal_set import Goal
from guidance.goals.obstacles import Obstacle
from guidance.goals.relations import Contact, Loop, Relation
from motion_diffusion.body.skeleton import FPS, JOINTS, frame_of
from motion_diffusion.prompts import Known, in_words, words_of
from visualize.drawing import style
from visualize.studio.file_transfer import DOWNLOADS, MAX_UPLOAD_BYTES
from visualize.studio.generation import PlanReport
from visualize.studio.goal_editing import FIELDS, Field, goal_label, is_moment, time_span, with_time
from visualize.studio.plan import EXAMPLES, MAX_PART_SECONDS, MAX_PARTS, MIN_PART_SECONDS, Plan, next_hint
from visualize.studio.session import Session
from visualize.studio.tools import TOOL_HINTS, TOOLS
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

ADD_PART, REMOVE_PART = "Add a prompt", "Remove the last"
MAX_SUGGESTIONS = 4
PERSON = "a person"
_SUBJECT = re.compile(r"^\s*(?:\S+\s+){0,4}?(?:person|man|woman|somebody|someone|he|she)\b", re.IGNORECASE)


def suggest_actions(text: str, known: Known | None) -> tuple[str, ...]:
    """Actions that a model knows and that fit the word being typed, those with most training data first.

    Args:
        text: Prompt, whose last word may be incomplete. After a subject, or a space, all actions fit.
        known: What the model was trained on; None if it does not say.

    Returns:
        Up to `MAX_SUGGESTIONS` predicates, such as "waves the right hand"; none for a text that ends in one already.
    """
    if known is None:
        return ()
    rest = _SUBJECT.sub("", text)
    typed = words_of(rest)
    word = typed[-1] if typed and not rest.endswith(" ") else ""
    if any(words_of(action.example.removeprefix(PERSON)) == typed for action in known.actions):
        return ()
    fitting = []
    for action in known.actions:
        phrases = (action.example.removeprefix(f"{PERSON} "), *action.phrases)
        fitting += [phrase for phrase in phrases if any(each.startswith(word) for each in words_of(phrase))][:1]
    return tuple(dict.fromkeys(fitting))[:MAX_SUGGESTIONS]


def with_action(text: str, action: str) -> str:
    """The prompt with its subject, or "a person" without one, and another action."""
    subject = _SUBJECT.match(text)
    return f"{subject.group().strip() if subject else PERSON} {action}"


@dataclass(eq=False)
class _PartWidgets:
    """Widgets of one part of the prompt."""

    text: Any
    seconds: Any
    known: str = ""
    """Text last read from or written to the widget. Newer input is not overwritten."""

    def show(self, text: str) -> None:
        """Display a text, unless it came from the widget."""
        if text != self.known:
            self.known = text
            set_if_changed(self.text, "value", text)


class PromptPanel:
    """Prompt and duration of each part."""

    def __init__(self, controls: Controls):
        self._controls, gui = controls, controls.gui
        self._parts: list[_PartWidgets] = []
        self._typed = 0
        """The part that was last typed in, to which suggestions apply."""
        self._base = gui.add_html("")
        self._folder = gui.add_folder(None)
        self._suggestions = controls.on_press(gui.add_button_group("Model knows", (PERSON,), visible=False), self._use)
        self._unlearned = gui.add_html("")
        controls.on_press(gui.add_button_group("Sequence", (ADD_PART, REMOVE_PART)), _add_or_remove_part)

    def show(self, session: Session) -> None:
        """Display the plan, and suggestions for what is being typed."""
        plan = session.plan
        set_if_changed(self._base, "content", _of_base(plan))
        while len(self._parts) > len(plan.parts):
            surplus = self._parts.pop()
            surplus.text.remove()
            surplus.seconds.remove()
        while len(self._parts) < len(plan.parts):
            self._parts.append(self._add(len(self._parts)))
        fixed = plan.base is not None and plan.base.end is not None
        for widgets, part in zip(self._parts, plan.parts, strict=True):
            widgets.show(part.text)
            set_if_changed(widgets.seconds, "value", part.seconds)
            set_if_changed(widgets.seconds, "disabled", fixed)
        self._typed = min(self._typed, len(plan.parts) - 1)
        suggestions = suggest_actions(plan.parts[self._typed].text, session.models.known.get(plan.model))
        if suggestions:
            set_if_changed(self._suggestions, "options", suggestions)
        set_if_changed(self._suggestions, "visible", bool(suggestions))

    def show_unlearned(self, lines: Sequence[str]) -> None:
        """Display what the model did not learn of the prompt."""
        set_if_changed(self._unlearned, "content", headed("The model has not learned this.", lines) if lines else "")

    def _use(self, session: Session, action: str) -> None:
        session.set_part_text(self._typed, with_action(session.plan.parts[self._typed].text, action))

    def _add(self, k: int) -> _PartWidgets:
        gui = self._controls.gui
        with self._folder:
            part = _PartWidgets(
                gui.add_text("Prompt" if k == 0 else "Then", "", hint="what the person does"),
                gui.add_slider("Length, s", MIN_PART_SECONDS, MAX_PART_SECONDS, 0.05, 4.0),
            )

        def set_text(session: Session, text: str) -> None:
            part.known = text
            self._typed = k
            session.set_part_text(k, text)

        self._controls.on_change(part.text, set_text)
        self._controls.on_change(part.seconds, lambda session, value: session.set_part_seconds(k, value))
        return part


def _of_base(plan: Plan) -> str:
    if plan.base is None:
        return ""
    if plan.base.end is None:
        return note(f"Continues a take after {plan.start:.2f} s.", GOOD)
    return note(f"Regenerates {plan.base.start:.2f}–{plan.base.end:.2f} s of a take.", GOOD)


def _add_or_remove_part(session: Session, value: str) -> None:
    parts = session.plan.parts
    if value == ADD_PART and len(parts) < MAX_PARTS:
        added = parts[-1].model_copy(update={"seconds": 3.0})
        session.edit(lambda plan: plan.changed("parts", (*parts, added)))
    elif value == REMOVE_PART and len(parts) > 1:
        session.edit(lambda plan: plan.changed("parts", parts[:-1]))


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
        hint = f'<b style="color:{GOOD}">{state.tool}.</b> {TOOL_HINTS[state.tool]}'
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


SPEEDS = {"1×": 1.0, "½×": 0.5, "¼×": 0.25, "⅒×": 0.1}
"""Playback speeds by label."""


@dataclass(frozen=True)
class Player:
    """Playback position in a motion that ends at second `last`."""

    last: float
    time: float = 0.0
    speed: float = 1.0
    playing: bool = False

    def advanced(self, seconds: float) -> Player:
        """Advance by `seconds` of real time; playback loops."""
        if not self.playing or self.last <= 0:
            return self
        time = self.time + self.speed * seconds
        return replace(self, time=time if time <= self.last else time % self.last)

    def seek(self, time: float) -> Player:
        """Move to a time, limited to the motion."""
        return replace(self, time=min(max(time, 0.0), self.last))

    def toggled(self, playing: bool) -> Player:
        """Start or pause; at the end, playback starts over."""
        over = playing and self.time >= self.last
        return replace(self, playing=playing, time=0.0 if over else self.time)

    def with_speed(self, speed: float) -> Player:
        """Play at a speed."""
        return replace(self, speed=speed).toggled(True)

    def with_end(self, last: float) -> Player:
        """The same for a motion that ends at another second."""
        return replace(self, last=last).seek(self.time)


PLAY, PAUSE = "Play", "Pause"


class TimePanel:
    """Playback controls and the time line."""

    def __init__(self, controls: Controls):
        gui = controls.gui
        self.player = Player(last=controls.session.plan.seconds)
        self._play = controls.on_press(
            gui.add_button_group("", (PLAY, *SPEEDS)), lambda session, value: self.press(value)
        )
        self._time = controls.on_change(gui.add_slider("Time, s", 0.0, 4.0, 0.05, 0.0), self._set_time)
        self._line = gui.add_html("")

    def step(self, frames: int) -> None:
        """Pause and move by a number of frames."""
        self.player = self.player.toggled(False).seek((frame_of(self.player.time) + frames) / FPS)

    def seek_end(self, end: bool) -> None:
        """Pause and move to the first or the last frame."""
        self.player = self.player.toggled(False).seek(self.player.last if end else 0.0)

    def press(self, value: str) -> None:
        """Play or pause, or set the speed."""
        if value in SPEEDS:
            self.player = self.player.with_speed(SPEEDS[value])
        else:
            self.player = self.player.toggled(not self.player.playing)

    def _set_time(self, session: Session, value: float) -> None:
        self.player = self.player.seek(value).toggled(False)

    def show(self, session: Session) -> None:
        """Display the plan over time."""
        take = None if session.live.poses is not None else session.chosen
        last = max(session.plan.seconds, 0.0 if take is None else take.last)
        self.player = self.player.with_end(last)
        set_if_changed(self._time, "max", round(last, 3))
        set_if_changed(self._play, "options", (PAUSE if self.player.playing else PLAY, *SPEEDS))
        set_if_changed(self._line, "content", time_line(session.plan, session.selected))
        self.show_time()

    def show_time(self) -> None:
        """Display the playback position."""
        set_if_changed(self._time, "value", round(self.player.time, 2))


def time_line(plan: Plan, selected: int | None) -> str:
    """Prompt parts and goal intervals over time, as an SVG as wide as its panel."""
    width, left, row = 540.0, 4.0, min(11.0, 90.0 / max(len(plan.goals), 1))
    whole = max(plan.seconds, 1 / FPS)

    def at(second: float) -> float:
        return left + (width - 2 * left) * min(max(second / whole, 0.0), 1.0)

    shapes, y = [], 6.0
    if plan.start > 0:
        shapes.append(f'<rect x="{at(0)}" y="0" width="{at(plan.start) - at(0)}" height="100%" fill="{style.TILE}"/>')
    second = plan.start
    for part in plan.parts:
        end = min(second + part.seconds, whole)
        shapes.append(
            f'<rect x="{at(second) + 1:.1f}" y="{y}" width="{max(at(end) - at(second) - 2, 1):.1f}" height="15" rx="3" '
            f'fill="{style.SHADOW}"/><text x="{at(second) + 8:.1f}" y="{y + 11}" font-size="10" fill="{style.INK}">'
            f"{escape(part.text[: max(int((end - second) / whole * 95), 3)])}</text>"
        )
        second = end
    y += 20
    for index, goal in enumerate(plan.goals):
        when = time_span(goal, whole) or (whole, whole)
        hue = style.OBSTACLE if isinstance(goal, Obstacle) else style.GOAL
        strong = 1.0 if index == selected else 0.65
        start, end, middle = at(when[0]) - 3, at(when[1]) + 3, y + row / 2
        shapes.append(
            f'<line x1="{left}" x2="{width - left}" y1="{middle:.1f}" y2="{middle:.1f}" stroke="{style.TILE}"/>'
            f'<rect x="{start:.1f}" y="{y + row / 5:.1f}" width="{end - start:.1f}" height="{0.6 * row:.1f}" rx="3" '
            f'fill="{hue}" fill-opacity="{strong}"/>'
        )
        y += row
    for tick in range(int(whole) + 1):
        shapes.append(
            f'<text x="{at(tick):.1f}" y="{y + 10}" font-size="8.5" text-anchor="{"middle" if tick else "start"}" '
            f'fill="{FAINT}">{tick} s</text>'
        )
    y += 13
    return (
        f'<div style="margin:0.2em 0.75em 0.4em"><svg viewBox="0 0 {width:g} {y:g}" width="100%" '
        f'style="display:block" font-family="inherit">{"".join(shapes)}</svg></div>'
    )
