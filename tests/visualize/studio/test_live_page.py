"""Dragging in a real browser: the motion follows, the last state is made, and a second person is served meanwhile.

The figures are printed, since they depend on the machine: `pytest -s tests/visualize/studio/test_live_page.py`. With
STUDIO_FILM=FILE.gif (or .mp4) the drag is recorded from the browser's own frames, as they were displayed.
"""

import base64
import io
import os
import time
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
import torch

pytest.importorskip("viser")
pytest.importorskip("playwright.sync_api")
pytest.importorskip("av")
from PIL import Image

from sample.generate import generate
from tests.visualize.studio.socket_page import SocketPage
from tests.visualize.studio.visitor import CHROMIUM, Visitor
from visualize.film import encode

pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no {CHROMIUM}")

MOVES = 24
"""Moves of the mouse in a drag, one in a tenth of a second."""
FILM_FPS, MAX_FILM_BYTES = 12.5, 1_500_000
POINTER = """() => {
  const dot = document.createElement('div');
  dot.style.cssText = 'position:fixed;width:18px;height:18px;margin:-9px;border-radius:9px;z-index:9999;' +
    'border:2px solid #b3402a;background:#b3402a55;pointer-events:none';
  document.body.append(dot);
  document.addEventListener('pointermove', e => {
    dot.style.left = e.clientX + 'px';
    dot.style.top = e.clientY + 'px';
  }, true);
}"""
"""A dot at the pointer, which a browser without a window does not draw."""


class DragRecord:
    """Times of the states that a drag produces, and of the previews that are displayed."""

    def __init__(self, page):
        session, view = page.session, page._scene_view
        self.moves: list[tuple[float, object]] = []
        self.shown: list[tuple[float, object]] = []
        plans: dict[int, tuple[object, object]] = {}
        """Previews, which are kept so that their ids stay theirs, with their plans."""
        self._wrap(session, "move_goal", after=lambda _: self.moves.append((time.monotonic(), session.plan)))
        live, preview = session.live, session.live._preview

        def traced(plan, monitor):
            poses = preview(plan, monitor)
            plans[id(poses)] = poses, plan
            return poses

        live._preview = traced

        def displayed(motions):
            if motions and id(motions[0].poses) in plans:
                self.shown.append((time.monotonic(), plans[id(motions[0].poses)][1]))

        self._wrap(view, "show_motions", after=displayed)

    @staticmethod
    def _wrap(owner, name, after):
        method = getattr(owner, name)

        def wrapped(*arguments, **named):
            method(*arguments, **named)
            after(arguments[0])

        setattr(owner, name, wrapped)

    def states(self):
        """Indices of the displayed states among the moves; a move that changes nothing has the state before it."""
        first = {id(plan): k for k, (_, plan) in reversed(list(enumerate(self.moves)))}
        return [first[id(plan)] for _, plan in self.shown]

    def summary(self):
        """The figures, in one line."""
        dragged = self.moves[-1][0] - self.moves[0][0]
        delays = [now - self.moves[k][0] for k, (now, _) in zip(self.states(), self.shown, strict=True)]
        return (
            f"{len(self.moves)} moves in {dragged:.1f} s; {len(self.shown) / max(dragged, 1e-9):.1f} motions a second, "
            f"{1000 * np.median(delays):.0f} ms behind the hand (median); the last {1000 * delays[-1]:.0f} ms after it"
        )


class Film:
    """The frames that a browser displays, with their times."""

    def __init__(self, page):
        self._page, self._frames = page, []
        page.evaluate(POINTER)
        self._browser = page.context.new_cdp_session(page)
        self._browser.on("Page.screencastFrame", self._keep)
        self._browser.send("Page.startScreencast", {"format": "jpeg", "quality": 90, "everyNthFrame": 1})

    def _keep(self, frame):
        self._frames.append((frame["metadata"]["timestamp"], frame["data"]))
        self._browser.send("Page.screencastFrameAck", {"sessionId": frame["sessionId"]})

    def write(self, path, width=720):
        """Encode the frames in real time."""
        self._browser.send("Page.stopScreencast")
        times = np.array([at for at, _ in self._frames])
        last = np.searchsorted(times, np.arange(times[0], times[-1], 1 / FILM_FPS), side="right") - 1
        pictures = {}
        for k in sorted(set(last.tolist())):
            with Image.open(io.BytesIO(base64.b64decode(self._frames[k][1]))) as picture:
                height = round(picture.height * width / picture.width / 2) * 2
                pictures[k] = np.asarray(picture.convert("RGB").resize((width, height), Image.Resampling.LANCZOS))
        frames = [pictures[k] for k in last.tolist()]
        encode(frames, path, size=(width, len(frames[0])), fps=FILM_FPS, samples=frames[:: len(frames) // 6])


def test_motion_follows_the_hand(browser, open_studio, capsys):
    studio = open_studio(live=False)
    ann = Visitor(browser, studio, 1000, 560)
    page = studio._pages[ann.number]
    begun = time.monotonic()
    page._loop.post(lambda: page._run_action(lambda session: session.live.enable(True, session.plan)))
    ann.until(lambda: page._shown, "a person")
    first = time.monotonic() - begun
    assert page._time.player.playing
    ann.be_still()  # playback is slow without a graphics card
    ann.page.locator(".mantine-Notification-closeButton").first.click()  # that there is no graphics card

    ann.press("Walk a path")
    ann.until(lambda: ann.goals, "the example")
    ann.until(lambda: page.session.chosen and page.session.chosen.plan.goals == ann.goals, "its motion")
    ann.be_still()
    ann.go_to(2.0)
    ben = SocketPage(urlsplit(studio.address.url).port)
    (ben_page,) = (other for other in studio._pages.values() if other is not page)
    ben_page._loop.post(lambda: ben_page._run_action(lambda session: session.live.enable(True, session.plan)))
    ann.until(lambda: studio._queue.idle and ben_page._shown, "rest")
    record, ben_shown = DragRecord(page), ben_page._shown
    film = Film(ann.page) if "STUDIO_FILM" in os.environ else None

    (x, z), number = ann.goals[0].points[1], 1
    ann.page.mouse.move(*ann.pixel(x, 0, z))
    ann.page.wait_for_timeout(300)
    ann.page.mouse.down()
    for k in range(1, 50 * MOVES):
        angle = 3.5 * np.pi * k / MOVES
        ann.page.mouse.move(*ann.pixel(x - 0.5 + 0.5 * np.cos(angle), 0, z + 0.35 * np.sin(angle)))
        ann.page.wait_for_timeout(100)
        if k == MOVES // 4:
            ben_page._loop.post(lambda: ben_page._run_action(lambda session: session.try_example("Reach")))
        if k >= MOVES and ben_page._shown is not ben_shown:
            break
    ann.until(lambda: len(record.moves) > MOVES // 4, "moves")
    ben_served = ben_page._shown is not ben_shown
    ann.page.mouse.up()
    ann.until(lambda: page.session.held is None, "the release")
    plan = page.session.plan
    ann.until(lambda: page.session.chosen.plan.goals == plan.goals, "the motion in full quality")
    if film is not None:
        ann.page.wait_for_timeout(1500)
        film.write(path := Path(os.environ["STUDIO_FILM"]))
        assert path.stat().st_size <= MAX_FILM_BYTES
    with capsys.disabled():
        print(f"\nthe first preview after {first:.1f} s; {record.summary()}")

    assert ben_served  # while the hand of the other one moved
    assert record.states() == sorted(record.states())  # never an older state after a newer one
    assert record.shown[-1][1] is record.moves[-1][1] is plan
    assert plan.goals[0].points[number] != (x, z)
    model = studio._models.get(plan.model)
    (made,) = generate(
        model, [plan.text], [plan.frames], goals=[plan.goal_set], seeds=[plan.seed], settings=plan.settings
    )
    assert torch.equal(page.session.chosen.motion.joints, made.joints)
    assert page.session.live.poses is None
    ann.key("Control+z")
    ann.until(lambda: ann.goals[0].points[number] == (x, z), "the whole drag undone")
    ben.door.close()
    ann.page.close()


def test_page_offers_what_the_model_knows_and_says_what_it_does_not(browser, open_studio):
    ann = Visitor(browser, open_studio(live=False))
    ann.page.get_by_text("Try an example").wait_for()
    ann.press("Crouch")
    ann.until(lambda: len(ann.goals) == 1, "the example")
    ann.page.get_by_text("Drag a green ball").wait_for()
    ann.fill("Prompt", "an old person da")
    ann.until(ann.button("dances").is_visible, "suggestions")
    ann.press("dances")
    ann.until(lambda: ann.session.plan.text == "an old person dances", "the suggestion")
    ann.fill("Prompt", "a person juggles")
    ann.until(ann.page.get_by_text("The model has not learned this.").is_visible, "a warning")
    ann.page.evaluate("document.activeElement.blur()")  # keys are no longer typed into the prompt
    ann.key("End")
    ann.until(lambda: ann.player.time == pytest.approx(ann.player.last), "the last frame")
    ann.key("PageUp")
    ann.until(lambda: ann.player.time == pytest.approx(ann.player.last - 0.05), "the frame before")
    ann.key("Delete")
    ann.until(lambda: not ann.goals, "no goal")
    ann.page.close()
