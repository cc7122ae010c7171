"""Quality of generation in a word, above models, steps, samplers and tries.

`live` takes the model that was distilled from the given one (see `train.distillation`), where one is shipped, and
otherwise few steps; `normal` is what the model recommends; `best` keeps the best of several normal motions.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal

from guidance.compose import parse_methods
from motion_diffusion import pretrained
from motion_diffusion.assets import ASSETS
from motion_diffusion.model import ModelConfig
from sample.generate import Settings
from sample.text_fit import Tries

QualityName = Literal["live", "normal", "best"]
BEST_OF = 8
"""Tries of `best`."""
FEW_STEPS = Settings(steps=8, shift=3.0, sampler="sde-dpm++2m")
"""Sampling of `live` with a model from which none was distilled."""


@dataclass(frozen=True)
class Quality:
    """What a quality stands for."""

    model: str
    settings: Settings
    tries: Tries

    @staticmethod
    def of(name: QualityName, model: str, settings: Settings, tries: Tries | None = None) -> Quality:
        """Resolve a quality.

        Args:
            name: The quality.
            model: Name of a shipped model, or a run directory.
            settings: How to sample and to guide; steps, shift and sampler that they name are kept.
            tries: Number of tries; None for those of the quality.

        Raises:
            FileNotFoundError: If there is no such model.
            InputError: If its description cannot be read.
        """
        if name == "live":
            student = distilled_from(model, masks="masks" in parse_methods(settings.guidance))
            if student is not None:
                model = student
            elif not _config(model).recommended.only:
                keys = ("steps", "shift", "sampler")
                few = {key: getattr(settings, key) or getattr(FEW_STEPS, key) for key in keys}
                settings = dataclasses.replace(settings, **few)
        return Quality(model, settings, tries or (BEST_OF if name == "best" else 1))


def distilled_from(model: str, *, masks: bool = False) -> str | None:
    """The shipped model that was distilled from a shipped model, or None.

    Args:
        model: Name of a shipped model, or a directory.
        masks: Whether it must be conditioned on observed positions.
    """
    folder = pretrained.find(model, "models").resolve()
    for name in pretrained.shipped("models"):
        config = _config(name)
        if config.teacher and (ASSETS / "models" / config.teacher).resolve() == folder and (config.masks or not masks):
            return name
    return None


def _config(model: str) -> ModelConfig:
    return pretrained.read_config(pretrained.find(model, "models"), ModelConfig)
