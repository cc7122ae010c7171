"""python -m train.matcher: train a text–motion embedding model by contrast, in a run directory.

FID and R-precision are computed from its embeddings where no published weights are available: `python -m
sample.evaluate --evaluator RUN`. The same command continues an interrupted training exactly.
"""

from __future__ import annotations

if __name__ == "__main__":
    from motion_diffusion.errors import interruptible_imports

    interruptible_imports()

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from pydantic import TypeAdapter
from torch import Tensor
from tqdm.auto import tqdm

from data_loaders.datasets import Data, DatasetName, load_examples
from data_loaders.types import Example, Examples
from motion_diffusion.atomic_io import locked
from motion_diffusion.body.features import encode
from motion_diffusion.body.representation import Representation
from motion_diffusion.errors import InputError, command, parse_arguments
from motion_diffusion.network.denoiser import Depth, TextDepth, Width
from motion_diffusion.network.embedding_metrics import r_precision
from motion_diffusion.network.text_encoders import text_encoder
from motion_diffusion.network.text_motion_encoder import TextMotionEncoder, TextMotionEncoderConfig, contrast
from motion_diffusion.option_ranges import check_ranges
from motion_diffusion.pretrained import tensors_of
from train import logging
from train.batches import pad, step_loader
from train.checkpoint import State, check_steps_left, state_to_resume, write_state
from train.config import Threads, TrainingOptions
from train.fit_scale import measure
from train.optimizer import Optimizer
from train.seeding import Purpose, seed_of

POOL = 32
"""Motions among which a text must find its own, for R-precision."""
MEASURED_EXAMPLES = 500
"""Number of examples from which the statistics of the features are measured."""


@dataclass(frozen=True)
class Options:
    """Train a text–motion embedding model by contrast. The same command continues an interrupted training."""

    run: Path = Path("runs/matcher")
    """Run directory: the model, the training state and the losses."""
    data: DatasetName = "procedural"
    data_root: Path | None = None
    """Folder with the clips, or a store prepared from them."""
    max_frames: int = 120
    """Longest motion, in frames at 20 frames per second."""
    text: str = "static"
    """Text encoder, as for python -m train."""
    width: Width = 192
    depth: Depth = 4
    text_depth: TextDepth = 3
    embedding: Width = 64
    """Dimensions of the embedding."""
    steps: int = 1500
    batch_size: int = 128
    """Pairs of a text and a motion that are contrasted with each other."""
    learning_rate: float = 6e-4
    """Peak learning rate, after a linear warm-up and before a cosine decay to zero."""
    warmup: int = 100
    """Steps of the warm-up."""
    weight_decay: float = 0.05
    seed: int = 0
    workers: int = 0
    """Processes that prepare examples; 0 prepares them in the training process."""
    threads: Threads = 0
    """CPU threads; 0 for all."""
    validate_every: int = 100
    validation_examples: int = 320
    save_every: int = 100

    def training(self) -> TrainingOptions:
        """Return the options as checked `TrainingOptions`.

        Raises:
            InputError: An option is out of range.
        """
        options = TrainingOptions(
            steps=self.steps, batch_size=self.batch_size, learning_rate=self.learning_rate, warmup=self.warmup,
            cooldown=1.0, decay="cosine", weight_decay=self.weight_decay, seed=self.seed, workers=self.workers,
            validate_every=self.validate_every, save_every=self.save_every,
            validation_examples=self.validation_examples,
        )  # fmt: skip
        options.check()
        check_ranges(self)
        if self.validation_examples < POOL:
            raise InputError(f"--validation-examples is {self.validation_examples}; give {POOL} or more, a pool's")
        return options


class Batch(NamedTuple):
    """B motions and their texts, padded to F frames."""

    texts: list[str]
    joints: Tensor
    """(B, F, 22, 3) joint positions in metres; padding repeats the last frame."""
    lengths: Tensor
    """(B,) number of frames before padding."""

    @staticmethod
    def of(examples: Sequence[Example]) -> Batch:
        """Stack examples."""
        return Batch([example.text for example in examples], *pad(examples))

    def embed(self, model: TextMotionEncoder) -> tuple[Tensor, Tensor]:
        """Embed the motions and the texts, (B, D) each."""
        features = encode(self.joints, lengths=self.lengths, groups=model.config.features)
        motions = model.embed_features(model.representation.normalise(features), self.lengths)
        return motions, model.embed_texts(self.texts)


def make_batch(examples: Examples, indices: Sequence[int]) -> Batch:
    """Stack the examples of some indices."""
    return Batch.of([examples.example(i) for i in indices])


def build_model(options: Options, data: Data) -> TextMotionEncoder:
    """Create a model, initialised at random, with the statistics of the data's features."""
    joints = (torch.from_numpy(data.train.example(i).joints) for i in range(MEASURED_EXAMPLES))
    groups = TextMotionEncoderConfig.features
    config = TextMotionEncoderConfig(
        text=options.text, text_dim=text_encoder(options.text).dim, width=options.width, depth=options.depth,
        text_depth=options.text_depth, embedding=options.embedding,
        training=f"{options.data}, {options.steps} steps of {options.batch_size}",
        licence=data.licence,
    )  # fmt: skip
    torch.manual_seed(options.seed)
    return TextMotionEncoder(config, Representation.fit((encode(clip, groups=groups) for clip in joints), groups))


def train(
    model: TextMotionEncoder, options: Options, examples: Examples, held_out: Examples, state: State | None
) -> None:
    """Train until options.steps, with validation and checkpoints at their intervals.

    Args:
        model: Trained in place.
        options: How to train, and the run directory.
        examples: Training examples.
        held_out: Examples for validation.
        state: Checkpoint of the run to continue from; None for a new run.
    """
    training = options.training()
    step = 0
    if state is not None:
        step = state.step
        check_steps_left(options.run, state, options.steps)
        model.load_state_dict(state.part("live"))
    optimizer = Optimizer(model, training, step=step, tensors=None if state is None else state.tensors)
    logging.keep_until(options.run, step)
    loader = step_loader(examples, training, partial(make_batch, examples), first=step)
    with tqdm(total=options.steps, initial=step, unit="step", dynamic_ncols=True, disable=None) as bar:
        for batch in loader:
            torch.manual_seed(seed_of(options.seed, Purpose.DROPOUT, step))
            model.train()
            motions, texts = batch.embed(model)
            loss = contrast(model, motions, texts, same_texts(batch.texts))
            loss.backward()
            optimizer.update(loss, options.run)
            step += 1
            bar.update()
            last = step == options.steps
            if step % options.validate_every == 0 or last:
                numbers = {"loss": loss.item()} | validate(model, options, held_out)
                logging.append(options.run, step, numbers)
                bar.set_postfix(loss=f"{numbers['loss']:.3f}", top1=f"{numbers['held_out_top1']:.3f}")
            if step % options.save_every == 0 or last:
                logging.flush(options.run)
                write_state(options.run, state_of(model, optimizer, step))
                model.save(options.run)


def same_texts(texts: Sequence[str]) -> Tensor:
    """(B, B) bool: which pairs of texts are equal."""
    numbers = torch.tensor([texts.index(text) for text in texts])
    return numbers[:, None] == numbers[None]


@torch.no_grad()
def validate(model: TextMotionEncoder, options: Options, held_out: Examples) -> dict[str, float]:
    """Compute the loss and the R-precision in pools of 32 on held-out examples."""
    model.eval()
    examples = [held_out.example(i) for i in range(options.validation_examples)]
    batches = [Batch.of(examples[i : i + options.batch_size]) for i in range(0, len(examples), options.batch_size)]
    motions, texts = (torch.cat(parts) for parts in zip(*(batch.embed(model) for batch in batches), strict=True))
    words = [example.text for example in examples]
    order = torch.randperm(len(words), generator=torch.Generator().manual_seed(0))
    found = r_precision(texts[order], motions[order], pool=POOL, captions=[words[i] for i in order.tolist()])
    some = slice(options.batch_size)
    loss = contrast(model, motions[some], texts[some], same_texts(words[some])).item()
    return {"held_out_loss": loss} | {f"held_out_top{k}": share for k, share in enumerate(found, 1)}


def state_of(model: TextMotionEncoder, optimizer: Optimizer, step: int) -> State:
    """The checkpoint of a training."""
    tensors = tensors_of(model.state_dict(), "live", model.representation) | optimizer.tensors()
    return State(step, json.dumps(dataclasses.asdict(model.config)), tensors)


def restore_model(state: State) -> TextMotionEncoder:
    """Create the model of a run that is resumed. `train` loads its weights."""
    config = TypeAdapter(TextMotionEncoderConfig).validate_json(state.config)
    return TextMotionEncoder(config, Representation.from_tensors(config.features, 1.0, state.part("representation")))


@command
def main() -> None:
    """Run the command."""
    options = parse_arguments(Options, prog="python -m train.matcher")
    options.training()
    if options.threads:
        torch.set_num_threads(options.threads)
    with locked(options.run, "--run"):
        state = state_to_resume(options.run, "matcher")
        data = load_examples(options.data, options.data_root, frames=options.max_frames, seed=options.seed)
        model = build_model(options, data) if state is None else restore_model(state)
        train(model, options, data.train, data.held_out, state)
        model.scale = measure(model, data.held_out, options.validation_examples)
        model.save(options.run)


if __name__ == "__main__":
    main()
