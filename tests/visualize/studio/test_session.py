"""A session from plan to download, with a small model and the real job queue."""

import threading
import time

import pytest
import torch

from data_loaders.load_motion import read_motion
from guidance.goals.goal_file import load_goals
from guidance.goals.goal_set import GoalSet, Segment
from guidance.goals.heading import Heading
from guidance.goals.obstacles import Obstacle
from guidance.goals.poses import Pose
from guidance.goals.positions import Joint, PathGoal, Waypoint
from guidance.goals.relations import Loop
from motion_diffusion.body.motion import Motion
from motion_diffusion.errors import InputError
from motion_diffusion.prompts import Known, KnownAction
from sample.generate import generate
from visualize.studio.file_transfer import DOWNLOADS, safe_label
from visualize.studio.generation import (
    generate_takes,
    plan_continuation,
    step_count,
)
from visualize.studio.job_queue import JobMonitor, JobStopped
from visualize.studio.plan import rest_pose
from visualize.studio.plan_panels import known_actions_table
from visualize.studio.take_panels import residual_table
from visualize.studio.undoing_report import plan_guidance, report_undoing, sampling_chain

PLACE = Waypoint(time=1.0, x=0.3, z=0.8)


def test_takes_meet_their_goals(harness):
    session = harness().session
    session.add_goal(PLACE)
    session.add_goal(Joint(joint="right_wrist", time=1.5, position=(None, 1.2, None)))
    session.edit(lambda plan: plan.changed("count", 3))
    assert session.report().error == ""
    assert_made(session, harness)


def test_unlearned_words_are_reported_and_not_rated(harness):
    session = harness().session
    knows = Known((KnownAction("walk", 0.5, "a person walks", ("walks",)),), ("a", "person", "walks"))
    session.models.known["m"] = session.models.get("m").known = knows
    assert session.report().unlearned == ()
    session.set_part_text(0, "a person swims & dives")
    (line,) = session.report().unlearned
    assert line == 'nothing like "swims" or "dives" was learned; nearest: "walks"'
    assert "a person walks" in known_actions_table(knows)
    assert "does not say" in known_actions_table(None)
    judged = harness("another")
    judged.session.generate()
    assert {take.fit for take in judged.settle().takes} <= {"well", "partly", "hardly"}
    assert "fits the prompt" in residual_table(list(judged.session.takes), judged.session.chosen)
    judged.session.takes = ()
    judged.session.set_part_text(0, "a person swims")
    judged.session.generate()
    assert [take.fit for take in judged.settle().takes] == [None, None]


def assert_made(session, harness):
    """Assert that three takes of the session's plan meet every goal."""
    three = harness("another")
    three.session.history = session.history
    three.session.generate()
    three.settle()
    assert three.session.message == ""
    assert [take.number for take in three.session.takes] == [1, 2, 3]
    assert len({take.motion.joints.sum().item() for take in three.session.takes}) == 3
    for take in three.session.takes:
        assert [residual.met for residual in take.residuals] == [True, True]
        assert take.motion.frames == three.session.plan.frames


def test_sessions_are_independent(harness, models):
    ann, bob = harness("ann"), harness("bob")
    ann.session.add_goal(PLACE)
    bob.session.set_part_seconds(0, 3.0)
    bob.session.edit(lambda plan: plan.changed("seed", 5))
    for client in (ann, bob):
        client.session.generate()
    for client in (ann, bob):
        client.settle()
    assert [take.plan for take in ann.session.takes] == [ann.session.plan] * 2
    assert [take.plan for take in bob.session.takes] == [bob.session.plan] * 2
    assert [take.motion.provenance["seed"] for take in bob.session.takes] == [5, 6]
    assert bob.session.chosen.motion.frames == 60
    assert ann.session.plan.goals == (PLACE,)
    standalone = make_alone(ann.session.plan, models)
    assert torch.equal(ann.session.chosen.motion.joints, standalone)


def make_alone(plan, models):
    """The first take's joints, generated without a studio."""
    many = plan.count
    motions = generate(
        models.get(plan.model),
        [plan.text] * many,
        [plan.frames] * many,
        goals=[plan.goal_set] * many,
        seeds=range(plan.seed, plan.seed + many),
        settings=plan.settings,
    )
    return motions[0].joints


def test_generation_can_be_stopped(harness):
    client = harness()
    client.session.edit(lambda plan: plan.changed("steps", 200))
    begun, go = threading.Event(), threading.Event()
    client.session.queue.submit("other", lambda monitor: (begun.set(), go.wait(60)), done=lambda outcome: None)
    assert begun.wait(60)
    client.session.generate()
    client.session.generate()
    assert "still making" in client.session.message
    client.session.stop()
    go.set()
    assert client.settle().message == "stopped"
    assert client.session.takes == ()


@pytest.mark.parametrize(("guidance", "count"), [("projection", 1), ("noise", 1), ("none", 1), ("projection", 2)])
def test_progress_counts_all_steps(harness, models, guidance, count):
    plan = harness().session.plan.changed("guidance", guidance).changed("count", count).with_goal(PLACE)
    if count > 1:  # edits are sampled one by one
        take = generate_takes(plan.changed("count", 1), models.get("m"), JobMonitor(60, lambda share: None))[0]
        plan = plan_continuation(take, plan)
    shares = []
    generate_takes(plan, models.get("m"), JobMonitor(60, shares.append))
    steps = step_count(plan, models.get("m"))
    assert shares == pytest.approx(
        [0.0, *(0.9 * (k + 1) / steps for k in range(steps)), *(0.9 + 0.1 * k / count for k in range(count))]
    )


def test_noise_optimisation_stops_after_a_round(harness, models):
    plan = harness().session.plan.changed("guidance", "noise").with_goal(PLACE)
    shares = []
    monitor = JobMonitor(60, lambda share: (shares.append(share), monitor.stop() if share > 0 else None))
    with pytest.raises(JobStopped):
        generate_takes(plan, models.get("m"), monitor)
    assert len(shares) == 2  # at the start, and after one of sixty rounds


def test_undoing_report_stops_after_a_step(harness, models):
    plan = harness().session.plan.with_goal(PLACE)
    shares = []
    monitor = JobMonitor(60, lambda share: (shares.append(share), monitor.stop() if share > 0.5 else None))
    with pytest.raises(JobStopped):
        report_undoing(plan, models.get("m"), 0, monitor)
    assert shares == pytest.approx([0, 1 / 6, 2 / 6, 3 / 6, 4 / 6])


def test_continuation_keeps_the_take(harness):
    client = harness()
    client.session.generate()
    first = client.settle().chosen
    client.session.continue_take()
    session = client.session
    assert session.plan.start == pytest.approx(2.0)
    there = first.motion.joints[-1, 0, [0, 2]]
    session.set_tool_options()
    session.set_time(3.0)
    session.select_tool("Way-point")
    session.click((there[0].item() + 0.4, there[1].item() + 0.8))
    session.generate()
    second = client.settle().chosen
    assert session.message == ""
    assert second.motion.frames == first.motion.frames + 40
    assert torch.equal(second.motion.joints[:40], first.motion.joints)
    assert [residual.met for residual in second.residuals] == [True]


def test_regeneration_changes_the_part_only(harness):
    client = harness()
    client.session.add_goal(PLACE)
    client.session.generate()
    first = client.settle().chosen
    client.session.edit(lambda plan: plan.changed("seed", 9))
    client.session.regenerate_part(0.6, 1.4)
    assert client.session.plan.goals == (PLACE,)
    client.session.generate()
    second = client.settle().chosen
    same = (second.motion.joints == first.motion.joints).flatten(1).all(1)
    assert same.tolist() == [not 12 <= frame < 28 for frame in range(40)]
    assert second.residuals[0].met
    client.session.regenerate_part(1.0, 5.0)
    assert "to 2 s" in client.session.message
    client.session.undo()


def test_regeneration_keeps_prompt_and_goals_of_the_part(harness):
    client = harness()
    for goal in (
        PathGoal(points=[(0, 0), (0, 1), (1, 1)], end=1.95),
        Obstacle(shape="circle", center=(-2, 0), radius=0.3),
        Heading(start=0.0, end=1.95, degrees=0),
        Waypoint(time=0.2, x=0.0, z=0.2),
    ):
        client.session.add_goal(goal)
    parts = (Segment(text="a person walks", seconds=1.0), Segment(text="a person bows", seconds=1.0))
    client.session.edit(lambda plan: plan.changed("parts", parts))
    client.session.generate()
    client.settle().set_part_text(0, "a person jumps")  # which is not what the take says
    client.session.regenerate_part(1.0, 1.8)
    plan = client.session.plan
    assert plan.text == "a person bows"
    assert [goal.kind for goal in plan.goals] == ["path", "obstacle", "heading"]
    assert plan.goals[1] == Obstacle(shape="circle", center=(-2, 0), radius=0.3)
    assert (plan.goals[2].start, plan.goals[2].end) == (1.0, 1.75)
    assert (plan.goals[0].times[0], plan.goals[0].times[-1]) == (1.0, 1.75)
    client.session.generate()
    assert client.settle().message == ""
    assert client.session.chosen.residuals[0].met


def test_keep_only_chosen_removes_the_other_takes(harness):
    client = harness()
    client.session.generate()
    client.settle().choose(2)
    client.session.choose(99)  # there is none
    client.session.keep_only_chosen()
    assert [take.number for take in client.session.takes] == [2]
    client.session.generate()
    assert [take.number for take in client.settle().takes] == [2, 3, 4]


@pytest.mark.parametrize("kind", DOWNLOADS)
def test_downloads_are_readable(harness, tmp_path, kind):
    client = harness()
    client.session.generate()
    client.settle().download(kind)
    client.settle()
    assert client.session.message == ""
    ((name, content),) = client.delivered
    assert content.startswith({"BVH": b"HIERARCHY", "GLB": b"glTF", "CSV": b"", "Film": b"\0\0\0"}.get(kind, b"PK"))
    if kind in ("Motion", "BVH"):
        (tmp_path / name).write_bytes(content)
        motion = read_motion(tmp_path / name)
        assert motion.frames == client.session.chosen.motion.frames
    if kind == "Motion":
        assert torch.equal(motion.joints, client.session.chosen.motion.joints)


def test_film_download_can_be_stopped(harness, monkeypatch):
    client = harness()
    client.session.generate()
    client.settle()
    step, shares = JobMonitor.step, []

    def stopped_halfway(monitor, share):
        shares.append(share)
        if share > 0.5:
            monitor.stop()
        step(monitor, share)

    monkeypatch.setattr(JobMonitor, "step", stopped_halfway)
    client.session.download("Film")
    assert client.settle().message == "stopped"
    assert client.delivered == []
    assert 0.5 < max(shares) < 0.6


def test_loaded_motion_restores_its_plan(harness):
    ann, bob = harness("ann"), harness("bob")
    ann.session.add_goal(PLACE)
    ann.session.set_part_text(0, "a tired person walks")
    ann.session.generate()
    ann.settle().download("Motion")
    ann.settle()
    bob.session.load_motion(*ann.delivered[0])
    assert bob.settle().message == ""
    assert bob.session.plan.goals == ann.session.plan.goals
    assert bob.session.plan.text == "a tired person walks"
    assert bob.session.chosen.residuals[0].met
    assert torch.equal(bob.session.chosen.motion.joints, ann.session.chosen.motion.joints)
    bob.session.undo()
    assert bob.session.plan.goals == ()


def test_motion_of_another_model_or_an_edit_is_reported(harness, walks, tmp_path):
    client = harness()
    client.session.add_goal(PLACE)

    def load(name, text, provenance):
        Motion(walks[0][:40], text=text, provenance=provenance).save(tmp_path / name)
        client.session.load_motion(name, (tmp_path / name).read_bytes())
        return client.settle()

    session = load("known.npz", "a person limps", {"model": {"name": "eps-mixed"}})
    assert (session.message, session.plan.model, session.chosen.plan.model) == ("", "eps-mixed", "eps-mixed")
    session = load("other.npz", "a person limps", {"model": {"name": "mine"}})
    assert "mine made this, which is not offered here" in session.message
    assert (session.plan.model, session.chosen.plan.model) == ("eps-mixed", "mine")
    session.analyse_undoing()
    assert "no model 'mine' here" in client.settle().message
    session.set_part_text(0, "a person waves")
    session.add_goal(PLACE)
    said = {"part": {"start": 1.0}, "goals": {"goals": [PLACE.model_dump(exclude_none=True)]}}
    session = load("edited.npz", "a; then b", said)
    assert "part by part" in session.message
    assert (session.plan.text, session.plan.goals, session.chosen.plan.goals) == ("a person waves", (), ())


def test_edits_during_loading_are_kept(harness, walks, tmp_path):
    client = harness()
    Motion(walks[0][:40]).save(tmp_path / "walk.npz")
    client.session.load_motion("walk.npz", (tmp_path / "walk.npz").read_bytes())
    until = time.monotonic() + 60
    while client.session.queue.position(client.session.running.job) is not None:
        assert time.monotonic() < until
        time.sleep(0.01)
    client.session.edit(lambda plan: plan.changed("count", 5))
    assert client.settle().message == ""
    assert client.session.plan.count == client.session.chosen.plan.count == 5


def test_goals_round_trip_through_a_file(harness, every_goal, tmp_path):
    ann, bob = harness("ann"), harness("bob")
    for goal in every_goal:
        ann.session.add_goal(goal)
    ann.session.save_goals()
    ((name, content),) = ann.delivered
    (tmp_path / name).write_bytes(content)
    assert load_goals(tmp_path / name).goals == every_goal
    bob.session.load_goals(content)
    assert bob.session.plan.goals == ann.session.plan.goals
    assert bob.session.plan.parts == ann.session.plan.parts


def test_saved_goal_file_reproduces_the_take(harness, models, tmp_path):
    client = harness()
    client.session.add_goal(PLACE)
    client.session.edit(lambda plan: plan.changed("count", 1).changed("seed", 3))
    client.session.save_goals()
    client.session.generate()
    plan = client.settle().plan
    assert client.session.message == ""
    (tmp_path / "plan.json").write_bytes(client.delivered[0][1])
    goals = load_goals(tmp_path / "plan.json")
    (motion,) = generate(models.get(plan.model), [""], [0], goals=[goals], seeds=[3], settings=plan.settings)
    assert torch.equal(motion.joints, client.session.chosen.motion.joints)
    client.session.continue_take()
    client.session.save_goals()
    assert "--continue-from MOTION.npz --goals plan.json" in client.session.message
    client.session.regenerate_part(0.5, 1.5)
    client.session.save_goals()
    assert "--between 0.5 1.5 --regenerate MOTION.npz" in client.session.message


def test_poses_are_taken_from_loaded_motions(harness, walks, tmp_path):
    client = harness()
    file = b'{"goals": [{"kind": "pose", "time": 1.0, "file": "../../etc/walk.npz", "file_frame": 3}]}'
    client.session.load_goals(file)
    assert (
        client.session.message == "goal 1 (pose) takes its pose from walk.npz; load that motion first, then this file"
    )
    Motion(walks[0][:40]).save(tmp_path / "walk.npz")
    client.session.load_motion("C:\\somewhere\\walk.npz", (tmp_path / "walk.npz").read_bytes())
    client.settle()
    client.session.load_goals(file)
    assert client.session.message == ""
    wanted = client.session.plan.goals[0].observe(40)
    assert torch.allclose(wanted.values[20].float(), walks[0][3], atol=1e-5)


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"\xff\xfe", b"PK\x03\x04", b'{"goals": [{"kind": "pose", "frame": 1}]}']
)
def test_invalid_files_change_nothing(harness, content):
    client = harness()
    client.session.add_goal(PLACE)
    before = client.session.plan
    client.session.load_goals(content)
    assert client.session.message
    for name in ("a.npz", "a.bvh", "a.npy", "a.exe"):
        client.session.load_motion(name, content)
        client.settle()
        assert client.session.message
        assert "\n" not in client.session.message
        assert "/tmp" not in client.session.message
    assert client.session.plan == before
    assert client.session.takes == ()


def test_report_names_the_problem(harness):
    session = harness().session
    session.add_goal(Waypoint(time=1.0, x=30.0, z=0.0))
    assert "30.0 m/s" in session.report().warnings[0]
    session.add_goal(Waypoint(time=1.0, x=0.0, z=0.0))
    assert "take one out" in session.report().error
    session.undo()
    session.undo()
    session.edit(lambda plan: plan.changed("model", "/etc"))
    assert "no model '/etc'" in session.report().error
    session.generate()


def test_model_not_on_offer_is_refused(harness):
    client = harness()
    client.session.edit(lambda plan: plan.changed("model", "../x"))
    client.session.generate()
    assert "no model '../x' here" in client.settle().message


def test_joints_at_follows_the_plan(harness):
    session = harness().session
    assert session.joints_at(1.0)[0, [0, 2]].tolist() == [0, 0]
    session.add_goal(PLACE)
    assert session.joints_at(0.5)[0, [0, 2]].tolist() == [0, 0]
    assert session.joints_at(1.5)[0, [0, 2]].tolist() == pytest.approx([0.3, 0.8])
    session.add_goal(Waypoint(time=1e7, x=9.0, z=9.0))  # beyond the motion
    assert session.joints_at(99.0)[0, [0, 2]].tolist() == pytest.approx([0.3, 0.8])


def test_pin_pose_adds_the_displayed_pose(harness):
    client = harness()
    client.session.pin_pose()
    assert client.session.plan.goals == ()
    client.session.generate()
    client.settle().set_time(0.5)
    client.session.pin_pose()
    (pose,) = client.session.plan.goals
    assert isinstance(pose, Pose)
    assert pose.frame == 10
    assert GoalSet(goals=[pose]).residuals(client.session.chosen.motion.joints)[0].met


def test_selected_goal_always_exists(harness):
    session = harness().session
    session.add_goal(PLACE)
    session.add_goal(Loop())
    assert session.selected == 1
    session.remove_goal()
    assert session.selected is None
    session.remove_goal()
    assert session.plan.goals == (PLACE,)
    session.select(0)
    for _ in range(3):
        session.undo()
    assert session.plan.goals == ()
    assert session.selected is None
    session.select(5)
    assert session.selected is None


def test_empty_prompt_generates_nothing(harness):
    client = harness()
    session = client.session
    for text in ("a", ""):  # emptied letter by letter
        session.set_part_text(0, text)
    assert (session.message, session.plan.text) == ("", "")
    session.set_part_seconds(0, 3.0)
    assert "the prompt is empty" in session.report().error
    session.generate()
    assert "the prompt is empty" in client.settle().message
    session.save_goals()
    assert "the prompt is empty" in session.message
    assert (session.takes, client.delivered) == ((), [])
    session.restore("{}")
    assert session.message == ""


def test_undoing_report_adds_up(harness):
    client = harness()
    client.session.add_goal(PLACE)
    client.session.generate()
    client.settle().analyse_undoing()
    take, found = client.settle().undoing
    assert take is client.session.chosen
    assert len(found.push) == client.session.plan.steps
    assert (found.push.sum() - found.back.sum()).item() == pytest.approx(found.left, abs=1e-4)
    assert found.left == pytest.approx(found.wanted, abs=1e-3)  # projection meets its goals


@pytest.mark.parametrize(
    ("guidance", "told"),
    [("none", "does not push"), ("stages+projection", "leave stages out"), ("noise+projection", "leave noise out")],
)
def test_undoing_report_refuses_guidance_outside_of_the_steps(harness, models, guidance, told):
    plan = harness().session.plan.changed("guidance", guidance).with_goal(PLACE)
    with pytest.raises(InputError, match=told):
        report_undoing(plan, models.get(plan.model), 0, JobMonitor(60, lambda share: None))


def test_undoing_report_is_about_motions_from_the_origin(harness, models):
    plan = harness().session.plan.with_goal(PLACE)
    chain = sampling_chain(models.get(plan.model), plan, 0)
    begin, end = (chain.paths(chain.run(plan_guidance(chain, plan).guide).final)[:, frame] for frame in (0, 20))
    assert torch.allclose(begin, torch.zeros(2), atol=1e-3)
    assert torch.allclose(end, torch.tensor([PLACE.x, PLACE.z]), atol=1e-3)


def test_models_are_loaded_on_the_job_thread(harness, monkeypatch):
    client, read = harness(), []
    client.session.generate()
    client.settle()
    get = client.session.models.get

    def monitored(name):
        read.append(threading.current_thread().name)
        return get(name)

    monkeypatch.setattr(client.session.models, "get", monitored)
    client.session.analyse_undoing()
    client.settle()
    assert read == ["studio-jobs"]


def test_safe_label_is_never_a_path():
    for name in ("../../x.npz", "/etc/passwd", "C:\\a\\..\\b.bvh", "..", "", "a\0b", "." * 300, "ä" * 300):
        plain = safe_label(name)
        assert plain
        assert len(plain) <= 80
        assert not set(plain) & set("/\\\0")
        assert not plain.startswith(".")
    assert rest_pose()[:, 1].min() > 0
