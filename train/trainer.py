"""The training loop: exact resume, EMA, a held-out loss, and losses by quartile of t.

A run directory holds everything: `config.json` and `model.safetensors` (EMA weights; a model like any other),
`training.json` (the options), `state.safetensors` (live weights, EMA, optimiser moments, what the sampler of times has
learned, and the step, in one file), `metrics.jsonl` and pictures. The same command again continues where the last one
stopped. Every random number of step n comes from (seed, n, rank), so a run that was killed gives what an uninterrupted
one would have given.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from accelerate import Accelerator
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from tqdm.auto import tqdm

from data_loaders.example import Example, Examples
from motion_diffusion.errors import InputError
from motion_diffusion.files import atomic
from motion_diffusion.model import MotionModel
from motion_diffusion.process import LossName, WeightName, training_loss
from motion_diffusion.representation import encode
from motion_diffusion.schedule import Level
from motion_diffusion.timesteps import LossSecondMoment, Stratified, TimeSampler, TimeSamplerName, time_sampler
from motion_diffusion.variance import is_learned
from train.masks import known_positions


@dataclass(frozen=True)
class TrainingOptions:
    """How to train. The learning rate warms up, stays, and falls linearly to zero over the last part of the steps."""

    steps: int = 20_000
    batch_size: int = 64
    learning_rate: float = 1e-3
    warmup: int = 200
    """Steps over which the learning rate rises."""
    cooldown: float = 0.2
    """Share of the steps, at the end, over which the learning rate falls to zero."""
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    """Largest norm of the gradient; longer ones are shortened to it."""
    ema: float = 0.999
    """Rate of the exponential moving average of the weights that is saved as the model."""
    drop_text: float = 0.1
    """Share of examples whose words are hidden, for classifier-free guidance."""
    drop_masks: float = 0.1
    """Share of examples of which nothing is known, in models with masks."""
    loss: LossName = "simple"
    """The weighted squared error, the variational bound, or both: hybrid."""
    weight: WeightName = "target"
    """Weight of the squared error of x0; "target" is the plain error of what is predicted."""
    times: TimeSamplerName = "stratified"
    """How the noise levels of a batch are drawn."""
    seed: int = 0
    workers: int = 0
    """Processes that prepare examples; 0 prepares them in the training process."""
    log_every: int = 50
    validate_every: int = 500
    save_every: int = 250
    validation_examples: int = 256


def learning_rate(step: int, options: TrainingOptions) -> float:
    """Warm-up, constant, linear to zero: the value at `step` of the schedule in options."""
    rise = min(1.0, (step + 1) / max(options.warmup, 1))
    fall = min(1.0, (options.steps - step) / max(options.cooldown * options.steps, 1))
    return options.learning_rate * min(rise, fall)


@dataclass(frozen=True)
class Batch:
    """Examples as the model sees them: texts, joints (B, F, 22, 3) in metres, normalised features (B, F, D), frames
    (B, F) bool."""

    texts: list[str]
    joints: Tensor
    x0: Tensor
    frames: Tensor


def make_batch(examples: list[Example], model: MotionModel) -> Batch:
    """Pad joints to the longest example (repeating the last frame), encode and normalise them."""
    lengths = torch.tensor([len(example.joints) for example in examples])
    longest = int(lengths.max())
    padded = [np.pad(e.joints, ((0, longest - len(e.joints)), (0, 0), (0, 0)), mode="edge") for e in examples]
    joints = torch.from_numpy(np.stack(padded))
    features = encode(joints, lengths=lengths, groups=model.config.features)
    frames = torch.arange(longest) < lengths[:, None]
    x0 = model.representation.normalise(features) * frames[..., None]
    return Batch([e.text for e in examples], joints, x0, frames)


class _Steps(torch.utils.data.Dataset[list[Example]]):
    """One item a step: the examples of that step's batch, so that workers need no shared state to resume."""

    def __init__(self, examples: Examples, batch_size: int, first: int, last: int, rank: int, world: int):
        self.examples, self.batch_size = examples, batch_size
        self.first, self.last, self.rank, self.world = first, last, rank, world

    def __len__(self) -> int:
        return self.last - self.first

    def __getitem__(self, item: int) -> list[Example]:
        if item >= len(self):
            raise IndexError(item)
        start = ((self.first + item) * self.world + self.rank) * self.batch_size
        return [self.examples.example(start + i) for i in range(self.batch_size)]


def _generator(*key: int) -> torch.Generator:
    seed = np.random.SeedSequence(key).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(seed) & (2**63 - 1))


class Losses(NamedTuple):
    """Of a batch, each (B,): loss and squared error of x0 at times t, and what each counts for in the mean."""

    loss: Tensor
    x0_error: Tensor
    t: Tensor
    importance: Tensor


class Trainer:
    """Trains a model in a run directory. `train()` goes on from the last saved state until options.steps."""

    def __init__(
        self,
        model: MotionModel,
        train: Examples,
        held_out: Examples,
        run: Path,
        options: TrainingOptions,
        *,
        on_validate: Callable[[MotionModel, int], None] | None = None,
    ) -> None:
        """on_validate is called with the averaged model and the step after every validation."""
        self.accelerator = Accelerator()
        if self.accelerator.mixed_precision not in ("no", "bf16"):
            asked = self.accelerator.mixed_precision
            raise InputError(f"mixed precision {asked} is not supported; choose bf16 or no (accelerate config)")
        self.device = self.accelerator.device
        model.to(self.device)
        self.model, self.run, self.options = model, run, options
        self.train_examples, self.held_out, self.on_validate = train, held_out, on_validate
        if is_learned(model.config.variance) != (options.loss != "simple"):
            raise InputError(
                f"loss {options.loss} does not go with variance {model.config.variance}; a learned variance needs loss "
                "hybrid or vlb, a fixed one loss simple (weight vlb makes it the bound)"
            )
        self.times = time_sampler(options.times, model.schedule.T)
        self.ema = {name: value.detach().clone() for name, value in model.denoiser.named_parameters()}
        matrices = [p for p in model.denoiser.parameters() if p.ndim >= 2]
        vectors = [p for p in model.denoiser.parameters() if p.ndim < 2]
        groups = [{"params": matrices, "weight_decay": options.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=options.learning_rate, betas=(0.9, 0.99), fused=True)
        self.step = 0
        self._resume()

    def loss(
        self, batch: Batch, generator: torch.Generator, *, times: TimeSampler, drop_text: float, drop_masks: float
    ) -> Losses:
        """The losses of a batch, with all randomness from the generator."""
        options, model = self.options, self.model
        t, importance = times.sample(len(batch.x0), generator=generator)
        eps = torch.randn(batch.x0.shape, generator=generator).to(self.device)
        hide = (torch.rand(len(t), generator=generator) < drop_text).to(self.device)
        x0, frames = batch.x0.to(self.device), batch.frames.to(self.device)
        observed = None
        if model.config.masks:
            known = known_positions(batch.frames, generator, nothing=drop_masks)
            joints = slice(None if model.representation.whole_body else 1)
            observed = (batch.joints[..., joints, :].to(self.device), known[..., joints, :].to(self.device))
        condition = model.condition(batch.texts, frames, hide=hide, observed=observed)

        def network(x_t: Tensor, level: Level) -> Tensor:
            with self.accelerator.autocast():
                return model.network(condition, x_t, level).float()

        loss, x0_error = training_loss(
            network,
            x0,
            frames,
            t,
            eps,
            schedule=model.schedule,
            prediction=model.prediction,
            weight=options.weight,
            variance=model.config.variance,
            loss=options.loss,
        )
        return Losses(loss, x0_error, t, importance.to(loss))

    def train(self) -> None:
        """Run to options.steps, logging, validating and saving on the way."""
        options = self.options
        rank, world = self.accelerator.process_index, self.accelerator.num_processes
        steps = _Steps(self.train_examples, options.batch_size, self.step, options.steps, rank, world)
        loader = torch.utils.data.DataLoader(
            steps, batch_size=None, num_workers=options.workers, persistent_workers=options.workers > 0
        )
        quartiles = _Quartiles(self.model.schedule.T)
        started, started_step = time.monotonic(), self.step
        main = self.accelerator.is_main_process  # it alone writes
        hidden = None if main else True  # None: shown on a terminal
        with tqdm(total=options.steps, initial=self.step, unit="step", dynamic_ncols=True, disable=hidden) as bar:
            for examples in loader:
                loss, norm = self._update(make_batch(examples, self.model), rank, quartiles)
                self.step += 1
                bar.update()
                last = self.step == options.steps
                if self.step % options.log_every == 0 or last:
                    rate = (self.step - started_step) * options.batch_size / (time.monotonic() - started)
                    value = loss.item()
                    if not math.isfinite(value):
                        raise InputError(f"the loss is {value} at step {self.step}; lower --learning-rate and resume")
                    bar.set_postfix(loss=f"{value:.4f}", samples_per_s=f"{rate:.0f}")
                    if main:
                        self._log(loss=value, grad_norm=norm.item(), samples_per_s=rate, **quartiles.take())
                if main and (self.step % options.validate_every == 0 or last):
                    self._log(**self.validate())
                    if self.on_validate is not None:
                        with self.ema_weights():
                            self.on_validate(self.model, self.step)
                if main and (self.step % options.save_every == 0 or last):
                    self.save()
        self.accelerator.wait_for_everyone()

    def _update(self, batch: Batch, rank: int, quartiles: _Quartiles) -> tuple[Tensor, Tensor]:
        options = self.options
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.step, options)
        torch.manual_seed(options.seed * 1_000_003 + self.step)  # dropout
        generator = _generator(options.seed, self.step, rank)
        losses = self.loss(
            batch, generator, times=self.times, drop_text=options.drop_text, drop_masks=options.drop_masks
        )
        loss = (losses.importance * losses.loss).mean()
        loss.backward()
        if self.accelerator.num_processes > 1:
            for parameter in self.model.denoiser.parameters():
                parameter.grad = self.accelerator.reduce(parameter.grad, reduction="mean")
        norm = torch.nn.utils.clip_grad_norm_(self.model.denoiser.parameters(), options.clip_norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        rate = min(options.ema, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for name, value in self.model.denoiser.named_parameters():
                self.ema[name].lerp_(value, 1 - rate)
        quartiles.add(losses)
        if isinstance(self.times, LossSecondMoment):
            t = self.accelerator.gather(losses.t.to(self.device))
            self.times.update(t.cpu(), self.accelerator.gather(losses.loss.detach()).cpu())
        return loss.detach(), norm

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """The loss of the EMA weights on held-out examples, always the same ones with the same noise."""
        with self.ema_weights():
            quartiles = _Quartiles(self.model.schedule.T)
            size, evenly = self.options.batch_size, Stratified(self.model.schedule.T)
            for start in range(0, self.options.validation_examples, size):
                batch = make_batch([self.held_out.example(i) for i in range(start, start + size)], self.model)
                quartiles.add(self.loss(batch, _generator(0, start), times=evenly, drop_text=0.0, drop_masks=0.0))
        return {f"held_out_{name}": value for name, value in quartiles.take().items()}

    def ema_weights(self) -> _Swapped:
        """Within this context the model has the averaged weights."""
        return _Swapped(self.model, self.ema)

    def _log(self, **values: float) -> None:
        line = {"step": self.step} | {name: round(value, 6) for name, value in values.items()}
        with (self.run / "metrics.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")

    def save(self) -> None:
        """Write the model (EMA) and the state to continue from."""
        tensors = {f"ema.{k}": v for k, v in self.ema.items()}
        tensors |= {f"times.{k}": v for k, v in self.times.state().items()}
        for name, value in self.model.denoiser.named_parameters():
            moments = self.optimizer.state[value]
            tensors[f"live.{name}"] = value.detach()
            tensors[f"first.{name}"], tensors[f"second.{name}"] = moments["exp_avg"], moments["exp_avg_sq"]
        with self.ema_weights():
            self.model.save(self.run)
        with atomic(self.run / "state.safetensors") as path:
            save_file({k: v.contiguous() for k, v in tensors.items()}, path, metadata={"step": str(self.step)})

    def _resume(self) -> None:
        path = self.run / "state.safetensors"
        if not path.is_file():
            return
        with safe_open(path, "pt") as file:
            self.step = int(file.metadata()["step"])
            names = list(file.keys())
            self.times.restore({k.removeprefix("times."): file.get_tensor(k) for k in names if "times." in k})
            with torch.no_grad():
                for name, value in self.model.denoiser.named_parameters():
                    value.copy_(file.get_tensor(f"live.{name}"))
                    self.ema[name].copy_(file.get_tensor(f"ema.{name}"))
                    self.optimizer.state[value] = {
                        "step": torch.tensor(float(self.step), device=value.device),
                        "exp_avg": file.get_tensor(f"first.{name}").to(value.device),
                        "exp_avg_sq": file.get_tensor(f"second.{name}").to(value.device),
                    }
        metrics = self.run / "metrics.jsonl"
        if metrics.is_file():
            kept = [line for line in metrics.read_text().splitlines() if json.loads(line)["step"] <= self.step]
            with atomic(metrics) as temporary:
                temporary.write_text("".join(line + "\n" for line in kept))


class _Swapped:
    """Puts other weights into the model while it is entered."""

    def __init__(self, model: MotionModel, weights: dict[str, Tensor]):
        self.model, self.weights = model, weights

    def __enter__(self) -> None:
        self.live = {name: value.detach().clone() for name, value in self.model.denoiser.named_parameters()}
        self._put(self.weights)

    def __exit__(self, *_: Any) -> None:
        self._put(self.live)

    @torch.no_grad()
    def _put(self, weights: dict[str, Tensor]) -> None:
        for name, value in self.model.denoiser.named_parameters():
            value.copy_(weights[name])


class _Quartiles:
    """Means of the loss and of the squared error of x0, over all t and in four quarters of it."""

    def __init__(self, T: int):
        self.T = T
        self.values: list[tuple[Tensor, Tensor, Tensor]] = []

    def add(self, losses: Losses) -> None:
        self.values.append((losses.loss.detach(), losses.x0_error, losses.t))

    def take(self) -> dict[str, float]:
        loss, x0_error, t = (torch.cat(column).cpu() for column in zip(*self.values, strict=True))
        self.values = []
        quarter = ((t - 1) * 4) // self.T
        result = {"mean_loss": loss.mean().item()}
        for q in range(4):
            if bool((quarter == q).any()):
                result[f"loss_q{q + 1}"] = loss[quarter == q].mean().item()
                result[f"x0_error_q{q + 1}"] = x0_error[quarter == q].mean().item()
        return result


def write_options(run: Path, options: dict[str, Any]) -> None:
    """Keep the options of a run beside it; a run is continued only with the options it was started with.

    `steps` may change, so that a finished run can be carried on. InputError names what differs.
    """
    path = run / "training.json"
    new = json.loads(json.dumps(options))
    if path.is_file():
        old = json.loads(path.read_text())
        differ = sorted(_flat(old).items() ^ _flat(new).items())
        names = sorted({name for name, _ in differ} - {"training.steps", "training.workers"})
        if names:
            raise InputError(
                f"{run} was started with other values of {', '.join(names)}; give a new --run or the old values"
            )
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(new, indent=2) + "\n")


def _flat(tree: Any, prefix: str = "") -> dict[str, str]:
    if isinstance(tree, dict):
        return {k: v for name, sub in tree.items() for k, v in _flat(sub, f"{prefix}.{name}".strip(".")).items()}
    return {prefix: json.dumps(tree)}
