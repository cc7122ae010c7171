"""Floating-point operations of a step, and the benchmark."""

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

import train.benchmark as command
from motion_diffusion.network.denoiser import Denoiser, DenoiserConfig
from train.flops import Throughput, flops_of


def counted(network, examples, frames, words):
    """Floating-point operations of a whole batch, by torch."""
    config, ones = network.config, torch.ones(examples)
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        context, seen = network.text(torch.zeros(examples, words, config.text_dim), torch.ones(examples, words) > 0)
        x, exist = torch.zeros(examples, frames, config.features), torch.ones(examples, frames) > 0
        hints = torch.zeros(examples, frames, config.hints) if config.hints else None
        network(x, ones, ones, context, seen, exist, hints).sum().backward()
    return counter.get_total_flops()


@pytest.mark.parametrize("patch", [1, 2, 4])
def test_flops_of_any_batch_equal_those_that_torch_counts(patch):
    config = DenoiserConfig(30, 2, width=16, depth=2, heads=2, frames_per_token=patch, hints=6)
    flops, network = flops_of(config), Denoiser(config)
    for shape in ((1, 12, 4), (3, 120, 11), (2, 41, 5), (1, 1, 1)):
        assert flops(*shape) == pytest.approx(counted(network, *shape), rel=1e-6)


def test_flops_are_six_per_parameter_and_token():
    """Two operations forward and four backward for each parameter of a matrix applied to every token."""
    config = DenoiserConfig(64, width=64, depth=4, heads=2, frames_per_token=1, frame_width=64)
    network = Denoiser(config)
    numbers = sum(block.attention.query.weight.numel() * 12 for block in network.blocks)
    assert 6 * numbers * 100 < flops_of(config)(1, 100, 1) < 1.5 * 6 * numbers * 100


def test_pauses_are_not_measured():
    watch = Throughput(DenoiserConfig(4, width=8, heads=2, depth=1, frame_width=4), torch.device("cpu"), torch.float32)
    watch.add(10, 8, 2)
    with watch.paused():
        before = watch.seconds
        torch.randn(300, 300) @ torch.randn(300, 300)
    assert watch.seconds == before
    rate, share = watch.take()
    assert rate > 0
    assert 0 < share < 1
    assert (watch.examples, watch.work, watch.seconds) == (0, 0.0, 0.0)


def test_the_benchmark_prints_its_measurements(run_in_folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("train.model_factory.MEASURED_EXAMPLES", 10)
    run_in_folder(command, "--preset", "root-v", "--steps", 2, "--batch-size", 2, "--profile")
    said = capsys.readouterr().out
    assert "root-v: 1.2 M parameters, batches of 2" in said
    assert "samples/s" in said
    assert "aten::addmm" in said
    assert not list(tmp_path.iterdir())
