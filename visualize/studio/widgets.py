"""Widgets of the page: binding to the session, and HTML, in which all user input is escaped.

Callbacks run on the page's event loop.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from visualize.drawing import style
from visualize.studio.goal_nodes import scene_colour
from visualize.studio.session import Session
from visualize.studio.threads import EventLoop

Action = Callable[[Session, Any], None]
QUIET = scene_colour(style.TILE)
"""Colour of secondary buttons."""
GOOD, BAD, FAINT = "#00704f", "#b3402a", style.MIDDLE
"""Text colours with a contrast of at least 4.5 to 1 on white (WCAG 2)."""
MAX_NUMBER = 1e18
"""Largest magnitude accepted from a widget."""


@dataclass(frozen=True, eq=False)
class Controls:
    """The widgets of one page.

    Attributes:
        gui: viser's GUI of the client.
        loop: event loop of the page.
        session: passed to all actions.
        refresh: called after each action to update the page.
    """

    gui: Any
    loop: EventLoop
    session: Session
    refresh: Callable[[], None]

    def on_change(self, widget: Any, action: Action) -> Any:
        """Run an action with the new value when the client changes a widget. Returns the widget."""

        async def updated(event: Any) -> None:
            if event.client is not None:
                self.run_action(lambda session: _with_value(widget, session, action))

        widget.on_update(updated)
        return widget

    def on_press(self, button: Any, action: Action) -> Any:
        """Run an action when a button is pressed, with the pressed button's label for a group. Returns the button."""

        async def clicked(event: Any) -> None:
            if event.client is not None:
                self.run_action(lambda session: _with_value(button, session, action))

        button.on_click(clicked)
        return button

    def on_upload(self, button: Any, action: Action) -> Any:
        """Run an action with an uploaded file. Returns the button."""

        async def arrived(event: Any) -> None:
            if event.client is not None:
                file = button.value
                self.run_action(lambda session: action(session, file))

        button.on_upload(arrived)
        return button

    def on_key(self, label: str, hotkey: str, action: Callable[[Session], None], modifier: str | None = None) -> None:
        """Run an action when a key is pressed."""
        command = self.gui.add_command(label, hotkey=hotkey, modifier=modifier)

        def run(session: Session) -> None:
            session.mark_done("keys")
            action(session)

        async def struck(event: Any) -> None:
            self.run_action(run)

        command.on_trigger(struck)

    def run_action(self, action: Callable[[Session], None]) -> None:
        """Run an action on the event loop and update the page."""

        def run() -> None:
            try:
                action(self.session)
            finally:
                self.refresh()

        self.loop.post(run)


def _with_value(widget: Any, session: Session, action: Action) -> None:
    """Run an action with a widget's value, unless it is out of range or not among the options."""
    value, options = widget.value, getattr(widget, "options", None)
    numbers = value if isinstance(value, tuple) else (value,)
    sane = all(abs(n) <= MAX_NUMBER for n in numbers if isinstance(n, int | float))  # NaN is not
    if sane and (options is None or value in options):
        action(session, value)


def set_if_changed(widget: Any, field: str, value: Any) -> None:
    """Set a widget's property if it differs, so that nothing is sent otherwise."""
    if getattr(widget, field) != value:
        setattr(widget, field, value)


def block(content: str, *, top: float = 0.0) -> str:
    """Content in the size of the page's labels, with margins; `top` is the upper one in em."""
    return (
        f'<div style="font-size:0.82em;line-height:1.45;margin:{top}em 0.75em 0.55em;color:{style.INK}">{content}</div>'
    )


def note(text: str, hue: str = FAINT) -> str:
    """A line of text."""
    return block(f'<span style="color:{hue}">{escape(text)}</span>')


def headed(title: str, lines: Sequence[str]) -> str:
    """Warnings under a title."""
    below = "".join(f"<div>{escape(capitalise(line))}</div>" for line in lines)
    return block(f'<b style="color:{BAD}">{title}</b>{below}')


def capitalise(line: str) -> str:
    """Capitalise the first letter."""
    return line[:1].upper() + line[1:]


def table(rows: Sequence[str]) -> str:
    """A table of rows; see `table_row`."""
    return block(f'<table style="width:100%;border-collapse:collapse">{"".join(rows)}</table>', top=0.3)


def table_row(first: str, cells: Sequence[str], *, head: bool = False) -> str:
    """A row of HTML cells, the first aligned left and the others right; `head` makes it bold."""
    rule = f"border-bottom:1px solid {style.TILE};padding:0.25em 0.3em 0.25em 0"
    weight = "font-weight:600;" if head else ""
    row = "".join(f'<td style="{rule};text-align:right;{weight}white-space:nowrap">{cell}</td>' for cell in cells)
    return f'<tr><td style="{rule}">{first}</td>{row}</tr>'
