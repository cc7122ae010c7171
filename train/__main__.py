"""python -m train: train a model in a run directory, or continue a training that was interrupted."""

from __future__ import annotations

if __name__ == "__main__":
    from motion_diffusion.errors import interruptible_imports

    interruptible_imports()

import torch

from data_loaders.datasets import load_examples
from motion_diffusion.distributed import by_main, locked_by_main, processes
from motion_diffusion.errors import command
from motion_diffusion.model import MotionModel
from train.checkpoint import check_options, options_record, state_to_resume, write_options
from train.config import PRESETS, read_options
from train.distillation import Distillation
from train.logging import SamplePictures
from train.model_factory import build_model, restore_model
from train.trainer import Trainer


@command
def main() -> None:
    """Run the command."""
    options = read_options("python -m train")
    options.check()
    if options.threads:
        torch.set_num_threads(options.threads)
    run, training, world = options.run, options.training, processes().num_processes
    if options.preset is not None and processes().is_main_process:
        print(f"{options.preset}: {PRESETS[options.preset]}")
    with locked_by_main(run, "--run"):
        state = by_main(lambda: state_to_resume(run, "model"))
        data = load_examples(options.data, options.data_root, frames=options.max_frames, seed=training.seed)
        record = options_record(options, processes=world)
        if state is not None:
            check_options(run, record)
        start = f", from {options.start}" if options.start else ""
        description = f"{options.data}, {training.steps} steps of {world * training.batch_size}{start}"
        if state is None:
            model = build_model(options, data, description=description)
        else:
            model = restore_model(state, run, description=description)
        model.known = data.known
        distillation = None
        if options.distillation.teacher is not None:
            distillation = Distillation(MotionModel.load(options.distillation.teacher), options.distillation)
        trainer = Trainer(
            model,
            data.train,
            data.held_out,
            run,
            training,
            state=state,
            distillation=distillation,
            on_validate=SamplePictures(run),
        )
        write_options(run, record)  # only after every check has passed
        trainer.train()


if __name__ == "__main__":
    main()
