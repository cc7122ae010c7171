"""The panels without a browser: what they show of a plan and of takes, and what a person's fields become."""

import socket
import threading
import time
from dataclasses import dataclass, field

import pytest

viser = pytest.importorskip("viser")
from guidance.goals.goal_set import Segment  # noqa: E402
from guidance.goals.positions import Waypoint  # noqa: E402
from motion_diffusion.body.motion import Motion  # noqa: E402
from visualize.studio.controls import Controls  # noqa: E402
from visualize.studio.desk import Desk  # noqa: E402
from visualize.studio.document import WORDS  # noqa: E402
from visualize.studio.make_panel import WAYS, MakePanel  # noqa: E402
from visualize.studio.making import Take, rig_shown  # noqa: E402
from visualize.studio.page import Page  # noqa: E402
from visualize.studio.plan_panel import WordsPanel  # noqa: E402
from visualize.studio.take_panel import COLUMNS, TakePanel, compared  # noqa: E402


@pytest.fixture(scope="module")
def gui():
    """Widgets that nobody sees."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = viser.ViserServer(host="127.0.0.1", port=port, verbose=False)
    yield server.gui
    server.stop()


@dataclass(frozen=True, eq=False)
class Hands(Controls):
    """Controls that a test uses in the place of a person."""

    acts: dict = field(default_factory=dict)

    def changed(self, widget, act):
        self.acts[id(widget)] = act
        return widget

    def give(self, widget, value):
        """Give a widget a value, and let it be done."""
        widget.value = value
        self.acts[id(widget)](self.bench, value)


@pytest.fixture
def hands(gui, table):
    """Widgets bound to a bench."""
    desk = Desk(lambda: None)
    yield Hands(gui, desk, table().bench, lambda: None)
    desk.close()


def test_what_is_typed_is_the_plan_and_not_written_over(hands):
    panel, bench = WordsPanel(hands), hands.bench
    panel.show(bench.plan)
    (part,) = panel._parts
    assert part.words.value == "a person walks"
    hands.give(part.words, "a")
    part.words.value = "ab"  # typed before it is shown
    panel.show(bench.plan)
    assert (bench.plan.text, part.words.value) == ("a", "ab")
    hands.give(part.words, "")
    panel.show(bench.plan)
    assert (bench.plan.text, part.words.value) == ("", "")
    bench.undo()
    panel.show(bench.plan)
    assert part.words.value == "a person walks"


def test_what_is_refused_is_replaced_by_the_plan(hands):
    panel, bench = WordsPanel(hands), hands.bench
    panel.show(bench.plan)
    (part,) = panel._parts
    before = bench.refused
    hands.give(part.words, "a" * (WORDS + 1))
    assert bench.message
    assert bench.refused == before + 1
    panel.show(bench.plan)
    assert part.words.value == "a person walks"


def test_a_short_part_is_shown_as_it_is(hands):
    panel = WordsPanel(hands)
    panel.show(hands.bench.plan.changed("parts", (Segment(text="a person bows", seconds=0.5),)))
    assert panel._parts[0].seconds.value == 0.5


def test_guidance_from_a_file_is_among_the_ways(hands):
    panel, plan = MakePanel(hands), hands.bench.plan
    panel.show(plan.changed("guidance", "noise+imputation"))
    assert panel._guidance.value == "noise+imputation"
    assert panel._guidance.options == (*WAYS, "noise+imputation")
    panel.show(plan)
    assert (panel._guidance.value, panel._guidance.options) == ("projection", WAYS)


def test_the_chosen_take_is_in_the_table(hands, walks):
    bench, motion = hands.bench, Motion(walks[0][:10])
    plan, rig = bench.plan, rig_shown(motion)
    bench.show([Take(number, motion, plan, rig) for number in range(1, 7)])
    assert [take.number for take in compared(bench)] == [1, 4, 5, 6]
    bench.choose(5)
    assert [take.number for take in compared(bench)] == [3, 4, 5, 6]
    bench.takes = (*bench.takes, Take(7, motion, plan.with_goal(Waypoint(time=0.1, x=0.0, z=0.0)), rig))
    assert [take.number for take in compared(bench)] == [3, 4, 5, 6]
    panel = TakePanel(hands)
    panel.show(bench)
    assert panel._errors.content.count("Take ") == COLUMNS
    assert "Take 5" in panel._errors.content


def test_who_leaves_while_something_begins_leaves_no_work(table):
    page, begun, go = Page.__new__(Page), threading.Event(), threading.Event()
    page._desk, page.bench = Desk(lambda: None), table().bench
    page.bench.work.submit("other", lambda watch: go.wait(60), done=lambda outcome: None)

    def begin():
        begun.set()
        time.sleep(0.2)  # while the page closes
        page.bench.generate()

    page._desk.post(begin)
    assert begun.wait(60)
    page.close()
    assert page.bench.doing.job.watch.stopped
    go.set()
