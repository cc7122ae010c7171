"""The time that is seen: it runs, slowly if wanted, from the beginning to the end and over again."""

from __future__ import annotations

from dataclasses import dataclass, replace

SPEEDS = {"1×": 1.0, "½×": 0.5, "¼×": 0.25, "⅒×": 0.1}
"""How fast, by what stands on the page."""


@dataclass(frozen=True)
class Player:
    """A second on the time line of a motion that lasts to second `last`."""

    last: float
    time: float = 0.0
    speed: float = 1.0
    playing: bool = False

    def after(self, seconds: float) -> Player:
        """So many seconds of the clock later."""
        if not self.playing or self.last <= 0:
            return self
        time = self.time + self.speed * seconds
        return replace(self, time=time if time <= self.last else time % self.last)

    def at(self, time: float) -> Player:
        """At a second; before the beginning and after the end at these."""
        return replace(self, time=min(max(time, 0.0), self.last))

    def turned(self, playing: bool) -> Player:
        """Running or standing; run from the end, it begins anew."""
        over = playing and self.time >= self.last
        return replace(self, playing=playing, time=0.0 if over else self.time)

    def at_speed(self, speed: float) -> Player:
        """Running so fast."""
        return replace(self, speed=speed).turned(True)

    def of(self, last: float) -> Player:
        """The same for a motion that lasts to another second."""
        return replace(self, last=last).at(self.time)
