"""The panel of the undoing of guidance: what was pushed at each step, and what of it was taken back."""

from __future__ import annotations

from typing import Any

import numpy as np

from visualize.drawing import style
from visualize.studio import words
from visualize.studio.bench import Bench
from visualize.studio.controls import QUIET, Controls, put
from visualize.studio.undone import Undone

ASKED = (
    "At every step guidance pushes the motion towards its goals, and the network's next answer takes a part of it "
    "back. How much, for the take on the stage?"
)
HEIGHT = 170
"""Pixels of a chart."""


class UndoingPanel:
    """Two charts and a sentence."""

    def __init__(self, controls: Controls):
        self._gui = gui = controls.gui
        gui.add_html(words.note(ASKED))
        controls.pressed(gui.add_button("Look into it", color=QUIET, icon="search"), lambda bench, _: bench.look_into())
        self._said = gui.add_html("")
        self._folder = gui.add_folder(None)
        self._charts: list[Any] = []
        self._shown: Undone | None = None

    def show(self, bench: Bench) -> None:
        """Show what was found out about the chosen take."""
        found = bench.looked[1] if bench.looked is not None and bench.looked[0] is bench.chosen else None
        if found is self._shown:
            return
        self._shown = found
        for chart in self._charts:
            chart.remove()
        put(self._said, "content", "" if found is None else words.note(found.words(), style.INK))
        self._charts = []
        if found is not None:
            push, back = found.push.numpy(), found.back.numpy()
            share = back.cumsum() / np.maximum(push.cumsum(), 1e-6)
            self._chart("Metres in each step", {"pushed": push, "taken back": back}, (style.GOAL, style.RIGHT))
            self._chart("Share of all pushes so far that was taken back", {"share": share}, (style.RIGHT,), 1.05)

    def _chart(self, title: str, curves: dict[str, Any], hues: tuple[str, ...], top: float = 0.0) -> None:
        steps = np.arange(1, len(next(iter(curves.values()))) + 1)
        lines = [{"label": name, "stroke": hue, "width": 2} for name, hue in zip(curves, hues, strict=True)]
        axis = {"stroke": words.FAINT, "grid": {"stroke": style.TILE, "width": 1}, "ticks": {"show": False}}
        with self._folder:
            self._charts.append(self._gui.add_html(words.box(f"<b>{title}</b>")))
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
