"""python -m train: train a model in a run directory, or go on where it was stopped."""

from __future__ import annotations

if __name__ == "__main__":
    from motion_diffusion.errors import interruptible_imports

    interruptible_imports()

import torch

from data_loaders.datasets import load_examples
from motion_diffusion.distributed import by_main, locked_by_main, processes
from motion_diffusion.errors import InputError, command
from train.checkpoint import read_state
from train.model_factory import build_model, model_of
from train.presets import PRESETS, read_options
from train.run_config import check_options, described, write_options
from train.sample_callback import Pictures
from train.trainer import Trainer


@command
def main() -> None:
    options = read_options("python -m train")
    options.check()
    if options.threads:
        torch.set_num_threads(options.threads)
    run, training, world = options.run, options.training, processes().num_processes
    if options.preset is not None and processes().is_main_process:
        print(f"{options.preset}: {PRESETS[options.preset]}")
    with locked_by_main(run, "--run"):
        state = by_main(lambda: read_state(run))
        if state is None and (run / "model.safetensors").is_file():
            raise InputError(f"{run} holds a model but no training state; give another --run")
        data = load_examples(options.data, options.data_root, frames=options.max_frames, seed=training.seed)
        record = described(options, processes=world)
        if state is not None:
            check_options(run, record)
        begun = f", from {options.start}" if options.start else ""
        told = f"{options.data}, {training.steps} steps of {world * training.batch_size}{begun}"
        model = build_model(options, data, told=told) if state is None else model_of(state, run, told=told)
        model.known = data.known
        trainer = Trainer(model, data.train, data.held_out, run, training, state=state, on_validate=Pictures(run))
        write_options(run, record)  # now that nothing was refused
        trainer.train()


if __name__ == "__main__":
    main()
