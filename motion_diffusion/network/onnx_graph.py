"""The networks as ONNX graphs, built operator by operator from their weights.

Tracing (`torch.onnx.export`) takes 45 s, needs a further package, and its graphs are a tenth slower; this takes .15 s,
so that `motion_diffusion.engine` builds its graph when it first needs it, and no file can belong to other weights. The
graphs consist of standard operators (opset 20). `denoise` and `encode_words` translate `Denoiser` and `TextContext` of
`network.denoiser`, and a test holds them equal.

What is constant is computed here: the factor 1/√d of the softmax becomes part of the query's weights, and the 1 of
1 + scale part of the blocks' own modulation.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, cast

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from motion_diffusion.errors import InputError
from motion_diffusion.network.denoiser import (
    TOKEN_WAVELENGTHS,
    WORD_WAVELENGTHS,
    Block,
    Denoiser,
    TextContext,
    wavelengths,
)

OPSET, IR_VERSION = 20, 9
MAX_BYTES = 2**31 - 2**20
"""Protocol buffers hold less than 2 GiB."""
FLOAT, INT64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL
HIDDEN = -1e9
"""Added to the scores of masked keys; their exponential is 0."""


class Graph:
    """An ONNX graph under construction; its values are referred to by their names."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[tuple[str, tuple[int, ...], bytes], onnx.TensorProto] = {}
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []

    def input(self, name: str, kind: int, *shape: int | str) -> str:
        """Declare an input. Dimensions that are names may differ from call to call."""
        self._inputs.append(helper.make_tensor_value_info(name, kind, shape))
        return name

    def output(self, name: str, value: str, kind: int, *shape: int | str) -> None:
        """Declare a value as an output."""
        self._nodes.append(helper.make_node("Identity", [value], [name]))
        self._outputs.append(helper.make_tensor_value_info(name, kind, shape))

    def constant(self, value: Tensor | np.ndarray | np.generic | float | Sequence[int]) -> str:
        """A constant of the same type; float32 for numbers, int64 for lists of integers."""
        array = value.detach().cpu().numpy() if isinstance(value, Tensor) else np.asarray(value)
        array = array.astype(np.float32 if array.dtype == np.float64 else array.dtype, order="C")
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._constants:
            self._constants[key] = numpy_helper.from_array(array, f"constant_{len(self._constants)}")
        return self._constants[key].name

    def __call__(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Append an operator.

        Returns:
            The name of its output.
        """
        (output,) = self.several(1, operator, *inputs, **attributes)
        return output

    def several(self, count: int, operator: str, *inputs: str, **attributes: Any) -> list[str]:
        """Append an operator with so many outputs; their names."""
        name = f"{operator}_{len(self._nodes)}"
        outputs = [f"{name}_{i}" for i in range(count)]
        self._nodes.append(helper.make_node(operator, inputs, outputs, name, **attributes))
        return outputs

    def model(self, metadata: dict[str, str] | None = None) -> bytes:
        """The graph as the content of a file.

        Raises:
            InputError: If its weights take more than the format holds.
        """
        size = sum(len(key[2]) for key in self._constants)
        if size > MAX_BYTES:
            raise InputError(f"the weights take {size / 2**30:.1f} GB and an ONNX file holds 2 GB; use --engine torch")
        graph = helper.make_graph(
            self._nodes, "motion", self._inputs, self._outputs, initializer=list(self._constants.values())
        )
        model = helper.make_model(
            graph,
            producer_name="motion-diffusion",
            ir_version=IR_VERSION,
            opset_imports=[helper.make_opsetid("", OPSET)],
        )
        helper.set_model_props(model, metadata or {})
        return model.SerializeToString()

    # the pieces that networks consist of

    def linear(self, x: str, layer: nn.Linear) -> str:
        """A linear layer."""
        return self.product(x, layer.weight, layer.bias)

    def product(self, x: str, weight: Tensor, bias: Tensor | None) -> str:
        """x·weightᵀ + bias."""
        x = self("MatMul", x, self.constant(weight.T))
        return x if bias is None else self("Add", x, self.constant(bias))

    def silu(self, x: str) -> str:
        """x·sigmoid(x)."""
        return self("Mul", x, self("Sigmoid", x))

    def normalised(self, x: str, width: int) -> str:
        """Layer norm over the last dimension, without weights."""
        return self("LayerNormalization", x, self.constant(np.ones(width, np.float32)), axis=-1)

    def shape(self, x: str, axis: int) -> str:
        """Size of a dimension, as a list of one integer."""
        return self("Shape", x, start=axis, end=axis + 1)

    def reshape(self, x: str, *shape: int) -> str:
        """x in another shape: 0 keeps a dimension, one −1 is inferred."""
        return self("Reshape", x, self.constant(shape))

    def places(self, x: str, dim: int, ends: tuple[float, float]) -> str:
        """`denoiser.sinusoids` of the positions 0 … N − 1 of x (B, N, W): (N, dim)."""
        count = self("Squeeze", self.shape(x, 1))
        numbers = self("Range", self.constant(np.int64(0)), count, self.constant(np.int64(1)))
        numbers = self("Unsqueeze", self("Cast", numbers, to=FLOAT), self.constant([1]))
        angle = self("Mul", numbers, self.constant(2 * math.pi))
        angle = self("Div", angle, self.constant(wavelengths(dim // 2, ends)))
        return self("Concat", self("Sin", angle), self("Cos", angle), axis=-1)


def _block(graph: Graph, block: Block, x: str, context: str | None, hidden: str, modulation: str | None) -> str:
    """`denoiser.Block`; hidden (B, 1, 1, N + M) is added to the scores, modulation is (B, 6, W)."""
    width = block.own_modulation.shape[1]
    own = block.own_modulation.detach().clone()
    own[[1, 4]] += 1
    modulated = graph.constant(own[None])
    if modulation is not None:
        modulated = graph("Add", modulation, modulated)
    shift1, scale1, gate1, shift2, scale2, gate2 = graph.several(6, "Split", modulated, axis=1, num_outputs=6)

    h = graph("Add", graph("Mul", graph.normalised(x, width), scale1), shift1)
    attention, heads = block.attention, block.attention.heads
    source = h if context is None else graph("Concat", h, context, axis=1)
    factor = (heads / width) ** 0.5
    key_weight, value_weight = attention.key_value.weight.chunk(2)
    key_bias, value_bias = attention.key_value.bias.chunk(2)

    def split(x: str, perm: Sequence[int]) -> str:
        return graph("Transpose", graph.reshape(x, 0, 0, heads, width // heads), perm=perm)

    query = split(graph.product(h, attention.query.weight * factor, attention.query.bias * factor), (0, 2, 1, 3))
    key = split(graph.product(source, key_weight, key_bias), (0, 2, 3, 1))
    value = split(graph.product(source, value_weight, value_bias), (0, 2, 1, 3))
    weights = graph("Softmax", graph("Add", graph("MatMul", query, key), hidden), axis=-1)
    mixed = graph.reshape(graph("Transpose", graph("MatMul", weights, value), perm=(0, 2, 1, 3)), 0, 0, width)
    x = graph("Add", x, graph("Mul", graph.linear(mixed, attention.out), gate1))

    h = graph("Add", graph("Mul", graph.normalised(x, width), scale2), shift2)
    first, *_, last = cast("Iterable[Any]", block.mlp)
    h = graph.linear(graph("Gelu", graph.linear(h, first), approximate="tanh"), last)
    return graph("Add", x, graph("Mul", h, gate2))


def _hidden(graph: Graph, visible: str) -> str:
    """What is added to the scores (B, 1, 1, N) for a mask (B, N) of 0 and 1."""
    masked = graph("Sub", graph.constant(1.0), visible)
    return graph("Unsqueeze", graph("Mul", masked, graph.constant(HIDDEN)), graph.constant([1, 2]))


def encode_words(graph: Graph, text: TextContext, words: str, visible: str) -> tuple[str, str]:
    """`denoiser.TextContext` of word vectors (B, L, dim) and their mask (B, L): context (B, 1 + L, W) and its mask."""
    width = text.start.shape[0]
    x = graph.linear(words, text.embed)
    batch = graph.shape(words, 0)
    each = graph("Concat", batch, graph.constant([1]), axis=0)
    start = graph("Expand", graph.constant(text.start[None, None]), graph("Concat", each, graph.constant([1]), axis=0))
    x = graph("Concat", start, x, axis=1)
    always = graph("Expand", graph.constant(np.ones((1, 1), bool)), each)
    seen = graph("Concat", always, visible, axis=1)
    x = graph("Add", x, graph.places(x, width, WORD_WAVELENGTHS))
    hidden = _hidden(graph, graph("Cast", seen, to=FLOAT))
    for block in cast("Iterable[Block]", text.blocks):
        x = _block(graph, block, x, None, hidden, None)
    return graph.normalised(x, width), seen


def denoise(
    graph: Graph,
    network: Denoiser,
    x: str,
    level: str,
    alpha: str,
    sigma: str,
    context: str,
    seen: str,
    frames: str,
    hints: str | None = None,
    view: str | None = None,
) -> str:
    """`Denoiser.forward`, with the same arguments and result, but α and σ as (B, 1), and their embedding level (B, W).

    The embedding has sines of numbers up to 200, which two libraries round differently by more than all the rest, so
    PyTorch computes it.
    """
    config = network.config
    patch, width = config.frames_per_token, config.width
    exist = graph("Unsqueeze", graph("Cast", frames, to=FLOAT), graph.constant([2]))
    x = graph("Mul", x, exist)
    view = x if view is None else graph("Mul", view, exist)
    count = graph.shape(x, 1)
    missing = graph("Mod", graph("Neg", count), graph.constant([patch]))
    zeros = graph.constant([0, 0, 0, 0])
    padding = graph("Concat", zeros, missing, graph.constant([0]), axis=0)

    def tokens(values: str, size: int) -> str:
        return graph.reshape(graph("Pad", values, padding), 0, -1, patch * size)

    summary = graph("Gather", context, graph.constant(np.int64(0)), axis=1)
    condition = graph.silu(graph("Add", level, graph.linear(summary, network.summary)))
    modulation = graph.reshape(graph.linear(condition, network.modulation), 0, 6, width)
    visible = graph("ReduceMax", tokens(exist, 1), graph.constant([2]), keepdims=0)
    hidden = _hidden(graph, graph("Concat", visible, graph("Cast", seen, to=FLOAT), axis=1))

    h = graph.linear(tokens(view, config.features), network.embed)
    h = graph("Add", h, graph.places(h, width, TOKEN_WAVELENGTHS))
    if network.hint is not None and hints is not None:
        h = graph("Add", h, graph.linear(tokens(hints, config.hints), network.hint))
    for block in cast("Iterable[Block]", network.blocks):
        h = _block(graph, block, h, context, hidden, modulation)
    h = graph.reshape(graph.linear(graph.normalised(h, width), network.unpatch), 0, -1, config.frame_width)
    h = graph("Slice", h, graph.constant([0]), count, graph.constant([1]))

    modulation = graph("Unsqueeze", graph.linear(condition, network.frame_modulation), graph.constant([1]))
    shift, scale = graph.several(2, "Split", modulation, axis=-1, num_outputs=2)
    h = graph("Add", h, graph.linear(x, network.frame_in))
    if network.frame_hint is not None and hints is not None:
        h = graph("Add", h, graph.linear(hints, network.frame_hint))
    h = graph("Add", graph("Mul", h, graph("Add", scale, graph.constant(1.0))), shift)
    h = graph("Mul", graph.silu(h), exist)
    mix: Any = network.frame_mix
    mixed = graph("Transpose", h, perm=(0, 2, 1))
    mixed = graph("Conv", mixed, graph.constant(mix.weight), graph.constant(mix.bias), kernel_shape=[3], pads=[1, 1])
    h = graph("Add", h, graph.silu(graph("Transpose", mixed, perm=(0, 2, 1))))
    level = graph("Unsqueeze", graph("Concat", graph.silu(level), alpha, sigma, axis=-1), graph.constant([1]))
    y = graph("Mul", graph.linear(level, network.gate), graph.linear(h, network.frame_out))
    skipped = graph("Mul", graph.linear(level, network.skip), x)
    if network.hint_skip is not None and network.hint_gate is not None and hints is not None:
        hinted = graph("Mul", graph.linear(level, network.hint_gate), graph.linear(hints, network.hint_skip))
        skipped = graph("Add", skipped, hinted)
    if config.outputs > 1:
        skipped = graph("Pad", skipped, graph.constant([0, 0, 0, 0, 0, config.features]))
    return graph("Mul", graph("Add", y, skipped), exist)


def denoiser_graph(network: Denoiser) -> bytes:
    """The denoiser as a graph, with the arguments of `denoise` as inputs.

    Inputs that the network does not have are missing. `view` is there for networks that are given hints.
    """
    graph, config = Graph(), network.config
    frames = "batch", "frames"
    x, level = graph.input("x", FLOAT, *frames, config.features), graph.input("level", FLOAT, "batch", config.width)
    alpha, sigma = (graph.input(name, FLOAT, "batch", 1) for name in ("alpha", "sigma"))
    context = graph.input("context", FLOAT, "batch", "words", config.width)
    seen, exist = graph.input("seen", BOOL, "batch", "words"), graph.input("frames", BOOL, *frames)
    hints = graph.input("hints", FLOAT, *frames, config.hints) if config.hints else None
    view = graph.input("view", FLOAT, *frames, config.features) if config.hints else None
    y = denoise(graph, network, x, level, alpha, sigma, context, seen, exist, hints, view)
    graph.output("y", y, FLOAT, *frames, config.outputs * config.features)
    return graph.model()
