"""Synthetic body models and recordings in AMASS's file formats."""

from pathlib import Path

import numpy as np

from motion_diffusion.body.skeleton import OFFSETS, PARENTS

JOINTS_OF = {"smplh": 52, "smplx": 55}
VERTICES = {"smplh": 6890, "smplx": 10475}
WIDTHS = {"smplh": 156, "smplx": 165}


def body_model(kind="smplh", shapes=16, seed=0):
    """Arrays of a body model about as tall as this body, with random joints of hands and face and random vertices."""
    rng = np.random.default_rng(seed)
    joints, vertices = JOINTS_OF[kind], VERTICES[kind]
    parents = np.array([*PARENTS, *rng.integers(12, 22, joints - 22)])
    rest = np.zeros((joints, 3))
    for joint, parent in enumerate(parents[1:], 1):
        offset = OFFSETS[joint].numpy() * rng.uniform(0.8, 1.2) if joint < 22 else rng.normal(0, 0.03, 3)
        rest[joint] = rest[parent] + offset
    regressor = np.zeros((joints, vertices))
    template = rng.normal(0, 0.3, (vertices, 3))
    for joint in range(joints):  # ten vertices each, around the joint
        near = np.arange(10) + 10 * joint
        weights = rng.dirichlet(np.ones(10))
        regressor[joint, near] = weights
        template[near] += rest[joint] - weights @ template[near]
    return {
        "v_template": template,
        "shapedirs": rng.normal(0, 0.01, (vertices, 3, shapes)).astype(np.float32),
        "J_regressor": regressor,
        "kintree_table": np.stack([parents, np.arange(joints)]).astype(np.int64),
    }


def skin(kind="smplh", seed=1):
    """Further arrays that smplx needs to pose the skin."""
    rng = np.random.default_rng(seed)
    joints, vertices = JOINTS_OF[kind], VERTICES[kind]
    few = rng.normal(0, 0.001, (100, 3, 9 * (joints - 1))).astype(np.float32)
    arrays = {
        "posedirs": np.resize(few, (vertices, *few.shape[1:])),
        "weights": rng.dirichlet(np.ones(joints), vertices),
        "f": rng.integers(0, vertices, (20, 3)),
    }
    for side in "lr":
        arrays[f"hands_components{side}"] = np.eye(45)
        arrays[f"hands_mean{side}"] = rng.normal(0, 0.2, 45)
    if kind == "smplx":
        arrays |= {"lmk_faces_idx": np.zeros(51, dtype=np.int64), "lmk_bary_coords": np.full((51, 3), 1 / 3)}
    return arrays


def write_model(folder: Path, kind="smplh", gender="male", **arrays):
    """Write a body model to the path used by AMASS's authors."""
    path = folder / kind / gender / "model.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **(arrays or body_model(kind, seed=len(gender))))
    return path


def recording(kind="smplh", frames=120, fps=60.0, gender="male", seed=0):
    """Arrays of a recording: a body on the floor z = 0 that wanders and turns, with moving arms and legs."""
    rng = np.random.default_rng(seed)
    time = np.arange(frames)[:, None] / fps
    width = WIDTHS[kind]
    poses = 0.3 * np.sin(rng.uniform(1, 3, width) * time + rng.uniform(0, 6, width))
    upright = np.array([np.pi / 2, 0.0, 0.0])  # from y up to z up
    poses[:, :3] = upright + 0.1 * poses[:, :3]
    trans = np.concatenate([0.5 * time, 0.3 * np.sin(time), 0.95 + 0.02 * np.sin(3 * time)], axis=1)
    arrays = {"poses": poses, "trans": trans, "betas": rng.normal(0, 1, 16), "gender": np.array(gender)}
    if kind == "smplh":
        return arrays | {"mocap_framerate": np.array(fps), "dmpls": rng.normal(0, 1, (frames, 8))}
    return arrays | {"mocap_frame_rate": np.array(fps), "surface_model_type": np.array("smplx")}


def write_recording(path: Path, **arrays):
    """Write a recording in AMASS's format."""
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **(arrays or recording()))
    return path


class Trap:
    """Object that creates a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def pickled(path):
    """Pickled array that creates a file when it is read."""
    array = np.empty(1, dtype=object)
    array[0] = Trap(path)
    return array
