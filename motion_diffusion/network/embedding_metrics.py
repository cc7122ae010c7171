"""The field's metrics on embeddings of motions and of texts: (N, D) tensors in, numbers out, all in float64.

They are those of Guo et al. 2022 (Generating Diverse and Natural 3D Human Motions from Text), whose code the field has
used since. What embeds is an evaluator; numbers of different evaluators cannot be compared.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from motion_diffusion.errors import InputError


def frechet_distance(real: Tensor, made: Tensor) -> float:
    """FID: the Fréchet distance of the Gaussians with mean and covariance of real (N, D) and made (M, D).

    |μ₁ − μ₂|² + tr Σ₁ + tr Σ₂ − 2 tr √(Σ₁Σ₂) (Heusel et al. 2017). With Σ = RᵀR from the QR decomposition of the
    centred embeddings, the last trace is the sum of the singular values of R₁R₂ᵀ: no root of a matrix is taken, none
    of its digits are lost, and fewer embeddings than dimensions will do. Never negative. It is the greater the fewer
    embeddings there are: compare it for equal numbers only. InputError for fewer than 2.
    """
    (mean_1, root_1), (mean_2, root_2) = _gaussian(real), _gaussian(made)
    overlap = torch.linalg.svdvals(root_1 @ root_2.T).sum()
    spread = root_1.square().sum() + root_2.square().sum()
    return max(((mean_1 - mean_2).square().sum() + spread - 2 * overlap).item(), 0.0)


def r_precision(
    texts: Tensor, motions: Tensor, *, pool: int = 32, top: int = 3, captions: Sequence[str] | None = None
) -> list[float]:
    """How often a text (N, D) finds its motion (N, D) among the nearest 1, 2, … top of a pool: `top` shares.

    Each run of `pool` pairs is a pool, so shuffle before; a last one that is not full is left out. Motions at exactly
    the same distance share their places: the result is its mean over all their orders, so that an evaluator or model
    for which all is the same gets the share of chance. captions: the texts in words; a motion of the same text in the
    pool is then right as well. Without them, as in the reference, only the text's own motion is right.
    InputError if there is no full pool.
    """
    texts, motions = _paired(texts, motions)
    pools = len(texts) // pool
    if pools == 0:
        raise InputError(f"R-precision in pools of {pool} needs as many motions, {len(texts)} are given")
    if captions is not None and len(captions) != len(texts):
        raise InputError(f"{len(captions)} captions for {len(texts)} texts; give one for each")
    keys: Sequence[object] = range(len(texts)) if captions is None else captions
    number = {key: i for i, key in enumerate(keys)}
    text = torch.tensor([number[key] for key in keys])[: pools * pool].view(pools, pool)
    distances = torch.cdist(
        texts[: pools * pool].unflatten(0, (pools, pool)),
        motions[: pools * pool].unflatten(0, (pools, pool)),
        compute_mode="donot_use_mm_for_euclid_dist",  # exact, so that what is equally far is found to be
    )
    right = text[:, :, None] == text[:, None, :]
    nearest = distances.where(right, torch.inf).amin(-1, keepdim=True)
    level = distances == nearest
    closer, equal, wrong = (which.sum(-1) for which in (distances < nearest, level, level & ~right))
    missed = torch.ones(pools, pool, dtype=torch.float64)
    result = []
    for place in range(top):
        before = place - closer  # places of this distance that came before; at each, all were wrong if it is missed
        again = (wrong - before).clamp_min(0).double() / (equal - before).clamp_min(1)
        missed = torch.where(before >= 0, missed * again, missed)
        result.append((1 - missed).mean().item())
    return result


def matching_score(texts: Tensor, motions: Tensor) -> float:
    """Mean distance of texts (N, D) from their motions (N, D); also called multimodal distance. Less is better."""
    texts, motions = _paired(texts, motions)
    return (texts - motions).norm(dim=-1).mean().item()


def diversity(motions: Tensor, *, generator: torch.Generator, pairs: int = 300) -> float:
    """Mean distance of random pairs of motions (N, D).

    Firsts are drawn without repetition and so are seconds, apart from each other, so that a motion may meet itself (as
    in the reference). InputError for fewer motions than pairs.
    """
    motions = _checked(motions)
    first, second = _pairs(len(motions), pairs, generator)
    return (motions[first] - motions[second]).norm(dim=-1).mean().item()


def multimodality(motions: Tensor, *, generator: torch.Generator, pairs: int = 10) -> float:
    """Mean distance of random pairs of the R motions that were made for the same text: (texts, R, D), usually R = 30.

    Pairs are drawn as for `diversity`, the same for all texts. InputError for fewer repeats than pairs.
    """
    motions = _checked(motions)
    first, second = _pairs(motions.shape[1], pairs, generator)
    return (motions[:, first] - motions[:, second]).norm(dim=-1).mean().item()


def mean_and_interval(values: Sequence[float]) -> tuple[float, float]:
    """The mean of replications, and half of its 95 % interval as the field prints it: 1.96·std/√n.

    std is that of the values themselves, divided by n and not n − 1, so a single value has interval 0.
    """
    numbers = torch.tensor(list(values), dtype=torch.float64)
    return numbers.mean().item(), 1.96 * numbers.std(correction=0).item() / len(numbers) ** 0.5


def _gaussian(embeddings: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (D,) of embeddings (N, D), and R (min(N, D), D) of which RᵀR is their covariance."""
    embeddings = _checked(embeddings)
    if len(embeddings) < 2:
        raise InputError(f"the Fréchet distance needs 2 embeddings or more on either side, {len(embeddings)} given")
    mean = embeddings.mean(0)
    return mean, torch.linalg.qr(embeddings - mean, mode="r").R / (len(embeddings) - 1) ** 0.5


def _paired(texts: Tensor, motions: Tensor) -> tuple[Tensor, Tensor]:
    if texts.shape != motions.shape:
        raise InputError(
            f"embeddings of texts {tuple(texts.shape)} and motions {tuple(motions.shape)} are not in pairs"
        )
    return _checked(texts), _checked(motions)


def _pairs(count: int, pairs: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Indices of the firsts and of the seconds."""
    if not 1 <= pairs <= count:
        raise InputError(f"{pairs} pairs cannot be drawn from {count} motions; give between 1 and {count}")
    first, second = (torch.randperm(count, generator=generator)[:pairs] for _ in range(2))
    return first, second


def _checked(embeddings: Tensor) -> Tensor:
    if not embeddings.isfinite().all():
        raise InputError("there are embeddings that are not finite; look for NaN or huge numbers in the motions")
    return embeddings.detach().cpu().double()
