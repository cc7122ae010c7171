"""Distillation: the target leads in one DDIM step to where the teacher's steps lead, and a student learns it."""

from __future__ import annotations

import dataclasses
import json
from itertools import pairwise

import pytest
import torch

from motion_diffusion.body.features import encode
from motion_diffusion.diffusion.samplers import ddim, estimate_from_x0
from motion_diffusion.errors import InputError
from motion_diffusion.model import MotionModel
from train.config import Options
from train.distillation import Distillation, DistillationOptions

TEXTS = ["a person walks", "someone waves"]
SHOWN = torch.tensor([False, False])
OPTIONS = DistillationOptions(teacher="teacher", steps=4, substeps=3, text_scale=2.5)


@pytest.fixture
def clips(walks, representation):
    """x0 (2, 30, D), noise, and which frames exist; the second clip has 20."""
    frames = torch.arange(30) < torch.tensor([30, 20])[:, None]
    x0 = torch.stack([representation.normalise(encode(walk[:30])) for walk in walks[:2]]) * frames[..., None]
    eps = torch.randn(x0.shape, generator=torch.Generator().manual_seed(0)) * frames[..., None]
    return x0, eps, frames


def test_one_step_of_the_target_is_several_of_the_teacher(make_model, clips):
    """Against the DDIM sampler with classifier-free guidance, for every interval and two intervals in a batch."""
    x0, eps, frames = clips
    teacher = make_model("v")
    distillation = Distillation(teacher, OPTIONS)
    schedule, denoise = teacher.schedule, teacher.denoise_fn(TEXTS, frames, text_scale=2.5)
    for t, s in pairwise(distillation.times.tolist()):
        times, new_x0, new_eps = distillation.target(x0, eps, torch.tensor([t, s + 1]), TEXTS, frames, SHOWN, None)
        assert times.tolist() == [t, t]
        x_t = schedule.add_noise(x0, eps, t)
        torch.testing.assert_close(schedule.add_noise(new_x0, new_eps, t), x_t, atol=2e-4, rtol=1e-4)
        wanted = ddim(denoise, x_t, schedule, [t - (t - s) * k // 3 for k in range(4)])

        def target(x, t, s, new_x0=new_x0):
            return estimate_from_x0(new_x0, x, t, schedule)

        reached = ddim(target, x_t, schedule, [t, s])
        torch.testing.assert_close(reached * frames[..., None], wanted * frames[..., None], atol=2e-3, rtol=1e-3)
    mixed, _, _ = distillation.target(x0, eps, torch.tensor([1, 1000]), TEXTS, frames, SHOWN, None)
    assert mixed.tolist() == [250, 1000]


def test_a_hidden_prompt_is_hidden_from_the_teacher(make_model, clips):
    """Its target is that of steps without text, whatever the prompt; the other motion's stays."""
    x0, eps, frames = clips
    distillation = Distillation(make_model("v"), OPTIONS)
    t = torch.tensor([500, 500])
    shown = distillation.target(x0, eps, t, TEXTS, frames, SHOWN, None)[1]
    hidden = distillation.target(x0, eps, t, TEXTS, frames, ~SHOWN & torch.tensor([True, False]), None)[1]
    denoise = distillation.teacher.denoise_fn(["", ""], frames)
    x_t = distillation.teacher.schedule.add_noise(x0, eps, 500)
    wanted = ddim(denoise, x_t, distillation.teacher.schedule, [500, 417, 334, 250])
    reached = estimate_from_x0(hidden, x_t, 500, distillation.teacher.schedule)
    reached = ddim(lambda x, t, s: reached, x_t, distillation.teacher.schedule, [500, 250])
    torch.testing.assert_close((reached * frames[..., None])[0], wanted[0], atol=2e-3, rtol=1e-3)
    assert not torch.equal(hidden[0], shown[0])
    torch.testing.assert_close(hidden[1], shown[1])


def test_observed_positions_reach_the_teacher(make_model, clips):
    x0, eps, frames = clips
    distillation = Distillation(make_model("v", masks=True), OPTIONS)
    values = torch.zeros(2, 30, 22, 3)
    mask = torch.zeros(2, 30, 22, 3, dtype=torch.bool)
    t = torch.tensor([500, 500])
    nothing = distillation.target(x0, eps, t, TEXTS, frames, SHOWN, (values, mask))[1]
    mask[0, 10] = True
    something = distillation.target(x0, eps, t, TEXTS, frames, SHOWN, (values, mask))[1]
    assert not torch.equal(nothing[0], something[0])
    torch.testing.assert_close(nothing[1], something[1])


def test_too_many_steps_are_refused(make_model):
    with pytest.raises(InputError, match="steps 40 of 30 substeps are more than the teacher's 1000 times"):
        Distillation(make_model("v"), dataclasses.replace(OPTIONS, steps=40, substeps=30))


def test_student_starts_as_its_teacher():
    options = Options(start="v-mixed", distillation=OPTIONS)
    with pytest.raises(InputError, match="--start v-mixed: a distilled model starts as its teacher; leave it out"):
        options.check()


def test_command_distils(forks):
    """From the command: a student that starts as its teacher, and says how it is to be sampled."""
    folder, run = forks
    common = ["--data", "procedural", "--batch-size", "4", "--prediction", "v"]
    assert run([*common, "--run", folder / "teacher", "--steps", "2"])[0] == [0]
    few = ["--distillation.teacher", folder / "teacher", "--distillation.steps", "2", "--distillation.substeps", "2"]
    assert run([*common, "--run", folder / "student", "--steps", "3", *few])[0] == [0]
    student = MotionModel.load(folder / "student")
    assert student.config.recommended == dataclasses.replace(student.config.recommended, steps=2, only=True)
    assert (student.config.recommended.sampler, student.config.recommended.text_scale) == ("ddim", 1.0)
    losses = [json.loads(line) for line in (folder / "student" / "metrics.jsonl").read_text().splitlines()]
    assert all(torch.tensor(line["loss"]).isfinite() for line in losses if "loss" in line)
