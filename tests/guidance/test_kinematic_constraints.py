"""Bones do not stretch and toes stand while a motion is sampled."""

import pytest
import torch
from tqdm.auto import tqdm

from guidance.goals.goal_set import GoalSet
from guidance.kinematic_constraints import (
    FAST,
    KNEE,
    LOW,
    REACH,
    KinematicConstraints,
    shortened_bones,
    standing_toes,
)
from motion_diffusion.body.features import encode
from motion_diffusion.body.heading import turn
from motion_diffusion.body.motion_metrics import foot_skating_ratio
from motion_diffusion.body.rig import REST
from motion_diffusion.body.skeleton import ANKLES, BONE_LENGTHS, BONES_BEFORE, FPS, JOINTS, PARENTS, TOES
from motion_diffusion.model import MotionModel
from sample.generate import Request, Settings

KNEES = [JOINTS.index("left_knee"), JOINTS.index("right_knee")]


def sliding(rest, speed=0.1, frames=40):
    """A person in the rest pose who slides along z, (1, F, 22, 3); speed in m/s."""
    time = torch.arange(frames, dtype=torch.float32) / FPS
    return rest + torch.stack([0 * time, 0 * time, speed * time], dim=-1)[None, :, None]


def forward(motion, change):
    """Motions (B, F, 22, 3) with changed bones (B, F, 21, 3)."""
    bones = change(motion[:, :, 1:] - motion[:, :, PARENTS[1:]])
    return motion[:, :, :1] + BONES_BEFORE.to(motion) @ bones


def too_long(motion):
    """Mean length in metres by which the bones of a motion (F, 22, 3) are too long."""
    lengths = (motion[:, 1:] - motion[:, PARENTS[1:]]).norm(dim=-1)
    return (lengths - BONE_LENGTHS[1:]).clamp_min(0).mean().item()


@pytest.fixture
def rest():
    """(22, 3) the rest pose with its toes on the floor."""
    pose = torch.as_tensor(REST, dtype=torch.float32)
    return pose - torch.tensor([0.0, float(pose[:, 1].min()), 0.0])


def test_toes_that_slide_stand(rest):
    motion = sliding(rest)
    change = standing_toes(motion, torch.tensor([40]))
    toes = (motion + change)[0, :, TOES]
    # Smoothing rounds the interval's ends off; within it the toes stand.
    assert toes[8:-8].diff(dim=0).abs().max() < 1e-6
    assert change[0, :, ANKLES].allclose(change[0, :, TOES])
    assert change[0, :, KNEES].allclose(KNEE * change[0, :, TOES])
    others = [j for j in range(len(JOINTS)) if j not in (*TOES, *ANKLES, *KNEES)]
    assert not change[0, :, others].any()
    assert not change[..., 1].any()


@pytest.mark.parametrize(("speed", "height"), [(1.1 * FAST, 0.0), (0.1, 1.1 * LOW)])
def test_fast_and_high_toes_are_free(rest, speed, height):
    motion = sliding(rest, speed) + torch.tensor([0.0, height, 0.0])
    assert not standing_toes(motion, torch.tensor([40])).any()


def test_no_toe_moves_further_than_reach(rest):
    change = standing_toes(sliding(rest, speed=0.9 * FAST), torch.tensor([40]))
    assert change.norm(dim=-1).max() == pytest.approx(REACH, rel=1e-4)


def test_bones_of_a_body_stay(walks):
    motion = walks[0][None, :60]
    assert shortened_bones(motion, torch.tensor([60])).abs().max() < 1e-5
    shorter = forward(motion, lambda bones: 0.8 * bones)
    assert shortened_bones(shorter, torch.tensor([60])).abs().max() < 1e-6


def test_too_long_bones_get_their_lengths_and_keep_root_and_directions(walks):
    motion, lengths = walks[0][None, :60], torch.tensor([60])
    factors = torch.linspace(1.0, 2.0, len(JOINTS) - 1)[:, None]
    stretched = forward(motion, lambda bones: factors * bones)
    assert (stretched + shortened_bones(stretched, lengths)).allclose(motion, atol=1e-5)


def test_bones_are_shortened_smoothly(walks):
    factors = torch.ones(60, 1, 1)
    factors[30] = 1.5
    stretched = forward(walks[0][None, :60], lambda bones: factors * bones)
    shortened = (stretched + shortened_bones(stretched, torch.tensor([60])))[0]
    lengths = (shortened[:, 1:] - shortened[:, PARENTS[1:]]).norm(dim=-1) / BONE_LENGTHS[1:].float()
    # A third is taken at once, and some from its neighbours.
    assert (lengths[30] > 1.2).all()
    assert (lengths[30] < 1.4).all()
    assert (lengths[[29, 31]] < 0.95).all()
    assert lengths[[20, 40]].allclose(torch.ones(()), atol=1e-4)


def test_bones_without_length_stay_finite():
    assert not shortened_bones(torch.zeros(1, 5, len(JOINTS), 3), torch.tensor([5])).any()


@pytest.mark.parametrize("displacement", [shortened_bones, standing_toes])
def test_a_motion_depends_neither_on_others_nor_on_padding(walks, displacement):
    motions = 1.1 * torch.stack([walks[0][:60], walks[1][:60]])
    short = motions.clone()
    short[1, 45:] = 7.0
    together = displacement(short, torch.tensor([60, 45]))
    assert together[0].allclose(displacement(motions[:1], torch.tensor([60]))[0], atol=1e-6)
    assert together[1, :45].allclose(displacement(motions[1:, :45], torch.tensor([45]))[0], atol=1e-6)


@pytest.mark.parametrize("displacement", [shortened_bones, standing_toes])
def test_displacement_turns_with_the_motion(walks, displacement):
    motion = 1.1 * walks[0][None, :60]
    angle = torch.full((1, 60), 0.7)
    lengths = torch.tensor([60])
    turned = displacement(turn(motion, angle), lengths)
    assert turned.allclose(turn(displacement(motion, lengths), angle), atol=1e-6)


def test_hook_acts_late_and_has_the_gradient_of_the_identity(rest, make_model):
    model = make_model("v")
    motion = forward(sliding(rest), lambda bones: 1.1 * bones)
    x0 = model.representation.normalise(encode(motion)).requires_grad_()
    constrain = KinematicConstraints(model.representation, torch.tensor([40]), T=1000)
    assert constrain(x0, 801, 780) is x0
    early = model.representation.decode(constrain(x0, 800, 780).detach(), lengths=torch.tensor([40]))
    assert early[0, 8:-8, TOES].diff(dim=0).abs().max() < 1e-4
    held = constrain(x0, 200, 180)
    decoded = model.representation.decode(held.detach(), lengths=torch.tensor([40]))
    assert decoded[0, 8:-8, TOES].diff(dim=0).abs().max() < 1e-4
    arms = [JOINTS.index("left_elbow"), JOINTS.index("left_wrist")]
    assert (decoded[0, :, arms].diff(dim=1).norm(dim=-1) - BONE_LENGTHS[arms[1]]).abs().max() < 1e-4
    weights = torch.randn(x0.shape, generator=torch.Generator().manual_seed(0))
    (gradient,) = torch.autograd.grad((weights * held).sum(), x0)
    assert gradient.equal(weights)


def test_sampled_feet_slide_less_and_limbs_stretch_less():
    model = MotionModel.load("v-masks")
    texts = ["a person boxes", "a person dances salsa", "a person walks in a circle"]

    def measured(clean_up):
        request = Request.of_motions(model, 2 * texts, [100] * 6, [GoalSet()] * 6, [3] * 3 + [4] * 3)
        settings = Settings(steps=20, clean_up=clean_up).of(model)
        with tqdm(disable=True) as bar:
            sampled = [each.points for each in request.sample((), (), settings, bar)]
        skating = sum(foot_skating_ratio(points) for points in sampled) / 6
        return skating, sum(too_long(points) for points in sampled) / 6

    (skating, stretched), (free_skating, free_stretched) = measured(True), measured(False)
    assert skating < 0.7 * free_skating
    assert stretched < 0.5 * free_stretched
