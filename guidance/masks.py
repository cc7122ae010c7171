"""Masks: a network that was trained for it takes the goals as input (CondMDI; Cohan et al. 2024)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from guidance.protocol import GuidanceProblem
from motion_diffusion.body.representation import Observed
from motion_diffusion.diffusion.samplers import Denoise, Noise


@dataclass(frozen=True)
class Masks:
    """Masks: goals are part of the network's input."""

    single_window: ClassVar[str] = "the place of a segment, which they would tell, is found while sampling"

    def wrap(self, denoise: Denoise, problem: GuidanceProblem, noise: Noise) -> Denoise:
        """The unchanged denoiser, which has the goals as input."""
        return denoise

    def observed(self, problem: GuidanceProblem) -> Observed:
        """Targets that do not depend on the motions, and their mask, (M, N, J, 3) each."""
        return problem.known.values, problem.known.mask
