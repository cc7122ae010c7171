"""Guided samples against the true posterior: scores, the exact denoiser, errors of its output, and networks."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from guidance.__main__ import PATHS
from guidance.analysis import truth as module
from guidance.analysis.mixture_world import (
    MixtureDenoiser,
    OutputError,
    Task,
    guided_paths,
    trained_networks,
    x0_error,
)
from guidance.analysis.path_mixture import PathMixture
from guidance.analysis.truth import METHODS, Scores, Setting, settings, truth
from guidance.training_free import TrainingFree
from motion_diffusion.diffusion.prediction import PREDICTIONS
from motion_diffusion.diffusion.schedule import cosine
from motion_diffusion.errors import InputError
from motion_diffusion.sampling import sample_features


@pytest.fixture(scope="module")
def mixture() -> PathMixture:
    """The shipped mixture of paths of 120 frames."""
    return PathMixture.load(PATHS)


def normal(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_scores_of_the_same_distribution_are_those_of_chance():
    scores = Scores.of(normal(2000, 40, seed=1), normal(2000, 40, seed=2))
    assert scores.distance < 0.06
    assert scores.nearest == pytest.approx(0.5, abs=0.05)
    assert (scores.inside_50, scores.inside_90) == pytest.approx((0.5, 0.9), abs=0.02)


def test_scores_measure_a_shift_and_a_spread():
    a, b = normal(2000, 40, seed=1), normal(2000, 40, seed=2)
    axes = torch.linalg.eigh(torch.cov(b.T)).eigenvectors[:, -20:]
    shift = 2 * axes.sum(1) / 20**0.5  # two standard deviations in the coordinates that are compared
    shifted, narrow = Scores.of(a + shift, b), Scores.of(a / 2, b)
    assert shifted.distance == pytest.approx(2 * (2 / torch.pi) ** 0.5 / 20**0.5, abs=0.06)  # mean of |cos| · 2
    assert shifted.nearest > 0.55
    assert narrow.inside_50 == pytest.approx(0.264, abs=0.02)  # P(|n| < 0.674 / 2)
    assert narrow.distance == pytest.approx(0.5 * (2 / torch.pi) ** 0.5, abs=0.03)


@pytest.mark.parametrize("prediction", ["x0", "eps", "v"])
def test_unguided_samples_of_the_exact_denoiser_have_the_moments_of_the_mixture(mixture, prediction):
    model = MixtureDenoiser(mixture, prediction=PREDICTIONS[prediction])
    x = sample_features(model, ["a path"] * 256, [120] * 256, seeds=range(256), steps=100)
    paths, real = x[..., 1:3].flatten(1).double(), mixture.sample(100_000, torch.Generator().manual_seed(0))
    places = [2 * 60, 2 * 60 + 1, 2 * 119, 2 * 119 + 1]
    off = (paths[:, places].mean(0) - real[:, places].mean(0)) / (real[:, places].std(0) / 16)
    assert off.abs().max() < 4
    assert (paths[:, places].std(0) / real[:, places].std(0) - 1).abs().max() < 0.2


def test_prediction_types_of_an_exact_network_make_the_same_paths(mixture):
    task = Task.draw(mixture, (40, 119), 8, 0)
    made = [
        guided_paths(
            MixtureDenoiser(mixture, prediction=PREDICTIONS[name]),
            task,
            METHODS["projection"],
            sampler="ancestral",
            steps=20,
            count=4,
            seed=3,
        )
        for name in ("x0", "v")
    ]
    assert (made[0] - made[1]).abs().max() < 1e-3


def test_tasks_are_met_by_their_posterior_and_by_projection(mixture):
    task = Task.draw(mixture, (40, 80, 119), 16, 1)
    assert max(task.error(task.posterior), task.error(task.again)) < 1e-8
    made = guided_paths(
        MixtureDenoiser(mixture), task, METHODS["projection"], sampler="ancestral", steps=5, count=2, seed=0
    )
    assert task.error(made) < 1e-4
    assert task.error(made + 1) == pytest.approx(mixture.unit * 2**0.5, rel=1e-3)


def test_guidance_that_diverges_is_reported(mixture):
    with pytest.raises(InputError, match="sampling diverged: a strength of the guidance is too large"):
        guided_paths(
            MixtureDenoiser(mixture),
            Task.draw(mixture, (40, 119), 8, 0),
            (TrainingFree(mu=1e5),),
            sampler="ancestral",
            steps=20,
            count=1,
            seed=0,
        )


@pytest.mark.parametrize("kind", ["white", "smooth"])
def test_output_errors_have_their_size(kind):
    error = OutputError(0.3, kind).draw(torch.zeros(64, 120, 4), torch.Generator().manual_seed(0))
    assert error.square().mean().sqrt().item() == pytest.approx(0.3, rel=0.02)
    correlation = (error[:, 1:] * error[:, :-1]).mean() / error.square().mean()
    assert correlation > 0.9 if kind == "smooth" else correlation.abs() < 0.02


@pytest.mark.parametrize("name", ["x0", "eps", "v"])
def test_learned_errors_are_those_of_the_network_at_the_size_asked_for(mixture, name):
    exact, prediction = MixtureDenoiser(mixture, prediction=PREDICTIONS[name]), PREDICTIONS[name]
    schedule = exact.schedule

    def network(x_t, level):  # wrong by 0.05 of the output's size early in t, by 0.1 late
        t = (schedule.sigma == level.sigma).nonzero().item()
        return exact.exact_output(x_t, t) + (0.05 if t < 500 else 0.1) * prediction.size(level)

    wrong = MixtureDenoiser(mixture, prediction=prediction, network=network, error=OutputError(0.3, "learned"))
    x_t, frames = normal(2, 120, 4, seed=1), torch.ones(2, 120, dtype=torch.bool)
    own = ((0.05**2 + 0.1**2) / 2) ** 0.5
    for t, size in ((400, 0.05), (600, 0.1)):
        level = schedule.at(t)
        made, right = (model.denoise_fn(["a path"] * 2, frames)(x_t, t, t - 1) for model in (wrong, exact))
        error = prediction.target(made.x0 - right.x0, made.eps - right.eps, level) / prediction.size(level)
        assert error.flatten().tolist() == pytest.approx([0.3 * size / own] * error.numel(), abs=1e-9)


def test_networks_learn_the_exact_estimate_and_do_not_depend_on_checkpoints(mixture):
    small = replace(mixture, **_first_frames(mixture, 16))
    prediction, schedule = PREDICTIONS["v"], cosine(1000)
    errors = {}
    for checkpoints in ((2, 150), (150,)):
        for steps, network in zip(checkpoints, trained_networks(small, prediction, schedule, checkpoints), strict=True):
            errors[checkpoints, steps] = x0_error(MixtureDenoiser(small, prediction=prediction, network=network), 500)
    assert errors[(2, 150), 150] < 0.7 * errors[(2, 150), 2]
    assert errors[(2, 150), 150] == errors[(150,), 150]
    assert x0_error(MixtureDenoiser(small), 500) < 1e-20


def _first_frames(mixture: PathMixture, frames: int) -> dict[str, torch.Tensor]:
    """Parts of a mixture of the first frames of a mixture's paths."""
    fitted = PathMixture.fit(
        mixture.sample(2000, torch.Generator().manual_seed(1))[:, : 2 * frames], components=5, rank=6
    )
    return {name: getattr(fitted, name) for name in ("weights", "means", "covariances", "variances", "basis")}


def test_truth_scores_settings_on_several_tasks(mixture, monkeypatch):
    few = [
        Setting("none", steps=4),
        Setting("projection", "Gaussian", steps=4),
        Setting("projection", error=OutputError(0.3), steps=4),
    ]
    monkeypatch.setattr(module, "settings", lambda: iter(few))
    result = truth(mixture, tasks=2, count=32)
    by_name = {(row["method"], row["world"], row.get("size")): row for row in result.rows}
    best, unguided = by_name["posterior", "mixture", None], by_name["none", "mixture", 0.0]
    assert best["distance"] < unguided["distance"] / 3
    assert best["goal_cm"] < 1e-6 < 10 < unguided["goal_cm"]
    assert by_name["projection", "Gaussian", 0.0]["goal_cm"] < 0.1
    assert "Gaussian  projection  ancestral, 4" in result.conclusion
    assert "0.3" not in {row.get("size") for row in result.rows}


def test_settings_are_all_different():
    every = list(settings())
    assert len(set(every)) == len(every) > 60
