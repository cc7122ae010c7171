"""Pinhole camera and its placement."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

FIELD_OF_VIEW = np.radians(34)
ELEVATION = np.radians(17)
NEAR = 0.3


@dataclass(frozen=True)
class Camera:
    """A pinhole camera that looks at a target.

    Attributes:
        target: (3,) metres.
        azimuth: direction from the target to the camera, radians from +z towards +x.
        distance: from the target, metres.
        size: width and height of the picture, pixels; projected points have their origin at its lower left corner.
        elevation: radians above the horizon.
    """

    target: NDArray[np.float64]
    azimuth: float
    distance: float
    size: tuple[int, int]
    elevation: float = ELEVATION

    @property
    def axes(self) -> NDArray[np.float64]:
        """(3, 3) rows: right, up and forward of the camera in world coordinates."""
        sin, cos = np.sin(self.azimuth), np.cos(self.azimuth)
        rise, run = np.sin(self.elevation), np.cos(self.elevation)
        return np.array([[cos, 0, -sin], [-sin * rise, run, -cos * rise], [-sin * run, -rise, -cos * run]])

    @property
    def focal(self) -> float:
        """Focal length in pixels: pixels per metre at a depth of one metre."""
        return self.size[1] / 2 / np.tan(FIELD_OF_VIEW / 2)

    def project(self, points: NDArray) -> tuple[NDArray, NDArray]:
        """Project points to the picture.

        Args:
            points: (..., 3) metres.

        Returns:
            Pixels (..., 2) and depths (...) in metres. Pixels of points behind the camera are meaningless.
        """
        local = (points - self.target) @ self.axes.T
        depth = local[..., 2] + self.distance
        scale = self.focal / np.maximum(depth, 1e-3)
        return local[..., :2] * scale[..., None] + np.array(self.size) / 2, depth


def facing_direction(joints: NDArray) -> NDArray:
    """Unit vectors (..., 2), x and z, of the facing of bodies (..., 22, 3): perpendicular to hips and shoulders."""
    across = joints[..., 1, :] - joints[..., 2, :] + joints[..., 16, :] - joints[..., 17, :]
    forward = np.stack([-across[..., 2], across[..., 0]], axis=-1)
    return forward / np.maximum(np.linalg.norm(forward, axis=-1, keepdims=True), 1e-9)


def view_azimuth(joints: NDArray, *, aside: float = 62.0) -> float:
    """Azimuth in radians from which a motion passes by.

    Args:
        joints: (frames, 22, 3) metres.
        aside: degrees between the view and the direction of travel.
    """
    walk = joints[:, 0, [0, 2]] - joints[0, 0, [0, 2]]
    reach = np.linalg.norm(walk, axis=-1)
    ahead = walk[reach.argmax()] if reach.max() > 1.0 else facing_direction(joints[0])
    return float(np.arctan2(*ahead) + np.radians(aside))


def follow_targets(joints: NDArray, fps: float, *, seconds: float = 0.8) -> NDArray:
    """Camera targets that follow the pelvis smoothly and do not sink below 0.95 m.

    Args:
        joints: (frames, 22, 3) metres.
        fps: frames per second.
        seconds: standard deviation of the Gaussian smoothing.

    Returns:
        (frames, 3) metres.
    """
    targets = gaussian_filter1d(joints[:, 0].astype(np.float64), max(seconds * fps, 1e-3), axis=0, mode="nearest")
    targets[:, 1] = np.maximum(0.95, targets[:, 1])
    return targets


def framing_distance(
    points: NDArray, targets: NDArray, azimuth: float, size: tuple[int, int], *, least: float
) -> float:
    """Minimum camera distance that keeps all points in every frame, with room for caption and clock.

    Args:
        points: (frames, n, 3) metres.
        targets: (frames, 3) camera targets, metres.
        azimuth: of the camera, radians.
        size: width and height, pixels.
        least: lower bound of the result, metres.
    """
    camera = Camera(targets[0], azimuth, 0.0, size)
    right, up, ahead = np.moveaxis((points - targets[:, None]) @ camera.axes.T, -1, 0)
    across, above, below = 0.46 * size[0], 0.38 * size[1], 0.42 * size[1]
    beside = camera.focal * np.maximum(np.abs(right) / across, np.maximum(up / above, -up / below))
    return max(least, float((beside - ahead).max()))


def fit_camera(
    points: NDArray,
    azimuth: float,
    size: tuple[int, int],
    *,
    elevation: float = ELEVATION,
    above: float = 0.14,
    below: float = 0.07,
) -> Camera:
    """The nearest camera at an azimuth that has all points in the picture.

    Args:
        points: (..., 3) metres.
        azimuth: radians.
        size: width and height, pixels.
        elevation: radians.
        above: share of the height left free at the top.
        below: share of the height left free at the bottom.
    """
    flat = points.reshape(-1, 3)
    low_edge, high_edge = np.array(size) * [0.04, below], np.array(size) * [0.96, 1 - above]
    camera = Camera((flat.min(axis=0) + flat.max(axis=0)) / 2, azimuth, 0.0, size, elevation)
    near, far = 1.0, 200.0
    while far - near > 0.01:
        distance = (near + far) / 2
        camera = replace(camera, distance=distance)
        for _ in range(3):  # centre the points, then test whether they fit
            pixels, depth = camera.project(flat)
            off = (pixels.min(axis=0) + pixels.max(axis=0) - low_edge - high_edge) / 2
            camera = replace(camera, target=camera.target + off / camera.focal * distance @ camera.axes[:2])
        pixels, depth = camera.project(flat)
        fits = depth.min() > NEAR and (pixels > low_edge).all() and (pixels < high_edge).all()
        near, far = (near, distance) if fits else (distance, far)
    return camera
