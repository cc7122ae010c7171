"""Live display: previews of the newest plan, the same motion as `generate` in full quality, and fairness."""

import threading
from itertools import pairwise

import numpy as np
import pytest
import torch

from guidance.goals.goal_set import GoalSet, Segment
from guidance.goals.positions import Waypoint
from motion_diffusion.model import Recommended
from sample.generate import generate
from visualize.studio.generation import Models, PlanReport, report_plan
from visualize.studio.job_queue import JobMonitor, Urgency
from visualize.studio.live import PREVIEW, preview, preview_settings
from visualize.studio.plan import EXAMPLES, HINTS, Plan, example_plan, next_hint
from visualize.studio.plan_panels import suggest_actions, with_action

PLACE = Waypoint(time=1.0, x=0.3, z=0.8)


def moved(session, x):
    session.move_goal(0, 0, (x, 0.0, 0.8), done=False)


@pytest.fixture
def client(harness):
    """A session that follows its plan of one way-point, at rest."""
    client = harness(live=True)
    client.session.add_goal(PLACE)
    client.follow()
    client.rest()
    return client


def monitor(progress=lambda share: None):
    return JobMonitor(60, progress)


@pytest.mark.parametrize("goals", [(), (PLACE,)])
@pytest.mark.parametrize("seconds", [(2.0,), (1.5, 1.5)])
def test_preview_is_the_motion_of_as_many_steps(models, goals, seconds):
    """Before the body is fitted to it, which moves an untrained model's joints by centimetres."""
    parts = tuple(Segment(text="a person walks", seconds=each) for each in seconds)
    plan = Plan(model="m", parts=parts, goals=goals, seed=3)
    poses, last = preview(plan, models.get("m"), monitor()), []
    generate(
        models.get("m"), [plan.text], [plan.frames], goals=[plan.goal_set], seeds=[3],
        settings=preview_settings(plan, models.get("m")),
        on_step=lambda t, estimate: last.append(estimate.x0),
    )  # fmt: skip
    assert len(last) == PREVIEW.steps
    assert poses.positions.shape == (plan.frames, 22, 3)
    np.testing.assert_allclose(poses.positions[0, 0, [0, 2]], 0, atol=1e-5)
    if len(seconds) == 1:
        of = models.get("m").representation
        joints = of.read(of.denormalise(last[-1]), lengths=torch.tensor([plan.frames]))[0]
        joints = joints - joints[:1, :1] * torch.tensor([1.0, 0.0, 1.0])
        np.testing.assert_allclose(poses.positions, joints, atol=1e-5)
    residuals = GoalSet(goals=list(goals)).residuals(torch.from_numpy(poses.positions))
    assert all(residual.met for residual in residuals)
    np.testing.assert_allclose(np.linalg.norm(poses.orientations, axis=-1), 1, atol=1e-5)


def test_preview_of_an_edit_keeps_the_rest(client, models):
    take = client.session.chosen
    client.session.regenerate_part(0.6, 1.4)
    poses = preview(client.session.plan, models.get("m"), monitor())
    np.testing.assert_allclose(poses.positions[0], take.motion.joints[0], atol=1e-5)
    np.testing.assert_allclose(poses.positions[-1], take.motion.joints[-1], atol=1e-5)


@pytest.mark.parametrize(
    ("guidance", "fast"),
    [("projection", "projection"), ("classifier+projection", "projection"), ("masks+projection", "masks+projection"),
     ("noise", "projection"), ("none", "none")],
)  # fmt: skip
def test_previews_leave_out_slow_methods(models, guidance, fast):
    plan = Plan(model="m", guidance=guidance, goals=(PLACE,))
    assert preview_settings(plan, models.get("m")).guidance == fast


def test_motion_at_rest_is_that_of_generate(client, models):
    plan = client.session.plan
    (made,) = generate(
        models.get("m"), [plan.text], [plan.frames], goals=[plan.goal_set], seeds=[plan.seed], settings=plan.settings
    )
    assert torch.equal(client.session.chosen.motion.joints, made.joints)
    assert client.session.live.poses is None


def test_only_the_first_and_the_newest_of_many_changes_are_previewed(client, queue):
    session, shown = client.session, []
    hold = threading.Event()
    queue.submit("other", lambda monitor: hold.wait(60), done=lambda outcome: None, urgency=Urgency.PREVIEW)
    for k in range(20):
        moved(session, 0.3 + 0.01 * k)
    client.on_task = lambda: shown.append(session.live.poses)
    hold.set()
    client.follow()
    (poses,) = {id(poses): poses for poses in shown if poses is not None}.values()
    assert poses.positions[20, 0, 0] == pytest.approx(0.49, abs=0.01)
    assert session.held == 0
    moved(session, 0.5)
    session.move_goal(0, 0, (0.5, 0.0, 0.8), done=True)
    assert session.held is None
    client.follow()
    client.rest()
    assert session.chosen.plan.goals[0].x == 0.5
    assert [take.number for take in session.takes] == [1]
    assert len(session.history.past) == 4  # steps, length, goal, one drag
    session.undo()
    assert session.plan.goals == (PLACE,)


def test_a_change_stops_the_motion_that_is_being_made(client):
    session = client.session
    session.edit(lambda plan: plan.changed("steps", 200))
    client.follow()
    client.start_rest()
    final = session.live._final
    moved(session, 0.6)
    assert final.monitor.stopped
    client.follow()
    client.rest()
    assert session.chosen.plan.goals[0].x == 0.6
    assert session.message == ""


def test_undo_shows_the_take_that_is_there(client):
    session, first = client.session, client.session.chosen
    session.keep_take()
    moved(session, 0.7)
    client.follow()
    client.rest()
    assert [take.number for take in session.takes] == [1, 2]
    session.undo()
    assert session.chosen is first
    assert not session.live.following
    assert client.session.queue.idle


def test_generated_takes_replace_the_live_one_of_the_same_motion(client):
    session = client.session
    joints = session.chosen.motion.joints
    session.generate()
    client.settle()
    assert [take.number for take in session.takes] == [1, 2]
    torch.testing.assert_close(session.takes[0].motion.joints, joints, atol=1e-3, rtol=0)


def test_plans_that_cannot_be_made_keep_the_motion_and_say_so(client):
    session, take = client.session, client.session.chosen
    session.set_part_text(0, "")
    client.follow()
    client.rest()
    assert session.chosen is take
    assert session.live.poses is None
    assert "empty" in session.report().error
    session.set_part_text(0, "a person walks")
    assert session.chosen is take


def test_without_live_display_nothing_is_made(harness):
    client = harness(live=False)
    client.session.add_goal(PLACE)
    assert client.session.queue.idle
    client.session.live.enable(True, client.session.plan)
    client.follow()
    assert client.session.live.poses is not None


def test_previews_of_two_people_alternate_within_the_job_of_a_third(harness, queue, models):
    ann, bob = harness("ann", live=True), harness("bob", live=True)
    for client in (ann, bob):
        client.session.add_goal(PLACE)
        client.follow()
        client.rest()
    order, begun, enough = [], threading.Event(), threading.Event()

    def long_job(monitor):
        begun.set()
        while not enough.wait(0.001):
            order.append("step")
            monitor.step(0.5)

    for client, name in ((ann, "ann"), (bob, "bob")):
        record_previews(client.session.live, name, order)
    queue.submit("third", long_job, done=lambda outcome: None)
    assert begun.wait(60)
    for k in range(5):
        for client in (ann, bob):
            moved(client.session, 0.4 + 0.02 * k)
        for client in (ann, bob):
            client.wait_task()
    enough.set()
    names = [entry for entry in order if entry != "step"]
    assert names == ["ann", "bob"] * 5
    assert all("step" in order[i:j] for i, j in pairwise(k for k, entry in enumerate(order) if entry != "step"))
    assert bob.session.live.poses.positions[20, 0, 0] == pytest.approx(0.48, abs=0.01)


def record_previews(live, name, order):
    """Append a name to a list whenever a preview is computed."""
    preview = live._preview

    def recorded(plan, monitor):
        order.append(name)
        return preview(plan, monitor)

    live._preview = recorded


def test_a_goal_may_be_deleted_while_it_is_dragged(client):
    session = client.session
    moved(session, 0.4)
    session.remove_goal()
    assert session.held is None
    moved(session, 0.5)
    session.move_goal(0, 0, (0.5, 0.0, 0.8), done=True)
    assert session.plan.goals == ()
    assert session.held is None


def test_hints_go_away_once_they_are_followed(client):
    session = client.session
    assert next_hint(session.done) == HINTS[1][1]  # a goal was added
    moved(session, 0.4)
    assert next_hint(session.done) == HINTS[2][1]
    session.mark_done("keys", "prompt", "no hint")
    assert next_hint(session.done) == ""
    assert session.done == {name for name, _ in HINTS}


@pytest.mark.parametrize("label", EXAMPLES)
def test_examples_can_be_made(label):
    models = Models()
    assert report_plan(example_plan(Plan(model=models.default), label), models) == PlanReport()


def test_suggestions_are_known_actions_for_the_word_at_the_end():
    known = Models().known["v-masks"]
    assert suggest_actions("a person ", known)[:2] == ("plays basketball", "walks")  # by their length in the data
    assert {"dances", "dances salsa"} < set(suggest_actions("a tired person da", known))
    assert suggest_actions("a person dances", known) == ()  # nothing is missing
    assert suggest_actions("a person juggles", known) == ()
    assert suggest_actions("a", None) == ()
    assert with_action("a tired person da", "dances") == "a tired person dances"
    assert with_action("", "dances") == "a person dances"


def test_a_distilled_model_is_sampled_as_it_recommends(make_model, tmp_path, harness):
    make_model(recommended=Recommended(steps=3, sampler="ddim", text_scale=1.0, only=True)).save(tmp_path / "fast")
    models = Models([tmp_path / "m", tmp_path / "fast"])
    client = harness()
    client.session.models = models
    client.session.select_model("fast")
    plan = client.session.plan
    assert (plan.model, plan.steps, plan.text_scale) == ("fast", 3, 1.0)
    assert preview_settings(plan, models.get("fast")).of(models.get("fast")).steps == 3
    assert preview(plan, models.get("fast"), monitor()).positions.shape == (plan.frames, 22, 3)
    client.session.select_model("m")
    assert (client.session.plan.steps, client.session.plan.text_scale) == (50, 1.5)
