"""Training throughput: examples per second, and the share of the machine's matrix-multiplication rate (MFU)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from motion_diffusion.network.denoiser import Denoiser, DenoiserConfig

MATRIX_SIZES = {"cpu": 1024}
"""Rows of the square matrices by which `matmul_rate` measures a device; 8192 for devices not listed."""


@cache
def matmul_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Floating-point operations per second of a matrix product, the best of ten; measured once, in 0.2 s on a CPU."""
    size = MATRIX_SIZES.get(device.type, 8192)
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    best = torch.inf
    for _ in range(11):  # the first one warms up
        started = time.perf_counter()
        a @ b
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        best = min(best, time.perf_counter() - started)
    return 2 * size**3 / best


@cache
def flops_of(config: DenoiserConfig) -> Callable[[int, int, int], float]:
    """Count the floating-point operations of a training step of a network.

    Attention makes the count quadratic in tokens and words; it is linear in examples and frames. Its coefficients are
    fitted to the counts of torch's counter, forward and backward, for a few small inputs, which determine them exactly.

    Args:
        config: Sizes of the network.

    Returns:
        A function (examples, frames, words) → floating-point operations.
    """
    network, patch = Denoiser(config), config.frames_per_token
    shapes = [(patch * tokens, words) for tokens, words in ((1, 1), (2, 1), (3, 1), (1, 2), (1, 3), (2, 2))]
    shapes += [(patch + 1, 1)]  # two tokens, but fewer frames than above
    counts = torch.tensor([[_count(network, *shape)] for shape in shapes], dtype=torch.float64)
    terms = torch.tensor([_terms(*shape, patch) for shape in shapes], dtype=torch.float64)
    factors = torch.linalg.lstsq(terms, counts, driver="gelsd").solution[:, 0].tolist()

    def flops(examples: int, frames: int, words: int) -> float:
        return examples * sum(a * b for a, b in zip(factors, _terms(frames, words, patch), strict=True))

    return flops


def _terms(frames: int, words: int, patch: int) -> list[float]:
    tokens = -(-frames // patch)
    return [1.0, frames, tokens, words, tokens**2, tokens * words, words**2]


def _count(network: Denoiser, frames: int, words: int) -> int:
    """Floating-point operations for one example, forward and backward."""
    config, ones = network.config, torch.ones(1)
    visible = torch.ones(1, words, dtype=torch.bool)
    hints = torch.zeros(1, frames, config.hints) if config.hints else None
    with (
        FlopCounterMode(display=False) as counter,
        sdpa_kernel(SDPBackend.MATH),
    ):  # the backend whose operations are all counted
        context, seen = network.text(torch.zeros(1, words, config.text_dim), visible)
        exist = torch.ones(1, frames, dtype=torch.bool)
        network(torch.zeros(1, frames, config.features), ones, ones, context, seen, exist, hints).sum().backward()
    return counter.get_total_flops()


class Throughput:
    """Measures the time and the floating-point operations of the training steps of this process."""

    def __init__(self, config: DenoiserConfig, device: torch.device, dtype: torch.dtype):
        self.flops, self.rate = flops_of(config), matmul_rate(device, dtype)
        self.examples, self.work, self.seconds = 0, 0.0, 0.0
        self._since = time.perf_counter()

    def add(self, examples: int, frames: int, words: int) -> None:
        """Count a forward and backward pass of a batch; frames and words are those of each example, with padding."""
        self.examples += examples
        self.work += self.flops(examples, frames, words)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Exclude the time spent in this context."""
        self.seconds += time.perf_counter() - self._since
        try:
            yield
        finally:
            self._since = time.perf_counter()

    def take(self) -> tuple[float, float]:
        """Return and reset the throughput.

        Returns:
            Examples per second of this process, and the share of the machine's matrix-multiplication rate.
        """
        with self.paused():
            seconds = max(self.seconds, 1e-9)
            result = self.examples / seconds, self.work / seconds / self.rate
        self.examples, self.work, self.seconds = 0, 0.0, 0.0
        return result
