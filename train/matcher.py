"""python -m train.matcher: train the model that judges which words go with which motion, in a run directory.

It is what FID and R-precision stand on where there are no published weights; `python -m sample.evaluate --evaluator
RUN` uses it. The same command again goes on where it was stopped, exactly.
"""

from __future__ import annotations

from motion_diffusion.atomic_io import locked

if __name__ == "__main__":
    from motion_diffusion.errors import interruptible_imports

    interruptible_imports()

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from pydantic import TypeAdapter
from torch import Tensor
from tqdm.auto import tqdm

from data_loaders.datasets import Data, DatasetName, load_examples
from data_loaders.types import Example, Examples
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
from train.batches import pad
from train.checkpoint import State, check_finite, check_steps_left, read_state, write_state
from train.config import Threads, TrainingOptions
from train.fit_scale import measure
from train.length_bucketing import Buckets
from train.optimizer import adamw, learning_rate, moments, restore_moments
from train.seeding import Use, seed_of

POOL = 32
MEASURED_EXAMPLES = 500
"""How many examples the scale of the features is measured on."""


@dataclass(frozen=True)
class Options:
    """Train a matcher of words and motions by contrast."""

    run: Path = Path("runs/matcher")
    """Run directory: the matcher, the training state and the losses."""
    data: DatasetName = "procedural"
    data_root: Path | None = None
    """Folder with the clips, or a store that was prepared from them."""
    max_frames: int = 120
    """Longest motion, at 20 frames a second."""
    text: str = "static"
    """Text encoder, as for python -m train."""
    width: Width = 192
    depth: Depth = 4
    text_depth: TextDepth = 3
    embedding: Width = 64
    steps: int = 1500
    batch_size: int = 128
    """Motions and texts that are told apart at once."""
    learning_rate: float = 6e-4
    """It warms up and falls along half a cosine."""
    warmup: int = 100
    weight_decay: float = 0.05
    seed: int = 0
    workers: int = 0
    """Processes that prepare examples."""
    threads: Threads = 0
    """CPU threads; 0 for all."""
    validate_every: int = 100
    validation_examples: int = 320
    save_every: int = 100

    def training(self) -> TrainingOptions:
        """The same as `TrainingOptions`, which are checked."""
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
    """B motions with their words."""

    texts: list[str]
    joints: Tensor
    """(B, F, 22, 3) metres, padded with the last frame."""
    lengths: Tensor
    """(B,) frames that exist."""

    @staticmethod
    def of(examples: Sequence[Example]) -> Batch:
        """Examples side by side."""
        return Batch([example.text for example in examples], *pad(examples))

    def embed(self, matcher: TextMotionEncoder) -> tuple[Tensor, Tensor]:
        """Embeddings of the motions and of the texts, (B, D) each."""
        features = encode(self.joints, lengths=self.lengths, groups=matcher.config.features)
        motions = matcher.embed_features(matcher.representation.normalise(features), self.lengths)
        return motions, matcher.embed_texts(self.texts)


class Steps(torch.utils.data.Dataset[Batch]):
    """One item a step, from `first` on."""

    def __init__(self, examples: Examples, order: Buckets, first: int, last: int):
        self.examples, self.order, self.first, self.last = examples, order, first, last

    def __len__(self) -> int:
        return self.last - self.first

    def __getitem__(self, item: int) -> Batch:
        if item >= len(self):
            raise IndexError(item)
        return Batch.of([self.examples.example(i) for i in self.order.of_step(self.first + item)])


def new_matcher(options: Options, data: Data) -> TextMotionEncoder:
    """A matcher whose features are scaled by what the data measure."""
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
    matcher: TextMotionEncoder, options: Options, examples: Examples, held_out: Examples, state: State | None
) -> None:
    """Run to options.steps, validating and saving on the way."""
    training = options.training()
    optimizer = adamw(matcher, training)
    step = 0
    if state is not None:
        step = state.step
        check_steps_left(options.run, state, options.steps)
        matcher.load_state_dict(state.part("live"))
        restore_moments(matcher, optimizer, state.tensors, step=step)
    logging.keep_until(options.run, step)
    order = Buckets(examples, batch=options.batch_size, window=training.window, seed=options.seed)
    steps = Steps(examples, order, step, options.steps)
    loader = torch.utils.data.DataLoader(steps, batch_size=None, num_workers=options.workers)
    with tqdm(total=options.steps, initial=step, unit="step", dynamic_ncols=True, disable=None) as bar:
        for batch in loader:
            torch.manual_seed(seed_of(options.seed, Use.DROPOUT, step))
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(step, training)
            matcher.train()
            motions, texts = batch.embed(matcher)
            loss = contrast(matcher, motions, texts, same_texts(batch.texts))
            loss.backward()
            norm = torch.nn.utils.clip_grad_norm_(matcher.parameters(), training.clip_norm)
            check_finite(options.run, step + 1, loss.item(), norm.item())
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            step += 1
            bar.update()
            last = step == options.steps
            if step % options.validate_every == 0 or last:
                numbers = {"loss": loss.item()} | validate(matcher, options, held_out)
                logging.append(options.run, step, numbers)
                bar.set_postfix(loss=f"{numbers['loss']:.3f}", top1=f"{numbers['held_out_top1']:.3f}")
            if step % options.save_every == 0 or last:
                logging.flush(options.run)
                write_state(options.run, state_of(matcher, optimizer, step))
                matcher.save(options.run)


def same_texts(texts: Sequence[str]) -> Tensor:
    """(B, B) bool: which texts are the same."""
    numbers = torch.tensor([texts.index(text) for text in texts])
    return numbers[:, None] == numbers[None]


@torch.no_grad()
def validate(matcher: TextMotionEncoder, options: Options, held_out: Examples) -> dict[str, float]:
    """The loss, and how often a text finds its motion among 32, on held-out examples."""
    matcher.eval()
    examples = [held_out.example(i) for i in range(options.validation_examples)]
    batches = [Batch.of(examples[i : i + options.batch_size]) for i in range(0, len(examples), options.batch_size)]
    motions, texts = (torch.cat(parts) for parts in zip(*(batch.embed(matcher) for batch in batches), strict=True))
    words = [example.text for example in examples]
    order = torch.randperm(len(words), generator=torch.Generator().manual_seed(0))
    found = r_precision(texts[order], motions[order], pool=POOL, captions=[words[i] for i in order.tolist()])
    some = slice(options.batch_size)
    loss = contrast(matcher, motions[some], texts[some], same_texts(words[some])).item()
    return {"held_out_loss": loss} | {f"held_out_top{k}": share for k, share in enumerate(found, 1)}


def state_of(matcher: TextMotionEncoder, optimizer: torch.optim.Optimizer, step: int) -> State:
    """All that going on needs."""
    tensors = tensors_of(matcher.state_dict(), "live", matcher.representation) | moments(matcher, optimizer)
    return State(step, json.dumps(dataclasses.asdict(matcher.config)), tensors)


def matcher_of(state: State) -> TextMotionEncoder:
    """The matcher of a run that was begun."""
    config = TypeAdapter(TextMotionEncoderConfig).validate_json(state.config)
    return TextMotionEncoder(config, Representation.from_tensors(config.features, 1.0, state.part("representation")))


@command
def main() -> None:
    """The command."""
    options = parse_arguments(Options, prog="python -m train.matcher")
    options.training()
    if options.threads:
        torch.set_num_threads(options.threads)
    with locked(options.run, "--run"):
        state = read_state(options.run)
        if state is None and (options.run / "model.safetensors").is_file():
            raise InputError(f"{options.run} holds a matcher but no training state; give another --run")
        data = load_examples(options.data, options.data_root, frames=options.max_frames, seed=options.seed)
        matcher = new_matcher(options, data) if state is None else matcher_of(state)
        train(matcher, options, data.train, data.held_out, state)
        matcher.scale = measure(matcher, data.held_out, options.validation_examples)
        matcher.save(options.run)


if __name__ == "__main__":
    main()
