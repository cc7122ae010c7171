"""Exponential moving average of weights that soon forgets the initial ones."""

from __future__ import annotations

from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn


def update_average(rate: float, averages: list[Tensor], live: list[Tensor], count: Tensor | int) -> None:
    """Move averages by m ← r·m + (1 − r)·w with r = min(rate, n/(n + 9)) after n updates.

    `functools.partial(update_average, rate)` is the multi_avg_fn of `torch.optim.swa_utils.AveragedModel`.
    """
    n = int(count)
    get_ema_multi_avg_fn(min(rate, n / (n + 9)))(averages, live, count)
