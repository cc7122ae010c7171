"""Walking figure animated from speed and turning: footsteps first, then a reachable pelvis, then the limbs.

The gait is driven by a phase that increases by 1 per step and is constant while standing. Foot k lands when the phase
is k, where the pelvis passes halfway through its stance, and does not move until it is lifted. Knees follow from
two-bone inverse kinematics (law of cosines), so that bones keep their lengths and knees only bend forwards.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import convolve1d, maximum_filter1d, minimum_filter1d, uniform_filter1d

from data_loaders.augment import smoothstep
from data_loaders.retarget import knee_position
from motion_diffusion.body.skeleton import BALL_HEIGHT, BONE_LENGTHS, FPS, JOINTS, OFFSETS, PARENTS

Array = NDArray[np.float64]

_OFFSETS = OFFSETS.numpy()
_LENGTHS = BONE_LENGTHS.numpy()
_J = {name: index for index, name in enumerate(JOINTS)}

# Legs and feet, in metres and radians.
_THIGH, _SHIN, _FOOT = (float(_LENGTHS[_J[name]]) for name in ("left_knee", "left_ankle", "left_foot"))
_INSTEP = 0.435  # slope from ball to ankle of a flat foot
_HEEL = 0.18  # from ball to heel
_REACH = 0.992 * (_THIGH + _SHIN)  # legs are never fully extended


@dataclass(frozen=True)
class WalkStyle:
    """Parameters of a gait. Factors are 1 for an ordinary walk, lengths are in metres, angles in radians."""

    stride: float = 1.0
    """Step length relative to the ordinary one at the same speed."""
    arms: float = 1.0
    """Amplitude of the arm swing."""
    lean: float = 0.0
    """Forward bend of the back in addition to that due to speed."""
    knees: float = 0.0
    """Lowering of the hips below their usual height."""
    width: float = 0.075
    """Distance from the line of the walk to the middle of each foot."""
    elbows: float = 0.3
    """Bend of the elbows at rest."""
    toes_out: float = 0.12
    lift: float = 0.05
    """Height that the ball of the foot is lifted to in a swing."""
    phase: float = 0.0
    """Phase at the first frame; an odd integer part exchanges left and right."""


def walk(speed: Array, turning: Array, style: WalkStyle) -> NDArray[np.float32]:
    """Animate a walking figure.

    Args:
        speed: (frames,) speed in m/s; where it is 0 the figure stands with both feet on the floor.
        turning: (frames,) turning in rad/s, positive to the left; should be 0 where the speed is 0.
        style: Parameters of the gait.

    Returns:
        Joints (frames, 22, 3) in metres, starting at the origin of the floor and heading towards +z.
    """
    frames = len(speed)
    heading = _integral(turning)
    place = np.stack([_integral(speed * np.sin(heading)), _integral(speed * np.cos(heading))], axis=-1)
    phase, rests = _phase(speed, turning, style)
    vigour = np.clip(speed / 1.3, 0.0, 1.4)
    contact = 0.30 - 0.08 * np.clip(speed / 1.3, 0.0, 1.5)  # share of a step with both feet down

    # hips
    aside = np.stack([np.cos(heading), -np.sin(heading)], axis=-1)
    sway = 0.022 * np.cos(np.pi * (phase - 0.53)) * np.minimum(vigour, 1.0)
    pelvis = np.zeros((frames, 3))
    idle = np.sin(2 * np.pi * (0.25 * np.arange(frames) / FPS + style.phase)) * (1 - np.minimum(vigour, 1.0))
    pelvis[:, [0, 2]] = place + (sway + 0.01 * idle)[:, None] * aside
    twist = 0.10 * np.cos(np.pi * phase) * vigour  # even steps are left: their hip is forward when they land
    tilt = 0.05 * np.sin(np.pi * (phase - 0.1)) * np.minimum(vigour, 1.0)
    hips = _turn(heading - twist, 0.02 + 0.03 * vigour, tilt)

    # feet, then a pelvis low enough for both
    feet = [_foot(parity, phase, rests, heading, place, speed, contact, style) for parity in (0, 1)]
    room = np.full(frames, np.inf)
    for name, (ankle, _, _) in zip(("left_hip", "right_hip"), feet, strict=True):
        hip = hips @ _OFFSETS[_J[name]]
        across = np.linalg.norm((pelvis + hip - ankle)[:, [0, 2]], axis=-1)
        room = np.minimum(room, ankle[:, 1] + np.sqrt(np.maximum(_REACH**2 - across**2, 0.01)) - hip[:, 1])
    window = np.array([1, 2, 3, 2, 1]) / 9  # as wide as the minimum filter, hence the result stays below the room
    pelvis[:, 1] = convolve1d(minimum_filter1d(room, len(window)), window, mode="nearest") - style.knees

    # spine and head
    bend = 0.03 + 0.05 * vigour + style.lean + 0.012 * idle
    middle = _turn(heading + 0.3 * twist, bend, 0.0)
    chest = _turn(heading + 0.9 * twist, 1.2 * bend, -0.3 * tilt)
    ahead = heading + 0.5 * (np.interp(np.arange(frames) + 0.5 * FPS, np.arange(frames), heading) - heading)
    skull = _turn(ahead, 0.05 + 0.3 * bend, 0.0)
    turned = {
        0: hips, _J["spine1"]: middle, _J["spine2"]: middle, _J["spine3"]: chest, _J["neck"]: skull,
        _J["left_collar"]: chest, _J["right_collar"]: chest,
    }  # fmt: skip
    joints = np.zeros((frames, len(JOINTS), 3))
    joints[:, 0] = pelvis
    for joint in range(1, len(JOINTS)):
        if PARENTS[joint] in turned:
            joints[:, joint] = joints[:, PARENTS[joint]] + turned[PARENTS[joint]] @ _OFFSETS[joint]

    shoulders = _turn(heading + 0.9 * twist, 0.4 * bend, 0.0)
    for parity, side in enumerate(("left", "right")):
        ankle, ball, toward = feet[parity]
        joints[:, _J[f"{side}_knee"]] = _knee(joints[:, _J[f"{side}_hip"]], ankle, toward + hips[:, :, 2])
        joints[:, _J[f"{side}_ankle"]], joints[:, _J[f"{side}_foot"]] = ankle, ball
        out = 1 - 2 * parity
        forward = out * np.cos(np.pi * (phase - 0.12))  # of the leg on this side; the arm swings oppositely
        swing = 0.04 - 0.36 * style.arms * vigour * forward
        bent = swing + style.elbows + 0.35 * style.arms * vigour * np.maximum(0.0, 0.6 - forward)
        for name, parent, angle, splay in (("elbow", "shoulder", swing, 0.17), ("wrist", "elbow", bent, 0.02)):
            across = np.full(frames, out * np.sin(splay))
            bone = np.stack([across, -np.cos(splay) * np.cos(angle), np.cos(splay) * np.sin(angle)], axis=-1)
            joint = _J[f"{side}_{name}"]
            along = (shoulders @ bone[..., None])[..., 0]
            joints[:, joint] = joints[:, _J[f"{side}_{parent}"]] + _LENGTHS[joint] * along
    return joints.astype(np.float32)


def _integral(rate: Array) -> Array:
    """Trapezoidal integral over time of a rate (frames,) per second, 0 at the first frame."""
    return np.concatenate([[0.0], np.cumsum((rate[1:] + rate[:-1]) / 2)]) / FPS


def _phase(speed: Array, turning: Array, style: WalkStyle) -> tuple[Array, Array]:
    """Phase (frames,) of the gait, and phases (rests,) at which the figure stands.

    A step is 0.59·√speed metres long, hence about 2 steps per second at 1.3 m/s as for people. People start and stop at
    nearly the full step rate with short steps, so the rate follows the maximum speed within half a second. In a walk
    that ends with standing, steps are scaled so that their number is whole. In bends, steps are shorter.
    """
    around = uniform_filter1d(maximum_filter1d(speed, 9), 5)
    bend = np.abs(turning) / np.maximum(speed, 0.1)
    rate = np.where(speed > 0, np.sqrt(np.maximum(around, 0.0)) / (0.59 * style.stride) * (1 + 0.3 * bend), 0.0)
    moving = speed > 0
    starts = np.flatnonzero(moving & ~np.r_[False, moving[:-1]])
    ends = np.flatnonzero(moving & ~np.r_[moving[1:], False])
    now = float(np.floor(style.phase) if not moving[0] else style.phase)
    rests = [] if moving[0] else [now]
    scaled = rate.copy()
    for start, end in zip(starts, ends, strict=True):
        steps = float(_integral(rate[max(start - 1, 0) : end + 2])[-1])
        if end < len(speed) - 1:
            whole = max(np.round(now + steps), np.floor(now) + 1)
            scaled[start : end + 1] *= (whole - now) / steps
            steps = whole - now
            rests.append(whole)
        now += steps
    first = style.phase if moving[0] else np.floor(style.phase)
    phase = first + _integral(scaled)
    for rest in rests:  # floating-point sums are only approximately equal
        phase[np.abs(phase - rest) < 1e-6] = rest
    return phase, np.array(rests)


def _foot(
    parity: int,
    phase: Array,
    rests: Array,
    heading: Array,
    place: Array,
    speed: Array,
    contact: Array,
    style: WalkStyle,
) -> tuple[Array, Array, Array]:
    """Ankle, ball and horizontal direction, (frames, 3) each, of the foot with steps ≡ parity (mod 2)."""
    # footholds, from the one before the first frame to the one after the last
    steps = np.arange(np.floor(phase[0]) - 3, np.ceil(phase[-1]) + 4)
    steps = steps[steps % 2 == parity]
    middle = steps + 0.53
    for rest in rests:  # before standing, feet are placed side by side, not on the path of the next walk
        middle = np.where((steps <= rest) & (middle > rest), rest, middle)
    clock = np.arange(float(len(phase)))
    when = _first_time(middle, phase, clock)
    landing = _first_time(steps, phase, clock)
    at = np.stack([np.interp(when, clock, place[:, axis]) for axis in (0, 1)], axis=-1)
    yaw = np.interp(when, clock, heading)
    strike = 0.30 * np.clip(np.interp(landing, clock, speed) / 1.3, 0, 1.3)
    out = 1 - 2 * parity
    at = at + out * style.width * np.stack([np.cos(yaw), -np.sin(yaw)], axis=-1)
    yaw = yaw + out * style.toes_out
    at = at + 0.07 * np.stack([np.sin(yaw), np.cos(yaw)], axis=-1)  # the ball of a flat foot

    now = np.searchsorted(steps, phase, side="right") - 1
    since = phase - steps[now]
    after = np.minimum(now + 1, len(steps) - 1)
    swing = np.clip((since - 1 - contact) / (1 - contact), 0, 1)

    # the foot rolls: toes up at landing, heel up before lifting
    strength = np.sqrt(np.clip(speed / 1.3, 0, 1.3))
    heel_up = (
        0.95 * strength * smoothstep((since - 0.62) / (1.0 + contact - 0.62) * 0.85) * (1 - smoothstep(swing / 0.62))
    )
    toes_up = strike[now] * (1 - smoothstep(since / 0.22)) + strike[after] * smoothstep((swing - 0.45) / 0.5)

    share = smoothstep((swing - 0.05) / 0.87)  # first up, then forward, then down
    direction = yaw[now] + share * (yaw[after] - yaw[now])
    toward = np.stack([np.sin(direction), np.zeros_like(direction), np.cos(direction)], axis=-1)
    ball = np.zeros((len(phase), 3))
    ball[:, [0, 2]] = at[now] + share[:, None] * (at[after] - at[now])
    ball[:, 1] = BALL_HEIGHT + style.lift * (1 - np.abs(2 * swing**0.85 - 1) ** 3) + _HEEL * np.sin(toes_up)
    ball -= (_HEEL * (1 - np.cos(toes_up)))[:, None] * toward
    slope = _INSTEP + heel_up - toes_up
    ankle = ball - (_FOOT * np.cos(slope))[:, None] * toward
    ankle[:, 1] += _FOOT * np.sin(slope)
    return ankle, ball, toward


def _first_time(wanted: Array, phase: Array, clock: Array) -> Array:
    """Times in fractional frames at which a non-decreasing phase (frames,) first reaches the given values."""
    rising = np.r_[True, np.diff(phase) > 0]
    return np.interp(wanted, phase[rising], clock[rising])


def _knee(hip: Array, ankle: Array, forward: Array) -> Array:
    """Knee (frames, 3) between hip and ankle, bent towards `forward`, by two-bone inverse kinematics."""
    leg = ankle - hip
    length = np.linalg.norm(leg, axis=-1, keepdims=True)
    along = leg / length
    ahead = forward - (forward * along).sum(axis=-1, keepdims=True) * along
    ahead /= np.linalg.norm(ahead, axis=-1, keepdims=True)
    return knee_position(hip, along, length, ahead, (_THIGH, _SHIN))


def _turn(yaw: Array, pitch: Array | float, roll: Array | float) -> Array:
    """Rotations (frames, 3, 3): roll about z (left side up), then pitch about x (forward), then yaw about y."""
    yaw, pitch, roll = np.broadcast_arrays(yaw, pitch, roll)
    (sy, cy), (sp, cp), (sr, cr) = ((np.sin(angle), np.cos(angle)) for angle in (yaw, pitch, roll))
    return np.stack(
        [
            np.stack([cy * cr + sy * sp * sr, -cy * sr + sy * sp * cr, sy * cp], axis=-1),
            np.stack([cp * sr, cp * cr, -sp], axis=-1),
            np.stack([-sy * cr + cy * sp * sr, sy * sr + cy * sp * cr, cy * cp], axis=-1),
        ],
        axis=-2,
    )
