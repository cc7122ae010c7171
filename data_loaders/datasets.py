"""Data sets by name, as training and held-out examples."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from data_loaders.augmented_dataset import AugmentedClips, RealClips
from data_loaders.bandai import Bandai
from data_loaders.caption_dataset import CaptionedClips
from data_loaders.captions.vocabulary import collect_known
from data_loaders.cleaning.cutting import MIN_TAKE_FRAMES
from data_loaders.humanml3d.dataset import HumanML3D
from data_loaders.kit import Kit
from data_loaders.mixed_dataset import MixedClips
from data_loaders.procedural.walks import HELD_OUT_SEEDS, ProceduralWalks, walk_clips
from data_loaders.store import Store, is_store, open_store, prepare
from data_loaders.types import CachedExamples, DataSet, Examples, stamp
from motion_diffusion.atomic_io import cache_folder
from motion_diffusion.errors import InputError
from motion_diffusion.prompts import Known

DatasetName = Literal["procedural", "bandai", "humanml3d", "kit", "amass", "bvh", "cmu", "hdm05", "snu", "mixed"]

FORMATS: dict[str, Callable[[Path], DataSet]] = {"bandai": Bandai, "humanml3d": HumanML3D, "kit": Kit}
"""Data sets that are completely specified by their folder. Others are read by `python -m data_loaders prepare`."""

VERSION = 4
"""Version of the readers; stores of other versions in the cache are ignored."""

WALKS_LICENCE = "MIT"

WALK_CLIPS = 256
"""Number of training and of test clips of "procedural"."""

MIN_FRAMES = 40
"""Minimum length of a training clip, two seconds; in mixed data, where short clips are repeated, one second."""


def load_clips(name: DatasetName, root: Path | None, *, cache: Path | None = None) -> Store:
    """Load all clips of a data set.

    A folder is read once, within a minute or two, into a store in the cache, which is used until the folder's files
    change.

    Args:
        name: The data set.
        root: Its folder, or a store made of it by `python -m data_loaders prepare`; None for "procedural", whose clips
            are generated.
        cache: Folder for the store; by default `motion-diffusion` in the user's cache folder.

    Raises:
        FileNotFoundError: If there is no such folder.
        InputError: If no folder is given, or the data is of another data set or damaged.
    """
    if name == "procedural":
        return Store(name, False, WALKS_LICENCE, tuple(walk_clips(WALK_CLIPS)))
    if root is None:
        raise InputError(
            f"data set {name} needs --data-root, the folder with its clips; see the README for where to get it"
        )
    if is_store(root):
        store = open_store(root)
        if store.data != name:
            raise InputError(f"{root} was prepared from {store.data}; give --data {store.data}")
        return store
    if name not in FORMATS:
        raise InputError(f"{root} is no prepared store; make one with python -m data_loaders prepare {name} --help")
    source = FORMATS[name](root).source()
    stored = (cache_folder() if cache is None else cache) / stamp(name, source.files, VERSION)
    return open_store(stored) if is_store(stored) else prepare(name, source, stored)


class Data(NamedTuple):
    """Examples for training and validation."""

    train: Examples
    held_out: Examples
    licence: str
    """Licence of the data in one line; it applies to models trained on it."""
    known: Known | None = None
    """Actions and words of the training clips; None for generated walks."""


def load_examples(name: DatasetName | Store, root: Path | None = None, *, frames: int, seed: int = 0) -> Data:
    """Load a data set for training.

    Args:
        name: The data set; or a store of clips, such as `store.prepare` makes of a data set of your own.
        root: Its folder or store; None for data sets that are generated, and for a store given as `name`.
        frames: Maximum number of frames of an example.
        seed: Seed of the random draws.

    Raises:
        FileNotFoundError: If there is no such folder.
        InputError: If the data set is unknown, needs a folder and has none, or has no suitable clips.
    """
    if isinstance(name, str) and name not in get_args(DatasetName):
        raise InputError(f"unknown data set {name!r}; choose from {', '.join(get_args(DatasetName))}")
    if name == "procedural":
        walks, others = (ProceduralWalks(each, frames, MIN_FRAMES) for each in (seed, seed + HELD_OUT_SEEDS))
        return Data(walks, others, WALKS_LICENCE)
    store = load_clips(name, root) if isinstance(name, str) else name
    train, held_out = store.of_split("train"), store.of_split("val")
    known = collect_known(train, mirrored=store.mirrored)
    if store.data == "bandai":
        return Data(
            CachedExamples(AugmentedClips(train, frames, MIN_FRAMES, seed)),
            RealClips(held_out, frames, MIN_FRAMES),
            store.licence,
            known,
        )
    if store.data == "mixed":
        return Data(
            CachedExamples(MixedClips(train, frames, MIN_TAKE_FRAMES, seed, mirrored=store.mirrored)),
            CaptionedClips(held_out, frames, MIN_TAKE_FRAMES, part="held-out"),
            store.licence,
            known,
        )
    return Data(
        CaptionedClips(train, frames, MIN_FRAMES, seed, mirrored=store.mirrored),
        CaptionedClips(held_out, frames, MIN_FRAMES, mirrored=True, part="held-out"),
        store.licence,
        known,
    )
