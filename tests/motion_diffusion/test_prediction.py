import pytest
import torch

from motion_diffusion.prediction import PREDICTIONS
from motion_diffusion.process import stratified_times, training_loss
from motion_diffusion.schedule import cosine

SCHEDULE = cosine(1000)


@pytest.fixture(params=list(PREDICTIONS))
def prediction(request):
    return PREDICTIONS[request.param]


def noisy(t):
    generator = torch.Generator().manual_seed(1)
    x0, eps = torch.randn(2, len(t), 6, 5, generator=generator, dtype=torch.float64)
    alpha, sigma = SCHEDULE.at(t, x0)
    return x0, eps, alpha * x0 + sigma * eps, alpha, sigma


def test_target_gives_back_x0_and_eps(prediction):
    x0, eps, x_t, alpha, sigma = noisy(torch.tensor([1, 10, 400, 900, 990]))
    y = prediction.target(x0, eps, alpha, sigma)
    torch.testing.assert_close(prediction.to_x0(y, x_t, alpha, sigma), x0, atol=1e-9, rtol=1e-9)
    torch.testing.assert_close(prediction.to_eps(y, x_t, alpha, sigma), eps, atol=1e-9, rtol=1e-9)


def test_weight_turns_errors_of_y_into_errors_of_x0(prediction):
    """|y - y'|² = weight · |x0 - x0'|², measured by moving y."""
    x0, eps, x_t, alpha, sigma = noisy(torch.tensor([1, 10, 400, 900, 990]))
    y = prediction.target(x0, eps, alpha, sigma)
    moved = prediction.to_x0(y + 0.1, x_t, alpha, sigma)
    weight = prediction.weight(alpha, sigma)
    torch.testing.assert_close(
        (weight * (moved - x0).square()).expand_as(x0), torch.full_like(x0, 0.01), rtol=1e-6, atol=0
    )


def test_one_posterior_whatever_is_predicted():
    """With one weighting of x0's error, networks that know the same have the same loss."""
    t = torch.tensor([5, 200, 600, 950])
    x0, eps, _, _, _ = noisy(t)
    guess = x0 + 0.3
    losses = []
    for prediction in PREDICTIONS.values():

        def network(x_t, alpha, sigma, prediction=prediction):
            alpha, sigma = alpha[:, None, None], sigma[:, None, None]
            return prediction.target(guess, (x_t - alpha * guess) / sigma, alpha, sigma)

        frames = torch.ones(4, 6, dtype=torch.bool)
        losses.append(
            training_loss(network, x0, frames, t, eps, schedule=SCHEDULE, prediction=prediction, snr_range=(0.0, 5.0))[
                0
            ]
        )
    torch.testing.assert_close(losses[0], losses[1], rtol=1e-5, atol=1e-9)
    torch.testing.assert_close(losses[0], losses[2], rtol=1e-5, atol=1e-9)


def test_frames_that_do_not_exist_do_not_count(prediction):
    t = torch.tensor([300])
    x0, eps, _, _, _ = noisy(t)
    frames = torch.tensor([[True, True, True, False, False, False]])

    def zero(x_t, alpha, sigma):
        return torch.zeros_like(x_t)

    run = dict(schedule=SCHEDULE, prediction=prediction)
    whole, _ = training_loss(zero, x0, frames, t, eps, **run)
    cut, _ = training_loss(zero, x0[:, :3], frames[:, :3], t, eps[:, :3], **run)
    torch.testing.assert_close(whole, cut)


def test_times_are_spread_evenly():
    t = stratified_times(100, 1000, generator=torch.Generator().manual_seed(0))
    assert torch.equal(((t - 1) // 10).sort().values, torch.arange(100))
