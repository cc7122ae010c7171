"""A client with a browser, for tests of the page."""

import functools
import math
import time
from pathlib import Path

import numpy as np

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run",
]  # fmt: skip
PATIENCE = 120.0
"""Deadline in seconds, for machines without a graphics card."""
REPEAT = 10.0
"""Seconds after which a gesture without an effect is made again."""


def gesture(method):
    """Let `until` repeat what has been done last, since a page can be laid out anew under the pointer."""

    @functools.wraps(method)
    def remembered(visitor, *arguments):
        visitor.last = functools.partial(method, visitor, *arguments), visitor.state()
        return method(visitor, *arguments)

    return remembered


class Visitor:
    """A client with a browser."""

    def __init__(self, browser, studio, width=1000, height=600):
        self.studio = studio
        known = set(studio._pages)
        self.page = browser.new_page(viewport={"width": width, "height": height})
        self.page.set_default_timeout(1000 * PATIENCE)
        self.last = None
        self.asked: list[str] = []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(studio.address.url)
        self.button("Path").wait_for()
        (self.number,) = set(studio._pages) - known
        self.session = studio._pages[self.number].session

    @property
    def player(self):
        return self.studio._pages[self.number]._time.player

    @property
    def goals(self):
        return self.session.plan.goals

    def button(self, name):
        return self.page.get_by_role("button", name=name, exact=True)

    @gesture
    def press(self, name):
        self.button(name).click()

    @gesture
    def key(self, name):
        self.page.keyboard.press(name)

    @gesture
    def tick(self, label):
        self.row(label).locator("input").click()

    def tab(self, name):
        self.page.get_by_role("tab", name=name).click()

    def row(self, label):
        """The widget with a label."""
        rows = self.page.locator(".mantine-Flex-root").filter(has=self.page.get_by_text(label, exact=True))
        return rows.filter(visible=True).last

    @gesture
    def fill(self, label, value):
        self.row(label).locator("input").last.fill(value)
        self.page.keyboard.press("Enter")

    @gesture
    def choose(self, label, option):
        self.row(label).locator("input").first.click()
        self.page.get_by_role("option").filter(visible=True).filter(has_text=option).first.click()

    def until(self, holds, what):
        """Wait until something holds; repeat the last gesture while the session is as it was before."""
        begun = again = time.monotonic()
        while not holds():
            now = time.monotonic()
            assert now < begun + PATIENCE, f"{what} did not come to pass: {self._description()}"
            if self.last is not None and now > again + REPEAT:
                act, before = self.last
                if self.state() == before:
                    act()
                again = now
            self.page.wait_for_timeout(30)
        self.last = None

    def state(self):
        """What gestures change."""
        session, player = self.session, self.player
        time = None if player.playing else (player.time, session.tool_state.time)
        return (
            session.history, session.tool_state.tool, session.selected, session.held, session.running, session.message,
            [id(take) for take in session.takes], id(session.chosen), player.playing, player.speed, time,
            len(self.studio._pages[self.number]._shown),
        )  # fmt: skip

    def _description(self):
        session = self.session
        chosen = session.chosen and len(session.chosen.plan.goals)
        return (
            f"the page says {session.message!r}; {len(self.goals)} goals, {chosen} of the displayed take, "
            f"following {session.live.following}, queue idle {session.queue.idle}, playing {self.player.playing}"
        )

    def select_tool(self, tool):
        self.press(tool)
        self.until(lambda: self.session.tool_state.tool == tool, tool)
        self.page.wait_for_timeout(300)  # until the floor listens

    def go_to(self, second):
        self.fill("Time, s", str(second))
        self.until(lambda: abs(self.session.tool_state.time - second) < 0.03, f"second {second}")

    def be_still(self):
        """Pause playback, which is slow without a graphics card."""
        page = self.studio._pages[self.number]

        def pause():
            page._time.player = self.player.toggled(False)
            page._refresh()

        page._loop.post(pause)
        self.until(lambda: not page._loop.ticking, "the motion to stand still")

    def pixel(self, *spot):
        """Page coordinates of a point (x, y, z)."""
        camera, box = self.studio._pages[self.number]._client.camera, self.page.locator("canvas").first.bounding_box()
        ahead = camera.look_at - camera.position
        ahead = ahead / np.linalg.norm(ahead)
        right = np.cross(ahead, camera.up_direction)
        right = right / np.linalg.norm(right)
        way = np.array(spot) - camera.position
        scale = box["height"] / 2 / math.tan(camera.fov / 2) / (way @ ahead)
        return (
            box["x"] + box["width"] / 2 + scale * (way @ right),
            box["y"] + box["height"] / 2 - scale * (way @ np.cross(right, ahead)),
        )

    @gesture
    def click(self, *spot):
        self.page.mouse.click(*self.pixel(*spot))

    @gesture
    def drag(self, *spots):
        self.page.mouse.move(*self.pixel(*spots[0]))
        self.page.wait_for_timeout(100)  # until what is there knows of the pointer
        self.page.mouse.down()
        for spot in spots[1:]:
            self.page.mouse.move(*self.pixel(*spot), steps=2)
            self.page.wait_for_timeout(50)
        self.page.mouse.up()

    def look(self, *spot):
        """A picture of what is around a point (x, y, z)."""
        x, y = self.pixel(*spot)
        return self.page.screenshot(clip={"x": x - 4, "y": y - 4, "width": 8, "height": 8})

    @gesture
    def slide(self, label, thumb, share):
        """Drag a thumb of a slider with several."""
        self.row(label).scroll_into_view_if_needed()
        track = self.row(label).locator(".multi-slider-track").bounding_box()
        box = self.row(label).locator(".multi-slider-thumb").nth(thumb).bounding_box()
        y = box["y"] + box["height"] / 2
        self.page.mouse.move(box["x"] + 1, y)  # a scroll bar may cover the rest of the last one
        self.page.mouse.down()
        self.page.mouse.move(track["x"] + share * track["width"], y, steps=2)
        self.page.mouse.up()

    def downloaded(self, name, to):
        download = self._pressed(name, self.page.expect_download)
        path = to / download.suggested_filename
        download.save_as(path)
        return path

    @gesture
    def uploaded(self, name, path):
        self._pressed(name, self.page.expect_file_chooser).set_files(path)

    def _pressed(self, name, expect):
        """What the browser does when a button is pressed, or pressed once more after half a minute."""
        from playwright.sync_api import TimeoutError

        for seconds in (30, PATIENCE):
            try:
                with expect(timeout=1000 * seconds) as event:
                    self.button(name).click()
                return event.value
            except TimeoutError:
                error = f"{name} was pressed in vain: {self._description()}"
        raise AssertionError(error)
