"""Going on from a motion and making a part of it anew: what is kept, where it goes, and that there is no seam."""

import dataclasses

import pytest
import torch

from guidance.goals.goal_set import GoalSet
from guidance.goals.heading import Heading
from guidance.goals.positions import Joint, Waypoint
from motion_diffusion.body.heading import to_origin, turn
from motion_diffusion.body.motion import Motion
from motion_diffusion.errors import InputError
from sample.editing import MAX_EDITED_FRAMES, Part, edited
from sample.generate import Settings

QUICK = Settings(steps=6)


@pytest.fixture
def source(walks):
    """Three seconds of a walk, which does not begin at the origin."""
    walk = turn(walks[0][:60], torch.full((60,), 0.7)) + torch.tensor([2.0, 0.0, -1.0])
    return Motion(walk, text="a person walks", provenance={"seed": 5})


def ahead(source, metres):
    """A place in front of the last pose."""
    x, _, z = source.joints[-1, 0].tolist()
    way = source.joints[-1, 0] - source.joints[-20, 0]
    return x + metres * (way[0] / way.norm()).item(), z + metres * (way[2] / way.norm()).item()


@pytest.mark.parametrize("prediction", ["x0", "eps", "v"])
def test_a_motion_goes_on_to_its_goals(make_model, source, prediction):
    x, z = ahead(source, 2.0)
    goals = GoalSet(goals=[Waypoint(time=4.5, x=x, z=z), Joint(joint="head", frame=95, position=(None, 1.5, None))])
    motion = edited(make_model(prediction), "a person runs", Part.after(source, 2.0), goals=goals, settings=QUICK)
    assert motion.frames == 100
    assert motion.text == "a person walks; then a person runs"
    assert torch.equal(motion.joints[:60], source.joints)
    assert all(residual.error < 1e-3 for residual in goals.residuals(motion.joints))
    assert motion.provenance["part"]["seam_cm"] < 0.05
    assert motion.provenance["part"]["of"] == {"text": "a person walks", "provenance": {"seed": 5}}
    assert len(motion.provenance["residuals"]) == 2


def test_a_part_is_made_anew_and_the_rest_is_kept(make_model, source):
    model, part = make_model(), Part.between(source, 1.0, 2.0)
    one, again, other = (edited(model, "a person waves", part, seed=seed, settings=QUICK) for seed in (1, 1, 2))
    assert torch.equal(one.joints, again.joints)
    changed = (one.joints != other.joints).flatten(1).any(1).nonzero()[:, 0].tolist()
    assert changed == list(range(20, 40))
    assert torch.equal(one.joints[:20], source.joints[:20])
    assert torch.equal(one.joints[40:], source.joints[40:])
    for motion in (one, other):
        steps = motion.joints.diff(dim=0).norm(dim=-1).mean(-1)
        assert max(steps[18:21].max(), steps[38:41].max()) < 3 * torch.cat([steps[:18], steps[41:]]).max()
        assert motion.provenance["part"]["seam_cm"] < 0.05


@pytest.mark.parametrize("seconds", [1.0, 4.0, 9.0])
def test_there_is_no_seam(make_model, source, seconds):
    """Where what is made begins, joints are about as fast as around it; also where it takes several windows."""
    motion = edited(make_model(max_frames=120), "a person runs", Part.after(source, seconds), settings=QUICK)
    assert motion.frames == 60 + 20 * seconds
    steps = motion.joints.diff(dim=0).norm(dim=-1).mean(-1)
    assert steps[58:62].max() < 3 * torch.cat([steps[40:58], steps[62:75]]).max()
    assert (motion.joints[60] - motion.joints[59]).norm(dim=-1).max() < 0.3


def test_wherever_the_motion_is_the_same_is_made(make_model, source):
    """What is sampled begins at the origin: a motion that is moved and turned goes on just so, moved and turned."""
    model, part = make_model(), Part.after(source, 1.0)
    moved = Motion(to_origin(source.joints), text=source.text, provenance=source.provenance)
    here, there = (
        edited(model, "a person runs", dataclasses.replace(part, motion=motion), settings=QUICK).joints
        for motion in (source, moved)
    )
    torch.testing.assert_close(to_origin(here), there, atol=2e-3, rtol=0)


def test_several_prompts_go_on(make_model, source):
    said = [{"text": "a person runs", "seconds": 1.5}, {"text": "someone bows", "seconds": 2.5}]
    motion = edited(make_model(), "", Part.after(source, 4.0), goals=GoalSet(segments=said), settings=QUICK)
    assert motion.frames == 140
    assert motion.text == "a person walks; then a person runs; then someone bows"
    with pytest.raises(InputError, match="segments of 4 s for 3 s"):
        edited(make_model(), "", Part.after(source, 3.0), goals=GoalSet(segments=said), settings=QUICK)


@pytest.mark.parametrize("guidance", ["imputation", "classifier+projection"])
def test_other_guidance_that_holds_it(make_model, source, guidance):
    goals = GoalSet(goals=[Heading(time=4.0, degrees=90)])
    settings = Settings(steps=4, guidance=guidance, clean_up=guidance == "imputation")
    motion = edited(make_model(), "a person turns", Part.after(source, 2.0), goals=goals, settings=settings)
    assert torch.equal(motion.joints[:60], source.joints)
    assert motion.provenance["part"]["seam_cm"] < (2.0 if settings.clean_up else 0.05)


def test_a_motion_far_away_goes_on(make_model, source):
    far = Motion(source.joints + torch.tensor([0.0, 0.0, 500.0]), text=source.text)
    motion = edited(make_model(), "a person walks", Part.after(far, 1.0), settings=QUICK)
    assert torch.equal(motion.joints[:60], far.joints)
    assert motion.provenance["part"]["seam_cm"] < 0.05


def test_one_pose_goes_on(make_model, source):
    pose = Motion(source.joints[:1], text=source.text)
    motion = edited(make_model(), "a person walks", Part.after(pose, 2.0), settings=QUICK)
    assert motion.frames == 41
    assert torch.equal(motion.joints[:1], pose.joints)


@pytest.mark.parametrize(
    ("part", "said"),
    [
        (lambda motion: Part(motion, 0, 10), "begins after the first frame"),
        (lambda motion: Part(motion, 61, 70), "from 3.05 to 3.5 s of 3 s"),
        (lambda motion: Part(motion, 30, 30), "ends later"),
        (lambda motion: Part.between(motion, 1.0, 3.5), "from 1 to 3.5 s: the motion lasts from 0 to 3 s"),
        (lambda motion: Part.between(motion, 1.0, 1.01), "from 1 to 1.01 s: .*lasts 0.05 s or more"),
        (lambda motion: Part.between(motion, float("nan"), 2.0), "from nan to 2 s"),
        (lambda motion: Part.after(motion, 0.01), "0.01 s are less than a frame"),
        (lambda motion: Part.after(Motion(motion.joints + 1e4), 1.0), "from the origin"),
        (lambda motion: Part(motion, 60, MAX_EDITED_FRAMES + 1), "keep less of the motion"),
        (lambda motion: Part(dataclasses.replace(motion, fps=30.0), 10, 20), "30 frames a second"),
    ],
)
def test_parts_that_a_motion_does_not_have(source, part, said):
    with pytest.raises(InputError, match=said):
        part(source)


@pytest.mark.parametrize(
    ("goal", "said"),
    [
        (Waypoint(time=2.0, x=0, z=0), "goal 1 .waypoint. wants pelvis elsewhere at 2.00 s, which is kept"),
        (Waypoint(time=5.5, x=0, z=0), "goal 1 .*beyond the motion"),
    ],
)
def test_goals_for_what_is_not_made(make_model, source, goal, said):
    with pytest.raises(InputError, match=said):
        edited(make_model(), "a person runs", Part.after(source, 2.0), goals=GoalSet(goals=[goal]), settings=QUICK)
    x, _, z = source.joints[40, 0].tolist()
    kept = GoalSet(goals=[Waypoint(frame=40, x=x, z=z)])
    assert edited(make_model(), "a person runs", Part.after(source, 2.0), goals=kept, settings=QUICK).frames == 100
