"""TODO."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from visualize.drawing import style
from visualize.studio.event_loop import EventLoop
from visualize.studio.scene_nodes import scene_colour
from visualize.studio.session import Session

Action = Callable[[Session, Any], None]
QUIET = scene_colour(style.TILE)
"""Of buttons that do not call out."""
MAX_NUMBER = 1e18
"""In a widget; larger ones are no times or places."""


@dataclass(frozen=True, eq=False)
class Controls:
    """A person's widgets (of viser), and what is done when one is used."""

    gui: Any
    loop: EventLoop
    session: Session
    refresh: Callable[[], None]
    """Shows the bench as it is now."""

    def on_change(self, widget: Any, action: Action) -> Any:
        """Do something with the value that a person gives a widget."""

        async def updated(event: Any) -> None:
            if event.client is not None:
                self.run_action(lambda session: _with_value(widget, session, action))

        widget.on_update(updated)
        return widget

    def on_press(self, button: Any, action: Action) -> Any:
        """Do something when a button is pressed; with which, for a group of them."""

        async def clicked(event: Any) -> None:
            if event.client is not None:
                self.run_action(lambda session: _with_value(button, session, action))

        button.on_click(clicked)
        return button

    def on_upload(self, button: Any, action: Action) -> Any:
        """Do something with a file that was uploaded."""

        async def arrived(event: Any) -> None:
            if event.client is not None:
                file = button.value
                self.run_action(lambda session: action(session, file))

        button.on_upload(arrived)
        return button

    def on_key(self, label: str, hotkey: str, action: Callable[[Session], None], modifier: str | None = None) -> None:
        """Do something when a key is pressed."""
        command = self.gui.add_command(label, hotkey=hotkey, modifier=modifier)

        async def struck(event: Any) -> None:
            self.run_action(action)

        command.on_trigger(struck)

    def run_action(self, action: Callable[[Session], None]) -> None:
        """Do something, and show what became of it."""

        def run() -> None:
            try:
                action(self.session)
            finally:
                self.refresh()

        self.loop.post(run)


def _with_value(widget: Any, session: Session, action: Action) -> None:
    """Do something with the value that a widget has now, unless it is one that no page of ours gives."""
    value, options = widget.value, getattr(widget, "options", None)
    numbers = value if isinstance(value, tuple) else (value,)
    sane = all(abs(n) <= MAX_NUMBER for n in numbers if isinstance(n, int | float))  # NaN is not
    if sane and (options is None or value in options):
        action(session, value)


def set_if_changed(widget: Any, field: str, value: Any) -> None:
    """Give a widget a property, unless it has it already: then nothing is sent."""
    if getattr(widget, field) != value:
        setattr(widget, field, value)
