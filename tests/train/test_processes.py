"""Several processes train one model: they see different examples and stay equal, and one of them writes."""

import os
import subprocess
import sys

import torch
from safetensors.torch import load_file

RANKS = ("run1/rank0.safetensors", "run2/rank0.safetensors", "run2/rank1.safetensors")

WORKER = """
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

from data_loaders.procedural import ProceduralWalks
from motion_diffusion.denoiser import DenoiserConfig
from motion_diffusion.model import ModelConfig, MotionModel
from motion_diffusion.representation import Representation, encode
from train.trainer import Trainer, TrainingOptions

groups, walks = ("root", "positions", "velocities"), ProceduralWalks(0, 48, 40)
clips = [encode(torch.from_numpy(walks.example(i).joints), groups=groups) for i in range(10)]
representation = Representation.fit(clips, groups)
torch.manual_seed(0)
sizes = DenoiserConfig(features=representation.size, width=16, depth=1, heads=2, frame_width=8)
model = MotionModel(ModelConfig("x0", sizes, groups), representation)
options = TrainingOptions(steps=3, batch_size=2, warmup=1, log_every=1, validation_examples=2)
run = Path(sys.argv[1])
run.mkdir(exist_ok=True)
trainer = Trainer(model, walks, ProceduralWalks(1, 48, 40), run, options)
trainer.train()
weights = {name: value.detach().contiguous() for name, value in model.denoiser.named_parameters()}
save_file(weights, run / f"rank{trainer.accelerator.process_index}.safetensors")
"""


def test_two_processes_train_one_model(tmp_path):
    (tmp_path / "worker.py").write_text(WORKER)
    environment = os.environ | {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    for processes in (1, 2):
        launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
        command = [sys.executable, *launcher, str(tmp_path / "worker.py"), str(tmp_path / f"run{processes}")]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    alone, first, second = (load_file(tmp_path / name) for name in RANKS)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert any(not torch.equal(first[name], alone[name]) for name in first)
    steps = (tmp_path / "run2" / "metrics.jsonl").read_text().count('"loss":')
    assert steps == 3
