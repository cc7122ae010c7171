"""The studio in a real browser: draw, generate, see the figure move, take it away, read it back."""

import socket
import time
from pathlib import Path

import pytest
import torch

pytest.importorskip("viser")
sync_api = pytest.importorskip("playwright.sync_api")

from data_loaders.reading import read_motion  # noqa: E402
from guidance.goals import Goals, load_goals  # noqa: E402
from motion_diffusion.motion import Motion  # noqa: E402
from visualize.studio.server import Address, Studio  # noqa: E402

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run",
]  # fmt: skip
PATIENCE = 180.0
"""Seconds: without a graphics card, and with other work on the processor."""

pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no {CHROMIUM}")


@pytest.fixture
def studio(make_model, tmp_path):
    """A running studio that offers a small model first."""
    make_model().save(tmp_path / "m")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    studio = Studio(Address("127.0.0.1", port), runs=[tmp_path / "m"])
    yield studio
    studio.close()


@pytest.fixture
def browser():
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), headless=True, args=FLAGS)
        yield browser
        browser.close()


class Visitor:
    """Somebody with a browser in front of them."""

    def __init__(self, browser, studio):
        self.studio = studio
        known = set(studio._pages)
        self.page = browser.new_page(viewport={"width": 1000, "height": 620})
        self.page.set_default_timeout(1000 * PATIENCE)
        self.asked: list[str] = []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(studio.address.url)
        self.page.get_by_role("button", name="Path", exact=True).wait_for()
        (self.number,) = set(studio._pages) - known
        self.bench = studio._pages[self.number].bench

    def press(self, name):
        self.page.get_by_role("button", name=name, exact=True).click()

    def until(self, holds, what):
        end = time.monotonic() + PATIENCE
        while not holds():
            assert time.monotonic() < end, f"{what} did not come to pass; the page says {self.bench.message!r}"
            self.page.wait_for_timeout(50)

    def downloaded(self, name, to):
        with self.page.expect_download() as download:
            self.press(name)
        path = to / download.value.suggested_filename
        download.value.save_as(path)
        return path


def test_from_the_first_click_to_the_file(browser, studio, tmp_path):
    ann = Visitor(browser, studio)
    page, bench = ann.page, ann.bench

    ann.press("Path")
    ann.until(lambda: bench.hand.tool == "Path", "the tool")
    page.wait_for_timeout(500)  # until the floor listens
    for k, spot in enumerate([(520, 330), (560, 290)], 2):
        page.mouse.click(*spot)
        ann.until(lambda k=k: bench.plan.goals and len(bench.plan.goals[0].points) == k, f"point {k}")
    assert bench.report().error == ""
    ann.press("Generate 2 takes")
    ann.until(lambda: len(bench.takes) == 2, "two takes")
    assert all(residual.met for take in bench.takes for residual in take.residuals)

    ann.until(lambda: studio._pages[ann.number]._time.player.playing, "the motion to play")
    ann.press("Pause")
    ann.until(lambda: not studio._pages[ann.number]._time.player.playing, "the motion to stand still")
    pictures = []
    for second in ("0", "1.5"):
        box = page.locator("input").filter(visible=True).nth(-1)
        box.fill(second)
        box.press("Enter")
        ann.until(lambda s=second: abs(bench.hand.time - float(s)) < 0.03, f"second {second}")
        page.wait_for_timeout(1500)
        pictures.append(page.locator("canvas").first.screenshot())
    assert pictures[0] != pictures[1]

    page.get_by_role("tab", name="Files").click()
    motion = Motion.load(ann.downloaded("Motion", tmp_path))
    assert torch.equal(motion.joints, bench.chosen.motion.joints)
    bvh = read_motion(ann.downloaded("BVH", tmp_path))
    assert bvh.frames == motion.frames
    plan = ann.downloaded("Save goals", tmp_path)
    goals = load_goals(plan)
    assert goals.goals == list(bench.plan.goals)
    assert all(residual.met for residual in Goals(goals=goals.goals).residuals(motion.joints))

    page.keyboard.press("Control+z")
    ann.until(lambda: len(bench.plan.goals[0].points) == 2, "a point less")
    with page.expect_file_chooser() as chooser:
        ann.press("Load goals (.json)")
    chooser.value.set_files(plan)
    ann.until(lambda: list(bench.plan.goals) == goals.goals, "the goals of the file")

    ours = studio.address.url
    assert all(url.startswith((ours, ours.replace("http", "ws"), f"blob:{ours}", "data:")) for url in ann.asked)

    kept = bench.plan
    page.wait_for_function("kept => Object.values({...localStorage}).includes(kept)", arg=kept.to_json())
    page.reload()
    page.get_by_role("button", name="Path", exact=True).wait_for()
    ann.until(lambda: len(studio._pages) == 1 and ann.number not in studio._pages, "the page to come again")
    (again,) = studio._pages.values()
    assert again.bench.plan == kept

    again.bench.edit(lambda plan: plan.changed("steps", 200).changed("count", 8))
    page.get_by_role("button", name="Generate 2 takes").click()
    ann.until(lambda: again.bench.doing is not None, "work")
    page.close()  # in the middle
    end = time.monotonic() + PATIENCE
    while studio._pages or studio._work._running is not None:
        assert time.monotonic() < end, "the work goes on although nobody is there"
        time.sleep(0.05)
    assert again.bench.takes == ()
