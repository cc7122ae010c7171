"""The training loop: exact resume, averaged weights, a held-out loss, and losses by quarter of t.

A run directory holds everything: `config.json` and `model.safetensors` (averaged weights; a model like any other),
`training.json` (the options), `state.safetensors` (see `checkpoint`), `metrics.jsonl` and pictures. The same command
continues an interrupted training and gives exactly what an uninterrupted one gives, and multi-process training is
equivalent to a single process with the summed batch size: see `seeding`.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast
from torch import Tensor
from tqdm.auto import tqdm

from data_loaders.types import Examples
from motion_diffusion.diffusion.timestep_sampling import LossSecondMoment, Stratified, time_sampler
from motion_diffusion.distributed import processes
from motion_diffusion.errors import InputError
from motion_diffusion.model import MotionModel
from motion_diffusion.pretrained import tensors_of
from train import logging
from train.batches import Batch, make_batch, make_parts, step_loader
from train.checkpoint import State, check_steps_left, write_state
from train.config import TrainingOptions
from train.distillation import Distillation
from train.flops import Throughput
from train.logging import LossMeter
from train.objective import Objective
from train.optimizer import Optimizer, WeightAverages, average_gradients
from train.seeding import ExampleDraws, Purpose, generator, seed_of


class Trainer:
    """Trains a model in a run directory. `train()` continues from the given state until options.steps."""

    def __init__(
        self,
        model: MotionModel,
        train: Examples,
        held_out: Examples,
        run: Path,
        options: TrainingOptions,
        *,
        state: State | None = None,
        distillation: Distillation | None = None,
        on_validate: Callable[[MotionModel, int], None] | None = None,
    ) -> None:
        """Prepare a training.

        Args:
            model: Trained in place.
            train: Training examples.
            held_out: Examples for validation.
            run: Run directory.
            options: How to train.
            state: Checkpoint of the run to continue from; None for a new run.
            distillation: Targets of a teacher in place of the examples themselves.
            on_validate: Called after every validation with the model, which then has averaged weights, and the step.

        Raises:
            InputError: Options contradict each other or the model, the model cannot be saved, or the state is beyond
                options.steps.
        """
        options.check()
        model.check_saveable()
        logging.check_trackers(options.log_with)
        processes()
        self.accelerator = Accelerator(
            mixed_precision=options.mixed_precision, log_with=list(options.log_with) or None, project_dir=run
        )
        if self.accelerator.mixed_precision not in ("no", "bf16"):
            asked = self.accelerator.mixed_precision
            raise InputError(f"mixed precision {asked} is not supported; choose bf16 or no (accelerate config)")
        self.device, self.main = self.accelerator.device, self.accelerator.is_main_process
        if distillation is not None:
            distillation.teacher.to(self.device)
        self.model, self.run, self.options = model.to(self.device).train(), run, options
        self.objective = Objective(model, options, self.accelerator, distillation)
        with torch.no_grad():  # initial weights and statistics of several machines may differ in their last bits
            for value in (*model.denoiser.parameters(), *model.representation.tensors().values()):
                value.copy_(broadcast(value.to(self.device)))
        self.train_examples, self.held_out, self.on_validate = train, held_out, on_validate
        self.times = time_sampler(options.times, model.schedule.T)
        self.averages = WeightAverages(model.denoiser, options.ema)
        self.meter = LossMeter(model.schedule.T, self.device)
        self.step = 0
        if state is not None:
            self._restore(state)
        tensors = None if state is None else state.tensors
        self.optimizer = Optimizer(model.denoiser, options, step=self.step, tensors=tensors)
        if options.compile:
            for block in (*model.denoiser.blocks, *model.denoiser.text.blocks):
                block.compile(dynamic=True)  # each block by itself: they share the compiled code

    def train(self) -> None:
        """Train until options.steps, with logging, validation and checkpoints at their intervals."""
        options, main = self.options, self.main
        if main:
            logging.keep_until(self.run, self.step)
            settings = logging.tracker_settings(self.run, self.step, dataclasses.asdict(options))
            self.accelerator.init_trackers(logging.PROJECT, init_kwargs=settings)
            if self.step >= options.steps:
                self._save_models()  # the run may have been killed before they were written
        watch = self.stopwatch()
        hidden = None if main else True  # None: shown on a terminal
        with tqdm(total=options.steps, initial=self.step, unit="step", dynamic_ncols=True, disable=hidden) as bar:
            for parts in self.batches():
                rate = self.optimizer.learning_rate
                loss, norm = self.update(parts, watch)
                self.step += 1
                bar.update()
                last = self.step == options.steps
                if self.step % options.log_every == 0 or last:
                    bar.set_postfix(self._log(loss, norm, rate, watch))
                with watch.paused():
                    if self.step % options.validate_every == 0 or last:
                        self._validate_and_log()
                    if self.step % options.save_every == 0 or last:
                        self.save()
        self.accelerator.wait_for_everyone()
        self.accelerator.end_training()

    def stopwatch(self) -> Throughput:
        """Create a stopwatch that measures the throughput of steps from now on."""
        dtype = torch.bfloat16 if self.accelerator.mixed_precision == "bf16" else torch.float32
        return Throughput(self.model.config.denoiser, self.device, dtype)

    def batches(self) -> torch.utils.data.DataLoader[list[Batch]]:
        """Create the loader of the remaining steps; an item is this process's share of a step, in micro-batches."""
        options = self.options
        rank, world = self.accelerator.process_index, self.accelerator.num_processes
        draws = self._draws(options.seed, Purpose.EXAMPLE, options.drop_text, options.drop_masks)
        share = slice(rank * options.batch_size, (rank + 1) * options.batch_size)
        return step_loader(
            self.train_examples,
            options,
            partial(make_parts, self.train_examples, draws, share, options.part_size),
            first=self.step,
            processes=world,
            pin_memory=self.device.type == "cuda",
        )

    def _draws(self, seed: int, purpose: Purpose, drop_text: float = 0.0, drop_masks: float = 0.0) -> ExampleDraws:
        config = self.model.config
        return ExampleDraws(seed, purpose, config.denoiser.features, config.masks, drop_text, drop_masks)

    def update(self, parts: list[Batch], watch: Throughput) -> tuple[Tensor, Tensor]:
        """Take a training step.

        Args:
            parts: This process's share of the step, in micro-batches.
            watch: Counts the examples and the work.

        Returns:
            Mean loss of this process's examples, and the norm of the gradient.
        """
        options, step, denoiser = self.options, self.step, self.model.denoiser
        rank, world = self.accelerator.process_index, self.accelerator.num_processes
        first, size = rank * options.batch_size, options.part_size
        t, importance = self.times.sample(
            world * options.batch_size, generator=generator(options.seed, Purpose.TIMES, step)
        )  # for the examples of all processes
        done = []
        for batch in parts:
            torch.manual_seed(seed_of(options.seed, Purpose.DROPOUT, step, first))
            losses = self.objective(batch, t[first : first + size], importance[first : first + size], step)
            ((losses.importance * losses.loss).sum() / options.batch_size).backward()
            first += size
            count, frames = batch.joints.shape[:2]
            watch.add(count, frames, losses.words)
            self.meter.add(losses, padding=batch.padding, frames=count * frames)
            done.append(losses)
        average_gradients(denoiser, self.accelerator)
        loss = torch.cat([losses.loss.detach() for losses in done])
        norm = self.optimizer.update(loss.mean(), self.run)
        self.averages.update(denoiser)
        if isinstance(self.times, LossSecondMoment):
            self.times.update(t, self.accelerator.gather(loss).cpu())
        return (torch.cat([losses.importance for losses in done]) * loss).mean(), norm

    def _log(self, loss: Tensor, norm: Tensor, learning_rate: float, watch: Throughput) -> dict[str, str]:
        """Log the last step, and means since the last entry. Returns the numbers for the progress bar."""
        value = self.accelerator.reduce(loss, reduction="mean").item()
        rate, share = watch.take()
        rate *= self.accelerator.num_processes
        self.meter.collect(self.accelerator)
        if self.main:
            self._write(
                loss=value,
                grad_norm=norm.item(),
                learning_rate=learning_rate,
                samples_per_s=rate,
                matmul_share=share,
                **self.meter.take(),
            )
        return {"loss": f"{value:.4f}", "samples_per_s": f"{rate:.0f}", "of_matmul": f"{share:.0%}"}

    def _validate_and_log(self) -> None:
        numbers = self.validate()
        if self.main:
            self._write(**numbers)
            if self.on_validate is not None:
                with self._averaged():
                    self.on_validate(self.model, self.step)

    @contextmanager
    def _averaged(self, rate: float | None = None) -> Iterator[None]:
        """Within this context the model has averaged weights (default: of the first rate) and is in evaluation mode."""
        live = self.model.denoiser
        self.model.denoiser = self.averages.module(rate)
        try:
            yield
        finally:
            self.model.denoiser = live

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Compute the loss of the averaged weights on held-out examples, always the same with the same noise.

        The processes share the work.

        Returns:
            Mean losses by name, in the main process.
        """
        options, count = self.options, self.options.validation_examples
        t, importance = Stratified(self.model.schedule.T).sample(count, generator=generator(0, Purpose.HELD_OUT))
        draws = self._draws(0, Purpose.HELD_OUT)
        order = sorted(range(count), key=self.held_out.frames)
        batches = [order[i : i + options.part_size] for i in range(0, count, options.part_size)]
        meter = LossMeter(self.model.schedule.T, self.device)
        with self._averaged():
            for which in batches[self.accelerator.process_index :: self.accelerator.num_processes]:
                batch = make_batch(self.held_out, which, draws)
                meter.add(self.objective(batch, t[which], importance[which], self.step), padding=0, frames=0)
        meter.collect(self.accelerator)
        return {f"held_out_{name}": value for name, value in meter.take().items() if name != "padding"}

    def _write(self, **values: float) -> None:
        logging.append(self.run, self.step, values)
        self.accelerator.log(values, step=self.step)

    def save(self) -> None:
        """Write the checkpoint, and then the models with averaged weights."""
        self.meter.collect(self.accelerator)
        if self.main:
            logging.flush(self.run)
            write_state(self.run, self._state())
            self._save_models()

    def _save_models(self) -> None:
        for rate in self.options.ema:
            with self._averaged(rate):
                name = self.averages.name(rate)
                self.model.save(self.run if name == "ema" else self.run / name)

    def _state(self) -> State:
        tensors = self.averages.tensors() | self.optimizer.tensors()
        tensors |= tensors_of(dict(self.model.denoiser.named_parameters()), "live", self.model.representation)
        tensors |= {f"times.{name}": value for name, value in self.times.state().items()}
        tensors |= {f"meter.{name}": value for name, value in self.meter.tensors().items()}
        return State(self.step, json.dumps(dataclasses.asdict(self.model.config)), tensors)

    def _restore(self, state: State) -> None:
        live = state.part("live")
        self.step = state.step
        check_steps_left(self.run, state, self.options.steps)
        with torch.no_grad():
            for name, value in self.model.denoiser.named_parameters():
                value.copy_(live[name])
        self.averages.restore(state.tensors, step=state.step)
        if times := state.part("times"):
            self.times.restore(times)
        if self.main:
            self.meter.restore(state.part("meter"))
