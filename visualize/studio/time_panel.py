"""Panel of the timeline: playback, and prompt and goals over time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from html import escape

from guidance.goals.obstacles import Obstacle
from motion_diffusion.body.skeleton import FPS, frame_of
from visualize.drawing import style
from visualize.studio.goal_editing import time_span
from visualize.studio.plan import Plan
from visualize.studio.session import Session
from visualize.studio.widgets import FAINT, Controls, set_if_changed

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
