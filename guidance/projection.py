"""Projection: at every step x̂0 is replaced by the nearest motion that meets the goals, and noise is partly renewed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from guidance.goals.heading import TURNED, wrapped
from guidance.goals.observation import Observation
from guidance.gp_displacement import Displacement, Part
from guidance.protocol import GuidanceProblem
from motion_diffusion.body.features import frame_steps
from motion_diffusion.body.heading import gaussian, heading, turn
from motion_diffusion.body.skeleton import FPS
from motion_diffusion.diffusion.samplers import Denoise, Estimate, Noise
from motion_diffusion.option_ranges import Range

SMOOTHING = 8.0
"""Sigma in frames of the Gaussian over the directions of two paths that are compared."""

STANDING = 0.3
"""m/s: the body does not turn with its path where it is slower than this."""

TURN = Part(torch.ones(1, 1, dtype=torch.float64), frames=15.0, size=1.0, axes=(0,))
"""Gaussian-process prior of turning before and after a frame at which the heading is given, in radians."""

ROUNDS = 16
"""Maximum evaluations of motion-dependent goals on the motion that they have moved."""

DETOUR = 3.0
"""A round that lengthens the path by more than this many times the distance by which it moves frames has targets that
contradict each other, and would lead it metres astray; it is left out. The next step, or the fit of the body, meets
what is left."""


@dataclass(frozen=True)
class Projection:
    """Projection: the predicted motion is moved onto the goals, and neighbouring frames and joints move with it."""

    exact: ClassVar[bool] = True

    remix: Annotated[float, Range(0, 1)] = 0.5
    """Share of fresh noise in the next step; 0: only the noise that the projected motion leaves in x_t."""
    begin: Annotated[float, Range(0, 1, above=True)] = 1.0
    """Share of the diffusion time at which projection begins; it continues to the end."""

    def wrap(self, denoise: Denoise, problem: GuidanceProblem, noise: Noise) -> Denoise:
        """x̂0 is projected (see `Projector`); ε̂ is what it leaves of x_t, ε, and fresh noise z: √(1 − r²)·ε + r·z.

        Part of the noise in x_t belongs to the motion before projection. Fresh noise replaces it (ProjFlow's
        re-mixing).
        """
        schedule, project = problem.schedule, Projector(problem)

        def guided(x: Tensor, t: int, s: int) -> Estimate:
            estimate = denoise(x, t, s)
            if t > self.begin * schedule.T:
                return estimate
            estimate = estimate.with_x0(project(estimate.x0), t, schedule)
            if self.remix == 0:
                return estimate
            kept = (1 - self.remix**2) ** 0.5
            return estimate._replace(eps=kept * estimate.eps + self.remix * noise())

        return guided


class Projector:
    """Moves x̂0 (B, F, D) so that it meets the goals.

    First the body turns by as much as its path, as in walking: features are relative to the heading, so that steps and
    poses are unchanged. Then it turns on the spot where a heading is given. The remaining distance is closed by the
    most likely displacement (see `gp_displacement`), of positions and velocities together, so that joints decoded from
    either meet the goals exactly.
    """

    def __init__(self, problem: GuidanceProblem):
        self.problem = problem
        self._kept: dict[bytes, Displacement] = {}
        alike: dict[tuple[int, bytes], list[int]] = {}
        for i, (n, mask) in enumerate(zip(problem.windows.lengths.tolist(), problem.known.mask, strict=True)):
            alike.setdefault((n, mask.cpu().numpy().tobytes()), []).append(i)
        self._alike = [(n, those) for (n, _), those in alike.items()]
        """Lengths, and indices of motions with the same length and mask, which are moved together."""

    def __call__(self, x0: Tensor) -> Tensor:
        problem, windows = self.problem, self.problem.windows
        features = problem.representation.denormalise(x0)
        joints = windows.joints(features)
        change, wanted = self._change(joints)
        angle = turning(joints[..., :1, :], (joints + change)[..., :1, :], windows.lengths)
        features = windows.turned(features, angle, change[..., 0, [0, 2]])
        joints = windows.joints(features)
        now: Tensor | None = joints
        spin = self._spin(wanted, joints)
        if spin is not None:
            now = None
            joints = joints[..., :1, :] + turn(joints - joints[..., :1, :], spin)
            features = windows.turned(features, spin, torch.zeros_like(change[..., 0, [0, 2]]))
        moved = joints + self._change(joints)[0]
        return problem.representation.normalise(windows.meet(features, moved, now))

    def _change(self, joints: Tensor) -> tuple[Tensor, Observation]:
        """The displacement (M, N, J, 3) that meets the goals, and the final targets."""
        problem, wanted = self.problem, self.problem.known
        change, masks, values = torch.zeros_like(joints), wanted.mask.clone(), wanted.values.clone()
        for n, those in self._alike:
            change[those, :n] = self._displacement(masks[those[0], :n])(values[those, :n] - joints[those, :n])
        for i, n in enumerate(problem.windows.lengths.tolist()):
            if not problem.goals[i].is_motion_dependent:
                continue
            motion, move = joints[i, :n], change[i, :n]
            targets = Observation(values[i, :n], masks[i, :n], wanted.weights[i, :n])
            for _ in range(ROUNDS):
                more = problem.most_violated(i, motion + move)
                if not (more.mask & ~targets.mask).any():
                    break
                further = targets.updated(more)
                moved = self._displacement(further.mask)(further.values - motion)
                asked = torch.where(more.mask, more.values - motion - move, 0.0).norm(dim=-1).sum()
                if _length(motion + moved) > _length(motion + move) + DETOUR * asked:
                    break
                targets, move = further, moved
            change[i, :n], masks[i, :n], values[i, :n] = move, targets.mask, targets.values
        return change, Observation(values, masks, wanted.weights)

    def _displacement(self, mask: Tensor) -> Displacement:
        """The displacement of a mask; those of the fixed targets and of the most recent ones are cached."""
        key = bytes(str(tuple(mask.shape)), "ascii") + mask.cpu().numpy().tobytes()
        if key not in self._kept:
            while len(self._kept) >= 2 * len(self.problem.goals):
                del self._kept[next(iter(self._kept))]
            self._kept[key] = Displacement(mask)
        return self._kept[key]

    def _spin(self, wanted: Observation, joints: Tensor) -> Tensor | None:
        """(M, N) angles to the left by which bodies turn about their pelvis so that hips and shoulders face the given
        directions, interpolated smoothly in between; None without such targets."""
        given = wanted.mask[..., [0, 2]].all(-1)
        if joints.shape[-2] == 1 or not (given := given[..., TURNED].all(-1)).any():
            return None
        missing = wrapped(heading(joints, smooth=False) - heading(wanted.values, smooth=False))
        result = torch.zeros_like(missing)
        for i, frames in enumerate(self.problem.windows.lengths.tolist()):
            result[i, :frames] = _smoothly(missing[i, :frames], given[i, :frames])
        return result


def _length(joints: Tensor) -> Tensor:
    """Length in metres of the path of the pelvis on the floor of a motion (N, J, 3)."""
    return joints[:, 0, [0, 2]].diff(dim=0).norm(dim=-1).sum()


def _smoothly(values: Tensor, given: Tensor) -> Tensor:
    """(N,) angles with these values where given (N,) bool, and the most likely ones elsewhere."""
    column, nowhere = given[:, None, None], torch.zeros_like(given)[:, None, None]
    mask = torch.cat([column, nowhere, nowhere], dim=-1)
    return Displacement(mask, (TURN,))(values[:, None, None].expand(mask.shape))[:, 0, 0]


def turning(before: Tensor, after: Tensor, lengths: Tensor) -> Tensor:
    """Angles (..., F) in radians, positive to the left, between the directions of two paths (..., F, 1, 3)."""
    steps = [frame_steps(way, lengths)[..., 0, [0, 2]] for way in (before, after)]
    old, new = (gaussian(torch.cat(steps, dim=-1), SMOOTHING) * FPS).chunk(2, dim=-1)
    along = (old * new).sum(-1)
    across = new[..., 0] * old[..., 1] - new[..., 1] * old[..., 0]
    return torch.atan2(across, along + STANDING**2)
