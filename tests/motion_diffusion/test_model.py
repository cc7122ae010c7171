import json
import math
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from safetensors.torch import save_file

from motion_diffusion.diffusion.prediction import PREDICTIONS, Prediction
from motion_diffusion.diffusion.samplers import SAMPLERS
from motion_diffusion.diffusion.schedule import SCHEDULES, Point, from_curve
from motion_diffusion.errors import InputError
from motion_diffusion.model import MotionModel
from motion_diffusion.network.text_encoders import TEXT_ENCODERS
from motion_diffusion.pretrained import shipped


@pytest.fixture
def saved(make_model, tmp_path):
    model = make_model("v")
    model.save(tmp_path / "m")
    return model, tmp_path / "m"


def test_round_trip(saved):
    model, directory = saved
    again = MotionModel.load(directory)
    assert again.config == model.config
    assert again.digest == model.digest
    assert again.name == "m"
    run = dict(seeds=[3], steps=5)
    torch.testing.assert_close(again.sample(["walk"], [30], **run), model.sample(["walk"], [30], **run))


def test_half_precision_files_are_half_as_large(saved, tmp_path):
    model, directory = saved
    model.save(tmp_path / "h", dtype=torch.float16)
    sizes = [(path / "model.safetensors").stat().st_size for path in (directory, tmp_path / "h")]
    assert sizes[1] < 0.6 * sizes[0]
    assert MotionModel.load(tmp_path / "h").digest == model.digest


def test_samples_do_not_depend_on_the_batch(saved):
    model, _ = saved
    alone = model.sample(["run"], [30], seeds=[7], steps=6)
    batch = model.sample(["a person walks", "run", "turn left now"], [44, 30, 25], seeds=[1, 7, 2], steps=6)
    torch.testing.assert_close(batch[1:2, :30], alone, atol=2e-4, rtol=1e-3)


@pytest.mark.parametrize("sampler", ["ancestral", "ddim"])
@pytest.mark.parametrize("steps", [1, 7, 200])
def test_any_number_of_steps(make_model, sampler, steps):
    model = make_model("eps")
    x = model.sample(["walk"], [20], seeds=[0], steps=steps, sampler=sampler, text_scale=1.0)
    assert x.isfinite().all()
    assert (x.abs() <= model.representation.bound + 1e-4).all()


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_every_sampler_samples_from_every_model(make_model, prediction, sampler):
    """A sample does not depend on its batch, up to rounding. Rounding is measured: for μ_t, x0 follows from differences
    in the last digits, so a step may multiply the network's rounding by a thousand, and rounding depends on the batch.
    """
    model = make_model(prediction, schedule="linear")
    run = dict(steps=4, sampler=sampler)
    batch = model.sample(["a person walks", "run"], [32, 25], seeds=[1, 7], **run)
    alone = model.sample(["run"], [25], seeds=[7], **run)
    assert batch.isfinite().all()
    assert (batch.abs() <= model.representation.bound + 1e-4).all()
    network, draws = model.network, torch.Generator().manual_seed(0)

    def rounded(condition, x, level):
        """The network's output, off by 16 roundings of float32 (root mean square)."""
        y = network(condition, x, level)
        size = 16 * torch.finfo(y.dtype).eps * y.square().mean().sqrt()
        return y + size * torch.randn(y.shape, generator=draws)

    model.network = rounded
    changes = [(model.sample(["run"], [25], seeds=[7], **run) - alone).abs().max() for _ in range(2)]
    assert (batch[1:, :25] - alone).abs().max() <= 3 * max(changes)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("variance", ["fixed-large", "learned", "learned-range"])
def test_every_sampler_samples_with_every_variance(make_model, schedule, variance):
    """Only ancestral sampling looks at the variance; the last step has none, so one step is the same with all."""
    model, plain = make_model("v", schedule=schedule, variance=variance), make_model("v", schedule=schedule)
    for sampler in SAMPLERS:
        x = model.sample(["walk"], [30], seeds=[0], steps=4, sampler=sampler)
        assert x.shape == (1, 30, model.representation.size)
        assert x.isfinite().all()
        if variance == "fixed-large":
            same = torch.equal(x, plain.sample(["walk"], [30], seeds=[0], steps=4, sampler=sampler))
            assert same == (sampler != "ancestral")


@pytest.mark.parametrize("prediction", ["eps", "score"])
def test_noise_predictions_are_refused_on_the_rectified_schedule(make_model, prediction):
    with pytest.raises(InputError, match=rf"rectified schedule ends in pure noise: {prediction} says nothing"):
        make_model(prediction, schedule="rectified")


@pytest.mark.parametrize("prediction", ["x0", "eps", "v", "velocity"])
def test_text_guidance_is_linear_in_its_scale(make_model, prediction):
    """Text scale 0 is the model without text, 1 the model with it, and x̂0 is linear in the scale within its range. (An
    untrained model depends little on the text, hence the large scale.)
    """
    model, frames = make_model(prediction), torch.ones(1, 30, dtype=torch.bool)
    x = torch.randn(1, 30, model.representation.size, generator=torch.Generator().manual_seed(0))
    level = model.schedule.at(300)
    none, text = (
        model.prediction.to_x0(model.network(model.condition(["walk"], frames, hide=hide), x, level), x, level)
        for hide in (torch.tensor([True]), torch.tensor([False]))
    )
    assert (text - none).abs().max() > 2e-4
    for scale in (0.0, 1.0, 300.0):
        expected = none + scale * (text - none)
        inside = expected.abs() < 0.99 * model.representation.bound
        assert inside.float().mean() > 0.3
        x0 = model.denoise_fn(["walk"], frames, text_scale=scale)(x, 300, 280).x0
        torch.testing.assert_close(x0[inside], expected[inside], atol=1e-5 * (1 + scale / 3), rtol=1e-5)


@pytest.mark.parametrize("prediction", ["x0", "eps"])
def test_gradients_may_be_taken_of_what_depends_on_an_estimate(make_model, prediction):
    """Although the network runs in inference mode, whose tensors autograd refuses."""
    model, scale = make_model(prediction), torch.ones(1, requires_grad=True)
    x = torch.randn(1, 30, model.representation.size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        x0 = model.denoise_fn(["walk"], torch.ones(1, 30, dtype=torch.bool))(x, 300, 280).x0
    (x0 * scale).sum().backward()
    torch.testing.assert_close(scale.grad, x0.sum()[None])


def test_seeds_determine_the_sample(saved):
    model, _ = saved
    a, b, c = (model.sample(["walk"], [30], seeds=[seed], steps=4) for seed in (0, 0, 1))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


def test_text_scale_one_equals_the_plain_model(saved):
    """Guidance at scale 1 and 1 + 1e-6 run different code and give the same."""
    model, _ = saved
    plain, almost = (model.sample(["walk"], [30], seeds=[0], steps=4, text_scale=scale) for scale in (1.0, 1.0 + 1e-6))
    torch.testing.assert_close(plain, almost, atol=1e-3, rtol=1e-3)


def test_large_batches_are_processed_in_parts(make_model, monkeypatch):
    """With the same estimate, and the same gradient through the network."""
    model = make_model("v", masks=True)
    texts, frames = (
        ["a person walks", "someone waves", "a person bows"],
        torch.arange(20) < torch.tensor([[20], [12], [16]]),
    )
    values = torch.randn(3, 20, 22, 3, generator=torch.Generator().manual_seed(0))
    x = torch.randn(3, 20, model.representation.size, generator=torch.Generator().manual_seed(1), requires_grad=True)

    def estimate():
        denoise = model.denoise_fn(texts, frames, text_scale=2.0, observed=(values, values > 1))
        x0 = denoise(x, 400, 380).x0
        return x0.detach(), torch.autograd.grad(x0.square().sum(), x)[0]

    whole = estimate()
    monkeypatch.setattr("motion_diffusion.model.MAX_BATCH", 2)
    for part, all_at_once in zip(estimate(), whole, strict=True):
        torch.testing.assert_close(part, all_at_once, atol=1e-5, rtol=1e-4)


def test_empty_prompt_is_refused(saved):
    with pytest.raises(InputError, match="prompt is empty"):
        saved[0].sample([" "], [30], seeds=[0])


def test_missing_model_is_refused():
    with pytest.raises(FileNotFoundError, match=r"no-such-model.*give one of"):
        MotionModel.load("no-such-model")


def corrupt_cut(directory):
    path = directory / "model.safetensors"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def corrupt_foreign(directory):
    save_file({"something.else": torch.zeros(3)}, directory / "model.safetensors")


def corrupt_pickle(directory):
    torch.save({"a": 1}, directory / "model.safetensors")


def corrupt_config(directory):
    (directory / "config.json").write_text("{")


def corrupt_field(directory):
    config = json.loads((directory / "config.json").read_text())
    (directory / "config.json").write_text(json.dumps(config | {"prediction": "magic"}))


@pytest.mark.parametrize(
    ("corrupt", "named"),
    [
        (corrupt_cut, "model.safetensors"),
        (corrupt_foreign, "model.safetensors"),
        (corrupt_pickle, "model.safetensors"),
        (corrupt_config, "config.json"),
        (corrupt_field, "prediction"),
    ],
)
def test_damaged_checkpoints_are_refused_in_one_line(saved, corrupt, named):
    _, directory = saved
    corrupt(directory)
    with pytest.raises(InputError, match=named) as caught:
        MotionModel.load(directory)
    assert "\n" not in str(caught.value)
    assert "again" in str(caught.value)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"heads": 0}, "heads 0: give 1 to 256"),
        ({"heads": 2**31}, "heads 2147483648: give 1 to 256"),
        ({"dropout": 1e308}, r"dropout 1e\+308: give 0 to less than 1"),
        ({"frames_per_token": 10**30}, "frames_per_token"),
        ({"text_depth": 10**6}, "text_depth 1000000: give 0 to 256"),
        ({"width": 8192, "depth": 256}, "width 8192: 207.0 billion parameters are too many"),
        ({"T": 2_000_000_000}, "T 2000000000: give 1 to 100,000"),
        ({"max_frames": -1}, "max_frames -1: give 2 to 100,000"),
        ({"emphasis": -1}, "emphasis -1: give 0 to 1000"),
    ],
)
def test_invalid_configs_are_refused(saved, changed, said):
    _, directory = saved
    config = json.loads((directory / "config.json").read_text())
    for name, value in changed.items():
        (config if name in config else config["denoiser"])[name] = value
    (directory / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=f"config.json: .*{said}.*; copy or train it again") as caught:
        MotionModel.load(directory)
    assert "\n" not in str(caught.value)


def test_shipped_models_load():
    for name in shipped("models"):
        assert MotionModel.load(name).config.licence


# ---- parts of one's own


def trigonometric(T):
    """α = cos(πu/2), σ = sin(πu/2)."""

    def curve(u):
        angle = math.pi / 2 * u
        return Point(angle.cos(), angle.sin(), -math.pi / 2 * angle.sin(), math.pi / 2 * angle.cos())

    return from_curve("trigonometric", curve, T)


DIFFERENCE = Prediction("difference", lambda level: (-1.0 + 0 * level.alpha, 1.0 + 0 * level.alpha))
"""y = ε − x0."""


class Initials:
    """A text encoder of one's own: of each word its first letter, small or capital, as a unit vector."""

    dim, max_words = 128, 8

    def __call__(self, texts):
        words = [text.lower().split()[: self.max_words] for text in texts]
        vectors = torch.zeros(len(texts), max(map(len, words)), self.dim)
        visible = torch.zeros(vectors.shape[:2], dtype=torch.bool)
        for i, row in enumerate(words):
            for j, word in enumerate(row):
                vectors[i, j, ord(word[0]) % self.dim], visible[i, j] = 1.0, True
        return vectors, visible


def test_own_schedule_and_prediction_sample_a_gaussian_in_closed_form(make_model):
    """With the exact network of data N(0, s²), every step of DDIM multiplies x by α_s·a + σ_s·(1 − α_t·a)/σ_t with
    a = α_t·s²/(α_t²·s² + σ_t²), whatever is predicted on whatever schedule."""
    plain, std, schedule = make_model(), 0.3, trigonometric(100)
    far = torch.full_like(plain.representation.extent, 1e6)  # no clip
    representation = replace(plain.representation, extent=far)
    model = MotionModel(plain.config, representation, schedule=schedule, prediction=DIFFERENCE)
    assert (model.config.schedule, model.config.T, model.config.prediction) == ("trigonometric", 100, "difference")

    def exact(condition, x, level):
        x0 = level.alpha * std**2 / (level.alpha**2 * std**2 + level.sigma**2) * x
        return DIFFERENCE.target(x0, (x - level.alpha * x0) / level.sigma, level)

    model.network = exact
    x = model.sample(["walk"], [20], seeds=[3], steps=10, sampler="ddim", text_scale=1.0)
    factor = 1.0
    for (alpha, sigma), (alpha_s, sigma_s) in pairwise(map(schedule.row, model.times(10))):
        share = alpha * std**2 / (alpha**2 * std**2 + sigma**2)
        factor *= alpha_s * share + sigma_s * (1 - alpha * share) / sigma
    z = torch.randn(20, representation.size, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(x[0], factor * z, atol=1e-5, rtol=1e-4)


def test_own_schedule_and_prediction_work_with_the_network(make_model):
    plain = make_model()
    model = MotionModel(plain.config, plain.representation, schedule=trigonometric(100), prediction=DIFFERENCE)
    assert model.sample(["walk"], [20], seeds=[0], steps=5).isfinite().all()


def test_own_text_encoder_is_what_the_model_reads_with(make_model):
    plain = make_model()
    model = MotionModel(plain.config, plain.representation, text=Initials())
    model.denoiser.load_state_dict(plain.denoiser.state_dict())
    model.eval()
    run = {"seeds": [2], "steps": 3}
    walks, wanders, runs = (model.sample([text], [20], **run) for text in ("a walk", "A wander", "a run"))
    assert torch.equal(walks, wanders)
    assert not torch.equal(walks, runs)
    assert not torch.equal(walks, plain.sample(["a walk"], [20], **run))
    narrow = replace(plain.config, denoiser=replace(plain.config.denoiser, text_dim=64))
    with pytest.raises(InputError, match="Initials gives 128 numbers a word and the denoiser reads 64; give the den"):
        MotionModel(narrow, plain.representation, text=Initials())


@pytest.mark.parametrize(
    ("own", "said"),
    [
        ({"schedule": trigonometric(100)}, "its schedule 'trigonometric' is not the one in SCHEDULES"),
        ({"schedule": replace(trigonometric(100), name="cosine")}, "its schedule 'cosine' is not the one in SCHEDULES"),
        ({"prediction": DIFFERENCE}, "its prediction type 'difference' is not the one in PREDICTIONS"),
        ({"prediction": replace(DIFFERENCE, name="v")}, "its prediction type 'v' is not the one in PREDICTIONS"),
        ({"text": Initials()}, "its text encoder was given as an object and is not in TEXT_ENCODERS"),
    ],
)
def test_parts_that_no_registry_has_are_not_saved(make_model, tmp_path, own, said):
    plain = make_model()
    with pytest.raises(InputError, match=f"^untitled cannot be saved: {said} .*in the model's config$"):
        MotionModel(plain.config, plain.representation, **own).save(tmp_path / "mine")
    assert not (tmp_path / "mine").exists()


def test_parts_of_the_registries_given_as_objects_are_saved(make_model, tmp_path):
    plain = make_model("v")
    given = {"schedule": SCHEDULES["linear"](50), "prediction": PREDICTIONS["eps"]}
    MotionModel(plain.config, plain.representation, **given).save(tmp_path)
    config = MotionModel.load(tmp_path).config
    assert (config.schedule, config.T, config.prediction) == ("linear", 50, "eps")


def test_parts_added_to_the_registries_are_saved_and_loaded_by_name(make_model, tmp_path, monkeypatch):
    plain, called = make_model(), {"schedule": "trigonometric", "prediction": "difference", "text": "initials"}
    for name, value in called.items():
        with pytest.raises(InputError, match=f"unknown .*{value}"):
            MotionModel(replace(plain.config, **{name: value}), plain.representation)
    monkeypatch.setitem(SCHEDULES, "trigonometric", trigonometric)
    monkeypatch.setitem(PREDICTIONS, "difference", DIFFERENCE)
    monkeypatch.setitem(TEXT_ENCODERS, "initials", Initials)
    model = MotionModel(replace(plain.config, **called), plain.representation).eval()
    model.save(tmp_path)
    again, run = MotionModel.load(tmp_path), {"seeds": [1], "steps": 3}
    torch.testing.assert_close(again.sample(["walk"], [20], **run), model.sample(["walk"], [20], **run))
    assert isinstance(again.text, Initials)


def test_names_in_no_registry_are_refused_in_files(saved):
    _, directory = saved
    config = json.loads((directory / "config.json").read_text()) | {"schedule": "sigmoid"}
    (directory / "config.json").write_text(json.dumps(config))
    choices = "Input should be 'cosine', 'linear', 'rectified' or 'variance-exploding'"
    with pytest.raises(InputError, match=f"config.json: schedule: {choices}; copy or train it again"):
        MotionModel.load(directory)
