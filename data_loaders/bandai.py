"""The Bandai-Namco Research motion dataset: 3,076 BVH clips of 24 actions in 19 styles, on this project's body.

Kobayashi, Liao, Inoue, Yojima, Takahashi 2023, arXiv:2306.08861; CC BY-NC 4.0. Clone its public repository
(BandaiNamcoResearchInc/Bandai-Namco-Research-Motiondataset) and give its folder as the data root.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm.auto import tqdm

from data_loaders.bvh import Bvh, read_bvh
from motion_diffusion.errors import InputError
from motion_diffusion.files import atomic
from motion_diffusion.heading import to_origin
from motion_diffusion.skeleton import BONE_LENGTHS, FPS, JOINTS, OFFSETS

Array = NDArray[np.float64]

VERSION = 2
"""Of the retargeting, part of the cache's name."""

_SIDES = {"left": "L", "right": "R"}
_LENGTH = dict(zip(JOINTS, BONE_LENGTHS.tolist(), strict=True))
_OFFSET = dict(zip(JOINTS, OFFSETS.numpy(), strict=True))


@dataclass(frozen=True, eq=False)
class Clip:
    """One clip. joints: (F, 22, 3) float32 metres at 20 frames a second, from the origin, facing +z.

    The floor is the capture's own, y = 0; the balls of standing feet are 4 to 5 cm above it.
    """

    name: str
    """The file's, without ending: "dataset-2_walk-turn-left_elderly_003"."""
    action: str
    """Such as "walk-turn-left"."""
    style: str
    """Such as "elderly"."""
    joints: NDArray[np.float32]


def split_of(name: str) -> Literal["train", "val", "test"]:
    """Which part of the fixed split a clip belongs to, by a hash of its name: 90 %, 5 %, 5 %."""
    share = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") / 2**64
    return "train" if share < 0.9 else "val" if share < 0.95 else "test"


def load_bandai(root: str | Path, *, cache: str | Path | None = None) -> list[Clip]:
    """All clips under a folder, by name; reading them takes a minute or two, once, then they come from a cache.

    cache: folder for it, by default `motion-diffusion` in the user's cache folder. Raises FileNotFoundError or
    InputError if there is no folder, no clip in it, or a broken one.
    """
    root = Path(root)
    if not root.is_dir():
        raise FileNotFoundError(f"no folder {root}; give --data-root the folder of the Bandai-Namco dataset")
    paths = sorted(root.rglob("dataset-*_*_*_*.bvh"), key=lambda path: path.stem)
    if not paths:
        raise InputError(
            f"{root} has no clips dataset-*_<action>_<style>_<number>.bvh; clone the repository "
            "Bandai-Namco-Research-Motiondataset of BandaiNamcoResearchInc and give its folder"
        )
    listing = "".join(f"{path.stem} {path.stat().st_size}\n" for path in paths)
    key = hashlib.sha256(f"{VERSION}\n{listing}".encode()).hexdigest()[:16]
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "motion-diffusion"
    stored = (home if cache is None else Path(cache)) / f"bandai-{key}.npz"
    if stored.is_file():
        with np.load(stored, allow_pickle=False) as file:
            joints, lengths = file["joints"], file["lengths"]
    else:
        with ProcessPoolExecutor(min(len(paths), os.cpu_count() or 1)) as pool:
            clips = list(
                tqdm(pool.map(read_clip, paths, chunksize=16), total=len(paths), desc="reading clips", disable=None)
            )
        joints, lengths = np.concatenate(clips), np.array([len(clip) for clip in clips])
        with atomic(stored) as path, path.open("wb") as file:
            np.savez(file, joints=joints, lengths=lengths)
    parts = np.split(joints, np.cumsum(lengths)[:-1])
    labels = [path.stem.lower().split("_") for path in paths]
    return [Clip(path.stem, label[1], label[2], part) for path, label, part in zip(paths, labels, parts, strict=True)]


def read_clip(path: Path) -> NDArray[np.float32]:
    """A file of the dataset as joints (F, 22, 3) of this body at 20 frames a second; see `Clip`."""
    bvh = read_bvh(path)
    return to_origin(torch.from_numpy(retarget(_resampled(bvh), path))).numpy().astype(np.float32)


def _resampled(bvh: Bvh) -> dict[str, Array]:
    """Positions (F, 3) of each joint at 20 frames a second, by cubic (Catmull-Rom) interpolation."""
    positions, _ = bvh.world()
    last = len(positions) - 1
    place = np.arange(int(last * bvh.frame_time * FPS + 1e-6) + 1) / (bvh.frame_time * FPS)
    index = np.minimum(place.astype(int), max(last - 1, 0))
    u = (place - index)[:, None, None]
    before, a, b, after = (positions[np.clip(index + k, 0, last)] for k in (-1, 0, 1, 2))
    curve = a + 0.5 * u * (b - before + u * (2 * before - 5 * a + 4 * b - after + u * (3 * (a - b) + after - before)))
    return dict(zip(bvh.names, curve.transpose(1, 0, 2), strict=True))


def retarget(source: dict[str, Array], path: Path) -> Array:
    """The dataset's body (positions (F, 3) by joint, metres) → this one's joints (F, 22, 3).

    The hips' middle and the toes are the source's, scaled by the ratio of the legs (toes a little further ahead, since
    this foot is longer), so that feet that stand or roll keep their place; knees bend in the source's plane. Pelvis
    and shoulder girdle are rigid with this body's shape; every other bone keeps its direction. The source has one
    joint less in the spine: three lie on its way from hips to chest.
    """
    missing = [name for name in ("Hips", "Spine", "Chest", "Neck", "Head", "Toes_L", "Hand_R") if name not in source]
    if missing:
        raise InputError(f"{path}: no joint {', '.join(missing)}; give files of the Bandai-Namco dataset")
    thigh = np.linalg.norm(source["LowerLeg_L"] - source["UpperLeg_L"], axis=-1).mean()
    shin = np.linalg.norm(source["Foot_L"] - source["LowerLeg_L"], axis=-1).mean()
    scale = (_LENGTH["left_knee"] + _LENGTH["left_ankle"]) / (thigh + shin)
    source = {name: scale * positions for name, positions in source.items()}

    body: dict[str, Array] = {}
    pelvis = _frame(source["UpperLeg_L"] - source["UpperLeg_R"], source["Spine"] - source["Hips"])
    middle = (_OFFSET["left_hip"] + _OFFSET["right_hip"]) / 2
    body["pelvis"] = (source["UpperLeg_L"] + source["UpperLeg_R"]) / 2 - pelvis @ middle
    for side, letter in _SIDES.items():
        hip = body[f"{side}_hip"] = body["pelvis"] + pelvis @ _OFFSET[f"{side}_hip"]
        knee, ankle, toes = (source[f"{name}_{letter}"] for name in ("LowerLeg", "Foot", "Toes"))
        bend = knee - (source[f"UpperLeg_{letter}"] + ankle) / 2
        foot = _unit(toes - ankle)
        longer = _LENGTH[f"{side}_foot"] - np.linalg.norm(toes - ankle, axis=-1).mean()
        ankle = toes + longer * _unit(foot * [1, 0, 1]) - _LENGTH[f"{side}_foot"] * foot
        body[f"{side}_knee"], body[f"{side}_ankle"] = _leg(hip, ankle, bend + 0.01 * pelvis[..., 2], side)
        _extend(body, f"{side}_ankle", f"{side}_foot", foot)

    for before, joint, at in _spine(source):
        _extend(body, before, joint, at)
    chest = _frame(source["Shoulder_L"] - source["Shoulder_R"], source["Neck"] - source["Chest"])
    _extend(body, "spine3", "neck", source["Neck"] - source["Chest"])
    _extend(body, "neck", "head", source["Head"] - source["Neck"])
    for side, letter in _SIDES.items():
        body[f"{side}_collar"] = body["spine3"] + chest @ _OFFSET[f"{side}_collar"]
        arm = [source[f"{name}_{letter}"] for name in ("Shoulder", "UpperArm", "LowerArm", "Hand")]
        chain = [f"{side}_{name}" for name in ("collar", "shoulder", "elbow", "wrist")]
        for i in range(3):
            _extend(body, chain[i], chain[i + 1], arm[i + 1] - arm[i])
    return np.stack([body[name] for name in JOINTS], axis=1)


def _extend(body: dict[str, Array], parent: str, joint: str, direction: Array) -> None:
    """Put a joint at its bone's length from its parent."""
    body[joint] = body[parent] + _LENGTH[joint] * _unit(direction)


def _spine(source: dict[str, Array]) -> Sequence[tuple[str, str, Array]]:
    """(parent, joint, direction) of the three spine bones: chords of the source's way from Hips over Spine to Chest."""
    hips, spine, chest = source["Hips"], source["Spine"], source["Chest"]
    lower, upper = (np.linalg.norm(b - a, axis=-1).mean() for a, b in ((hips, spine), (spine, chest)))
    names = ("pelvis", "spine1", "spine2", "spine3")
    ends = np.cumsum([0.0, *(_LENGTH[name] for name in names[1:])])
    way = ends / ends[-1] * (lower + upper)
    points = [
        hips + s / lower * (spine - hips) if s <= lower else spine + (s - lower) / upper * (chest - spine) for s in way
    ]
    return [(names[i], names[i + 1], points[i + 1] - points[i]) for i in range(3)]


def _leg(hip: Array, ankle: Array, bend: Array, side: str) -> tuple[Array, Array]:
    """Knee and ankle: the ankle where it is wanted or as near as the leg reaches, the knee towards `bend`."""
    thigh, shin = _LENGTH[f"{side}_knee"], _LENGTH[f"{side}_ankle"]
    along = _unit(ankle - hip)
    reach = np.clip(np.linalg.norm(ankle - hip, axis=-1, keepdims=True), abs(thigh - shin) + 1e-3, thigh + shin - 1e-4)
    forward = _unit(bend - (bend * along).sum(axis=-1, keepdims=True) * along)
    foot = (thigh**2 - shin**2 + reach**2) / (2 * reach)  # where the knee's plumb meets the line, by the law of cosines
    height = np.sqrt(np.maximum(thigh**2 - foot**2, 0.0))
    return hip + foot * along + height * forward, hip + reach * along


def _frame(left: Array, up: Array) -> Array:
    """(F, 3, 3) rotations whose columns are left, up (made square to left) and forward."""
    left = _unit(left)
    up = _unit(up - (up * left).sum(axis=-1, keepdims=True) * left)
    return np.stack([left, up, np.cross(left, up)], axis=-1)


def _unit(vectors: Array) -> Array:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
