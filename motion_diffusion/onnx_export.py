"""Export of a model as two ONNX files, for use without PyTorch: the text encoder, run once, and the denoiser.

The denoiser's file takes the time t and gives x̂0 whatever the model predicts: the coefficients of all times are tables
in the graph. Metadata has what else sampling needs: schedule, statistics of the features, their order, the skeleton.
docs/onnx.md describes inputs, outputs and metadata, and has a sampling loop.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from motion_diffusion.body.skeleton import FPS, JOINTS, PARENTS
from motion_diffusion.engine import session
from motion_diffusion.errors import InputError
from motion_diffusion.model import Condition, MotionModel
from motion_diffusion.network.onnx_graph import BOOL, FLOAT, INT64, Graph, denoise, encode_words
from motion_diffusion.network.text_encoders import StaticEmbedding

FORMAT = "motion-diffusion 1"
"""Identifies our files in their metadata."""
MAX_ERROR = 1e-3
"""Largest difference from PyTorch, in normalised features, of an intact file."""


class Files(NamedTuple):
    """Contents of the two files."""

    denoiser: bytes
    text: bytes

    @staticmethod
    def paths(out: Path) -> tuple[Path, Path]:
        """Where the denoiser and its text encoder are: model.onnx and model.text.onnx."""
        return out, out.with_suffix(f".text{out.suffix}")


def export(model: MotionModel) -> Files:
    """The two files of a model."""
    return Files(_denoiser(model), _text(model))


def _denoiser(model: MotionModel) -> bytes:
    config, network = model.config, model.denoiser
    sizes, graph = config.denoiser, Graph()
    frames = "batch", "frames"
    x_t, t = graph.input("x", FLOAT, *frames, sizes.features), graph.input("t", INT64, "batch")
    context = graph.input("context", FLOAT, "batch", "words", sizes.width)
    seen, exist = graph.input("seen", BOOL, "batch", "words"), graph.input("frames", BOOL, *frames)
    hints = graph.input("hints", FLOAT, *frames, sizes.hints) if config.masks else None
    view = graph.input("view", FLOAT, *frames, sizes.features) if config.written else None

    table = _coefficients(model)
    radius, alpha, sigma, of_x, of_y = (
        graph("Gather", graph.constant(column.float()[:, None]), t, axis=0) for column in table.unbind(1)
    )
    with torch.no_grad():
        embedded = network.noise_level(table[:, 1].float(), table[:, 2].float())
    level = graph("Gather", graph.constant(embedded), t, axis=0)
    over_frames = graph.constant([1])
    radius, of_x, of_y = (graph("Unsqueeze", value, over_frames) for value in (radius, of_x, of_y))
    x = graph("Div", x_t, radius)
    y = denoise(graph, network, x, level, alpha, sigma, context, seen, exist, hints, view)
    if sizes.outputs > 1:
        y, _ = graph.several(2, "Split", y, axis=-1, num_outputs=2)
    x0 = graph("Add", graph("Mul", of_x, x_t), graph("Mul", of_y, y))
    there = graph("Unsqueeze", graph("Cast", exist, to=FLOAT), graph.constant([2]))
    graph.output("x0", graph("Mul", x0, there), FLOAT, *frames, sizes.features)
    return graph.model(_metadata(model))


def _coefficients(model: MotionModel) -> Tensor:
    """A row (r, α/r, σ/r, c_x, c_y) for each time, (T + 1, 5) float64, with x̂0 = c_x·x_t + c_y·y and r = √(α² + σ²).

    See `MotionModel.network`. Times at which the prediction determines no x̂0 have the row of the nearest that does.
    """
    schedule, prediction = model.schedule, model.prediction
    first = prediction.first(schedule)
    rows = []
    for t in range(schedule.T + 1):
        level = schedule.at(min(max(t, 1), first))
        r, determinant = (level.alpha**2 + level.sigma**2) ** 0.5, prediction.determinant(level)
        size, q = prediction.size(level), prediction.row(level)[1]
        rows.append([r, level.alpha / r, level.sigma / r, q / determinant, -level.sigma * size / determinant])
    return torch.tensor(rows, dtype=torch.float64)


def _metadata(model: MotionModel) -> dict[str, str]:
    config, codec, schedule = model.config, model.representation, model.schedule
    columns = {group: codec.columns(group) for group in codec.groups}
    values: dict[str, Any] = {
        "alpha": [schedule.row(t)[0] for t in range(schedule.T + 1)],
        "sigma": [schedule.row(t)[1] for t in range(schedule.T + 1)],
        "first": model.prediction.first(schedule),
        "mean": codec.mean[codec.index].tolist(),
        "std": codec.scale.tolist(),
        "bound": codec.bound.tolist(),
        "features": {group: [columns[group].start, columns[group].stop] for group in codec.groups},
        "joints": list(JOINTS),
        "parents": list(PARENTS),
        "fps": FPS,
        "max_frames": config.max_frames,
        "recommended": dataclasses.asdict(config.recommended),
    }
    plain = {
        "format": FORMAT, "part": "denoiser", "model": model.name, "weights": model.digest,
        "prediction": config.prediction, "schedule": config.schedule, "training": config.training,
        "licence": config.licence,
    }  # fmt: skip
    return plain | {name: json.dumps(value) for name, value in values.items()}


def _text(model: MotionModel) -> bytes:
    config, graph = model.config, Graph()
    words = "batch", "words"
    metadata = {
        "format": FORMAT, "part": "text", "model": model.name, "weights": model.digest, "encoder": config.text,
        "max_words": str(model.text.max_words), "licence": config.licence,
    }  # fmt: skip
    if isinstance(model.text, StaticEmbedding):
        metadata["tokenizer"] = model.text.tokenizer.to_str()
        ids, visible = graph.input("ids", INT64, *words), graph.input("visible", BOOL, *words)
        vectors = graph("Cast", graph("Gather", graph.constant(model.text.vectors), ids, axis=0), to=FLOAT)
        vectors = graph("Mul", vectors, graph("Unsqueeze", graph("Cast", visible, to=FLOAT), graph.constant([2])))
    else:
        vectors = graph.input("vectors", FLOAT, *words, config.denoiser.text_dim)
        visible = graph.input("visible", BOOL, *words)
    context, seen = encode_words(graph, model.denoiser.text, vectors, visible)
    graph.output("context", context, FLOAT, "batch", "words + 1", config.denoiser.width)
    graph.output("seen", seen, BOOL, "batch", "words + 1")
    return graph.model(metadata)


def check(model: MotionModel, files: Files, names: tuple[str, str]) -> float:
    """Compare exported files with the model in PyTorch, on drawn inputs of two lengths.

    Args:
        model: The model.
        files: Contents of the files.
        names: Their names, for errors.

    Returns:
        The largest difference of x̂0, in normalised features.

    Raises:
        InputError: If a file is damaged, is not from here, is of another model, or computes something else.
    """
    denoiser, text = (
        _opened(model, content, name, part)
        for content, name, part in zip(files, names, ("denoiser", "text"), strict=True)
    )
    generator = torch.Generator().manual_seed(0)
    frames = torch.arange(20) < torch.tensor([20, 13])[:, None]
    x = torch.randn(2, 20, model.representation.size, generator=generator)
    t = model.prediction.first(model.schedule) // 2
    texts = ["a person walks", "a tired person waves"]
    vectors, visible = model.text(texts)
    words = {"ids": model.text.ids(texts)[0]} if isinstance(model.text, StaticEmbedding) else {"vectors": vectors}
    hints = torch.zeros(2, 20, model.config.denoiser.hints) if model.config.masks else None
    with torch.no_grad():
        expected_context, expected_seen = model.denoiser.text(vectors, visible)
        level = model.schedule.at(t)
        y = model.network(Condition(expected_context, expected_seen, frames, hints), x, level)
        expected = model.prediction.to_x0(y[..., : x.shape[-1]], x, level)
    context, seen = text.run(
        ["context", "seen"], {name: value.numpy() for name, value in (words | {"visible": visible}).items()}
    )
    given = {
        "x": x.numpy(), "t": np.array([t, t]), "context": context, "seen": seen, "frames": frames.numpy(),
        "view": x.numpy(), "hints": None if hints is None else hints.numpy(),
    }  # fmt: skip
    (x0,) = denoiser.run(["x0"], {value.name: given[value.name] for value in denoiser.get_inputs()})
    error = float((torch.from_numpy(x0) - expected)[frames].abs().max())
    if not error <= MAX_ERROR:
        raise InputError(f"{names[0]} differs from {model.name} by {error:g} in normalised features; export it again")
    return error


def _opened(model: MotionModel, content: bytes, name: str, part: str) -> Any:
    """A session of one of the files, if it is of the model."""
    try:
        opened = session(content, 1)
    except Exception as error:  # onnxruntime has no common class of its errors
        reason = " ".join(str(error).split())[:150]
        raise InputError(f"{name} is damaged, or no ONNX file ({reason}); export it again") from None
    metadata = opened.get_modelmeta().custom_metadata_map
    if metadata.get("format") != FORMAT or metadata.get("part") != part:
        raise InputError(f"{name} is no {part} that was exported here; export it with python -m sample.export_onnx")
    if metadata.get("weights") != model.digest:
        raise InputError(
            f"{name} was exported from {metadata.get('model', '')[:60]!r} with weights "
            f"{metadata.get('weights', '')[:16]!r}, not from {model.name} with {model.digest!r}; export it again, or "
            "give its --model"
        )
    return opened
