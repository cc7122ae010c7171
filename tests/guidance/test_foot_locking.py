"""Toes are held in place while a motion is sampled."""

import dataclasses

import pytest
import torch

from guidance.foot_locking import FAST, KNEE, LOW, REACH, FootLocking, displacement
from motion_diffusion.body.features import encode
from motion_diffusion.body.heading import turn
from motion_diffusion.body.motion_metrics import foot_skating_ratio
from motion_diffusion.body.rig import REST
from motion_diffusion.body.skeleton import ANKLES, FPS, JOINTS, TOES
from motion_diffusion.model import MotionModel
from sample.generate import Settings, generate

KNEES = [JOINTS.index("left_knee"), JOINTS.index("right_knee")]


def sliding(rest, speed=0.1, frames=40):
    """A person in the rest pose who slides along z, (1, F, 22, 3); speed in m/s."""
    time = torch.arange(frames, dtype=torch.float32) / FPS
    return rest + torch.stack([0 * time, 0 * time, speed * time], dim=-1)[None, :, None]


@pytest.fixture
def rest():
    """(22, 3) the rest pose with its toes on the floor."""
    pose = torch.as_tensor(REST, dtype=torch.float32)
    return pose - torch.tensor([0.0, float(pose[:, 1].min()), 0.0])


def test_toes_that_slide_stand(rest):
    motion = sliding(rest)
    change = displacement(motion, torch.tensor([40]))
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
    assert not displacement(motion, torch.tensor([40])).any()


def test_no_toe_moves_further_than_reach(rest):
    change = displacement(sliding(rest, speed=0.9 * FAST), torch.tensor([40]))
    assert change.norm(dim=-1).max() == pytest.approx(REACH, rel=1e-4)


def test_a_motion_depends_neither_on_others_nor_on_padding(walks):
    motions = torch.stack([walks[0][:60], walks[1][:60]])
    short = motions.clone()
    short[1, 45:] = 7.0
    together = displacement(short, torch.tensor([60, 45]))
    assert together[0].allclose(displacement(motions[:1], torch.tensor([60]))[0], atol=1e-6)
    assert together[1, :45].allclose(displacement(motions[1:, :45], torch.tensor([45]))[0], atol=1e-6)


def test_displacement_turns_with_the_motion(walks):
    motion = walks[0][None, :60]
    angle = torch.full((1, 60), 0.7)
    lengths = torch.tensor([60])
    turned = displacement(turn(motion, angle), lengths)
    assert turned.allclose(turn(displacement(motion, lengths), angle), atol=1e-6)


def test_hook_acts_late_and_has_the_gradient_of_the_identity(rest, make_model):
    model = make_model("v")
    x0 = model.representation.normalise(encode(sliding(rest))).requires_grad_()
    lock = FootLocking(model.representation, torch.tensor([40]), T=1000)
    assert lock(x0, 601, 580) is x0
    held = lock(x0, 600, 580)
    decoded = model.representation.decode(held.detach(), lengths=torch.tensor([40]))
    assert decoded[0, 8:-8, TOES].diff(dim=0).abs().max() < 1e-4
    weights = torch.randn(x0.shape, generator=torch.Generator().manual_seed(0))
    (gradient,) = torch.autograd.grad((weights * held).sum(), x0)
    assert gradient.equal(weights)


def test_sampled_feet_slide_less():
    model, settings = MotionModel.load("v-masks"), Settings(steps=20)
    texts = ["a person boxes", "a person walks in a circle", "a person dances salsa", "a person walks"]

    def skating(settings):
        motions = generate(model, 2 * texts, [100] * 8, seeds=[3] * 4 + [4] * 4, settings=settings)
        return sum(foot_skating_ratio(motion.joints) for motion in motions) / 8

    assert skating(settings) < 0.7 * skating(dataclasses.replace(settings, clean_up=False))
