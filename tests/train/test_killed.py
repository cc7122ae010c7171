"""A training killed with SIGKILL at any moment is resumed with the results of an uninterrupted one."""

import torch
from safetensors.torch import load_file

from motion_diffusion.model import MotionModel

STEPS = ["--steps", 20, "--save-every", 1, "--batch-size", 2, "--ema", 0.5, 0.99, "--window", 4]
RUNS = ("killed", "whole")


def test_a_run_killed_at_random_moments_equals_an_uninterrupted_one(forks, lines):
    folder, run = forks
    codes, seconds = run(["--run", "whole", *STEPS])
    assert codes == [0]
    (kills, code), _ = run(["--run", "killed", *STEPS], kills=4, longest=seconds / 3)
    assert kills >= 3
    assert code == 0
    assert lines(folder / "killed") == lines(folder / "whole")
    for name in ("state.safetensors", "model.safetensors", "ema-0.99/model.safetensors"):
        whole, killed = load_file(folder / "whole" / name), load_file(folder / "killed" / name)
        assert whole.keys() == killed.keys()
        assert all(torch.equal(whole[key], killed[key]) for key in whole)
    assert MotionModel.load(folder / "killed" / "ema-0.99").digest != MotionModel.load(folder / "killed").digest
    left, expected = ({path.relative_to(folder / name) for path in (folder / name).rglob("*")} for name in RUNS)
    assert left == expected
