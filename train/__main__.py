"""python -m train: train a model in a run directory, or go on where it was stopped."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch
import tyro

from data_loaders.datasets import DatasetName, load_examples
from data_loaders.example import Examples
from motion_diffusion.denoiser import DenoiserConfig
from motion_diffusion.errors import InputError, command
from motion_diffusion.model import ModelConfig, MotionModel, PredictionName, ScheduleName
from motion_diffusion.representation import Representation, encode
from motion_diffusion.skeleton import JOINTS
from motion_diffusion.text import text_encoder
from motion_diffusion.variance import VarianceName, is_learned
from train.pictures import Pictures
from train.trainer import Trainer, TrainingOptions, write_options

MEASURED_EXAMPLES = 1000
"""How many examples the scale of the features is measured on."""

LICENCES = {"procedural": "MIT", "bandai": "CC BY-NC 4.0; trained on the Bandai-Namco Research Motiondataset"}


@dataclass(frozen=True)
class Network:
    """Sizes of the denoiser."""

    width: int = 256
    depth: int = 5
    heads: int = 4
    frames_per_token: int = 4
    frame_width: int = 192
    text_depth: int = 1
    dropout: float = 0.0


@dataclass(frozen=True)
class Options:
    """Train a motion diffusion model. The same command again continues a run that was stopped."""

    run: Path = Path("runs/walks")
    """Run directory: the model, the training state, losses and pictures."""
    data: DatasetName = "procedural"
    """Data set; "procedural" needs no download."""
    data_root: Path | None = None
    """Folder with the clips of a data set that was downloaded."""
    prediction: PredictionName = "x0"
    """What the network predicts."""
    features: tuple[str, ...] = ("root", "positions", "velocities", "contacts")
    """Groups of features that the network sees; "rotations" can be added, "root" alone is a model of the path."""
    emphasis: float = 4.0
    """Scale of the root's yaw and path against the other features."""
    schedule: ScheduleName = "cosine"
    """Noise schedule; "rectified" with prediction "velocity" is flow matching."""
    T: int = 1000
    variance: VarianceName = "fixed-small"
    """Variance of the reverse steps; learned ones need --loss hybrid or vlb."""
    max_frames: int = 120
    """Longest motion, at 20 frames a second."""
    masks: bool = False
    """Tell the network positions that are known, at random, so that it can be told goals (CondMDI, Kimodo)."""
    start: str | None = None
    """Model to go on from: its weights, features and sizes; what it has not yet begins silent."""
    text: Literal["static", "clip"] = "static"
    """Text encoder; "clip" needs the extra of that name."""
    threads: int = 0
    """CPU threads; 0 for all."""
    network: tyro.conf.OmitArgPrefixes[Network] = field(default_factory=Network)
    training: tyro.conf.OmitArgPrefixes[TrainingOptions] = field(default_factory=TrainingOptions)


def told(options: Options) -> str:
    """What a model is trained on, in one line."""
    begun = f", from {options.start}" if options.start else ""
    return f"{options.data}, {options.training.steps} steps of {options.training.batch_size}{begun}"


def build_model(options: Options, examples: Examples) -> MotionModel:
    """A new model whose features are scaled by what the examples measure."""
    if options.start is not None:
        return _from_another(options, MotionModel.load(options.start))
    joints = [torch.from_numpy(examples.example(index).joints) for index in range(MEASURED_EXAMPLES)]
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
        training=told(options),
        licence=LICENCES[options.data],
    )
    torch.manual_seed(options.training.seed)
    return MotionModel(config, representation)


def _hints(options: Options, representation: Representation) -> int:
    """Numbers a frame that a network with masks is told: position and mask of every joint's three axes."""
    return (6 * len(JOINTS) if representation.whole_body else 6) if options.masks else 0


def _from_another(options: Options, other: MotionModel) -> MotionModel:
    """The same model, with masks if they are asked for, and with the other one's weights."""
    if other.config.prediction != options.prediction:
        theirs = other.config.prediction
        raise InputError(f"{other.name} predicts {theirs}; give --prediction {theirs}, or no --start")
    hints = _hints(options, other.representation)
    config = dataclasses.replace(
        other.config,
        denoiser=dataclasses.replace(other.config.denoiser, hints=hints),
        masks=options.masks,
        training=told(options),
    )
    model = MotionModel(config, other.representation)
    model.denoiser.load_state_dict(model.denoiser.state_dict() | other.denoiser.state_dict())
    return model


def continue_model(options: Options) -> MotionModel:
    """The model of a run that was begun; its weights come from the training state. Its steps may be other ones now."""
    model = MotionModel.load(options.run).train().requires_grad_(True)
    model.config = dataclasses.replace(model.config, training=told(options))
    return model


@command
def main() -> None:
    options = tyro.cli(Options, prog="python -m train")
    if options.threads:
        torch.set_num_threads(options.threads)
    begun = (options.run / "state.safetensors").is_file()
    if options.run.exists() and not begun and any(options.run.glob("*.safetensors")):
        raise InputError(f"{options.run} holds a model but no training state; give another --run")
    train, held_out = load_examples(
        options.data, options.data_root, frames=options.max_frames, seed=options.training.seed
    )
    described = dataclasses.asdict(options)
    for where in ("run", "data_root", "threads"):  # matters of the machine, not of the model
        del described[where]
    if begun:
        write_options(options.run, described)
    model = continue_model(options) if begun else build_model(options, train)
    trainer = Trainer(model, train, held_out, options.run, options.training, on_validate=Pictures(options.run))
    write_options(options.run, described)  # now that nothing was refused
    trainer.train()


if __name__ == "__main__":
    main()
