"""Pictures one after the other into a film: MP4 (H.264) or GIF, by PyAV. No more than a few pictures are held."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from motion_diffusion.atomic_io import atomic
from motion_diffusion.errors import InputError

Picture = NDArray[np.uint8]

ENDINGS = (".mp4", ".gif")
FASTEST = {".mp4": 240.0, ".gif": 50.0}
"""Pictures a second, at most: a GIF counts hundredths of a second, and viewers slow down those below two."""


def check(path: str | Path, fps: float) -> str:
    """The ending of a film's path; InputError for one that no film has, or an fps that the format does not have."""
    ending = Path(path).suffix.lower()
    if ending not in ENDINGS:
        raise InputError(f"{path}: a film ends in {' or '.join(ENDINGS)}; choose another name")
    if not 1 <= fps <= FASTEST[ending]:
        raise InputError(
            f"a {ending} of {fps:g} pictures a second cannot be made; give 1 to {FASTEST[ending]:g} (--fps)"
        )
    return ending


def encode(
    pictures: Iterable[Picture],
    path: str | Path,
    *,
    size: tuple[int, int],
    fps: float,
    samples: Iterable[Picture],
) -> None:
    """Write pictures (height, width, 3) to a film by the path's ending; it is whole or not there.

    size: their width and height, even numbers. fps: pictures a second. samples: a few of the pictures, looked at for
    the colours of a GIF. Raises InputError as `check` does.
    """
    ending = check(path, fps)
    rate = Fraction(fps).limit_denominator(1001)
    with atomic(path) as temporary:
        if ending == ".mp4":
            _write_mp4(pictures, temporary, size, rate)
        else:
            _write_gif(pictures, temporary, size, rate, palette_of(list(samples)))


def _write_mp4(pictures: Iterable[Picture], path: Path, size: tuple[int, int], rate: Fraction) -> None:
    with av.open(str(path), "w") as film:
        stream = film.add_stream("libx264", rate=rate)
        stream.options = {
            "preset": "veryfast",
            "crf": "22",
            "x264-params": "mbtree=0",
        }  # with it, no two files are same
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for picture in pictures:
            film.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        film.mux(stream.encode())


def _write_gif(
    pictures: Iterable[Picture], path: Path, size: tuple[int, int], rate: Fraction, palette: Image.Image
) -> None:
    """Without dithering: the pictures are flat, and what does not move stays as it is."""
    colours = np.full((256, 4), 255, dtype=np.uint8)  # alpha, red, green, blue
    listed = np.array(palette.getpalette(), dtype=np.uint8).reshape(-1, 3)
    colours[: len(listed), 1:] = listed
    with av.open(str(path), "w") as film:
        stream = film.add_stream("gif", rate=rate)
        stream.width, stream.height, stream.pix_fmt = *size, "pal8"
        for picture in pictures:
            indices = np.asarray(Image.fromarray(picture).quantize(palette=palette, dither=Image.Dither.NONE))
            indexed: Any = (indices, colours)
            film.mux(stream.encode(av.VideoFrame.from_ndarray(indexed, format="pal8")))
        film.mux(stream.encode())


def palette_of(samples: Sequence[Picture]) -> Image.Image:
    """The 255 colours that pictures (height, width, 3) are best drawn with; one is left for what a GIF leaves out."""
    return Image.fromarray(np.concatenate(samples)).quantize(255, method=Image.Quantize.MEDIANCUT)
