"""The panel of what the chosen model was trained on."""

from __future__ import annotations

from visualize.studio import words
from visualize.studio.bench import Bench
from visualize.studio.controls import Controls, put

TOLD = "What the model was trained on, the most first: minutes of motion, a sentence that asks for it, styles."


class KnownPanel:
    """A table of actions."""

    def __init__(self, controls: Controls):
        controls.gui.add_html(words.note(TOLD))
        self._table = controls.gui.add_html("")

    def show(self, bench: Bench) -> None:
        """Show what the model of the plan knows."""
        put(self._table, "content", words.knows(bench.models.known.get(bench.plan.model)))
