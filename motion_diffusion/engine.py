"""Evaluation of a denoiser by PyTorch, or by ONNX Runtime, which takes half the time on one core of a CPU.

ONNX Runtime arranges the weights for its matrix products once and not at every call, and calls fewer operators. It
computes no gradients, and needs the extra `onnx`. Predictions agree to about 1e-5 in normalised features, and sampled
joints to about 0.01 mm. After sampling, the clean-up of feet decides by thresholds which of them stand, so that a foot
may nevertheless be some millimetres elsewhere, as it may be in another batch.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, Literal

import torch
from torch import Tensor

from motion_diffusion.errors import InputError
from motion_diffusion.network.denoiser import Denoiser
from motion_diffusion.pretrained import Version

EngineName = Literal["auto", "torch", "onnx"]
MARGIN = 0.9
"""auto takes ONNX Runtime if it needs at most this share of PyTorch's time, so that equals do not alternate."""
ROUNDS = 2
"""Measurements of each, after a first call."""
NOT_INSTALLED = "needs onnxruntime and onnx; install the extra: pip install 'motion-diffusion[onnx]'"
NO_GRADIENT = "ONNX Runtime does not compute; give --engine auto or torch"


class Engine:
    """Evaluates a denoiser as `Denoiser.forward` does, by the engine of a name.

    auto measures both on the inputs of the first call, once for a number of threads and (to a power of two) frames in
    the batch, and takes the faster. It takes PyTorch where ONNX Runtime is not installed or cannot serve: for
    gradients, on other devices, and for weights of more than 2 GB.

    Raises:
        InputError: For "onnx", if it is not installed.
    """

    def __init__(self, name: EngineName = "torch"):
        if name == "onnx" and not installed():
            raise InputError(f"--engine onnx {NOT_INSTALLED}, or give --engine torch")
        self.name: EngineName = "torch" if name == "auto" and not installed() else name
        self._parameters: list[Tensor] = []
        self._version = Version()
        self._sessions: dict[int, OnnxDenoiser] = {}
        self._faster: dict[tuple[int, int], bool] = {}

    def __deepcopy__(self, memo: dict[int, Any]) -> Engine:
        """Sessions cannot be copied; those of a copy are built when it needs them."""
        return Engine(self.name)

    def __call__(
        self,
        network: Denoiser,
        x: Tensor,
        alpha: Tensor,
        sigma: Tensor,
        context: Tensor,
        seen: Tensor,
        frames: Tensor,
        hints: Tensor | None = None,
        view: Tensor | None = None,
    ) -> Tensor:
        """The prediction of a network; see `Denoiser.forward`.

        Raises:
            InputError: For "onnx", if it cannot serve.
        """
        inputs = (x, alpha, sigma, context, seen, frames, hints, view)
        if self.name == "torch" or ((refusal := _refusal(network, x, hints)) and self.name == "auto"):
            return network(*inputs)
        if refusal:
            raise InputError(refusal)
        try:
            fast = self._session(network)
        except InputError:
            if self.name == "onnx":
                raise
            self.name = "torch"
            return network(*inputs)
        if self.name == "auto":
            key = torch.get_num_threads(), (x.shape[0] * x.shape[1]).bit_length()
            if key not in self._faster:
                ours, theirs = _seconds((fast, network), inputs)
                self._faster[key] = ours < MARGIN * theirs
            if not self._faster[key]:
                return network(*inputs)
        return fast(*inputs)

    def _session(self, network: Denoiser) -> OnnxDenoiser:
        """The network in ONNX Runtime, with its present weights and as many threads as PyTorch uses."""
        if not self._parameters or next(network.parameters()) is not self._parameters[0]:
            self._parameters = list(network.parameters())
        if self._version.changed(self._parameters):
            self._sessions.clear()
        threads = torch.get_num_threads()
        if threads not in self._sessions:
            try:
                self._sessions[threads] = OnnxDenoiser(network, threads)
            except ImportError as error:
                raise InputError(f"ONNX Runtime does not import here ({error}); give --engine torch") from None
        return self._sessions[threads]


def _refusal(network: Denoiser, x: Tensor, hints: Tensor | None) -> str:
    """Why ONNX Runtime cannot evaluate a network; empty if it can."""
    parameter = next(network.parameters())
    if torch.is_grad_enabled() and (x.requires_grad or parameter.requires_grad):
        return f"this needs the gradient of the network, which {NO_GRADIENT}"
    if parameter.device.type != "cpu":
        return f"--engine onnx computes on the CPU and the model is on {parameter.device}; give --engine torch"
    if network.config.hints and hints is None:
        return "--engine onnx needs the hints of a network that takes them; give --engine torch"
    return ""


class OnnxDenoiser:
    """A denoiser in ONNX Runtime, with the weights that it has now."""

    def __init__(self, network: Denoiser, threads: int):
        from motion_diffusion.network.onnx_graph import denoiser_graph

        self._session = session(denoiser_graph(network), threads)
        self._level = network.noise_level
        self._names = [value.name for value in self._session.get_inputs()]

    def __call__(
        self,
        x: Tensor,
        alpha: Tensor,
        sigma: Tensor,
        context: Tensor,
        seen: Tensor,
        frames: Tensor,
        hints: Tensor | None = None,
        view: Tensor | None = None,
    ) -> Tensor:
        """`Denoiser.forward`, without gradients."""
        given = {
            "x": x, "level": self._level(alpha, sigma), "alpha": alpha[:, None], "sigma": sigma[:, None],
            "context": context, "seen": seen, "frames": frames, "hints": hints, "view": x if view is None else view,
        }  # fmt: skip
        arrays = {name: given[name] for name in self._names}
        (y,) = self._session.run(None, {name: value.detach().numpy() for name, value in arrays.items()})
        return torch.from_numpy(y)


def installed() -> bool:
    """Whether ONNX Runtime and what builds its graphs are installed."""
    return find_spec("onnxruntime") is not None and find_spec("onnx") is not None


def session(model: bytes, threads: int) -> Any:
    """An inference session on the CPU whose threads wait asleep."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _seconds(candidates: tuple[Callable[..., Tensor], ...], inputs: tuple[Tensor | None, ...]) -> list[float]:
    """The least time of a call of each, measured in turns."""
    times = []
    for _ in range(1 + ROUNDS):
        row = []
        for evaluate in candidates:
            started = time.perf_counter()
            with torch.no_grad():
                evaluate(*inputs)
            row.append(time.perf_counter() - started)
        times.append(row)
    return [min(column) for column in zip(*times[1:], strict=True)]
