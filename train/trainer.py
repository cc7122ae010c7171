"""The training loop: exact resume, averages of the weights, a held-out loss, and losses by quartile of t.

A run directory holds everything: `config.json` and `model.safetensors` (averaged weights; a model like any other),
`training.json` (the options), `state.safetensors` (see `checkpoint`), `logging.jsonl` and pictures. The same command
again continues where the last one stopped, and gives what an uninterrupted run would have given: see `randomness`. In
the same way several processes give what one with their batches together would.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
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
from train.batches import Batch, Steps, make_batch
from train.checkpoint import State, check_finite, check_steps_left, write_state
from train.config import TrainingOptions
from train.ema import Averages
from train.flops import Throughput
from train.length_bucketing import Buckets
from train.loss_meter import Meter
from train.objective import Objective
from train.optimizer import adamw, average_gradients, learning_rate, moments, restore_moments
from train.seeding import Draws, Use, generator, seed_of


class Trainer:
    """Trains a model in a run directory. `train()` goes on from the given state until options.steps."""

    def __init__(
        self,
        model: MotionModel,
        train: Examples,
        held_out: Examples,
        run: Path,
        options: TrainingOptions,
        *,
        state: State | None = None,
        on_validate: Callable[[MotionModel, int], None] | None = None,
    ) -> None:
        """state: of the run so far. on_validate is called with the averaged model and the step after every validation.

        Raises InputError for options that make no sense, or none for this model.
        """
        options.check()
        logging.check_trackers(options.log_with)
        processes()
        self.accelerator = Accelerator(
            mixed_precision=options.mixed_precision, log_with=list(options.log_with) or None, project_dir=run
        )
        if self.accelerator.mixed_precision not in ("no", "bf16"):
            asked = self.accelerator.mixed_precision
            raise InputError(f"mixed precision {asked} is not supported; choose bf16 or no (accelerate config)")
        self.device, self.main = self.accelerator.device, self.accelerator.is_main_process
        self.model, self.run, self.options = model.to(self.device).train(), run, options
        self.objective = Objective(model, options, self.accelerator)
        with torch.no_grad():  # what several machines measured and drew may differ in its last bits
            for value in (*model.denoiser.parameters(), *model.representation.tensors().values()):
                value.copy_(broadcast(value.to(self.device)))
        self.train_examples, self.held_out, self.on_validate = train, held_out, on_validate
        self.times = time_sampler(options.times, model.schedule.T)
        self.averages = Averages(model.denoiser, options.ema)
        self.optimizer = adamw(model.denoiser, options)
        self.meter = Meter(model.schedule.T, self.device)
        self.step = 0
        if state is not None:
            self._restore(state)
        if options.compile:
            for block in (*model.denoiser.blocks, *model.denoiser.text.blocks):
                block.compile(dynamic=True)  # one by one: the same code serves them all

    def train(self) -> None:
        """Run to options.steps, logging, validating and saving on the way."""
        options, main = self.options, self.main
        if main:
            logging.keep_until(self.run, self.step)
            settings = logging.tracker_settings(self.run, self.step, dataclasses.asdict(options))
            self.accelerator.init_trackers(logging.PROJECT, init_kwargs=settings)
            if self.step >= options.steps:
                self._save_models()  # perhaps it was killed before they were written
        watch = self.stopwatch()
        hidden = None if main else True  # None: shown on a terminal
        with tqdm(total=options.steps, initial=self.step, unit="step", dynamic_ncols=True, disable=hidden) as bar:
            for parts in self.batches():
                loss, norm = self.update(parts, watch)
                self.step += 1
                bar.update()
                last = self.step == options.steps
                if self.step % options.log_every == 0 or last:
                    bar.set_postfix(self._log(loss, norm, watch))
                with watch.paused():
                    if self.step % options.validate_every == 0 or last:
                        self._validated()
                    if self.step % options.save_every == 0 or last:
                        self.save()
        self.accelerator.wait_for_everyone()
        self.accelerator.end_training()

    def stopwatch(self) -> Throughput:
        """One that measures steps from now on."""
        dtype = torch.bfloat16 if self.accelerator.mixed_precision == "bf16" else torch.float32
        return Throughput(self.model.config.denoiser, self.device, dtype)

    def batches(self) -> torch.utils.data.DataLoader[list[Batch]]:
        """Of the steps that are left: the parts of this process' share of each."""
        options = self.options
        rank, world = self.accelerator.process_index, self.accelerator.num_processes
        order = Buckets(self.train_examples, batch=world * options.batch_size, window=options.window, seed=options.seed)
        steps = Steps(
            self.train_examples,
            order,
            self._draws(options.seed, Use.EXAMPLE, options.drop_text, options.drop_masks),
            first=self.step,
            last=options.steps,
            share=slice(rank * options.batch_size, (rank + 1) * options.batch_size),
            part_size=options.part_size,
        )
        return torch.utils.data.DataLoader(
            steps,
            batch_size=None,
            num_workers=options.workers,
            persistent_workers=options.workers > 0,
            pin_memory=self.device.type == "cuda",
        )

    def _draws(self, seed: int, use: Use, drop_text: float = 0.0, drop_masks: float = 0.0) -> Draws:
        config = self.model.config
        return Draws(seed, use, config.denoiser.features, config.masks, drop_text, drop_masks)

    def update(self, parts: list[Batch], watch: Throughput) -> tuple[Tensor, Tensor]:
        """Learn from a step's batch. Returns the loss of this process' examples and the norm of the gradient."""
        options, step, denoiser = self.options, self.step, self.model.denoiser
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(step, options)
        rank, world = self.accelerator.process_index, self.accelerator.num_processes
        first, size = rank * options.batch_size, options.part_size
        t, importance = self.times.sample(
            world * options.batch_size, generator=generator(options.seed, Use.TIMES, step)
        )  # of the whole batch, of which these examples are a part
        done = []
        for batch in parts:
            torch.manual_seed(seed_of(options.seed, Use.DROPOUT, step, first))
            losses = self.objective(batch, t[first : first + size], importance[first : first + size], step)
            ((losses.importance * losses.loss).sum() / options.batch_size).backward()
            first += size
            count, frames = batch.joints.shape[:2]
            watch.add(count, frames, losses.words)
            self.meter.add(losses, padding=batch.padding, frames=count * frames)
            done.append(losses)
        average_gradients(denoiser, self.accelerator)
        norm = torch.nn.utils.clip_grad_norm_(denoiser.parameters(), options.clip_norm)
        loss = torch.cat([losses.loss.detach() for losses in done])
        check_finite(self.run, step + 1, loss.mean().item(), norm.item())
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.averages.update(step)
        if isinstance(self.times, LossSecondMoment):
            self.times.update(t, self.accelerator.gather(loss).cpu())
        return (torch.cat([losses.importance for losses in done]) * loss).mean(), norm

    def _log(self, loss: Tensor, norm: Tensor, watch: Throughput) -> dict[str, str]:
        """Write the numbers since the last time. Returns those for the progress bar."""
        value = self.accelerator.reduce(loss, reduction="mean").item()
        rate, share = watch.take()
        rate *= self.accelerator.num_processes
        self.meter.collect(self.accelerator)
        if self.main:
            self._write(
                loss=value,
                grad_norm=norm.item(),
                learning_rate=learning_rate(self.step - 1, self.options),
                samples_per_s=rate,
                matmul_share=share,
                **self.meter.take(),
            )
        return {"loss": f"{value:.4f}", "samples_per_s": f"{rate:.0f}", "of_matmul": f"{share:.0%}"}

    def _validated(self) -> None:
        numbers = self.validate()
        if self.main:
            self._write(**numbers)
            if self.on_validate is not None:
                with self.averages.put_in():
                    self.on_validate(self.model, self.step)

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """The loss of the averaged weights on held-out examples, always the same ones with the same noise.

        The processes share the work; the main one has the numbers.
        """
        options, count = self.options, self.options.validation_examples
        t, importance = Stratified(self.model.schedule.T).sample(count, generator=generator(0, Use.HELD_OUT))
        draws = self._draws(0, Use.HELD_OUT)
        order = sorted(range(count), key=self.held_out.frames)
        batches = [order[i : i + options.part_size] for i in range(0, count, options.part_size)]
        meter = Meter(self.model.schedule.T, self.device)
        with self.averages.put_in():
            for which in batches[self.accelerator.process_index :: self.accelerator.num_processes]:
                batch = make_batch(self.held_out, which, draws)
                meter.add(self.objective(batch, t[which], importance[which], self.step), padding=0, frames=0)
        meter.collect(self.accelerator)
        return {f"held_out_{name}": value for name, value in meter.take().items() if name != "padding"}

    def _write(self, **values: float) -> None:
        logging.append(self.run, self.step, values)
        self.accelerator.log(values, step=self.step)

    def save(self) -> None:
        """Write the state to continue from, and then the models: the averages."""
        self.meter.collect(self.accelerator)
        if self.main:
            logging.flush(self.run)
            write_state(self.run, self._state())
            self._save_models()

    def _save_models(self) -> None:
        for rate in self.options.ema:
            with self.averages.put_in(rate):
                name = self.averages.name(rate)
                self.model.save(self.run if name == "ema" else self.run / name)

    def _state(self) -> State:
        denoiser = self.model.denoiser
        tensors = self.averages.tensors() | moments(denoiser, self.optimizer)
        tensors |= tensors_of(dict(denoiser.named_parameters()), "live", self.model.representation)
        tensors |= {f"times.{name}": value for name, value in self.times.state().items()}
        tensors |= {f"meter.{name}": value for name, value in self.meter.tensors().items()}
        return State(self.step, json.dumps(dataclasses.asdict(self.model.config)), tensors)

    def _restore(self, state: State) -> None:
        denoiser, live = self.model.denoiser, state.part("live")
        self.step = state.step
        check_steps_left(self.run, state, self.options.steps)
        with torch.no_grad():
            for name, value in denoiser.named_parameters():
                value.copy_(live[name])
        self.averages.restore(state.tensors)
        restore_moments(denoiser, self.optimizer, state.tensors, step=state.step)
        if times := state.part("times"):
            self.times.restore(times)
        if self.main:
            self.meter.restore(state.part("meter"))
