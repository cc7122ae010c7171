"""The data sets by name, each split into examples to train on and examples held out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from data_loaders.augmented_dataset import AugmentedClips, RealClips
from data_loaders.bandai import bandai
from data_loaders.caption_dataset import CaptionedClips
from data_loaders.captions.vocabulary import collect_known
from data_loaders.cleaning.cutting import MIN_TAKE_FRAMES
from data_loaders.humanml3d.dataset import humanml3d
from data_loaders.kit import kit
from data_loaders.mixed_dataset import MixedClips
from data_loaders.procedural.walks import ProceduralWalks
from data_loaders.store import Store, is_store, open_store, prepare
from data_loaders.types import CachedExamples, Examples, Source, stamp
from motion_diffusion.atomic_io import cache_folder
from motion_diffusion.errors import InputError
from motion_diffusion.prompts.known_actions import Known

DatasetName = Literal["procedural", "bandai", "humanml3d", "kit", "amass", "bvh", "cmu", "hdm05", "snu", "mixed"]

FORMATS: dict[str, Callable[[Path], Source]] = {"bandai": bandai, "humanml3d": humanml3d, "kit": kit}
"""Those whose folders say all there is to know; others need more, and are read by `python -m data_loaders prepare`."""

VERSION = 4
"""Of how clips are read; older stores in the cache are not used any more."""

MIN_FRAMES = 40
"""Shortest clip that is trained on, two seconds; in mixed data, where short ones are done again, one."""


def load_clips(name: DatasetName, root: Path | None, *, cache: Path | None = None) -> Store:
    """All clips of a data set. root: its folder, or a store made of it by `python -m data_loaders prepare`.

    A folder is read once, in a minute or two, into a store in `cache` (by default `motion-diffusion` in the user's
    cache folder) and comes from there until its files change. Raises InputError or FileNotFoundError if there is none,
    or something in it is broken.
    """
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
    source = FORMATS[name](root)
    stored = (cache_folder() if cache is None else cache) / stamp(name, source.files, VERSION)
    return open_store(stored) if is_store(stored) else prepare(name, source, stored)


class Data(NamedTuple):
    """What to train on."""

    train: Examples
    held_out: Examples
    licence: str
    """What may be done with models that are trained on it, in one line."""
    known: Known | None = None
    """What the training clips are about; None for walks that are made up."""


def load_examples(name: DatasetName, root: Path | None, *, frames: int, seed: int = 0) -> Data:
    """Examples of at most so many frames.

    root: where a data set lies that has to be downloaded. InputError if it needs one and has none, or has no clips.
    """
    if name not in get_args(DatasetName):
        raise InputError(f"unknown data set {name!r}; choose from {', '.join(get_args(DatasetName))}")
    if name == "procedural":
        walks, others = (ProceduralWalks(each, frames, MIN_FRAMES) for each in (seed, seed + 1_000_003))
        return Data(walks, others, "MIT")
    store = load_clips(name, root)
    train, held_out = store.of_split("train"), store.of_split("val")
    known = collect_known(train, mirrored=store.mirrored)
    if name == "bandai":
        return Data(
            CachedExamples(AugmentedClips(train, frames, MIN_FRAMES, seed)),
            RealClips(held_out, frames, MIN_FRAMES),
            store.licence,
            known,
        )
    if name == "mixed":
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
