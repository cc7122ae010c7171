"""The panel of the takes: which is seen, how well it meets its goals, and what can be made of it."""

from __future__ import annotations

from motion_diffusion.body.skeleton import FPS
from visualize.studio import words
from visualize.studio.bench import Bench
from visualize.studio.controls import QUIET, Controls, put
from visualize.studio.making import Take

LAYOUTS = ("One", "Side by side", "Overlaid")
"""How takes are seen."""
SEEN = 4
"""Takes that are seen together at most."""
COLUMNS = 4
"""Takes in the table at most."""
NONE = "–"


class TakePanel:
    """Takes, and what becomes of them."""

    def __init__(self, controls: Controls):
        gui = controls.gui
        self.layout = LAYOUTS[0]
        self._take = controls.changed(
            gui.add_dropdown("Take", (NONE,)), lambda bench, value: bench.choose(_number(value))
        )
        controls.changed(gui.add_dropdown("Seen", LAYOUTS), lambda bench, value: self._see(value))
        self._errors = gui.add_html("")
        self._folder = gui.add_folder(None, visible=False)
        with self._folder:
            controls.pressed(
                gui.add_button("Keep only this one", color=QUIET, icon="check"), lambda bench, _: bench.keep()
            )
            controls.pressed(
                gui.add_button("Go on from its end", color=QUIET, icon="player-track-next"),
                lambda bench, _: bench.go_on(),
            )
            self._part = gui.add_multi_slider("Part, s", 0.0, 4.0, 0.05, (1.0, 2.0), min_range=0.1)
            controls.pressed(
                gui.add_button("Make this part anew", color=QUIET, icon="refresh"),
                lambda bench, _: bench.make_anew(float(self._part.value[0]), float(self._part.value[-1])),
            )

    def _see(self, value: str) -> None:
        self.layout = value if value in LAYOUTS else self.layout

    def show(self, bench: Bench) -> None:
        """Show the takes as they are."""
        options = tuple(_label(take) for take in bench.takes) or (NONE,)
        if tuple(self._take.options) != options:
            self._take.options = options
        if (take := bench.chosen) is not None:
            put(self._take, "value", _label(take))
            last = take.last
            put(self._part, "max", last)
            start, end = self._part.value[0], self._part.value[-1]
            if end >= last:
                put(self._part, "value", (min(start, round(last / 3 * FPS) / FPS), round(2 * last / 3 * FPS) / FPS))
        put(self._folder, "visible", take is not None)
        put(self._errors, "content", words.errors(compared(bench), bench.chosen))

    def seen(self, bench: Bench) -> list[Take]:
        """The takes that are seen: the chosen one first, and, unless it is seen alone, the newest others."""
        if bench.chosen is None:
            return []
        if self.layout == "One":
            return [bench.chosen]
        others = [take for take in reversed(bench.takes) if take is not bench.chosen]
        return [bench.chosen, *others[: SEEN - 1]]


def compared(bench: Bench) -> list[Take]:
    """The chosen take and the newest others with its goals, in the order in which they were made."""
    if (chosen := bench.chosen) is None:
        return []
    others = [take for take in bench.takes if take is not chosen and take.plan.goals == chosen.plan.goals]
    return sorted([chosen, *others[1 - COLUMNS :]], key=lambda take: take.number)


def _label(take: Take) -> str:
    return f"{take.number}  {take.plan.model}, {take.plan.guidance}"


def _number(value: str) -> int:
    number = value.split(" ", 1)[0]
    return int(number) if number.isdigit() else -1
