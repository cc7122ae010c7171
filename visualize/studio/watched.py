"""A model that can be looked at while it samples: at every call of its network it says so, and may be stopped there."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor

from motion_diffusion.body.representation import Observed
from motion_diffusion.diffusion.samplers import Denoise, Estimate
from motion_diffusion.model import MotionModel


class Watched(MotionModel):
    """The same model, its weights shared, which calls `look` before each denoising. What `look` raises ends it."""

    _look: Callable[[], None]

    @staticmethod
    def of(model: MotionModel, look: Callable[[], None]) -> Watched:
        """Look at this model; itself it stays as it was."""
        watched = Watched.__new__(Watched)
        watched.__dict__.update(model.__dict__)
        watched._look = look
        return watched

    def denoise_fn(
        self,
        texts: Sequence[str],
        frames: Tensor,
        *,
        text_scale: float = 1.5,
        observed: Observed | None = None,
        mask_scale: float = 1.0,
    ) -> Denoise:
        denoise = super().denoise_fn(texts, frames, text_scale=text_scale, observed=observed, mask_scale=mask_scale)

        def watched(x: Tensor, t: int, s: int) -> Estimate:
            self._look()
            return denoise(x, t, s)

        return watched
