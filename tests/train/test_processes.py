"""Training depends neither on the number of processes nor on micro-batches."""

import pytest
import torch
from safetensors.torch import load_file

STEPS = "--prediction v --masks --position-weight 1 --window 4 --warmup 1 --save-every 2 --steps".split()


@pytest.fixture(scope="module")
def alone(forks):
    """A single-process run with batches of 8."""
    folder, run = forks
    assert run(["--run", "alone", "--batch-size", 8, *STEPS, 6])[0] == [0]
    return folder / "alone"


def same(alone, other, lines):
    """Losses agree to 1e-5, all weights together to 1e-6 and every matrix to 1e-4 (some are initialised to 0, and Adam
    amplifies rounding where a gradient is 0); the differences are small compared with a step."""
    ours, theirs = lines(alone), lines(other)
    assert len(ours) == len(theirs) == 7
    for a, b in zip(ours, theirs, strict=True):
        assert a.keys() == b.keys()
        assert all(a[name] == pytest.approx(b[name], rel=1e-5, abs=2e-6) for name in a if name != "padding")
    ours, theirs = load_file(alone / "state.safetensors"), load_file(other / "state.safetensors")
    weights = [name for name in ours if name.startswith("live.")]
    off, size, step = (
        torch.stack([values(name).norm() for name in weights])
        for values in (
            lambda name: theirs[name] - ours[name],
            lambda name: ours[name],
            lambda name: ours[name] - ours[name.replace("live.", "ema.")],
        )
    )
    assert (off <= 1e-4 * size).all()
    assert off.norm() <= 1e-6 * size.norm()
    assert off.norm() <= 1e-3 * step.norm()


def test_two_processes_equal_one_with_twice_the_batch(alone, forks, lines):
    folder, run = forks
    assert run(["--run", "two", "--batch-size", 4, *STEPS, 6], processes=2)[0] == [0, 0]
    same(alone, folder / "two", lines)


def test_micro_batches_equal_their_batch(alone, forks, lines):
    folder, run = forks
    assert run(["--run", "parts", "--batch-size", 8, "--accumulate", 4, *STEPS, 6])[0] == [0]
    same(alone, folder / "parts", lines)


def test_two_processes_resume_the_run_of_one(alone, forks, lines):
    """In micro-batches, and from the state before a damaged one."""
    folder, run = forks
    arguments = ["--run", "both", *STEPS, 6]
    assert run([*arguments, "--batch-size", 8])[0] == [0]
    state = folder / "both" / "state.safetensors"
    state.write_bytes(state.read_bytes()[:-100])  # step 6; the state before it is that of step 4
    assert run([*arguments, "--batch-size", 4, "--accumulate", 2], processes=2)[0] == [0, 0]
    same(alone, folder / "both", lines)
