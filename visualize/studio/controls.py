"""How the page's widgets are bound: what a person does with one happens on their own thread, with the bench at hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from visualize.drawing import style
from visualize.studio.bench import Bench
from visualize.studio.desk import Desk
from visualize.studio.signs import colour

Act = Callable[[Bench, Any], None]
QUIET = colour(style.TILE)
"""Of buttons that do not call out."""
MAX_NUMBER = 1e18
"""In a widget; larger ones are no times or places."""


@dataclass(frozen=True, eq=False)
class Controls:
    """A person's widgets (of viser), and what is done when one is used."""

    gui: Any
    desk: Desk
    bench: Bench
    refresh: Callable[[], None]
    """Shows the bench as it is now."""

    def changed(self, widget: Any, act: Act) -> Any:
        """Do something with the value that a person gives a widget."""

        async def updated(event: Any) -> None:
            if event.client is not None:
                self.do(lambda bench: _with_value(widget, bench, act))

        widget.on_update(updated)
        return widget

    def pressed(self, button: Any, act: Act) -> Any:
        """Do something when a button is pressed; with which, for a group of them."""

        async def clicked(event: Any) -> None:
            if event.client is not None:
                self.do(lambda bench: _with_value(button, bench, act))

        button.on_click(clicked)
        return button

    def uploaded(self, button: Any, act: Act) -> Any:
        """Do something with a file that was uploaded."""

        async def arrived(event: Any) -> None:
            if event.client is not None:
                file = button.value
                self.do(lambda bench: act(bench, file))

        button.on_upload(arrived)
        return button

    def key(self, label: str, hotkey: str, act: Callable[[Bench], None], modifier: str | None = None) -> None:
        """Do something when a key is pressed."""
        command = self.gui.add_command(label, hotkey=hotkey, modifier=modifier)

        async def struck(event: Any) -> None:
            self.do(act)

        command.on_trigger(struck)

    def do(self, act: Callable[[Bench], None]) -> None:
        """Do something, and show what became of it."""

        def run() -> None:
            try:
                act(self.bench)
            finally:
                self.refresh()

        self.desk.post(run)


def _with_value(widget: Any, bench: Bench, act: Act) -> None:
    """Do something with the value that a widget has now, unless it is one that no page of ours gives."""
    value, options = widget.value, getattr(widget, "options", None)
    numbers = value if isinstance(value, tuple) else (value,)
    sane = all(abs(n) <= MAX_NUMBER for n in numbers if isinstance(n, int | float))  # NaN is not
    if sane and (options is None or value in options):
        act(bench, value)


def put(widget: Any, field: str, value: Any) -> None:
    """Give a widget a property, unless it has it already: then nothing is sent."""
    if getattr(widget, field) != value:
        setattr(widget, field, value)
