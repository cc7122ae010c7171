"""Panels of the takes: generation, list of takes with their errors, and undoing of guidance."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np

from guidance.goals.goal_set import Residual
from motion_diffusion.body.skeleton import FPS, frame_of
from motion_diffusion.model import Recommended
from visualize.drawing import style
from visualize.studio.generation import Take
from visualize.studio.goal_editing import goal_label
from visualize.studio.plan import MAX_SEED, MAX_STEPS, MAX_TAKES_AT_ONCE, Plan
from visualize.studio.session import Session
from visualize.studio.undoing_report import UndoingReport
from visualize.studio.widgets import (
    BAD,
    FAINT,
    GOOD,
    QUIET,
    Action,
    Controls,
    block,
    note,
    set_if_changed,
    table,
    table_row,
)

GUIDANCE_CHOICES = (
    "projection", "classifier+projection", "masks+projection", "stages+projection", "classifier", "imputation",
    "classifier+imputation", "masks", "noise", "none",
)  # fmt: skip
"""Guidance methods on offer; the README explains them."""


class MakePanel:
    """Model, guidance, number of takes, and progress."""

    def __init__(self, controls: Controls):
        gui, models = controls.gui, controls.session.models
        self._labels = {name: f"{name}  ({models.symbols[name]})" for name in models.names}
        names = {label: name for name, label in self._labels.items()}

        def field(name: str, together: str = "") -> Action:
            return lambda session, value: session.edit(lambda plan: plan.changed(name, value), together)

        self._model = controls.on_change(
            gui.add_dropdown("Model", list(names), hint="in brackets: its prediction type"),
            lambda session, value: session.select_model(names.get(value, str(value))),
        )
        self._guidance = controls.on_change(
            gui.add_dropdown("Guidance", GUIDANCE_CHOICES, hint="how goals guide the motion"), field("guidance")
        )
        self._count = controls.on_change(
            gui.add_slider("Takes", 1, MAX_TAKES_AT_ONCE, 1, 2, hint="generated at once, with consecutive seeds"),
            field("count", "count"),
        )
        with gui.add_folder("Settings", expand_by_default=False):
            self._seed = controls.on_change(
                gui.add_number("Seed", 0, min=0, max=MAX_SEED, step=1, hint="of the first take"),
                field("seed", "seed"),
            )
            self._steps = controls.on_change(
                gui.add_slider("Steps", 1, MAX_STEPS, 1, 50, hint="more are finer and slower"), field("steps", "steps")
            )
            self._scale = controls.on_change(
                gui.add_slider(
                    "Prompt strength", 0.0, 6.0, 0.5, Recommended.text_scale, hint="how strongly the prompt is followed"
                ),
                field("text_scale", "scale"),
            )
            self._clean = controls.on_change(
                gui.add_checkbox("Lock feet", False, hint="feet in contact with the floor do not slide"),
                field("clean_up"),
            )
        self._live = controls.on_change(
            gui.add_checkbox("Live", True, hint="the motion follows every change"),
            lambda session, value: session.live.enable(value, session.plan),
        )
        self._make = controls.on_press(
            gui.add_button("Generate", icon="player-play"), lambda session, _: session.generate()
        )
        self._stop = controls.on_press(
            gui.add_button("Stop", color=QUIET, visible=False), lambda session, _: session.stop()
        )
        self._bar = gui.add_progress_bar(0.0, visible=False)
        gui.add_divider()

    def show(self, plan: Plan) -> None:
        """Display the plan."""
        set_if_changed(self._model, "value", self._labels.get(plan.model, self._model.value))
        set_if_changed(
            self._guidance,
            "options",
            GUIDANCE_CHOICES if plan.guidance in GUIDANCE_CHOICES else (*GUIDANCE_CHOICES, plan.guidance),
        )
        set_if_changed(self._guidance, "value", plan.guidance)
        set_if_changed(self._count, "value", plan.count)
        set_if_changed(self._seed, "value", plan.seed)
        set_if_changed(self._steps, "value", plan.steps)
        set_if_changed(self._scale, "value", plan.text_scale)
        set_if_changed(self._clean, "value", plan.clean_up)
        set_if_changed(self._make, "label", "Generate" if plan.count == 1 else f"Generate {plan.count} takes")

    def show_progress(self, session: Session) -> None:
        """Display the progress of the job, and whether the motion follows the plan."""
        set_if_changed(self._live, "value", session.live.enabled)
        running = session.running
        set_if_changed(self._make, "visible", running is None)
        set_if_changed(self._stop, "visible", running is not None)
        set_if_changed(self._bar, "visible", running is not None)
        set_if_changed(self._bar, "value", 0.0 if running is None else 100 * running.share)


LAYOUTS = ("One", "Side by side", "Overlaid")
"""Arrangements of several takes."""
MAX_SHOWN = 4
"""Maximum number of takes displayed together."""
MAX_COLUMNS = 4
"""Maximum number of takes in the table."""
NO_TAKE = "–"


class TakePanel:
    """List of takes, their errors, and actions on the chosen one."""

    def __init__(self, controls: Controls):
        gui = controls.gui
        self.layout = LAYOUTS[0]
        self._take = controls.on_change(
            gui.add_dropdown("Take", (NO_TAKE,)), lambda session, value: session.choose(_take_number(value))
        )
        controls.on_change(gui.add_dropdown("Layout", LAYOUTS), lambda session, value: self._set_layout(value))
        self._errors = gui.add_html("")
        self._folder = gui.add_folder(None, visible=False)
        with self._folder:
            self._keep = controls.on_press(
                gui.add_button("Keep this take", color=QUIET, icon="pin", hint="else the next change replaces it"),
                lambda session, _: session.keep_take(),
            )
            controls.on_press(
                gui.add_button("Delete the other takes", color=QUIET, icon="trash"),
                lambda session, _: session.keep_only_chosen(),
            )
            controls.on_press(
                gui.add_button("Continue from the end", color=QUIET, icon="player-track-next"),
                lambda session, _: session.continue_take(),
            )
            self._part = gui.add_multi_slider("In-between, s", 0.0, 4.0, 0.05, (1.0, 2.0), min_range=0.1)
            controls.on_press(
                gui.add_button("Regenerate the in-between", color=QUIET, icon="refresh"),
                lambda session, _: session.regenerate_part(float(self._part.value[0]), float(self._part.value[-1])),
            )

    def _set_layout(self, value: str) -> None:
        self.layout = value if value in LAYOUTS else self.layout

    def show(self, session: Session) -> None:
        """Display the takes."""
        options = tuple(_take_label(take) for take in session.takes) or (NO_TAKE,)
        if tuple(self._take.options) != options:
            self._take.options = options
        if (take := session.chosen) is not None:
            set_if_changed(self._take, "value", _take_label(take))
            last = take.last
            set_if_changed(self._part, "max", last)
            start, end = self._part.value[0], self._part.value[-1]
            if end >= last:
                set_if_changed(
                    self._part, "value", (min(start, frame_of(last / 3) / FPS), frame_of(2 * last / 3) / FPS)
                )
        set_if_changed(self._folder, "visible", take is not None)
        set_if_changed(self._keep, "visible", take is not None and take is session.live_take)
        set_if_changed(self._errors, "content", residual_table(compared_takes(session), session.chosen))

    def shown(self, session: Session) -> list[Take]:
        """The takes to display: the chosen one and, unless the layout shows one alone, the newest others."""
        if session.chosen is None:
            return []
        if self.layout == "One":
            return [session.chosen]
        others = [take for take in reversed(session.takes) if take is not session.chosen]
        return [session.chosen, *others[: MAX_SHOWN - 1]]


def compared_takes(session: Session) -> list[Take]:
    """The chosen take and the newest others with the same goals, in the order of their numbers."""
    if (chosen := session.chosen) is None:
        return []
    others = [take for take in session.takes if take is not chosen and take.plan.goals == chosen.plan.goals]
    return sorted([chosen, *others[1 - MAX_COLUMNS :]], key=lambda take: take.number)


def _take_label(take: Take) -> str:
    return f"{take.number}  {take.plan.model}, {take.plan.guidance}"


def _take_number(value: str) -> int:
    number = value.split(" ", 1)[0]
    return int(number) if number.isdigit() else -1


def residual_table(takes: Sequence[Take], chosen: Take | None) -> str:
    """Table of the error at every goal, one column per take; all takes have the same order of goals."""
    if not takes:
        return note("Takes appear here, with how far each is from every goal.")
    every = [take.residuals for take in takes]
    rows = [table_row("", [_head(take, take is chosen) for take in takes], head=True)]
    for index in range(max(map(len, every))):
        goal = next(took[index].goal for took in every if index < len(took))
        cells = [_residual_cell(took[index]) if index < len(took) else "" for took in every]
        rows.append(table_row(escape(goal_label(index + 1, goal)), cells))
    if len(rows) == 1:
        rows.append(table_row("no goals", ["" for _ in takes]))
    if any(take.fit for take in takes):
        rows.append(table_row("fits the prompt", [take.fit or "" for take in takes]))
    return table(rows)


def _head(take: Take, chosen: bool) -> str:
    model = escape(take.plan.model)
    return f'<span style="color:{GOOD if chosen else style.INK}">{take.name}</span><br><small>{model}</small>'


def _residual_cell(residual: Residual) -> str:
    hue, sign = (GOOD, "✓") if residual.met else (BAD, "✗")
    return f'<span style="color:{hue}">{100 * residual.error:.1f} cm {sign}</span>'


ABOUT_UNDOING = (
    "At every step guidance pushes the motion towards its goals, and the network's next answer takes a part of it "
    "back. How much, for the displayed take?"
)
HEIGHT = 170
"""Height of a chart in pixels."""


class UndoingPanel:
    """Two charts and a summary of the undoing of guidance."""

    def __init__(self, controls: Controls):
        self._gui = gui = controls.gui
        gui.add_html(note(ABOUT_UNDOING))
        controls.on_press(
            gui.add_button("Analyse this take", color=QUIET, icon="search"),
            lambda session, _: session.analyse_undoing(),
        )
        self._said = gui.add_html("")
        self._folder = gui.add_folder(None)
        self._charts: list[Any] = []
        self._shown: UndoingReport | None = None

    def show(self, session: Session) -> None:
        """Display the report on the chosen take."""
        found = session.undoing[1] if session.undoing is not None and session.undoing[0] is session.chosen else None
        if found is self._shown:
            return
        self._shown = found
        for chart in self._charts:
            chart.remove()
        set_if_changed(self._said, "content", "" if found is None else note(found.summary(), style.INK))
        self._charts = []
        if found is not None:
            push, back = found.push.numpy(), found.back.numpy()
            share = back.cumsum() / np.maximum(push.cumsum(), 1e-6)
            self._chart("Metres in each step", {"pushed": push, "taken back": back}, (style.GOAL, style.RIGHT))
            self._chart("Share of all pushes so far that was taken back", {"share": share}, (style.RIGHT,), 1.05)

    def _chart(self, title: str, curves: dict[str, Any], hues: tuple[str, ...], top: float = 0.0) -> None:
        steps = np.arange(1, len(next(iter(curves.values()))) + 1)
        lines = [{"label": name, "stroke": hue, "width": 2} for name, hue in zip(curves, hues, strict=True)]
        axis = {"stroke": FAINT, "grid": {"stroke": style.TILE, "width": 1}, "ticks": {"show": False}}
        with self._folder:
            self._charts.append(self._gui.add_html(block(f"<b>{title}</b>")))
            self._charts.append(
                self._gui.add_uplot(
                    (steps, *curves.values()),
                    ({"label": "step"}, *lines),
                    scales={"x": {"time": False}, "y": {"range": (0.0, top)} if top else {}},
                    axes=(axis, {**axis, "size": 44}),
                    legend={"show": len(curves) > 1},
                    height=HEIGHT,
                )
            )
