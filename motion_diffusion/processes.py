"""Several processes that share work, begun by `accelerate launch`; or this one alone."""

from __future__ import annotations

from datetime import timedelta

import torch
from accelerate import PartialState
from accelerate.utils import parse_flag_from_env

LONGEST_WAIT = timedelta(days=30)
"""In the end, of the first process for the others."""


def processes() -> PartialState:
    """This process and the others that a launcher began; on the CPU unless there is a CUDA device."""
    cpu = not torch.cuda.is_available() or parse_flag_from_env("ACCELERATE_USE_CPU")
    return PartialState(cpu=cpu, timeout=LONGEST_WAIT)
