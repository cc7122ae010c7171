"""Creates the model of a training: a new one, one initialised from another model, or one restored from a run.

A training can start from a model that predicts something else. x̂0 and ε̂ are linear in x_t and in the prediction y, so
another prediction is y' = a·x_t + b·y with a and b that depend on the noise level. The denoiser's output is
y = skip(t) ⊙ x_t + gate(t) ⊙ F(…), hence

    skip' = a + b·skip,    gate' = b·gate.

Both are linear in an embedding of the noise level; the new ones are fitted to these values by least squares over all
times of the schedule, weighted by what an error of y' means for x̂0.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch
from pydantic import TypeAdapter
from torch import Tensor, nn

from data_loaders.datasets import Data
from motion_diffusion.body.features import encode
from motion_diffusion.body.representation import Representation
from motion_diffusion.body.skeleton import JOINTS
from motion_diffusion.diffusion.prediction import Prediction
from motion_diffusion.diffusion.schedule import Schedule
from motion_diffusion.diffusion.variance import is_learned
from motion_diffusion.model import ModelConfig, MotionModel, Recommended
from motion_diffusion.network.denoiser import Denoiser, DenoiserConfig
from motion_diffusion.network.text_encoders import text_encoder
from train.checkpoint import State
from train.config import Options

MEASURED_EXAMPLES = 1000
"""Number of examples from which the statistics of the features are measured."""


def build_model(options: Options, data: Data, *, description: str) -> MotionModel:
    """Create the model of a new training.

    Args:
        options: Type and sizes of the model.
        data: Training data, from which the statistics of the features are measured.
        description: One line on what the model is trained on.

    Returns:
        The model, initialised from `options.start` or the teacher if given, else at random.
    """
    start = options.start or options.distillation.teacher
    if start is not None:
        return _initialised_from(options, MotionModel.load(start), description=description)
    joints = [torch.from_numpy(data.train.example(index).joints) for index in range(MEASURED_EXAMPLES)]
    representation = Representation.fit(
        (encode(clip, groups=options.features) for clip in joints), options.features, emphasis=options.emphasis
    )
    denoiser = DenoiserConfig(
        features=representation.size,
        outputs=2 if is_learned(options.variance) else 1,
        text_dim=text_encoder(options.text).dim,
        hints=_hints(options, representation),
        **dataclasses.asdict(options.network),
    )
    config = ModelConfig(
        prediction=options.prediction,
        denoiser=denoiser,
        features=options.features,
        emphasis=options.emphasis,
        schedule=options.schedule,
        T=options.T,
        variance=options.variance,
        text=options.text,
        max_frames=options.max_frames,
        masks=options.masks,
        written=options.masks,
        recommended=recommended_sampling(options),
        training=description,
        licence=data.licence,
    )
    torch.manual_seed(options.training.seed)
    return MotionModel(config, representation)


def _hints(options: Options, representation: Representation) -> int:
    """Channels of the observed motion and its mask, three each per joint; 0 disables conditioning."""
    return (6 * len(JOINTS) if representation.whole_body else 6) if options.masks else 0


def recommended_sampling(options: Options) -> Recommended:
    """How the model is sampled: a distilled one as it was made for."""
    if options.distillation.teacher is None:
        return Recommended(options.sampling_steps, options.sampling_shift, text_scale=options.text_scale)
    return Recommended(options.distillation.steps, options.distillation.shift, "ddim", text_scale=1.0, only=True)


def _initialised_from(options: Options, other: MotionModel, *, description: str) -> MotionModel:
    """A copy of another model, with or without masks and of another prediction type if requested. Layers that the other
    lacks are initialised to zero.
    """
    hints = _hints(options, other.representation)
    config = dataclasses.replace(
        other.config,
        prediction=options.prediction,
        denoiser=dataclasses.replace(other.config.denoiser, hints=hints),
        masks=options.masks,
        written=options.masks,
        recommended=recommended_sampling(options),
        teacher=options.distillation.teacher or "",
        training=description,
    )
    model = MotionModel(config, other.representation)
    theirs = other.denoiser.state_dict()
    ours = model.denoiser.state_dict()
    model.denoiser.load_state_dict(ours | {name: value for name, value in theirs.items() if name in ours})
    if not hints:
        _absorb_hints(other.denoiser, model.denoiser)
    if options.prediction != other.config.prediction:
        change_prediction(model.denoiser, model.schedule, other.prediction, model.prediction)
    return model


@torch.no_grad()
def _absorb_hints(masked: Denoiser, plain: Denoiser) -> None:
    """Let a copy without masks equal the network with masks where nothing is observed."""
    for hint, ours in ((masked.hint, plain.embed), (masked.frame_hint, plain.frame_in)):
        if hint is not None:
            ours.bias.add_(hint.bias)


def restore_model(state: State, run: Path, *, description: str) -> MotionModel:
    """Create the model of a run that is resumed. Its weights are loaded by the trainer.

    Args:
        state: The state of the run.
        run: Run directory.
        description: One line on what the model is trained on; the number of steps may have changed.
    """
    if state.config:
        config = TypeAdapter(ModelConfig).validate_json(state.config)
        representation = Representation.from_tensors(config.features, config.emphasis, state.part("representation"))
        model = MotionModel(config, representation)
    else:
        model = MotionModel.load(run)
    model.config = dataclasses.replace(model.config, training=description)
    return model.train().requires_grad_(True)


NEGLIGIBLE = 1e-10
"""Singular values of the embedding of all times below this share of the largest one are ignored."""


@torch.no_grad()
def change_prediction(denoiser: Denoiser, schedule: Schedule, old: Prediction, new: Prediction) -> None:
    """Let a denoiser of one prediction type predict another one, in place.

    Args:
        denoiser: The network of a `motion_diffusion.model.MotionModel`.
        schedule: Its noise schedule. Times before both types start sampling are left out (`Prediction.first`).
        old: What it predicts.
        new: What it is to predict.
    """
    level = schedule.at(torch.arange(1, min(old.first(schedule), new.first(schedule)) + 1))
    alpha, sigma, old_size, new_size = (
        torch.as_tensor(value, dtype=torch.float64)[:, None]
        for value in (level.alpha, level.sigma, old.size(level), new.size(level))
    )
    r = (alpha**2 + sigma**2).sqrt()  # the denoiser works at unit scale, see `MotionModel.network`
    embedding = denoiser.noise_level((alpha / r)[:, 0].float(), (sigma / r)[:, 0].float()).double()
    inputs = torch.cat([nn.functional.silu(embedding), alpha / r, sigma / r, torch.ones_like(r)], dim=-1)

    def of(x: float, y: float) -> Tensor:
        """The new prediction at x_t = x where the old one is y."""
        x_t, answer = torch.full_like(alpha[:, 0], x), torch.full_like(alpha[:, 0], y)
        target = new.target(old.to_x0(answer, x_t, level), old.to_eps(answer, x_t, level), level)
        return target[:, None]

    a, b = of(1, 0) * r / new_size, of(0, 1) * old_size / new_size
    weight = sigma / torch.as_tensor(new.determinant(level), dtype=torch.float64)[:, None].abs() * new_size
    _refit(denoiser.skip, inputs, weight, a, b)
    _refit(denoiser.gate, inputs, weight, torch.zeros_like(a), b, outputs=denoiser.config.features)
    if denoiser.hint_gate is not None:
        _refit(denoiser.hint_gate, inputs, weight, torch.zeros_like(a), b)


def _refit(
    layer: nn.Linear, inputs: Tensor, weight: Tensor, a: Tensor, b: Tensor, *, outputs: int | None = None
) -> None:
    """Replace the first outputs (default: all) of a layer, y(t), by a(t) + b(t)·y(t), given its inputs (T, …) and 1."""
    parameters = torch.cat([layer.weight, layer.bias[:, None]], dim=1).double()[:outputs]
    values = a + b * (inputs @ parameters.T)
    fitted = torch.linalg.lstsq(weight * inputs, weight * values, rcond=NEGLIGIBLE, driver="gelsd").solution.T
    layer.weight[:outputs] = fitted[:, :-1].to(layer.weight)
    layer.bias[:outputs] = fitted[:, -1].to(layer.bias)
