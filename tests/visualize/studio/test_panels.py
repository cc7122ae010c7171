"""Panels without a browser: display of plan and takes, and input from widgets."""

import socket
import threading
import time
from dataclasses import dataclass, field

import pytest

viser = pytest.importorskip("viser")
from hypothesis import given  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from guidance.goals.goal_set import Segment  # noqa: E402
from guidance.goals.positions import Waypoint  # noqa: E402
from motion_diffusion.body.motion import Motion  # noqa: E402
from visualize.studio.generation import Poses, Take  # noqa: E402
from visualize.studio.page import Page  # noqa: E402
from visualize.studio.plan import MAX_PROMPT_LETTERS  # noqa: E402
from visualize.studio.plan_panels import Player, PromptPanel  # noqa: E402
from visualize.studio.take_panels import GUIDANCE_CHOICES, MAX_COLUMNS, MakePanel, TakePanel, compared_takes  # noqa: E402
from visualize.studio.threads import EventLoop  # noqa: E402
from visualize.studio.widgets import Controls  # noqa: E402


@pytest.fixture(scope="module")
def gui():
    """Widgets without a client."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = viser.ViserServer(host="127.0.0.1", port=port, verbose=False)
    yield server.gui
    server.stop()


@dataclass(frozen=True, eq=False)
class Hands(Controls):
    """Controls operated by a test instead of a client."""

    callbacks: dict = field(default_factory=dict)

    def on_change(self, widget, act):
        self.callbacks[id(widget)] = act
        return widget

    def give(self, widget, value):
        """Set a widget's value and run its action."""
        widget.value = value
        self.callbacks[id(widget)](self.session, value)


@pytest.fixture
def hands(gui, harness):
    """Widgets bound to a session."""
    loop = EventLoop(lambda: None)
    yield Hands(gui, loop, harness().session, lambda: None)
    loop.close()


def test_typed_text_enters_the_plan_and_is_not_overwritten(hands):
    panel, session = PromptPanel(hands), hands.session
    panel.show(session)
    (part,) = panel._parts
    assert part.text.value == "a person walks"
    hands.give(part.text, "a")
    part.text.value = "ab"  # typed before it is shown
    panel.show(session)
    assert (session.plan.text, part.text.value) == ("a", "ab")
    hands.give(part.text, "")
    panel.show(session)
    assert (session.plan.text, part.text.value) == ("", "")
    session.undo()
    panel.show(session)
    assert part.text.value == "a person walks"


def test_refused_text_is_replaced_by_that_of_the_plan(hands):
    panel, session = PromptPanel(hands), hands.session
    panel.show(session)
    (part,) = panel._parts
    before = session.refusals
    hands.give(part.text, "a" * (MAX_PROMPT_LETTERS + 1))
    assert session.message
    assert session.refusals == before + 1
    panel.show(session)
    assert part.text.value == "a person walks"


def test_short_part_is_displayed_unchanged(hands):
    panel = PromptPanel(hands)
    hands.session.edit(lambda plan: plan.changed("parts", (Segment(text="a person bows", seconds=0.5),)))
    panel.show(hands.session)
    assert panel._parts[0].seconds.value == 0.5


def test_guidance_from_a_file_is_among_the_choices(hands):
    panel, plan = MakePanel(hands), hands.session.plan
    panel.show(plan.changed("guidance", "noise+imputation"))
    assert panel._guidance.value == "noise+imputation"
    assert panel._guidance.options == (*GUIDANCE_CHOICES, "noise+imputation")
    panel.show(plan)
    assert (panel._guidance.value, panel._guidance.options) == ("projection", GUIDANCE_CHOICES)


def test_error_table_contains_the_chosen_take(hands, walks):
    session, motion = hands.session, Motion(walks[0][:10])
    plan, poses = session.plan, Poses.of(motion)
    session.add_takes([Take(motion, plan, poses) for _ in range(6)])
    assert [take.number for take in compared_takes(session)] == [1, 4, 5, 6]
    session.choose(5)
    assert [take.number for take in compared_takes(session)] == [3, 4, 5, 6]
    session.takes = (*session.takes, Take(motion, plan.with_goal(Waypoint(time=0.1, x=0.0, z=0.0)), poses, number=7))
    assert [take.number for take in compared_takes(session)] == [3, 4, 5, 6]
    panel = TakePanel(hands)
    panel.show(session)
    assert panel._errors.content.count("Take ") == MAX_COLUMNS
    assert "Take 5" in panel._errors.content


def test_closing_a_page_stops_a_job_that_is_being_submitted(harness):
    page, begun, go = Page.__new__(Page), threading.Event(), threading.Event()
    page._loop, page.session = EventLoop(lambda: None), harness().session
    page.session.queue.submit("other", lambda monitor: go.wait(60), done=lambda outcome: None)

    def start():
        begun.set()
        time.sleep(0.2)  # while the page closes
        page.session.generate()

    page._loop.post(start)
    assert begun.wait(60)
    page.close()
    assert page.session.running.job.monitor.stopped
    go.set()


@given(st.floats(0.1, 10), st.floats(0, 1), st.floats(0, 100), st.sampled_from([1.0, 0.5, 0.1]))
def test_player_loops(last, share, seconds, speed):
    player = Player(last, share * last, speed, playing=True)
    later = player.advanced(seconds)
    assert 0 <= later.time <= last
    turns = (player.time + speed * seconds - later.time) / last
    assert turns == pytest.approx(round(turns), abs=1e-6)
    assert player.toggled(False).advanced(seconds).time == player.time
    assert Player(last, last).toggled(True).time == 0
    assert player.with_end(last / 2).time <= last / 2
