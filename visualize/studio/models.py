"""The models that a studio offers: those that come with the project and make a body, and those that it was told of."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from threading import Lock

from motion_diffusion import pretrained
from motion_diffusion.assets import ASSETS
from motion_diffusion.errors import InputError
from motion_diffusion.model import ModelConfig, MotionModel
from motion_diffusion.network.text_motion_encoder import TextMotionEncoder
from motion_diffusion.prompts.known_actions import Known, read_known
from sample.text_fit import DEFAULT_MATCHER

SYMBOLS = {"eps": "ε"}
"""Of prediction types, where the name is not one."""


class Models:
    """Models by name, each read once, when it is first asked for. No other name is ever looked for on the disk."""

    def __init__(self, runs: Sequence[str | Path] = ()):
        """runs: run directories to offer first. FileNotFoundError or InputError for one that is none."""
        self._folders: dict[str, Path] = {}
        self.symbols: dict[str, str] = {}
        """What each predicts: ε, x0, v …"""
        self.known: dict[str, Known | None] = {}
        """What each was trained on, where that is kept with it."""
        self._loaded: dict[str, MotionModel] = {}
        self._matcher: TextMotionEncoder | None = None
        self._lock = Lock()
        for name in [*runs, *pretrained.shipped("models")]:
            folder = pretrained.find(name, "models").resolve()
            config = pretrained.read_config(folder, ModelConfig)
            if "positions" not in config.features:
                if name in runs:
                    raise InputError(f"{name} makes only the path of the root, no body; offer another one")
                continue
            if name in runs and self._folders.get(folder.name, folder) != folder:
                raise InputError(f"two models are called {folder.name}; rename the directory of one")
            self._folders.setdefault(folder.name, folder)
            self.known.setdefault(folder.name, read_known(folder))
            self.symbols.setdefault(folder.name, SYMBOLS.get(config.prediction, config.prediction))

    @property
    def names(self) -> list[str]:
        """Of all that there are."""
        return list(self._folders)

    @property
    def usual(self) -> str:
        """The one to begin with: the first that the studio was told of, else the project's own choice."""
        shipped = ASSETS / "models" / "v-masks"
        told = next(iter(self._folders.items()))
        return told[0] if told[1].parent != shipped.parent else shipped.name

    def get(self, name: str) -> MotionModel:
        """A model. InputError for a name that is not offered."""
        if name not in self._folders:
            raise InputError(f"no model {name[:60]!r} here; choose one of {', '.join(self.names)}")
        with self._lock:
            if name not in self._loaded:
                self._loaded[name] = MotionModel.load(self._folders[name])
            return self._loaded[name]

    @property
    def matcher(self) -> TextMotionEncoder:
        """What judges how well takes fit their words."""
        with self._lock:
            if self._matcher is None:
                self._matcher = TextMotionEncoder.load(DEFAULT_MATCHER)
            return self._matcher
