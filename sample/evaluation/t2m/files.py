"""Reads the published files of the T2M evaluator (Guo et al. 2022) without executing anything in them."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from motion_diffusion.errors import InputError

_PLACES = {
    "weights": ("t2m/text_mot_match/model/finest.tar", "checkpoints/t2m/text_mot_match/model/finest.tar"),
    "mean": ("t2m/Comp_v6_KLD01/meta/mean.npy", "checkpoints/t2m/Comp_v6_KLD01/meta/mean.npy", "dataset/t2m_mean.npy"),
    "std": ("t2m/Comp_v6_KLD01/meta/std.npy", "checkpoints/t2m/Comp_v6_KLD01/meta/std.npy", "dataset/t2m_std.npy"),
    "vectors": ("glove/our_vab_data.npy",),
    "words": ("glove/our_vab_words.pkl",),
    "rows": ("glove/our_vab_idx.pkl",),
}
"""Possible paths of each file: as in the archives, in a clone of T2M, and in a clone of MDM, GMD or OmniControl."""

AGAIN = "get the T2M evaluator's files again"


@dataclass(frozen=True)
class T2MFiles:
    """The paths of the published files."""

    weights: Path
    mean: Path
    std: Path
    vectors: Path
    words: Path
    rows: Path

    @staticmethod
    def find(folder: str | Path) -> T2MFiles:
        """Find the files in a folder.

        Raises:
            InputError: Files are missing; the message has their names and paths.
        """
        found = {
            name: [path for place in places if (path := Path(folder, place)).is_file()]
            for name, places in _PLACES.items()
        }
        if missing := [_PLACES[name][0] for name, paths in found.items() if not paths]:
            raise InputError(
                f"{folder} has no {', no '.join(missing)}: give a folder into which the T2M evaluator (t2m.zip) and "
                "its word vectors (glove.zip) were unpacked, such as a clone of MDM after its download scripts"
            )
        return T2MFiles(**{name: paths[0] for name, paths in found.items()})


def read_weights(path: Path) -> dict[str, Any]:
    """Read a checkpoint of tensors, numbers and texts.

    Raises:
        InputError: The file is no checkpoint, or would execute code.
    """
    with path.open("rb") as file:
        try:
            checkpoint = torch.load(file, map_location="cpu", weights_only=True)
        except Exception:  # arbitrary bytes can raise anything
            checkpoint = None
    if not isinstance(checkpoint, dict):
        raise InputError(f"{path} is no checkpoint, or holds more than weights; nothing in it was run; {AGAIN}")
    return checkpoint


def read_pickle(path: Path) -> Any:
    """Read the texts, numbers, lists, tuples and dictionaries of a pickle.

    Raises:
        InputError: The file is no pickle, or contains anything else.
    """
    with path.open("rb") as file:
        try:
            return _PlainUnpickler(file).load()
        except Exception as error:  # arbitrary bytes can raise anything
            reason = " ".join(str(error).split())[:80] or type(error).__name__
            raise InputError(
                f"{path} is not a plain list or dictionary ({reason}); it was not read further; {AGAIN}"
            ) from None


class _PlainUnpickler(pickle.Unpickler):
    """Builds only built-in containers and values, and refuses to look up any class or function."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")
