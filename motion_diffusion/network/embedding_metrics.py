"""Metrics on embeddings of motions and texts, (N, D) tensors; all in float64.

They are those of Guo et al. 2022 (Generating Diverse and Natural 3D Human Motions from Text), whose code the field has
used since. The embedding model is the evaluator; results of different evaluators cannot be compared.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from motion_diffusion.errors import InputError


def frechet_distance(real: Tensor, made: Tensor) -> float:
    """FID: the Fréchet distance of the Gaussians with mean and covariance of real and generated embeddings.

    |μ₁ − μ₂|² + tr Σ₁ + tr Σ₂ − 2 tr √(Σ₁Σ₂) (Heusel et al. 2017). With Σ = RᵀR from the QR decomposition of the
        centred
    embeddings, the last trace is the sum of the singular values of R₁R₂ᵀ. This avoids the matrix square root, loses no
    digits, and works with fewer embeddings than dimensions. The distance is biased: it grows as the number of
    embeddings falls, so compare it for equal numbers only.

    Args:
        real: (N, D).
        made: (M, D).

    Raises:
        InputError: for fewer than 2 embeddings.
    """
    (mean_1, root_1), (mean_2, root_2) = _gaussian(real), _gaussian(made)
    overlap = torch.linalg.svdvals(root_1 @ root_2.T).sum()
    spread = root_1.square().sum() + root_2.square().sum()
    return max(((mean_1 - mean_2).square().sum() + spread - 2 * overlap).item(), 0.0)


def neighbourhoods(real: Tensor, made: Tensor, *, k: int = 5) -> dict[str, float]:
    """Precision, recall, density and coverage, by balls around embeddings that reach to the k-th neighbour of their own
    kind.

    Precision is the share of generated embeddings within a ball of a real one, recall the share of real ones within a
    ball of a generated one (Kynkäänniemi et al. 2019). Density is the mean number of real balls that contain a
    generated embedding, divided by k, and coverage the share of real balls that contain one (Naeem et al. 2020): 1 for
    the first and 1 − 2⁻ᵏ for the second if the distributions are equal.

    Args:
        real: (N, D).
        made: (M, D).
        k: Neighbour whose distance is the radius of a ball.

    Raises:
        InputError: For k or fewer embeddings.
    """
    real, made = _checked(real), _checked(made)
    if min(len(real), len(made)) <= k:
        raise InputError(f"{min(len(real), len(made))} embeddings have no {k}-th neighbour; give more than {k}")
    of_real, of_made = (torch.cdist(some, some).kthvalue(k + 1, dim=1).values for some in (real, made))  # 1: itself
    distances = torch.cdist(real, made)
    inside, covering = distances < of_real[:, None], distances < of_made
    shares = {"precision": inside.any(0), "recall": covering.any(1), "coverage": inside.any(1)}
    return {name: share.double().mean().item() for name, share in shares.items()} | {
        "density": inside.double().sum(0).mean().item() / k
    }


def r_precision(
    texts: Tensor, motions: Tensor, *, pool: int = 32, top: int = 3, captions: Sequence[str] | None = None
) -> list[float]:
    """Retrieval precision: how often the matching motion is among the nearest 1, 2, …, top of a pool of motions.

    Consecutive runs of `pool` pairs form the pools, so shuffle before; an incomplete last one is dropped. Motions at
    exactly the same distance share their ranks: the result is the mean over all their orders, so that a constant
    evaluator gets the precision of chance.

    Args:
        texts: (N, D).
        motions: (N, D).
        pool: pairs in a pool.
        top: largest rank.
        captions: the texts as strings; motions of the same text in a pool are then correct as well. Without them, as in
            the reference, only the text's own motion is.

    Returns:
        `top` precisions.

    Raises:
        InputError: without a complete pool.
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
        compute_mode="donot_use_mm_for_euclid_dist",  # exact, so that ties are recognised
    )
    right = text[:, :, None] == text[:, None, :]
    nearest = distances.where(right, torch.inf).amin(-1, keepdim=True)
    level = distances == nearest
    closer, equal, wrong = (which.sum(-1) for which in (distances < nearest, level, level & ~right))
    missed = torch.ones(pools, pool, dtype=torch.float64)
    result = []
    for place in range(top):
        before = place - closer  # earlier ranks at this distance; all of them wrong if the match is missed
        again = (wrong - before).clamp_min(0).double() / (equal - before).clamp_min(1)
        missed = torch.where(before >= 0, missed * again, missed)
        result.append((1 - missed).mean().item())
    return result


def matching_score(texts: Tensor, motions: Tensor) -> float:
    """Mean distance of texts (N, D) from their motions (N, D), also called multimodal distance. Lower is better."""
    texts, motions = _paired(texts, motions)
    return (texts - motions).norm(dim=-1).mean().item()


def diversity(motions: Tensor, *, generator: torch.Generator, pairs: int = 300) -> float:
    """Mean distance of random pairs of motions (N, D).

    First and second elements are drawn without replacement, independently of each other, so that a motion may be paired
    with itself (as in the reference).

    Raises:
        InputError: for fewer motions than pairs.
    """
    motions = _checked(motions)
    first, second = _pairs(len(motions), pairs, generator)
    return (motions[first] - motions[second]).norm(dim=-1).mean().item()


def multimodality(motions: Tensor, *, generator: torch.Generator, pairs: int = 10) -> float:
    """Mean distance of random pairs of the R motions generated for the same text: (texts, R, D), usually R = 30.

    Pairs are drawn as for `diversity`, the same for all texts.

    Raises:
        InputError: for fewer repetitions than pairs.
    """
    motions = _checked(motions)
    first, second = _pairs(motions.shape[1], pairs, generator)
    return (motions[:, first] - motions[:, second]).norm(dim=-1).mean().item()


def mean_and_interval(values: Sequence[float]) -> tuple[float, float]:
    """Mean of replications, and half of its 95 % interval as usual in the field: 1.96·std/√n.

    std is that of the values themselves, divided by n and not n − 1, so a single value has interval 0.
    """
    numbers = torch.tensor(list(values), dtype=torch.float64)
    return numbers.mean().item(), 1.96 * numbers.std(correction=0).item() / len(numbers) ** 0.5


def _gaussian(embeddings: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (D,) of embeddings (N, D), and R (min(N, D), D) with RᵀR their covariance."""
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
    """Indices of the first and of the second elements."""
    if not 1 <= pairs <= count:
        raise InputError(f"{pairs} pairs cannot be drawn from {count} motions; give between 1 and {count}")
    first, second = (torch.randperm(count, generator=generator)[:pairs] for _ in range(2))
    return first, second


def _checked(embeddings: Tensor) -> Tensor:
    if not embeddings.isfinite().all():
        raise InputError("there are embeddings that are not finite; look for NaN or huge numbers in the motions")
    return embeddings.detach().cpu().double()
