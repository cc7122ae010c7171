"""Obstacles: circles and boxes on the floor, possibly moving, that the body avoids."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import groupby, product
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor

from guidance.goals.base import (
    Degrees,
    GoalBase,
    Length,
    Place,
    Seconds,
    Size,
    asking,
    check_interval,
    check_times,
    during,
)
from guidance.goals.observation import Observation
from motion_diffusion.body.heading import turn_on_floor
from motion_diffusion.body.skeleton import FPS, frame_of

_SLACK = 1e-5  # metres kept beyond the margin, against rounding
_BEYOND = 0.02  # metres beyond the margin that a path deformed around an obstacle keeps
_NEVER_TURNS = 0.5  # cosine: outward directions that turn further than this between frames would disrupt a path


class Obstacle(GoalBase):
    """Stay out of a circle or a box on the floor, which may move, and keep a margin from its edge."""

    kind: Literal["obstacle"] = "obstacle"
    shape: Literal["circle", "box"]
    center: Place | None = None
    """[x, z] of its centre, metres."""
    centers: Annotated[list[Place], Field(min_length=2)] | None = None
    """[[x, z], ...]: its centre at `times`, for a moving obstacle; linear in between."""
    times: list[Seconds] | None = None
    """Seconds, one for each of `centers`."""
    radius: Size | None = None
    """Radius of a circle, metres."""
    size: tuple[Size, Size] | None = None
    """[along x, along z] of a box before it is rotated, metres."""
    degrees: Degrees = 0.0
    """Rotation of a box, from +z towards +x."""
    margin: Annotated[float, Field(ge=0, le=10, strict=True, allow_inf_nan=False)] = 0.1
    """Metres to be kept from the edge."""
    body: Literal["root", "whole"] = "root"
    """Whether the pelvis stays out, or every joint."""
    start: Seconds | None = None
    """First second at which it exists; the beginning by default."""
    end: Seconds | None = None
    """Last second at which it exists; the end by default."""
    tolerance: Length = 0.0
    """Depth in metres inside the edge up to which the goal counts as met."""

    @model_validator(mode="after")
    def _whole(self) -> Obstacle:
        if (self.center is None) == (self.centers is None):
            raise ValueError("give either 'center' or, for one that moves, 'centers' and 'times'")
        if (self.centers is None) != (self.times is None):
            raise ValueError("'centers' and 'times' go together; give both or neither")
        if self.centers is not None and self.times is not None:
            check_times(self.times, len(self.centers))
        needed, other = ("radius", "size") if self.shape == "circle" else ("size", "radius")
        if getattr(self, needed) is None or getattr(self, other) is not None:
            raise ValueError(f"a {self.shape} needs '{needed}' and has no '{other}'")
        if self.start is not None and self.end is not None:
            check_interval(self.start, self.end)
        return self

    @property
    def last_time(self) -> float:
        """The second at which it appears: it may last longer than the motion."""
        return frame_of(self.start or 0.0) / FPS

    @property
    def when(self) -> str:
        if self.start is None and self.end is None:
            return "always"
        return f"from {self.start:.2f} s" if self.end is None else during(self.start or 0.0, self.end)

    @property
    def is_motion_dependent(self) -> bool:
        return True

    def there(self, frames: Tensor) -> Tensor:
        """(F,) bool: whether it exists at these frames."""
        last = math.inf if self.end is None else frame_of(self.end)
        return (frames >= frame_of(self.start or 0.0)) & (frames <= last)

    def middle(self, frames: Tensor) -> Tensor:
        """(F, 2) float64: x and z of its centre at these frames."""
        if self.centers is None or self.times is None:
            return torch.tensor(self.center, dtype=torch.float64).expand(len(frames), 2).to(frames.device)
        seconds, places = frames.cpu().numpy() / FPS, np.array(self.centers)
        now = np.stack([np.interp(seconds, self.times, axis) for axis in places.T], axis=-1)
        return torch.from_numpy(now).to(frames.device)

    def distance(self, points: Tensor, frames: Tensor) -> Tensor:
        """Signed distance in metres to the edge, negative inside.

        Args:
            points: (F, ..., 2) x and z.
            frames: (F,) frames.

        Returns:
            (F, ...); infinite at frames at which the obstacle does not exist.
        """
        middle = self.middle(frames).to(points).reshape(len(frames), *[1] * (points.ndim - 2), 2)
        there = self.there(frames).reshape(len(frames), *[1] * (points.ndim - 2))
        return torch.where(there, self.depth(points - middle), torch.inf)

    def depth(self, points: Tensor) -> Tensor:
        """Signed distance (...) in metres to the edge, negative inside, of points (..., 2) relative to its centre."""
        if self.size is None:
            return points.norm(dim=-1) - (self.radius or 0.0)
        beyond = self._beyond(points)[0]
        return beyond.clamp_min(0).norm(dim=-1) + beyond.amax(-1).clamp_max(0)

    def outward(self, points: Tensor) -> Tensor:
        """Unit vectors (..., 2) of the shortest way out or away, at points (..., 2) relative to its centre."""
        ahead = points.new_tensor([1.0, 0.0]).expand_as(points)
        if self.size is None:
            length = points.norm(dim=-1, keepdim=True)
            return torch.where(length > 1e-9, points / length.clamp_min(1e-9), ahead)
        beyond, sign = self._beyond(points)
        nearest_side = torch.nn.functional.one_hot(beyond.argmax(-1), 2).to(points)
        away = torch.where((beyond > 1e-9).any(-1, keepdim=True), beyond.clamp_min(0), nearest_side)
        return turn_on_floor(torch.nn.functional.normalize(away, dim=-1) * sign, math.radians(self.degrees))

    def _beyond(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Distance of points (..., 2) beyond the sides of the box, along its axes, and the side of the centre that they
        are on.
        """
        local = turn_on_floor(points, math.radians(-self.degrees))
        half = points.new_tensor(self.size or (0.0, 0.0)) / 2
        return local.abs() - half, torch.where(local < 0, -1.0, 1.0).to(points)

    def target_for(self, joints: Tensor) -> Observation:
        """Targets of the pelvis that move it out wherever it or, for the whole body, any joint is within the margin.

        Each interval of such frames passes the obstacle on one side: all its frames move perpendicular to the line from
        where the path enters to where it leaves, relative to the obstacle, by the smallest sufficient amount. Intervals
        at the beginning or end of the motion have no such line and move straight out.
        """
        frames = torch.arange(len(joints), device=joints.device)
        values, mask = joints.double().clone(), torch.zeros_like(joints, dtype=torch.bool)
        near = values if self.body == "whole" else values[:, :1]
        points = near[..., [0, 2]] - self.middle(frames)[:, None]
        inside = ((self.depth(points) < self.margin - _SLACK / 10).any(-1) & self.there(frames)).tolist()
        frame = 0
        while frame < len(inside):
            first = frame
            while frame < len(inside) and inside[frame]:
                frame += 1
            if frame > first:
                direction = self._way_out(points[:, 0], first, frame)
                shift = self._needed(points[first:frame], direction)
                values[first:frame, 0, 0] += shift * direction[:, 0]
                values[first:frame, 0, 2] += shift * direction[:, 1]
                mask[first:frame, 0, 0] = mask[first:frame, 0, 2] = True
            frame += 1
        return asking(joints, values, mask)

    def most_violated(self, joints: Tensor) -> Observation:
        """The frame of each interval that has farthest to move, and slightly beyond: a path that is deformed smoothly
        around it mostly clears the rest.
        """
        wanted = self.target_for(joints)
        move = torch.where(wanted.mask, wanted.values - joints, 0.0)
        far = move[:, 0].norm(dim=-1)
        keep, frame = torch.zeros_like(far, dtype=torch.bool), 0
        for inside, stretch in groupby(wanted.mask[:, 0].any(-1).tolist()):
            after = frame + len(list(stretch))
            if inside:
                keep[frame + int(far[frame:after].argmax())] = True
            frame = after
        beyond = wanted.values + _BEYOND * move / far.clamp_min(1e-9)[:, None, None]
        return replace(wanted, values=beyond, mask=wanted.mask & keep[:, None, None])

    def _way_out(self, way: Tensor, first: int, after: int) -> Tensor:
        """Unit vectors (n, 2) along which the frames first … after - 1 of a path (F, 2) relative to the centre
        leave.
        """
        run = way[first:after]
        if first > 0 and after < len(way):
            line = way[after] - way[first - 1]
            if line.norm() > 1e-6:
                return self._sideways(line, run)
        out = self.outward(run)
        if (out[1:] * out[:-1]).sum(-1).ge(_NEVER_TURNS).all():
            return out
        line = run[-1] - run[0]
        return self._sideways(line, run) if line.norm() > 1e-6 else self.outward(run.mean(0)).expand_as(run)

    @staticmethod
    def _sideways(line: Tensor, run: Tensor) -> Tensor:
        """The unit vector (n, 2) perpendicular to a line, towards the side on which most of the run (n, 2) is; left if
        neither.
        """
        left = torch.stack([line[1], -line[0]]) / line.norm()
        return (left if (run @ left).sum() > -1e-9 else -left).expand_as(run)

    def _needed(self, points: Tensor, direction: Tensor) -> Tensor:
        """(n,) metres along unit vectors direction (n, 2) after which all points (n, J, 2) are beyond the margin."""
        entry, exit_ = self._crossings(points, direction[:, None])
        shift = points.new_zeros(len(points))
        for _ in range(points.shape[1]):
            within = (entry < shift[:, None]) & (shift[:, None] < exit_)
            if not within.any():
                break
            shift = torch.where(within, exit_, shift[:, None]).amax(-1)
        return shift

    def _crossings(self, points: Tensor, direction: Tensor) -> tuple[Tensor, Tensor]:
        """Metres (n, J) along unit vectors direction (n, 1, 2) at which points (n, J, 2) enter the region within the
        margin, and leave it; inf and -inf if they never do.

        The region is convex. That around a box is the union of two rectangles and of a circle at each corner.
        """
        margin = self.margin + _SLACK
        if self.size is None:
            return _through_circle(points, direction, (self.radius or 0.0) + margin)
        angle, half = math.radians(-self.degrees), points.new_tensor(self.size) / 2
        points, direction = turn_on_floor(points, angle), turn_on_floor(direction, angle)
        corners = (half * points.new_tensor(signs) for signs in product((-1.0, 1.0), repeat=2))
        parts = [_through_circle(points - corner, direction, margin) for corner in corners]
        parts += [_through_rectangle(points, direction, half + margin * wider) for wider in torch.eye(2).to(half)]
        entries, exits = zip(*parts, strict=True)
        return torch.stack(entries).amin(0), torch.stack(exits).amax(0)

    def misses(self, joints: Tensor, world: Tensor | None = None) -> Tensor:
        """Depth inside the edge at each frame where the body is inside: (N,) metres."""
        distance = self._clearance(joints)
        return -distance[distance < 0]

    def describe(self, joints: Tensor, world: Tensor | None = None) -> str:
        closest = self._clearance(joints).min().item()
        return f"keep out: {closest:.2f} m away" if closest >= 0 else f"keep out: {-closest:.2f} m inside"

    def _clearance(self, joints: Tensor) -> Tensor:
        """(F,) metres from the edge to the nearest joint that must stay out; infinite where the obstacle does not
        exist.
        """
        near = joints if self.body == "whole" else joints[:, :1]
        return self.distance(near[..., [0, 2]], torch.arange(len(joints), device=joints.device)).amin(-1)


def _through_circle(points: Tensor, direction: Tensor, radius: float) -> tuple[Tensor, Tensor]:
    """Where lines (..., 2) along unit vectors enter and leave a circle about the origin; inf and -inf if they miss
    it."""
    along = (points * direction).sum(-1)
    square = along.square() - points.square().sum(-1) + radius**2
    half = square.clamp_min(0).sqrt()
    return _unless_missed(-along - half, -along + half, square < 0)


def _through_rectangle(points: Tensor, direction: Tensor, half: Tensor) -> tuple[Tensor, Tensor]:
    """The same for a rectangle about the origin with half sides (2,) along the axes."""
    direction = torch.where(direction.abs() < 1e-12, 1e-12, direction)
    entry = ((-half * direction.sign() - points) / direction).amax(-1)
    exit_ = ((half * direction.sign() - points) / direction).amin(-1)
    return _unless_missed(entry, exit_, entry > exit_)


def _unless_missed(entry: Tensor, exit_: Tensor, missed: Tensor) -> tuple[Tensor, Tensor]:
    return torch.where(missed, torch.inf, entry), torch.where(missed, -torch.inf, exit_)
