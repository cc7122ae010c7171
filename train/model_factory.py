"""The model that options ask for: a new one, one that goes on from another, or that of a run that was begun."""

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
from motion_diffusion.errors import InputError
from motion_diffusion.model import ModelConfig, MotionModel
from motion_diffusion.network.denoiser import DenoiserConfig
from motion_diffusion.network.text_encoders import text_encoder
from train.checkpoint import State
from train.config import Options

MEASURED_EXAMPLES = 1000
"""How many examples the scale of the features is measured on."""


def build_model(options: Options, data: Data, *, told: str) -> MotionModel:
    """A new model whose features are scaled by what the data measure. told: what it is trained on, for people."""
    if options.start is not None:
        return _from_another(options, MotionModel.load(options.start), told=told)
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
        training=told,
        licence=data.licence,
    )
    torch.manual_seed(options.training.seed)
    return MotionModel(config, representation)


def _hints(options: Options, representation: Representation) -> int:
    """Numbers a frame that a network with masks is told: position and mask of every joint's three axes."""
    return (6 * len(JOINTS) if representation.whole_body else 6) if options.masks else 0


def _from_another(options: Options, other: MotionModel, *, told: str) -> MotionModel:
    """The same model, with masks if they are asked for, and with the other one's weights."""
    if other.config.prediction != options.prediction:
        theirs = other.config.prediction
        raise InputError(f"{other.name} predicts {theirs}; give --prediction {theirs}, or no --start")
    hints = _hints(options, other.representation)
    config = dataclasses.replace(
        other.config,
        denoiser=dataclasses.replace(other.config.denoiser, hints=hints),
        masks=options.masks,
        written=options.masks,
        training=told,
    )
    model = MotionModel(config, other.representation)
    model.denoiser.load_state_dict(model.denoiser.state_dict() | other.denoiser.state_dict())
    return model


def model_of(state: State, run: Path, *, told: str) -> MotionModel:
    """The model of a run that was begun, whose weights come from the state. Its steps may be other ones now."""
    if state.config:
        config = TypeAdapter(ModelConfig).validate_json(state.config)
        representation = Representation.from_tensors(config.features, config.emphasis, state.part("representation"))
        model = MotionModel(config, representation)
    else:
        model = MotionModel.load(run)
    model.config = dataclasses.replace(model.config, training=told)
    return model.train().requires_grad_(True)
