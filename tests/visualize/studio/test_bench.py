"""A person's table from the plan to the file that is taken away, with a small model and the real work."""

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
from motion_diffusion.prompts.known_actions import Known, KnownAction
from sample.generate import generate
from visualize.studio import making, words
from visualize.studio.files import DOWNLOADS, label
from visualize.studio.undone import chain_of, guidance_of, undone
from visualize.studio.work import Watch

PLACE = Waypoint(time=1.0, x=0.3, z=0.8)


def test_takes_meet_their_goals(table):
    bench = table().bench
    bench.add_goal(PLACE)
    bench.add_goal(Joint(joint="right_wrist", time=1.5, position=(None, 1.2, None)))
    bench.edit(lambda plan: plan.changed("count", 3))
    assert bench.report().error == ""
    assert_made(bench, table)


def test_words_that_were_not_learned_are_told_and_not_judged(table):
    bench = table().bench
    knows = Known((KnownAction("walk", 0.5, "a person walks", ("walks",)),), ("a", "person", "walks"))
    bench.models.known["m"] = bench.models.get("m").known = knows
    assert bench.report().unlearned == ()
    bench.say(0, "a person swims & dives")
    (line,) = bench.report().unlearned
    assert line == 'nothing like "swims" or "dives" was learned; nearest: "walks"'
    assert "Not learned." in words.report(bench.report(), bench.plan)
    assert "a person walks" in words.knows(knows)
    assert "does not say" in words.knows(None)
    judged = table("another")
    judged.bench.generate()
    assert {take.fit for take in judged.settle().takes} <= {"well", "partly", "hardly"}
    assert "fits its words" in words.errors(list(judged.bench.takes), judged.bench.chosen)
    judged.bench.takes = ()
    judged.bench.say(0, "a person swims")
    judged.bench.generate()
    assert [take.fit for take in judged.settle().takes] == [None, None]


def assert_made(bench, table):
    """Three takes of what is planned, all of them meeting every goal."""
    three = table("another")
    three.bench.history = bench.history
    three.bench.generate()
    three.settle()
    assert three.bench.message == ""
    assert [take.number for take in three.bench.takes] == [1, 2, 3]
    assert len({take.motion.joints.sum().item() for take in three.bench.takes}) == 3
    for take in three.bench.takes:
        assert [residual.met for residual in take.residuals] == [True, True]
        assert take.motion.frames == three.bench.plan.frames


def test_two_people_get_their_own(table, models):
    ann, bob = table("ann"), table("bob")
    ann.bench.add_goal(PLACE)
    bob.bench.last(0, 3.0)
    bob.bench.edit(lambda plan: plan.changed("seed", 5))
    for person in (ann, bob):
        person.bench.generate()
    for person in (ann, bob):
        person.settle()
    assert [take.plan for take in ann.bench.takes] == [ann.bench.plan] * 2
    assert [take.plan for take in bob.bench.takes] == [bob.bench.plan] * 2
    assert [take.motion.provenance["seed"] for take in bob.bench.takes] == [5, 6]
    assert bob.bench.chosen.motion.frames == 60
    assert ann.bench.plan.goals == (PLACE,)
    alone = make_alone(ann.bench.plan, models)
    assert torch.equal(ann.bench.chosen.motion.joints, alone)


def make_alone(plan, models):
    """The first take's joints, made without a studio."""
    many = plan.count
    motions = generate(
        models.get(plan.model),
        [plan.text] * many,
        [plan.frames] * many,
        goals=[plan.wanted] * many,
        seeds=range(plan.seed, plan.seed + many),
        settings=plan.settings,
    )
    return motions[0].joints


def test_work_is_stopped_in_the_middle(table):
    person = table()
    person.bench.edit(lambda plan: plan.changed("steps", 200))
    begun, go = threading.Event(), threading.Event()
    person.bench.work.submit("other", lambda watch: (begun.set(), go.wait(60)), done=lambda outcome: None)
    assert begun.wait(60)
    person.bench.generate()
    person.bench.generate()
    assert "still making" in person.bench.message
    person.bench.stop()
    go.set()
    assert person.settle().message == "stopped"
    assert person.bench.takes == ()


def test_going_on_keeps_what_was(table):
    person = table()
    person.bench.generate()
    first = person.settle().chosen
    person.bench.go_on()
    bench = person.bench
    assert bench.plan.begin == pytest.approx(2.0)
    there = first.motion.joints[-1, 0, [0, 2]]
    bench.hold()
    bench.at(3.0)
    bench.take_up("Way-point")
    bench.click((there[0].item() + 0.4, there[1].item() + 0.8))
    bench.generate()
    second = person.settle().chosen
    assert bench.message == ""
    assert second.motion.frames == first.motion.frames + 40
    assert torch.equal(second.motion.joints[:40], first.motion.joints)
    assert [residual.met for residual in second.residuals] == [True]


def test_a_part_is_made_anew(table):
    person = table()
    person.bench.add_goal(PLACE)
    person.bench.generate()
    first = person.settle().chosen
    person.bench.edit(lambda plan: plan.changed("seed", 9))
    person.bench.make_anew(0.6, 1.4)
    assert person.bench.plan.goals == (PLACE,)
    person.bench.generate()
    second = person.settle().chosen
    same = (second.motion.joints == first.motion.joints).flatten(1).all(1)
    assert same.tolist() == [not 12 <= frame < 28 for frame in range(40)]
    assert second.residuals[0].met
    person.bench.make_anew(1.0, 5.0)
    assert "to 2 s" in person.bench.message
    person.bench.undo()


def test_a_part_made_anew_is_said_and_wanted_as_it_was(table):
    person = table()
    for goal in (
        PathGoal(points=[(0, 0), (0, 1), (1, 1)], end=1.95),
        Obstacle(shape="circle", center=(-2, 0), radius=0.3),
        Heading(start=0.0, end=1.95, degrees=0),
        Waypoint(time=0.2, x=0.0, z=0.2),
    ):
        person.bench.add_goal(goal)
    parts = (Segment(text="a person walks", seconds=1.0), Segment(text="a person bows", seconds=1.0))
    person.bench.edit(lambda plan: plan.changed("parts", parts))
    person.bench.generate()
    person.settle().say(0, "a person jumps")  # which is not what the take says
    person.bench.make_anew(1.0, 1.8)
    plan = person.bench.plan
    assert plan.text == "a person bows"
    assert [goal.kind for goal in plan.goals] == ["path", "obstacle", "heading"]
    assert plan.goals[1] == Obstacle(shape="circle", center=(-2, 0), radius=0.3)
    assert (plan.goals[2].start, plan.goals[2].end) == (1.0, 1.75)
    assert (plan.goals[0].times[0], plan.goals[0].times[-1]) == (1.0, 1.75)
    person.bench.generate()
    assert person.settle().message == ""
    assert person.bench.chosen.residuals[0].met


def test_one_take_is_kept(table):
    person = table()
    person.bench.generate()
    person.settle().choose(2)
    person.bench.choose(99)  # there is none
    person.bench.keep()
    assert [take.number for take in person.bench.takes] == [2]
    person.bench.generate()
    assert [take.number for take in person.settle().takes] == [2, 3, 4]


@pytest.mark.parametrize("kind", DOWNLOADS)
def test_what_is_taken_away_can_be_read(table, tmp_path, kind):
    person = table()
    person.bench.generate()
    person.settle().download(kind)
    person.settle()
    assert person.bench.message == ""
    ((name, content),) = person.delivered
    assert content.startswith({"BVH": b"HIERARCHY", "GLB": b"glTF", "CSV": b"", "Film": b"\0\0\0"}.get(kind, b"PK"))
    if kind in ("Motion", "BVH"):
        (tmp_path / name).write_bytes(content)
        motion = read_motion(tmp_path / name)
        assert motion.frames == person.bench.chosen.motion.frames
    if kind == "Motion":
        assert torch.equal(motion.joints, person.bench.chosen.motion.joints)


def test_a_film_is_stopped_in_the_middle(table, monkeypatch):
    person = table()
    person.bench.generate()
    person.settle()
    step, shares = Watch.step, []

    def stopped_halfway(watch, share):
        shares.append(share)
        if share > 0.5:
            watch.stop()
        step(watch, share)

    monkeypatch.setattr(Watch, "step", stopped_halfway)
    person.bench.download("Film")
    assert person.settle().message == "stopped"
    assert person.delivered == []
    assert 0.5 < max(shares) < 0.6


def test_a_motion_brings_its_plan(table):
    ann, bob = table("ann"), table("bob")
    ann.bench.add_goal(PLACE)
    ann.bench.say(0, "a tired person walks")
    ann.bench.generate()
    ann.settle().download("Motion")
    ann.settle()
    bob.bench.load_motion(*ann.delivered[0])
    assert bob.settle().message == ""
    assert bob.bench.plan.goals == ann.bench.plan.goals
    assert bob.bench.plan.text == "a tired person walks"
    assert bob.bench.chosen.residuals[0].met
    assert torch.equal(bob.bench.chosen.motion.joints, ann.bench.chosen.motion.joints)
    bob.bench.undo()
    assert bob.bench.plan.goals == ()


def test_a_motion_of_another_model_or_of_parts_says_so(table, walks, tmp_path):
    person = table()
    person.bench.add_goal(PLACE)

    def load(name, text, provenance):
        Motion(walks[0][:40], text=text, provenance=provenance).save(tmp_path / name)
        person.bench.load_motion(name, (tmp_path / name).read_bytes())
        return person.settle()

    bench = load("known.npz", "a person limps", {"model": {"name": "eps-small"}})
    assert (bench.message, bench.plan.model, bench.chosen.plan.model) == ("", "eps-small", "eps-small")
    bench = load("other.npz", "a person limps", {"model": {"name": "mine"}})
    assert "mine made this, which is not offered here" in bench.message
    assert (bench.plan.model, bench.chosen.plan.model) == ("eps-small", "mine")
    bench.look_into()
    assert "no model 'mine' here" in person.settle().message
    bench.say(0, "a person waves")
    bench.add_goal(PLACE)
    said = {"part": {"start": 1.0}, "goals": {"goals": [PLACE.model_dump(exclude_none=True)]}}
    bench = load("edited.npz", "a; then b", said)
    assert "part by part" in bench.message
    assert (bench.plan.text, bench.plan.goals, bench.chosen.plan.goals) == ("a person waves", (), ())


def test_what_is_edited_while_a_motion_is_read_stays(table, walks, tmp_path):
    person = table()
    Motion(walks[0][:40]).save(tmp_path / "walk.npz")
    person.bench.load_motion("walk.npz", (tmp_path / "walk.npz").read_bytes())
    while person.bench.work.ahead(person.bench.doing.job) is not None:
        time.sleep(0.01)
    person.bench.edit(lambda plan: plan.changed("count", 5))
    assert person.settle().message == ""
    assert person.bench.plan.count == person.bench.chosen.plan.count == 5


def test_goals_go_out_and_come_in(table, every_goal, tmp_path):
    ann, bob = table("ann"), table("bob")
    for goal in every_goal:
        ann.bench.add_goal(goal)
    ann.bench.save_goals()
    ((name, content),) = ann.delivered
    (tmp_path / name).write_bytes(content)
    assert load_goals(tmp_path / name).goals == every_goal
    bob.bench.load_goals(content)
    assert bob.bench.plan.goals == ann.bench.plan.goals
    assert bob.bench.plan.parts == ann.bench.plan.parts


def test_a_goal_file_with_the_settings_makes_the_take(table, models, tmp_path):
    person = table()
    person.bench.add_goal(PLACE)
    person.bench.edit(lambda plan: plan.changed("count", 1).changed("seed", 3))
    person.bench.save_goals()
    person.bench.generate()
    plan = person.settle().plan
    assert person.bench.message == ""
    (tmp_path / "plan.json").write_bytes(person.delivered[0][1])
    goals = load_goals(tmp_path / "plan.json")
    (motion,) = generate(models.get(plan.model), [""], [0], goals=[goals], seeds=[3], settings=plan.settings)
    assert torch.equal(motion.joints, person.bench.chosen.motion.joints)
    person.bench.go_on()
    person.bench.save_goals()
    assert "--continue-from MOTION.npz --goals plan.json" in person.bench.message
    person.bench.make_anew(0.5, 1.5)
    person.bench.save_goals()
    assert "--between 0.5 1.5 --regenerate MOTION.npz" in person.bench.message


def test_poses_come_from_motions_that_were_loaded(table, walks, tmp_path):
    person = table()
    file = b'{"goals": [{"kind": "pose", "time": 1.0, "file": "../../etc/walk.npz", "file_frame": 3}]}'
    person.bench.load_goals(file)
    assert person.bench.message == "goal 1 (pose) takes its pose from walk.npz; load that motion first, then this file"
    Motion(walks[0][:40]).save(tmp_path / "walk.npz")
    person.bench.load_motion("C:\\somewhere\\walk.npz", (tmp_path / "walk.npz").read_bytes())
    person.settle()
    person.bench.load_goals(file)
    assert person.bench.message == ""
    wanted = person.bench.plan.goals[0].observe(40)
    assert torch.allclose(wanted.values[20].float(), walks[0][3], atol=1e-5)


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"\xff\xfe", b"PK\x03\x04", b'{"goals": [{"kind": "pose", "frame": 1}]}']
)
def test_files_that_are_none_change_nothing(table, content):
    person = table()
    person.bench.add_goal(PLACE)
    before = person.bench.plan
    person.bench.load_goals(content)
    assert person.bench.message
    for name in ("a.npz", "a.bvh", "a.npy", "a.exe"):
        person.bench.load_motion(name, content)
        person.settle()
        assert person.bench.message
        assert "\n" not in person.bench.message
        assert "/tmp" not in person.bench.message
    assert person.bench.plan == before
    assert person.bench.takes == ()


def test_the_report_says_what_is_wrong(table):
    bench = table().bench
    bench.add_goal(Waypoint(time=1.0, x=30.0, z=0.0))
    assert "30.0 m/s" in bench.report().warnings[0]
    bench.add_goal(Waypoint(time=1.0, x=0.0, z=0.0))
    assert "take one out" in bench.report().error
    bench.undo()
    bench.undo()
    bench.edit(lambda plan: plan.changed("model", "/etc"))
    assert "no model '/etc'" in bench.report().error
    bench.generate()


def test_a_model_that_is_not_offered_is_never_looked_for(table):
    person = table()
    person.bench.edit(lambda plan: plan.changed("model", "../x"))
    person.bench.generate()
    assert "no model '../x' here" in person.settle().message


def test_where_the_body_is(table):
    bench = table().bench
    assert bench.standing(1.0)[0, [0, 2]].tolist() == [0, 0]
    bench.add_goal(PLACE)
    assert bench.standing(0.5)[0, [0, 2]].tolist() == [0, 0]
    assert bench.standing(1.5)[0, [0, 2]].tolist() == pytest.approx([0.3, 0.8])
    bench.add_goal(Waypoint(time=1e7, x=9.0, z=9.0))  # beyond the motion
    assert bench.standing(99.0)[0, [0, 2]].tolist() == pytest.approx([0.3, 0.8])


def test_a_pose_is_pinned(table):
    person = table()
    person.bench.pin()
    assert person.bench.plan.goals == ()
    person.bench.generate()
    person.settle().at(0.5)
    person.bench.pin()
    (pose,) = person.bench.plan.goals
    assert isinstance(pose, Pose)
    assert pose.frame == 10
    assert GoalSet(goals=[pose]).residuals(person.bench.chosen.motion.joints)[0].met


def test_the_goal_in_hand_is_always_there(table):
    bench = table().bench
    bench.add_goal(PLACE)
    bench.add_goal(Loop())
    assert bench.selected == 1
    bench.remove_goal()
    assert bench.selected is None
    bench.remove_goal()
    assert bench.plan.goals == (PLACE,)
    bench.select(0)
    for _ in range(3):
        bench.undo()
    assert bench.plan.goals == ()
    assert bench.selected is None
    bench.select(5)
    assert bench.selected is None


def test_of_words_that_say_nothing_nothing_is_made(table):
    person = table()
    bench = person.bench
    for text in ("a", ""):  # emptied letter by letter
        bench.say(0, text)
    assert (bench.message, bench.plan.text) == ("", "")
    bench.last(0, 3.0)
    assert "the prompt is empty" in bench.report().error
    bench.generate()
    assert "the prompt is empty" in person.settle().message
    bench.save_goals()
    assert "the prompt is empty" in bench.message
    assert (bench.takes, person.delivered) == ((), [])
    bench.restore("{}")
    assert bench.message == ""


def test_the_undoing_adds_up(table):
    person = table()
    person.bench.add_goal(PLACE)
    person.bench.generate()
    person.settle().look_into()
    take, found = person.settle().looked
    assert take is person.bench.chosen
    assert len(found.push) == person.bench.plan.steps
    assert (found.push.sum() - found.back.sum()).item() == pytest.approx(found.left, abs=1e-4)
    assert found.left == pytest.approx(found.wanted, abs=1e-3)  # projection meets its goals


@pytest.mark.parametrize(
    ("guidance", "told"),
    [("none", "does not push"), ("stages+projection", "leave stages out"), ("noise+projection", "leave noise out")],
)
def test_what_is_not_in_the_steps_is_not_looked_into(table, models, guidance, told):
    plan = table().bench.plan.changed("guidance", guidance).with_goal(PLACE)
    with pytest.raises(InputError, match=told):
        undone(plan, models.get(plan.model), 0, Watch(60, lambda share: None))


def test_the_undoing_is_that_of_motions_from_the_origin(table, models):
    plan = table().bench.plan.with_goal(PLACE)
    chain = chain_of(models.get(plan.model), plan, 0)
    begin, end = (chain.paths(chain.run(guidance_of(chain, plan).guide).final)[:, frame] for frame in (0, 20))
    assert torch.allclose(begin, torch.zeros(2), atol=1e-3)
    assert torch.allclose(end, torch.tensor([PLACE.x, PLACE.z]), atol=1e-3)


def test_a_model_is_read_by_the_work(table, monkeypatch):
    person, read = table(), []
    person.bench.generate()
    person.settle()
    get = person.bench.models.get

    def watched(name):
        read.append(threading.current_thread().name)
        return get(name)

    monkeypatch.setattr(person.bench.models, "get", watched)
    person.bench.look_into()
    person.settle()
    assert read == ["studio-work"]


def test_labels_are_no_paths():
    for name in ("../../x.npz", "/etc/passwd", "C:\\a\\..\\b.bvh", "..", "", "a\0b", "." * 300, "ä" * 300):
        plain = label(name)
        assert plain
        assert len(plain) <= 80
        assert not set(plain) & set("/\\\0")
        assert not plain.startswith(".")
    assert making.resting()[:, 1].min() > 0
