"""Directories of trained models: config.json, and model.safetensors with weights and feature statistics."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from motion_diffusion.assets import ASSETS
from motion_diffusion.atomic_io import atomic, read_json, save_tensors
from motion_diffusion.body.representation import Representation
from motion_diffusion.errors import InputError

CONFIG, WEIGHTS = "config.json", "model.safetensors"

T = TypeVar("T")


def digest_of(tensors: Mapping[str, Tensor]) -> str:
    """Sixteen hex digits that identify weights; the same for float16 and float32."""
    digest = hashlib.sha256()
    for name, value in sorted(tensors.items()):
        digest.update(name.encode() + value.detach().half().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


class Version:
    """Tells whether tensors in memory were replaced or changed in place since it was last asked.

    It keeps the tensors, so that no new one can have the address of a former one.
    """

    def __init__(self) -> None:
        self._kept: list[Tensor] = []
        self._places: list[tuple[int, int]] | None = None

    def changed(self, tensors: Iterable[Tensor]) -> bool:
        """Whether these are not the tensors of the last call, or have changed; always for those of inference mode,
        whose changes PyTorch does not count."""
        kept = list(tensors)
        places = None
        if not any(tensor.is_inference() for tensor in kept):
            places = [(tensor.data_ptr(), tensor._version) for tensor in kept]
        changed = places is None or places != self._places
        self._kept, self._places = kept, places
        return changed


class Digest:
    """`digest_of` of a model's tensors, computed again only if they have changed."""

    def __init__(self) -> None:
        self._version = Version()
        self._value = ""

    def of(self, tensors: Mapping[str, Tensor]) -> str:
        """The digest of tensors, whose names are the same at every call."""
        if self._version.changed(tensors.values()):
            self._value = digest_of(tensors)
        return self._value


def tensors_of(weights: Mapping[str, Tensor], called: str, representation: Representation) -> dict[str, Tensor]:
    """The tensors to store for a model: its weights as `called`.<name>, and its representation's statistics."""
    named = {f"{called}.{name}": value for name, value in weights.items()}
    return named | {f"representation.{name}": value for name, value in representation.tensors().items()}


def part(tensors: Mapping[str, Tensor], called: str) -> dict[str, Tensor]:
    """The tensors whose names start with `called`., by the rest of their names."""
    return {k.removeprefix(f"{called}."): v for k, v in tensors.items() if k.startswith(f"{called}.")}


def write(directory: Path, config: Any, tensors: Mapping[str, Tensor], dtype: torch.dtype) -> None:
    """Write a model's config (a dataclass) and tensors; weights in dtype, statistics in float32."""
    kept = {
        name: value.detach().to(torch.float32 if name.startswith("representation.") else dtype)
        for name, value in tensors.items()
    }
    with atomic(directory / CONFIG) as path:
        path.write_text(json.dumps(dataclasses.asdict(config), indent=2) + "\n")
    with atomic(directory / WEIGHTS) as path:
        save_tensors(kept, path)


def shipped(kind: str) -> list[str]:
    """Names of the shipped models of a kind (a folder in assets)."""
    return sorted(path.parent.name for path in (ASSETS / kind).glob(f"*/{CONFIG}"))


def find(name: str | Path, kind: str) -> Path:
    """The directory of a shipped model or a run. FileNotFoundError lists the shipped ones."""
    for directory in (Path(name), ASSETS / kind / name):
        if (directory / CONFIG).is_file() and (directory / WEIGHTS).is_file():
            return directory
    raise FileNotFoundError(
        f"no {kind.removesuffix('s')} {str(name)!r}: give one of {', '.join(shipped(kind)) or '(none shipped)'} "
        f"or a run directory with {CONFIG} and {WEIGHTS}"
    )


def read_config(directory: Path, config: type[T]) -> T:
    """Read and validate config.json. InputError names the invalid field."""
    return read_json(directory / CONFIG, config, "copy or train it again")


@contextmanager
def reading(directory: Path) -> Iterator[dict[str, Tensor]]:
    """Context with a model's tensors in float32, to be loaded into modules. InputError if the file is damaged or does
    not fit.
    """
    path = directory / WEIGHTS
    try:
        yield {name: value.float() for name, value in load_file(path).items()}
    except (SafetensorError, RuntimeError, KeyError, InputError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{path} is not whole, or of another kind ({reason}); copy or train it again") from None
