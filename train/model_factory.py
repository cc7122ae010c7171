"""Creates the model of a training: a new one, one initialised from another model, or one restored from a run."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch
from pydantic import TypeAdapter

from data_loaders.datasets import Data
from motion_diffusion.body.features import encode
from motion_diffusion.body.representation import Representation
from motion_diffusion.body.skeleton import JOINTS
from motion_diffusion.diffusion.variance import is_learned
from motion_diffusion.model import ModelConfig, MotionModel, Recommended
from motion_diffusion.network.denoiser import Denoiser, DenoiserConfig
from motion_diffusion.network.text_encoders import text_encoder
from train.change_prediction import change_prediction
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
        recommended=_recommended(options),
        training=description,
        licence=data.licence,
    )
    torch.manual_seed(options.training.seed)
    return MotionModel(config, representation)


def _hints(options: Options, representation: Representation) -> int:
    """Channels of the observed motion and its mask, three each per joint; 0 disables conditioning."""
    return (6 * len(JOINTS) if representation.whole_body else 6) if options.masks else 0


def _recommended(options: Options) -> Recommended:
    """How the model is sampled: a distilled one as it was made for."""
    if options.distillation.teacher is None:
        return Recommended(text_scale=options.text_scale)
    return Recommended(options.distillation.steps, "ddim", text_scale=1.0, only=True)


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
        recommended=_recommended(options),
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
