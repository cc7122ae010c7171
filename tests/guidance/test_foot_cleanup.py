"""Clean-up: feet in contact keep still, bone lengths are constant, goals stay exact, and all else is unchanged."""

import dataclasses
import json

import pytest
import torch

from guidance import foot_cleanup
from guidance.foot_cleanup import FLOATING, STANDING
from guidance.goals.goal_set import GoalSet
from guidance.goals.positions import Joint, Waypoint
from guidance.goals.relations import Contact, Loop
from motion_diffusion.body.foot_contacts import detect_contacts
from motion_diffusion.body.heading import gaussian
from motion_diffusion.body.motion_metrics import foot_skating_ratio, joint_jitter
from motion_diffusion.body.skeleton import BONE_LENGTHS, FPS, JOINTS, PARENTS, TOES, forward_kinematics
from motion_diffusion.model import MotionModel
from sample.generate import generate

NONE = GoalSet()
WALKS = range(0, 40, 5)
LIMBS = ((1, 4, 7), (2, 5, 8), (16, 18, 20), (17, 19, 21))
"""Hip, knee, ankle and shoulder, elbow, wrist."""


def clean_up(joints, goals):
    """The joints of the body, and the report, where goals that are missed are left alone."""
    rig, report = foot_cleanup.clean_up(joints, goals, exact=False)
    return rig.joints.to(joints), report


def stretch(joints):
    """(F, 21) metres by which bones are too long or too short."""
    return ((joints[:, 1:] - joints[:, PARENTS[1:]]).norm(dim=-1) - BONE_LENGTHS[1:].to(joints)).abs()


def ease(count):
    """(count, 1, 1) from 0 to 1 without a jump of speed."""
    time = torch.linspace(0, 1, count, dtype=torch.float64)
    return (3 * time**2 - 2 * time**3)[:, None, None]


def spoilt(walk, seed, *, slide=0.18, longer=0.01):
    """A walk whose feet slide by `slide` m during contacts and return in the air, with bone lengths that change
    smoothly.
    """
    generator = torch.Generator().manual_seed(seed)
    joints = walk.double().clone()
    stands = [stand for stand in detect_contacts(joints) if stand.joint in TOES and stand.end - stand.start > 5]
    for stand, after in zip(stands, [*stands[1:], None], strict=True):
        angle = 2 * torch.pi * torch.rand(1, generator=generator, dtype=torch.float64)
        move = slide * torch.cat([angle.cos(), torch.zeros_like(angle), angle.sin()])
        landing = len(joints)
        if after is not None and after.joint == stand.joint:
            landing = after.start
        out, back = ease(stand.end - stand.start), 1 - ease(landing - stand.end + 2)[1:-1]
        for joint, share in ((stand.joint, 1.0), (stand.joint - 3, 1.0), (stand.joint - 6, 0.5)):
            joints[stand.start : landing, joint] += share * torch.cat([out, back])[:, 0] * move
    noise = torch.randn(len(joints), len(JOINTS), generator=generator, dtype=torch.float64)
    factor = 1 + longer * gaussian(noise, 6.0) / gaussian(noise, 6.0).std()
    result = joints.clone()
    for joint in range(1, len(JOINTS)):
        if joint not in (7, 8, 10, 11):  # feet stay where they slide
            bone = joints[:, joint] - joints[:, PARENTS[joint]]
            result[:, joint] = result[:, PARENTS[joint]] + factor[:, joint, None] * bone
    return result


def standing(frames=60):
    """An upright body with flat feet and slightly bent knees."""
    turn = torch.eye(3, dtype=torch.float64).repeat(frames, len(JOINTS), 1, 1)
    for hip, knee in ((1, 4), (2, 5)):
        for joint, angle in ((hip, -0.3), (knee, 0.3)):
            c, s = torch.tensor(angle, dtype=torch.float64).cos(), torch.tensor(angle, dtype=torch.float64).sin()
            turn[:, joint] = torch.tensor([[1, 0, 0], [0, c, -s], [0, s, c]])
    joints = forward_kinematics(turn, torch.zeros(frames, 3, dtype=torch.float64))
    joints[..., 1] += 0.015 - joints[..., TOES, 1].min()
    return joints


@pytest.mark.parametrize("i", WALKS)
def test_clean_walk_hardly_changes(walks, i):
    cleaned, report = clean_up(walks[i], NONE)
    moved = 100 * (cleaned - walks[i]).norm(dim=-1)
    assert moved[:, [0, 7, 8, 10, 11]].max() < 1.2
    assert moved.max() < 1.25  # knees of legs that are nearly straight
    assert moved.mean() < 0.1
    assert report.stands >= 4
    assert report.unsettled == ()
    assert joint_jitter(cleaned) < 1.1 * joint_jitter(walks[i])


@pytest.mark.parametrize("i", WALKS)
def test_sliding_walk_is_repaired(walks, i):
    walk = spoilt(walks[i], seed=i)
    cleaned, report = clean_up(walk, NONE)
    assert foot_skating_ratio(cleaned) <= 0.25 * foot_skating_ratio(walk) + 0.035
    assert stretch(walk).max() > 0.005
    assert stretch(cleaned).max() < 1e-3
    assert joint_jitter(cleaned) < 1.1 * joint_jitter(walk)
    assert report.skating_after == pytest.approx(foot_skating_ratio(cleaned), abs=1e-9)
    assert report.bone_error_before_cm == pytest.approx(100 * stretch(walk).max().item())
    upper = [joint for joint in range(len(JOINTS)) if joint not in (4, 5, 7, 8, 10, 11)]
    assert (cleaned - walk)[:, upper].norm(dim=-1).mean() < 0.02


def test_sliding_walk_slides(walks):
    assert torch.tensor([foot_skating_ratio(spoilt(walks[i], seed=i)) for i in WALKS]).mean() > 0.05


@pytest.mark.parametrize("i", WALKS)
def test_clean_up_is_idempotent(walks, i):
    once, _ = clean_up(spoilt(walks[i], seed=i), NONE)
    twice, _ = clean_up(once, NONE)
    moved = (twice - once).norm(dim=-1)
    assert moved.mean() < 2e-3
    assert moved.max() < 0.06  # where a foot is found to stand that slid before


@pytest.mark.parametrize("i", WALKS)
def test_knees_and_elbows_bend_as_before(walks, i):
    walk = spoilt(walks[i], seed=i)
    cleaned, _ = clean_up(walk, NONE)
    for start, middle, end in LIMBS:

        def bend(joints, a=start, b=middle, c=end):
            along = torch.nn.functional.normalize(joints[:, c] - joints[:, a], dim=-1)
            arm = joints[:, b] - joints[:, a]
            return arm - (arm * along).sum(-1, keepdim=True) * along

        before, after = bend(walk), bend(cleaned)
        bent = (before.norm(dim=-1) > 0.02) & (after.norm(dim=-1) > 0.02)
        assert ((before * after).sum(-1) > 0)[bent].all()


def test_met_goals_stay_exact(walks):
    walk = spoilt(walks[10], seed=0)
    x, _, z = walk[20, 0].tolist()
    hand = walk[30, 21].tolist()
    goals = GoalSet(
        goals=[
            Waypoint(frame=20, x=x, z=z),
            Joint(frame=30, joint="right_wrist", position=hand),
            Joint(frame=35, joint="head", position=[None, walk[35, 15, 1].item() + 0.006, None]),  # nearly
        ]
    )
    cleaned, report = clean_up(walk, goals)
    assert goals.target_for(cleaned).errors(cleaned).max() < 1e-4
    assert report.goal_error_after_cm < 1e-2
    assert not [line for line in report.unsettled if "goal" in line]
    assert stretch(cleaned).max() < 1e-3


def test_missed_goal_is_reported(walks):
    walk = walks[3]
    goals = GoalSet(goals=[Waypoint(frame=10, x=walk[10, 0, 0].item() + 0.4, z=walk[10, 0, 2].item())])
    cleaned, report = clean_up(walk, goals)
    assert (cleaned[10, 0] - walk[10, 0]).norm() < 0.02
    assert report.goal_error_after_cm == pytest.approx(40, abs=2)
    assert any("goal 1 (waypoint) is missed by 40" in line for line in report.unsettled)


def test_motion_dependent_goals_hold_afterwards():
    joints = standing()
    joints[:, [7, 10]] += 0.004 * torch.sin(torch.arange(60) / 5)[:, None, None]
    joints[-1] = joints[0] + 0.003
    goals = GoalSet(goals=[Loop(), Contact(joint="left_foot", start=0, end=1.0)])
    cleaned, _ = clean_up(joints, goals)
    assert (cleaned[-1] - cleaned[0]).abs().max() < 1e-4
    assert cleaned[:21, 10].std(dim=0).max() < 1e-4


def test_foot_in_the_air_stays_there():
    joints = standing()
    lifted = joints.clone()
    lifted[:, [4, 7, 10]] += torch.tensor([0.0, 0.25, 0.1])
    cleaned, report = clean_up(lifted, NONE)
    assert cleaned[:, 10, 1].min() > 0.2
    assert report.stands == 1  # the other one


def test_jump_is_kept():
    joints = standing()
    time = torch.arange(60) / FPS
    height = (2.5 * (time - 1) - 4.9 * (time - 1) ** 2).clamp_min(0)
    cleaned, report = clean_up(joints + height[:, None, None] * torch.tensor([0.0, 1.0, 0.0]), NONE)
    assert (cleaned[:, :, 1] - joints[:, :, 1] - height[:, None]).abs().max() < 0.01
    assert report.stands == 4


def test_foot_is_lifted_but_not_pushed_down():
    """A motion 2 cm above the floor stays there; one that is 3 cm below it is lifted onto it."""
    joints = standing()
    slid = joints + 0.02 * torch.tensor([0.0, 1.0, 0.0])
    slid[:, [7, 10]] += 0.05 * torch.sin(torch.arange(60) / 4)[:, None, None] * torch.tensor([1.0, 0.0, 0.0])
    cleaned, _ = clean_up(slid, NONE)
    assert (cleaned[:, TOES, 1] - slid[:, TOES, 1]).abs().max() < 2e-3
    assert cleaned[5:55, 10].diff(dim=0).norm(dim=-1).max() < 1e-3
    cleaned, _ = clean_up(joints - 0.045 * torch.tensor([0.0, 1.0, 0.0]), NONE)
    assert cleaned[:, TOES, 1].min() > -2e-3


def raised(joints, height):
    """A motion (F, 22, 3) that is higher by height (F,) or a number, m."""
    return joints + torch.as_tensor(height, dtype=torch.float64)[..., None, None] * torch.tensor([0.0, 1.0, 0.0])


def test_foot_below_the_floor_by_a_long_bone_is_lifted():
    """As in "a person dances", seed 3: only one foot shows the height of the floor."""
    joints = standing()
    joints[:, TOES[1], 1] = torch.linspace(-0.17, 0.1, 60)
    joints[:, [7, 10]] += 0.02 * torch.sin(torch.arange(60) / 6)[:, None, None] * torch.tensor([1.0, 0.0, 0.0])
    cleaned, report = clean_up(joints, NONE)
    assert cleaned[..., 1].min() > -2e-3
    assert stretch(cleaned).max() < 1e-3
    assert cleaned[5:55, TOES[0]].diff(dim=0).norm(dim=-1).max() < 1e-3
    assert (cleaned[:, TOES[0], 1] - joints[:, TOES[0], 1]).abs().max() < 2e-3
    assert report.lifted_cm == 0
    assert report.lowest_toe_before_cm == pytest.approx(-17)
    assert report.lowest_toe_after_cm == pytest.approx(100 * cleaned[:, TOES, 1].min().item(), abs=1e-3)


@pytest.mark.parametrize("i", WALKS)
def test_sinking_walk_stays_above_the_floor(walks, i):
    walk = walks[i].double().clone()
    walk[-15:, [7, 8, 10, 11], 1] -= torch.linspace(0, 0.12, 15, dtype=torch.float64)[:, None]
    assert walk[:, TOES, 1].min() < -0.09
    cleaned, report = clean_up(walk, NONE)
    assert cleaned[..., 1].min() > -2e-3
    assert stretch(cleaned).max() < 1e-3
    assert (cleaned - walk)[:-20].norm(dim=-1).max() < 0.05
    assert report.lowest_toe_before_cm < -9


@pytest.mark.parametrize("height", [-0.6, -0.1, 0.08, 0.25])
def test_floating_or_sunken_motion_is_put_on_the_floor(height):
    joints = standing()
    cleaned, report = clean_up(raised(joints, height), NONE)
    toe = 0.0 if height < 0 else STANDING
    assert (cleaned - raised(joints, toe - joints[..., 1].min())).abs().max() < 2e-3
    assert report.lifted_cm == pytest.approx(100 * (toe - height - joints[..., 1].min().item()), abs=0.1)


def hop(seconds, *, high=0.12, frames=100):
    """(F,) heights of a body that goes up within 0.2 s, stays up and comes down."""
    time = torch.arange(frames, dtype=torch.float64) / FPS - 1
    return high * torch.minimum(time / 0.2, (seconds - time) / 0.2).clamp(0, 1)


def test_long_flight_is_lowered():
    joints = standing(100)
    for_a_jump, for_long = (raised(joints, hop(seconds)) for seconds in (0.9, 2.0))
    assert (clean_up(for_a_jump, NONE)[0] - for_a_jump).abs().max() < 0.01
    cleaned, report = clean_up(for_long, NONE)
    assert cleaned[32:48, TOES, 1].max() < FLOATING
    assert (cleaned - for_long)[:20].abs().max() < 0.01
    assert joint_jitter(cleaned[:, :1]) < 1.5 * joint_jitter(for_long[:, :1])
    assert report.lifted_cm < -5


@pytest.mark.parametrize("frames", [10, 20])
def test_short_flight_is_kept(frames):
    up = raised(standing(frames), 0.2)
    assert (clean_up(up, NONE)[0] - up).abs().max() < 2e-3


def test_handstand_and_lying_are_kept():
    upright = standing()
    lying = raised(upright[..., [0, 2, 1]], 0.1 - upright[..., 2].min())
    on_hands = upright * torch.tensor([1.0, -1.0, -1.0])
    for joints in (lying, raised(on_hands, 0.1 - on_hands[..., 1].min())):
        assert clean_up(joints, NONE)[1].lifted_cm == 0


@pytest.mark.parametrize("height", [-1.0, 0.15])
def test_goals_with_heights_keep_the_height(height):
    """In a pit, or on a step."""
    joints = raised(standing(), height)
    goals = GoalSet(goals=[Joint(frame=f, joint="left_foot", position=joints[f, 10].tolist()) for f in (10, 40)])
    cleaned, report = clean_up(joints, goals)
    assert (cleaned - joints).abs().max() < 2e-3
    assert report.goal_error_after_cm < 1e-2
    assert report.lifted_cm == 0


def test_goal_above_the_floor_keeps_feet_above_it():
    joints = standing()
    joints[:, [8, 11]] += torch.tensor([0.0, -0.1, 0.0])
    joints[:, [8, 11], 2] += 0.3 * torch.sin(torch.arange(60, dtype=torch.float64) / 3)[:, None]  # it does not stand
    goals = GoalSet(goals=[Joint(frame=30, joint="head", position=joints[30, 15].tolist())])
    cleaned, report = clean_up(joints, goals)
    assert cleaned[..., 1].min() > -2e-3
    assert report.goal_error_after_cm < 1e-2


def test_dance_of_a_shipped_model_is_put_onto_the_floor():
    """The network's right foot is 17 cm below the floor."""
    (dance,) = generate(MotionModel.load("v-masks"), ["a person dances"], [100], seeds=[3])
    assert -0.02 < dance.joints[:, TOES, 1].min() < 0.068  # as in real clips
    assert dance.provenance["clean_up"]["stands"] > 0


def test_unreachable_contact_yields_and_is_reported():
    """Goals carry the pelvis away from the feet: bone lengths are kept, and the contact is reported."""
    joints = standing()
    away = torch.linspace(0, 0.6, 60, dtype=torch.float64)
    joints[:, [j for j in range(22) if j not in (4, 5, 7, 8, 10, 11)], 0] += away[:, None]
    goals = GoalSet(goals=[Joint(frame=f, joint="pelvis", position=joints[f, 0].tolist()) for f in range(60)])
    cleaned, report = clean_up(joints, goals)
    assert stretch(cleaned).max() < 1e-3
    assert goals.target_for(cleaned).errors(cleaned).max() < 1e-4
    assert any("gives way" in line for line in report.unsettled)


@pytest.mark.parametrize("frames", [1, 2, 3, 4, 7])
def test_short_motions(walks, frames):
    walk = walks[0][:frames] + 0.01 * torch.randn(frames, 22, 3, generator=torch.Generator().manual_seed(0))
    cleaned, report = clean_up(walk, GoalSet(goals=[Waypoint(frame=0, x=walk[0, 0, 0].item(), z=walk[0, 0, 2].item())]))
    assert cleaned.shape == walk.shape
    assert cleaned.dtype == walk.dtype
    assert stretch(cleaned).max() < 1e-3
    assert report.goal_error_after_cm < 1e-2


@pytest.mark.parametrize("scale", [0.0, 0.1, 1.0, 100.0])
def test_finite_input_gives_finite_output(scale):
    noise = scale * torch.randn(30, 22, 3, generator=torch.Generator().manual_seed(1))
    cleaned, _ = clean_up(noise, NONE)
    assert torch.isfinite(cleaned).all()


def test_clean_up_is_deterministic(walks):
    walk = spoilt(walks[15], seed=2)
    assert torch.equal(clean_up(walk, NONE)[0], clean_up(walk, NONE)[0])


def test_report_is_json(walks):
    _, report = clean_up(spoilt(walks[5], seed=1), NONE)
    assert json.loads(json.dumps(dataclasses.asdict(report)))["stands"] == report.stands
    assert report.largest_move_joint in JOINTS
