"""The panel of time: it runs, stands, is gone to; and the plan drawn over it."""

from __future__ import annotations

from visualize.studio import words
from visualize.studio.bench import Bench
from visualize.studio.controls import Controls, put
from visualize.studio.player import SPEEDS, Player

PLAY, PAUSE = "Play", "Pause"


class TimePanel:
    """Playing, and the time line."""

    def __init__(self, controls: Controls):
        gui = controls.gui
        self.player = Player(last=controls.bench.plan.seconds)
        self._play = controls.pressed(gui.add_button_group("", (PLAY, *SPEEDS)), lambda bench, value: self.press(value))
        self._time = controls.changed(gui.add_slider("Second", 0.0, 4.0, 0.05, 0.0), self._go)
        self._line = gui.add_html("")

    def press(self, value: str) -> None:
        """Play or stand still, or choose how fast."""
        if value in SPEEDS:
            self.player = self.player.at_speed(SPEEDS[value])
        else:
            self.player = self.player.turned(not self.player.playing)

    def _go(self, bench: Bench, value: float) -> None:
        self.player = self.player.at(value).turned(False)

    def show(self, bench: Bench) -> None:
        """Show the plan's time."""
        last = max(bench.plan.seconds, 0.0 if bench.chosen is None else bench.chosen.last)
        self.player = self.player.of(last)
        put(self._time, "max", round(last, 3))
        put(self._play, "options", (PAUSE if self.player.playing else PLAY, *SPEEDS))
        put(self._line, "content", words.time_line(bench.plan, bench.selected))
        self.show_time()

    def show_time(self) -> None:
        """Show the second that is seen."""
        put(self._time, "value", round(self.player.time, 2))
