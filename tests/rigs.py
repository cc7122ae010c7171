"""Motions that turn every joint far, to be seen through other programs."""

import numpy as np
import roma
import torch

from motion_diffusion.body.motion import Motion
from motion_diffusion.body.rig import Rig
from motion_diffusion.body.skeleton import JOINTS


def tumbling(frames=40, fps=20.0, seed=0, reach=1.2):
    """A rig that turns round twice while it wanders, and turns every joint to and fro by up to `reach` radians."""
    rng = np.random.default_rng(seed)
    time = np.linspace(0, 1, frames)[:, None, None]
    size = rng.uniform(-reach, reach, (len(JOINTS), 3)) / np.sqrt(3)
    turns = size * np.sin(rng.uniform(2, 6, (len(JOINTS), 3)) * time + rng.uniform(0, 6, (len(JOINTS), 3)))
    rotations = roma.rotvec_to_rotmat(torch.from_numpy(turns))
    yaw = torch.from_numpy(4 * np.pi * time[:, 0] * [0.0, 1.0, 0.0])
    rotations[:, 0] = roma.rotvec_to_rotmat(yaw) @ rotations[:, 0]
    place = np.concatenate([2 * time, 1 + 0.2 * np.sin(5 * time), np.cos(3 * time)], axis=-1)[:, 0]
    return Rig(rotations, torch.from_numpy(place), fps)


def tumbled(**choices):
    """A motion with this body's bones, and the rig of it."""
    motion = Motion.of(tumbling(**choices), text="a person “tumbles” – 転ぶ", provenance={"seed": 3})
    return motion, motion.rig
