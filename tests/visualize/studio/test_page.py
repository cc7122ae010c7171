"""The studio in a real browser: draw, generate, play, download, reload."""

import json
import time
from io import BytesIO

import numpy as np
import pytest
import torch
from matplotlib.image import imread

pytest.importorskip("viser")
pytest.importorskip("playwright.sync_api")
av = pytest.importorskip("av")

from data_loaders.load_motion import read_motion  # noqa: E402
from guidance.goals.goal_file import load_goals  # noqa: E402
from guidance.goals.goal_set import GoalSet, Segment  # noqa: E402
from motion_diffusion.body.motion import Motion  # noqa: E402
from motion_diffusion.body.skeleton import FPS  # noqa: E402
from tests.visualize.studio.visitor import CHROMIUM, PATIENCE, Visitor  # noqa: E402
from visualize.studio.file_transfer import MAX_UPLOAD_BYTES  # noqa: E402
from visualize.studio.plan import MAX_PROMPT_LETTERS  # noqa: E402

LONG = (Segment(text="a person walks", seconds=20.0),)
"""A plan that takes long enough to observe its progress."""

pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no {CHROMIUM}")


@pytest.fixture
def studio(make_model, tmp_path, open_studio):
    """A running studio that offers a small model first, whose motions do not follow their plans."""
    make_model().save(tmp_path / "m")
    return open_studio(runs=[tmp_path / "m"], live=False)


def is_green(picture):
    """Whether there is a green pixel in a PNG."""
    red, green, blue = imread(BytesIO(picture))[..., :3].transpose(2, 0, 1)
    return bool((green > 1.25 * np.maximum(red, blue)).any())


def test_browser_draws_and_moves_goals(browser, studio):
    ann = Visitor(browser, studio)
    ann.page.get_by_text("or press Path and draw on the floor").wait_for()
    ann.page.locator(".mantine-Notification-closeButton").first.click()  # that there is no graphics card

    ann.select_tool("Path")
    ann.drag((0, 0, 0), (0.3, 0, 1.0), (0.4, 0, 2.0))
    ann.until(lambda: len(ann.goals) == 1, "a path")
    assert ann.goals[0].points[0] == (0, 0)
    assert ann.goals[0].points[-1] == pytest.approx((0.4, 2.0), abs=0.05)
    ann.slide("From–to, s", 1, 0.75)
    ann.until(lambda: ann.goals[0].end == pytest.approx(0.75 * 3.95, abs=0.15), "a faster path")

    ann.select_tool("Circle")
    ann.drag((-0.5, 0, 1.2), (-0.2, 0, 1.2))
    ann.until(lambda: len(ann.goals) == 2, "an obstacle")
    assert ann.goals[1].radius == pytest.approx(0.3, abs=0.05)
    ann.page.wait_for_timeout(300)
    ann.drag((-0.5, 0, 1.2), (-0.7, 0, 0.9))
    ann.until(lambda: ann.goals[1].center[1] < 1.1, "the obstacle elsewhere")
    assert ann.goals[1].center == pytest.approx((-0.7, 0.9), abs=0.05)
    assert len(ann.goals) == 2

    ann.select_tool("Way-point")
    ann.go_to(3.5)
    ann.click(0.9, 0, 2.0)
    ann.until(lambda: len(ann.goals) == 3, "a way-point")
    assert (ann.goals[2].time, ann.goals[2].x, ann.goals[2].z) == pytest.approx((3.5, 0.9, 2.0), abs=0.05)
    ann.page.wait_for_timeout(300)
    ann.drag((0.9, 0, 2.0), (0.5, 0, 2.2))
    ann.until(lambda: ann.goals[2].x < 0.6, "the way-point elsewhere")
    assert (ann.goals[2].x, ann.goals[2].z) == pytest.approx((0.5, 2.2), abs=0.05)

    ann.select_tool("Facing")
    ann.drag((0.8, 0, 0.4), (1.4, 0, 0.4))
    ann.until(lambda: len(ann.goals) == 4, "a heading")
    assert ann.goals[3].degrees == pytest.approx(90, abs=5)
    ann.press("Delete goal")
    ann.until(lambda: len(ann.goals) == 3, "no heading")

    ann.select_tool("Key frame")
    ann.go_to(1.5)
    ann.click(0.0, 0, 1.3)
    ann.until(lambda: len(ann.goals) == 4, "a key frame")
    x, y, z = ann.goals[3].position
    before, arrow = ann.session.history, (x, y + 0.24, z)
    ann.until(lambda: is_green(ann.look(*arrow)), "the arrow that points up")
    ann.drag(arrow, (x, y - 0.26, z))
    ann.until(lambda: ann.goals[3].position[1] < y - 0.2, "the key frame further down")
    assert ann.goals[3].position == pytest.approx((x, y - 0.5, z), abs=0.06)
    assert ann.session.history.past == (*before.past, before.now)
    ann.key("Control+z")
    ann.until(lambda: ann.session.history.now == before.now, "the key frame where it was")
    ann.press("Redo")
    ann.until(lambda: ann.goals[3].position[1] < y - 0.2, "the key frame further down again")
    ann.choose("Selected", "right wrist")
    ann.until(lambda: ann.session.selected == 3, "the key frame selected")
    ann.tick("Lock X")
    ann.until(lambda: ann.goals[3].position[0] is None, "a free axis")
    ann.page.close()


def test_browser_from_first_click_to_downloaded_file(browser, studio, tmp_path):
    ann = Visitor(browser, studio)
    page, session = ann.page, ann.session
    session.edit(lambda plan: plan.changed("steps", 5))

    ann.select_tool("Path")
    for k, spot in enumerate([(0.2, 0, 0.8), (0.3, 0, 1.6)], 2):
        ann.click(*spot)
        ann.until(lambda k=k: ann.goals and len(ann.goals[0].points) == k, f"point {k}")
    assert session.report().error == ""
    ann.press("Generate 2 takes")
    ann.until(lambda: len(session.takes) == 2, "two takes")
    assert all(residual.met for take in session.takes for residual in take.residuals)

    ann.until(lambda: ann.player.playing, "the motion to play")
    ann.press("¼×")
    ann.until(lambda: ann.player.speed == 0.25, "a quarter of the speed")
    ann.press("Pause")
    ann.until(lambda: not ann.player.playing, "the motion to stand still")
    ann.go_to(0)
    page.wait_for_timeout(500)
    seen = page.locator("canvas").first.screenshot()
    ann.go_to(1.5)
    ann.until(lambda: page.locator("canvas").first.screenshot() != seen, "another picture")
    ann.choose("Layout", "Side by side")
    ann.until(lambda: len(studio._pages[ann.number]._shown) == 2, "both side by side")

    ann.tab("Files")
    motion = Motion.load(ann.downloaded("Motion", tmp_path))
    assert torch.equal(motion.joints, session.chosen.motion.joints)
    bvh = ann.downloaded("BVH", tmp_path)
    assert read_motion(bvh).frames == motion.frames
    glb = ann.downloaded("GLB", tmp_path).read_bytes()
    (length,) = np.frombuffer(glb[12:16], "<u4")
    assert (glb[:4], len(json.loads(glb[20 : 20 + length])["animations"])) == (b"glTF", 1)
    with np.load(ann.downloaded("AMASS", tmp_path), allow_pickle=False) as amass:
        assert amass["poses"].shape == (motion.frames, 165)
    assert len(ann.downloaded("CSV", tmp_path).read_text().splitlines()) == 1 + motion.frames
    with av.open(ann.downloaded("Film", tmp_path)) as film:
        assert sum(1 for _ in film.decode(video=0)) == motion.frames
    plan = ann.downloaded("Save goals", tmp_path)
    goals = load_goals(plan)
    assert goals.goals == list(ann.goals)
    assert all(residual.met for residual in GoalSet(goals=goals.goals).residuals(motion.joints))

    ann.key("Control+z")
    ann.until(lambda: len(ann.goals[0].points) == 2, "a point less")
    ann.uploaded("Load goals (.json)", plan)
    ann.until(lambda: list(ann.goals) == goals.goals, "the goals of the file")
    (tmp_path / "large.npz").write_bytes(bytes(MAX_UPLOAD_BYTES + 2**20))
    ann.uploaded("Load a motion", tmp_path / "large.npz")
    ann.until(lambda: "the file has 33 MB and is not taken" in session.message, "a refusal")
    ann.uploaded("Load a motion", bvh)  # the button waits for nothing
    ann.until(lambda: len(session.takes) == 3, "the motion of the file")
    ann.be_still()
    assert session.chosen.motion.frames == motion.frames

    ann.tab("Takes")
    ann.press("Continue from the end")
    ann.until(lambda: session.plan.base is not None, "a motion to go on from")
    ann.be_still()
    ann.press("Add a prompt")
    ann.until(lambda: len(session.plan.parts) == 2, "a second part")
    ann.fill("Then", "a person waves")
    ann.until(lambda: session.plan.parts[1].text == "a person waves", "its words")
    ann.fill("Then", "a" * (MAX_PROMPT_LETTERS + 1))
    ann.until(lambda: "letters" in session.message, "a refusal")
    typed = ann.row("Then").locator("input").last
    ann.until(lambda: typed.input_value() == "a person waves", "the words of the plan again")
    ann.press("Remove the last")
    ann.until(lambda: len(session.plan.parts) == 1, "one part")
    session.edit(lambda plan: plan.changed("count", 1))
    source = session.chosen
    ann.press("Regenerate the in-between")
    ann.until(lambda: session.plan.base.end is not None, "a part to be made anew")
    base = session.plan.base
    ann.press("Generate")
    ann.until(lambda: len(session.takes) == 4, "a part made anew")
    ann.be_still()
    before, after = (round(second * FPS) for second in (base.start, base.end))
    made, old = session.chosen.motion.joints, source.motion.joints
    assert torch.equal(made[:before], old[:before])
    assert torch.equal(made[after:], old[after:])
    assert not torch.equal(made[before:after], old[before:after])
    ann.press("Delete the other takes")
    ann.until(lambda: len(session.takes) == 1, "one take")

    ben = Visitor(browser, studio, 700, 400)
    assert ben.session.takes == ()
    assert ben.session.plan.base is None
    assert ben.goals == ()
    ben.page.close()

    ours = studio.address.url
    assert all(url.startswith((ours, ours.replace("http", "ws"), f"blob:{ours}", "data:")) for url in ann.asked)

    session.edit(
        lambda plan: plan.changed("base", None).changed("parts", LONG).changed("steps", 200).changed("count", 8)
    )
    ann.press("Clear")
    ann.press("Generate 8 takes")
    ann.until(lambda: session.running is not None and session.running.share > 0, "work")
    ann.press("Stop")
    ann.until(lambda: session.running is None, "an end")
    assert (session.message, len(session.takes)) == ("stopped", 1)

    kept = session.plan
    page.wait_for_function("kept => Object.values({...localStorage}).includes(kept)", arg=kept.to_json())
    page.reload()
    page.get_by_role("button", name="Generate 8 takes").wait_for()
    ann.until(lambda: len(studio._pages) == 1 and ann.number not in studio._pages, "the page to come again")
    (again,) = studio._pages.values()
    assert again.session.plan == kept
    page.get_by_role("button", name="Generate 8 takes").click()
    ann.until(lambda: again.session.running is not None, "work")
    page.close()  # in the middle
    end = time.monotonic() + PATIENCE
    while studio._pages or not studio._queue.idle:
        assert time.monotonic() < end, "the work goes on although nobody is there"
        time.sleep(0.05)
    assert again.session.takes == ()
