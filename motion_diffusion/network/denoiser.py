"""The transformer denoiser.

Several frames form a token. Tokens pass through pre-norm transformer blocks; time and text modulate every block
(adaptive layer norm with one shared modulation, as in PixArt-α, section 2.3), and the word vectors are additional keys
and values in every attention, so that their order can matter.

Two paths bypass the network's width, because white noise has full rank and a token holds more numbers than the network
is wide:

* a *frame path*: each frame's own features are combined with the token's output again just before the output;
* a *skip*: y = skip(t) ⊙ x_t + gate(t) ⊙ F(x_t, t, text), both per feature and functions of the noise level, whose
  inputs include α_t and σ_t themselves. Linear in these, it can represent the best linear estimate exactly for every
  prediction type: skip = α for x0 and σ for ε, gate = σ for x0 and α for ε (on unit-variance data). The observed motion
  (`hints`) has a skip of its own, for noise levels at which x_t contains nothing but noise.

The noise level enters as (α, σ) alone, so any schedule and any respacing can be used.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from motion_diffusion.errors import InputError
from motion_diffusion.option_ranges import Range, check_ranges

Width = Annotated[int, Range(2, 8192)]
Depth = Annotated[int, Range(1, 256)]
TextDepth = Annotated[int, Range(0, 256)]
Heads = Annotated[int, Range(1, 256)]
FramesPerToken = Annotated[int, Range(1, 256)]
TextDim = Annotated[int, Range(1, 100_000)]
Dropout = Annotated[float, Range(0.0, 1.0, below=True)]
MAX_PARAMETERS = 2_000_000_000


@dataclass(frozen=True)
class DenoiserConfig:
    """Sizes of the network, stored in a model's config.json."""

    features: Annotated[int, Range(1, 10_000)]
    """Features per frame."""
    outputs: Annotated[int, Range(1, 2)] = 1
    """Outputs per feature: 2 if the variance is learned as well."""
    text_dim: TextDim = 128
    """Dimension of the text encoder's word vectors."""
    width: Width = 256
    """Width of the transformer."""
    depth: Depth = 5
    """Number of transformer blocks."""
    heads: Heads = 4
    """Number of attention heads."""
    frames_per_token: FramesPerToken = 4
    """Frames joined into a token."""
    text_depth: TextDepth = 1
    """Number of transformer blocks over the words."""
    frame_width: Width = 192
    """Width of the frame path."""
    dropout: Dropout = 0.0
    """Dropout probability."""
    hints: Annotated[int, Range(0, 10_000)] = 0
    """Channels per frame of the observed motion and its mask; 0 disables conditioning on an observed motion."""

    def __post_init__(self) -> None:
        check_sizes(self, file=True)


class Sizes(Protocol):
    """Sizes that determine the number of parameters of the blocks."""

    @property
    def width(self) -> int: ...
    @property
    def depth(self) -> int: ...
    @property
    def text_depth(self) -> int: ...
    @property
    def heads(self) -> int: ...
    @property
    def frames_per_token(self) -> int: ...


def check_sizes(sizes: Sizes, *, file: bool = False) -> None:
    """Raise InputError for invalid or too large sizes. file: see `option_ranges.check_ranges`."""
    check_ranges(sizes, file=file)
    name = "width" if file else "--width"
    if sizes.width % (2 * sizes.heads):
        raise InputError(f"{name} {sizes.width}: give a multiple of {2 * sizes.heads}, twice the heads")
    parameters = 12 * (sizes.depth + sizes.text_depth) * sizes.width**2
    if isinstance(sizes, DenoiserConfig):
        frame = sizes.features + sizes.hints + sizes.frame_width
        parameters += sizes.width * (sizes.frames_per_token * frame + sizes.text_dim)
    if parameters > MAX_PARAMETERS:
        raise InputError(f"{name} {sizes.width}: {parameters / 1e9:.1f} billion parameters are too many; give less")


WORD_WAVELENGTHS = 4.0, 256.0
TOKEN_WAVELENGTHS = 4.0, 1024.0
"""Shortest and longest wavelength of the embeddings of positions."""


def wavelengths(count: int, ends: tuple[float, float], device: torch.device | None = None) -> Tensor:
    """Wavelengths (count,) spaced geometrically between two ends."""
    shortest, longest = ends
    return shortest * (longest / shortest) ** torch.linspace(0, 1, count, device=device, dtype=torch.float32)


def sinusoids(positions: Tensor, dim: int, ends: tuple[float, float]) -> Tensor:
    """Sines and cosines of positions (...) at `wavelengths` between two ends: (..., dim)."""
    angle = 2 * math.pi * positions[..., None].float() / wavelengths(dim // 2, ends, positions.device)
    return torch.cat([angle.sin(), angle.cos()], dim=-1)


class NoiseLevel(nn.Module):
    """Embedding of (α, σ): Fourier features of the angle atan2(σ, α) and of log σ/α, followed by a small MLP."""

    def __init__(self, width: int):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(128, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, alpha: Tensor, sigma: Tensor) -> Tensor:
        angle = torch.atan2(sigma, alpha)
        log_ratio = (sigma.clamp_min(1e-8) / alpha.clamp_min(1e-8)).log().clamp(-8, 10)
        features = [
            sinusoids(angle, 64, (0.05, 6.0)),
            sinusoids(log_ratio, 64, (0.5, 40.0)),
        ]
        return self.net(torch.cat(features, dim=-1))


class Attention(nn.Module):
    """Multi-head attention of x to itself and, where given, to a context."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, context: Tensor | None, visible: Tensor) -> Tensor:
        """Attend.

        Args:
            x: (B, N, W) queries, keys and values.
            context: (B, M, W) further keys and values, or None.
            visible: (B, N + M) bool, which keys are not masked.

        Returns:
            (B, N, W).
        """
        source = x if context is None else torch.cat([x, context], dim=1)
        key, value = self.key_value(source).unflatten(-1, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
        query = self.query(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        mask = visible[:, None, None, :]
        if x.device.type == "cpu" and torch.is_autocast_enabled("cpu"):  # in bf16 its gradient takes four times as long
            with torch.autocast("cpu", enabled=False):
                mixed = F.scaled_dot_product_attention(query.float(), key.float(), value.float(), attn_mask=mask)
        else:
            mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        return self.out(mixed.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """Pre-norm transformer block; `modulation` (B, 6, W) shifts, scales and gates its two branches."""

    def __init__(self, width: int, heads: int, dropout: float):
        super().__init__()
        self.attention = Attention(width, heads)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(approximate="tanh"), nn.Dropout(dropout), nn.Linear(4 * width, width)
        )
        self.own_modulation = nn.Parameter(torch.randn(6, width) / width**0.5)

    def forward(self, x: Tensor, context: Tensor | None, visible: Tensor, modulation: Tensor | None = None) -> Tensor:
        own = self.own_modulation[None] if modulation is None else self.own_modulation + modulation
        shift1, scale1, gate1, shift2, scale2, gate2 = own.unsqueeze(2).unbind(1)
        width = x.shape[-1:]
        x = x + gate1 * self.attention(F.layer_norm(x, width) * (1 + scale1) + shift1, context, visible)
        return x + gate2 * self.mlp(F.layer_norm(x, width) * (1 + scale2) + shift2)


class TextSizes(Protocol):
    """Sizes that the text context depends on."""

    @property
    def text_dim(self) -> int: ...
    @property
    def text_depth(self) -> int: ...
    @property
    def width(self) -> int: ...
    @property
    def heads(self) -> int: ...
    @property
    def dropout(self) -> float: ...


class TextContext(nn.Module):
    """Transformer over word vectors, whose output is the context of the motion's tokens.

    The first entry is a learned token that is always visible: with all words masked, it alone represents "no text", the
    unconditional case of classifier-free guidance.
    """

    def __init__(self, config: TextSizes):
        super().__init__()
        self.embed = nn.Linear(config.text_dim, config.width)
        self.start = nn.Parameter(torch.randn(config.width) * 0.02)
        self.blocks = nn.ModuleList(Block(config.width, config.heads, config.dropout) for _ in range(config.text_depth))

    def forward(self, words: Tensor, visible: Tensor) -> tuple[Tensor, Tensor]:
        """Encode words.

        Args:
            words: (B, L, text_dim).
            visible: (B, L) bool.

        Returns:
            Context (B, 1 + L, W) and its mask (B, 1 + L).
        """
        x = self.embed(words)
        x = torch.cat([self.start.expand(len(x), 1, -1), x], dim=1)
        visible = F.pad(visible, (1, 0), value=True)
        x = x + sinusoids(torch.arange(x.shape[1], device=x.device), x.shape[-1], WORD_WAVELENGTHS)
        for block in self.blocks:
            x = block(x, None, visible)
        return F.layer_norm(x, x.shape[-1:]), visible


class Denoiser(nn.Module):
    """y = skip(t) ⊙ x_t + gate(t) ⊙ F(x_t, t, text); the prediction type determines the meaning of y.

    With two outputs per feature, the second one has no skip: y and w are concatenated in the last dimension.
    """

    def __init__(self, config: DenoiserConfig):
        super().__init__()
        self.config = config
        width, patch = config.width, config.frames_per_token
        self.text = TextContext(config)
        self.noise_level = NoiseLevel(width)
        self.summary = nn.Linear(width, width)
        self.modulation = nn.Linear(width, 6 * width)
        self.embed = nn.Linear(patch * config.features, width)
        self.blocks = nn.ModuleList(Block(width, config.heads, config.dropout) for _ in range(config.depth))
        self.unpatch = nn.Linear(width, patch * config.frame_width)
        self.frame_in = nn.Linear(config.features, config.frame_width)
        self.frame_mix = nn.Conv1d(config.frame_width, config.frame_width, kernel_size=3, padding=1)
        self.frame_modulation = nn.Linear(width, 2 * config.frame_width)
        self.frame_out = nn.Linear(config.frame_width, config.outputs * config.features)
        self.hint = nn.Linear(patch * config.hints, width) if config.hints else None
        self.frame_hint = nn.Linear(config.hints, config.frame_width) if config.hints else None
        self.hint_skip = nn.Linear(config.hints, config.features, bias=False) if config.hints else None
        self.hint_gate = nn.Linear(width + 2, config.features) if config.hints else None
        self.skip = nn.Linear(width + 2, config.features)
        self.gate = nn.Linear(width + 2, config.outputs * config.features)
        silent = (self.modulation, self.frame_modulation, self.frame_out, self.skip, self.gate)
        for layer in (*silent, self.hint, self.frame_hint, self.hint_skip, self.hint_gate):
            for parameter in () if layer is None else layer.parameters():
                nn.init.zeros_(parameter)
        for gate in (self.gate, self.hint_gate):
            if gate is not None:
                nn.init.ones_(gate.bias)

    def forward(
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
        """Predict.

        Args:
            x: (B, F, features) noisy motion.
            alpha: (B,) α of the noise level.
            sigma: (B,) σ of the noise level.
            context: (B, M, W) output of `text`.
            seen: (B, M) bool, its mask.
            frames: (B, F) bool, which frames exist.
            hints: (B, F, config.hints) observed motion and mask.
            view: (B, F, features) x with observed features written over it, which the tokens receive in place of x.

        Returns:
            (B, F, outputs · features), zero in frames that do not exist.
        """
        patch = self.config.frames_per_token
        x = x * frames[..., None]
        view = x if view is None else view * frames[..., None]
        count = x.shape[1]
        padded = F.pad(view, (0, 0, 0, -count % patch))
        tokens = F.pad(frames, (0, -count % patch)).unflatten(1, (-1, patch)).any(-1)

        level = self.noise_level(alpha, sigma)
        condition = F.silu(level + self.summary(context[:, 0]))
        modulation = self.modulation(condition).unflatten(-1, (6, -1))
        visible = torch.cat([tokens, seen], dim=1)

        h = self.embed(padded.unflatten(1, (-1, patch)).flatten(2))
        h = h + sinusoids(torch.arange(h.shape[1], device=x.device), h.shape[-1], TOKEN_WAVELENGTHS)
        if self.hint is not None and hints is not None:
            h = h + self.hint(F.pad(hints, (0, 0, 0, -count % patch)).unflatten(1, (-1, patch)).flatten(2))
        for block in self.blocks:
            h = block(h, context, visible, modulation)
        h = self.unpatch(F.layer_norm(h, h.shape[-1:])).unflatten(-1, (patch, -1)).flatten(1, 2)[:, :count]

        shift, scale = self.frame_modulation(condition)[:, None].chunk(2, dim=-1)
        h = h + self.frame_in(x)
        if self.frame_hint is not None and hints is not None:
            h = h + self.frame_hint(hints)
        h = F.silu(h * (1 + scale) + shift) * frames[..., None]
        h = h + F.silu(self.frame_mix(h.transpose(1, 2)).transpose(1, 2))
        out = self.frame_out(h)
        with torch.autocast(x.device.type, enabled=False):  # at large t, ε's x̂0 needs σ to more digits than bf16 has
            level = torch.cat([F.silu(level.float()), alpha[:, None], sigma[:, None]], dim=-1)[:, None]
            y = self.gate(level) * out.float()
            skipped = self.skip(level) * x
            if self.hint_skip is not None and self.hint_gate is not None and hints is not None:
                skipped = skipped + self.hint_gate(level) * self.hint_skip(hints)
        y = y + F.pad(skipped, (0, y.shape[-1] - skipped.shape[-1]))
        return y * frames[..., None]
