"""The program of the README's five lines, and methods and denoisers of one's own."""

import ast
import subprocess
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
import torch

import motion_diffusion as md
from guidance.goals.goal_set import GoalSet, Segment
from guidance.goals.positions import Waypoint
from guidance.projection import Projection
from motion_diffusion.body.features import encode
from motion_diffusion.diffusion.prediction import PREDICTIONS
from motion_diffusion.diffusion.samplers import ddim, estimate_from_x0
from motion_diffusion.diffusion.schedule import SCHEDULES
from motion_diffusion.errors import InputError
from motion_diffusion.sampling import sample_features
from sample.generate import Settings, generate, sampling_of

ROOT = Path(__file__).parents[1]


def test_the_five_lines_run_as_written(tmp_path):
    """Those in the package's docstring, which are those of the README, with fewer steps."""
    lines = [line.strip() for line in (md.__doc__ or "").splitlines() if line.startswith("    ")]
    assert all(line in (ROOT / "README.md").read_text() for line in lines)
    program = "\n".join(lines).replace("seed=0)", "seed=0, settings=md.Settings(steps=3))")
    ast.parse(program)
    run = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    motion = md.Motion.load(tmp_path / "motion.npz")
    assert motion.seconds == 6
    assert (motion.joints[40, 0, [0, 2]] - torch.tensor([0.0, 2.0])).norm() < 1e-3
    assert (tmp_path / "motion.mp4").stat().st_size > 10_000


def test_every_name_of_the_package_exists():
    for name in md.__all__:
        assert getattr(md, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = md.nothing


@dataclass(frozen=True)
class Mirror:
    """A method of one's own: what it is asked to move is moved, and it counts its calls."""

    calls: list[int]

    def wrap(self, denoise, problem, noise):
        def guided(x, t, s):
            self.calls.append(t)
            return denoise(x, t, s)

        return guided


@dataclass(frozen=True)
class Halfway:
    """x̂0 moved half of the way to the goals."""

    share: float = 0.5

    def wrap(self, denoise, problem, noise):
        def guided(x, t, s):
            estimate = denoise(x, t, s)
            features = problem.representation.denormalise(estimate.x0)
            joints = problem.windows.joints(features)
            target = problem.target_for(joints).written_into(joints)
            moved = problem.windows.meet(features, joints + self.share * (target - joints))
            x0 = problem.representation.normalise(moved)
            return estimate_from_x0(x0, x, t, problem.schedule, estimate.variance)

        return guided


GOALS = GoalSet(goals=[Waypoint(time=1.5, x=0.5, z=0.5)])


def test_a_method_of_ones_own_is_one_object(make_model):
    """It works beside ours, keeps provenance, and the goals are met."""
    calls: list[int] = []
    (motion,) = generate(
        make_model("v"), ["a person walks"], [40], goals=[GOALS], settings=Settings(steps=5),
        guidance=[Mirror(calls), Projection()],
    )  # fmt: skip
    assert len(calls) == 5
    assert motion.provenance["residuals"][0]["error"] < 1e-3
    assert [each["method"] for each in motion.provenance["settings"]["guidance"]] == ["Mirror", "projection"]


def test_a_method_of_ones_own_moves_the_motion(make_model):
    model, settings = make_model("v"), Settings(steps=5, clean_up=False)

    def missed(*methods):
        (motion,) = generate(model, ["a person walks"], [40], goals=[GOALS], settings=settings, guidance=methods)
        return motion.provenance["residuals"][0]["error"]

    assert missed(Halfway(1.0)) < 0.2 * missed(Halfway(0.0))
    assert missed(Halfway(0.0)) == pytest.approx(missed(Mirror([])), abs=1e-4)


def test_names_and_objects_are_the_same(make_model):
    model = make_model("v")
    run = {"goals": [GOALS], "settings": Settings(steps=4)}
    (named,) = generate(model, ["a person walks"], [40], guidance="projection", **run)
    (given,) = generate(model, ["a person walks"], [40], guidance=[Projection()], **run)
    torch.testing.assert_close(named.joints, given.joints, rtol=0, atol=0)


def test_a_method_of_ones_own_works_with_segments(make_model):
    goals = GoalSet(
        goals=[Waypoint(time=3.0, x=0.5, z=1.0)],
        segments=[Segment(text="a person walks", seconds=2.0), Segment(text="a person runs", seconds=2.0)],
    )
    calls: list[int] = []
    (motion,) = generate(
        make_model("v"), [""], [80], goals=[goals], settings=Settings(steps=4), guidance=[Mirror(calls), Projection()]
    )
    assert len(calls) == 4
    assert motion.frames == 80
    assert motion.provenance["residuals"][0]["error"] < 1e-3


class FromSilence:
    """A method of one's own with the optional hooks: it replaces the noise by zeros, prescribes the sampler and its
    steps, and refuses long motions and segments."""

    rounds, single_window = 2, "it begins in silence only once"

    def __init__(self, steps=3):
        self.steps, self.sampled = steps, []

    def wrap(self, denoise, problem, noise):
        return denoise

    def check(self, model, frames):
        if frames > 40:
            raise InputError(f"{model.name} is silent for 40 frames, not {frames}")

    def start(self, denoise, z, problem, on_round):
        for _ in range(self.rounds):
            on_round()
        return torch.zeros_like(z)

    def sampler(self, problem):
        def run(denoise, x, schedule, times, *, noise=None, on_step=None):
            self.sampled.append(times)
            return ddim(denoise, x, schedule, times, on_step=on_step)

        return run


def test_a_method_of_ones_own_chooses_noise_and_sampler(make_model):
    model, method, silent = make_model("v"), FromSilence(), Settings(steps=9, clean_up=False)
    run = {"goals": [GOALS], "settings": silent, "guidance": [method]}
    (first,), (second,) = (generate(model, ["a person walks"], [40], seeds=[seed], **run) for seed in (1, 2))
    assert torch.equal(first.joints, second.joints)
    assert method.sampled == 2 * [model.times(3)]
    assert sampling_of(silent.of(model), [method]).total == 2 + 3
    (plain,) = generate(model, ["a person walks"], [40], settings=silent, guidance=[method])  # no goal: not guided
    assert not torch.equal(plain.joints, first.joints)
    assert len(method.sampled) == 2


def test_a_method_of_ones_own_refuses_beforehand(make_model):
    model, run = make_model("v"), {"goals": [GOALS], "settings": Settings(steps=4)}
    with pytest.raises(InputError, match="untitled is silent for 40 frames, not 50"):
        generate(model, ["a person walks"], [50], guidance=[FromSilence()], **run)
    generate(model, ["a person walks"], [50], settings=Settings(steps=4), guidance=[FromSilence()])
    with pytest.raises(InputError, match="^FromSilence.steps 1001: give 1 to 1,000$"):
        generate(model, ["a person walks"], [40], guidance=[FromSilence(1001)], **run)
    two = GoalSet(goals=GOALS.goals, segments=[Segment(text="walk", seconds=2.0), Segment(text="run", seconds=2.0)])
    with pytest.raises(InputError, match="FromSilence does not go with segments: it begins in silence only once"):
        generate(model, [""], [80], goals=[two], guidance=[FromSilence()], settings=Settings(steps=4))


class GaussianDenoiser:
    """A denoiser that is not ours: the exact one of features that are white noise around one walk."""

    name, device, max_frames, takes_masks = "gaussian", torch.device("cpu"), 60, False

    def __init__(self, representation, mean):
        self.representation, self.mean, self.std = representation, mean, 0.1
        self.schedule, self.prediction = SCHEDULES["cosine"](1000), PREDICTIONS["x0"]

    def denoise_fn(self, texts, frames, *, text_scale=1.5, text_guidance=None, observed=None, mask_scale=1.0):
        mean = self.mean[: frames.shape[1]]

        def denoise(x, t, s):
            alpha, sigma = self.schedule.row(t)
            share = alpha * self.std**2 / (alpha**2 * self.std**2 + sigma**2)
            return estimate_from_x0(mean + share * (x - alpha * mean), x, t, self.schedule)

        return denoise


@pytest.fixture
def gaussian(make_model, walks):
    representation = make_model("v").representation
    return GaussianDenoiser(representation, representation.normalise(encode(walks[0])))


def test_a_denoiser_that_is_not_ours(gaussian):
    """Unguided it makes what it is the denoiser of; guided it meets the goals."""
    frames = min(50, len(gaussian.mean))
    (plain,) = generate(gaussian, ["walk"], [frames], settings=Settings(steps=50, clean_up=False))
    mean = gaussian.representation.decode(gaussian.mean[:frames])
    mean = mean - mean[:1, :1] * torch.tensor([1.0, 0.0, 1.0])
    assert (plain.joints - mean).norm(dim=-1).mean() < 0.15
    goals = GoalSet(goals=[Waypoint(frame=frames - 1, x=0.2, z=1.0)])
    motion = md.generate(gaussian, "walk", seconds=frames / 20, goals=goals, settings=Settings(steps=10))
    assert motion.provenance["residuals"][0]["error"] < 1e-3
    assert motion.provenance["model"] == {"name": "gaussian", "weights": "", "licence": ""}


def test_lists_in_and_lists_out(gaussian):
    motions = md.generate(gaussian, ["walk", "run"], seconds=[1.0, 1.5], seed=3, settings=Settings(steps=3))
    assert [motion.frames for motion in motions] == [20, 30]
    assert [motion.provenance["seed"] for motion in motions] == [3, 4]
    again = md.generate(gaussian, "run", seconds=1.5, seed=4, settings=Settings(steps=3))
    torch.testing.assert_close(again.joints, motions[1].joints, atol=1e-4, rtol=0)
    with pytest.raises(InputError, match="3 seconds for 2 prompts; give one for each"):
        md.generate(gaussian, ["walk", "run"], seconds=[1.0, 1.0, 1.0])
    with pytest.raises(InputError, match="goals for 1 motions and 2 prompts"):
        md.generate(gaussian, ["walk", "run"], goals=[GOALS])


def test_the_callback_sees_each_step_and_cancels(gaussian):
    seen = []
    md.generate(gaussian, "walk", seconds=1, settings=Settings(steps=4), on_step=lambda t, estimate: seen.append(t))
    assert len(seen) == 4
    assert seen == sorted(seen, reverse=True)

    class Cancelled(Exception):
        pass

    def cancel(t, estimate):
        raise Cancelled

    with pytest.raises(Cancelled):
        md.generate(gaussian, "walk", seconds=1, settings=Settings(steps=4), on_step=cancel)


def test_a_sampler_of_ones_own(gaussian):
    """The name of ours and the function behind it give the same; one of one's own is called."""

    def last(denoise, x, schedule, times, *, noise=None, on_step=None):
        """The estimate at the last time."""
        return denoise(schedule.row(times[-2])[0] * gaussian.mean[: x.shape[1]].expand_as(x), times[-2], 0).x0

    motion = md.generate(gaussian, "walk", seconds=1.5, sampler=last, settings=Settings(clean_up=False))
    mean = gaussian.representation.decode(gaussian.mean[:30])
    expected = mean - mean[:1, :1] * torch.tensor([1.0, 0.0, 1.0])
    torch.testing.assert_close(motion.joints, expected, atol=1e-3, rtol=0)
    assert motion.provenance["settings"]["sampler"] == "last"
    motion = md.generate(gaussian, "walk", seconds=1.5, sampler=partial(ddim, eta=0.5), settings=Settings(steps=2))
    assert motion.provenance["settings"]["sampler"] == "ddim(eta=0.5)"
    with pytest.raises(InputError, match="unknown sampler 'euler'; choose ancestral, ddim, "):
        md.generate(gaussian, "walk", seconds=1.5, sampler="euler")
    run = {"seeds": [1], "steps": 4}
    named = sample_features(gaussian, ["walk"], [30], sampler="ddim", **run)
    given = sample_features(gaussian, ["walk"], [30], sampler=ddim, **run)
    torch.testing.assert_close(named, given, rtol=0, atol=0)
