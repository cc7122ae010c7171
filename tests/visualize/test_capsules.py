"""Skinning against smplx, and geometry of the capsule body."""

import numpy as np
import roma
import torch
import trimesh
from scipy.spatial import cKDTree
from smplx import lbs

from motion_diffusion.body.rig import REST, STANDING, Rig
from motion_diffusion.body.skeleton import JOINTS, MIRRORED, PARENTS
from tests.rigs import tumbling
from visualize.bodies.capsules import capsule_skin
from visualize.drawing import style


def parts(skin):
    """Connected component (V,) of each vertex."""
    edges = np.concatenate([skin.faces[:, [0, 1]], skin.faces[:, [1, 2]]])
    return trimesh.graph.connected_component_labels(edges, node_count=len(skin.vertices))


def inside(vertices, faces, points):
    """Winding number (P,) of a closed mesh around points: the solid angle of its faces over 4π.

    Van Oosterom and Strackee 1983.
    """
    a, b, c = np.moveaxis(vertices[faces][None] - points[:, None, None], 2, 0)
    la, lb, lc = (np.linalg.norm(v, axis=-1) for v in (a, b, c))
    volume = np.einsum("pfi,pfi->pf", a, np.cross(b, c))
    dots = ((a * b).sum(-1) * lc, (b * c).sum(-1) * la, (c * a).sum(-1) * lb)
    return np.arctan2(volume, la * lb * lc + sum(dots)).sum(1) / (2 * np.pi)


def test_skinning_agrees_with_smplx():
    skin, rig = capsule_skin(), tumbling(frames=6)
    parents = torch.tensor(PARENTS)
    rest = REST.expand(6, -1, -1)
    joints, transforms = lbs.batch_rigid_transform(rig.rotations, rest, parents, dtype=torch.float64)
    weights = torch.zeros(len(skin.vertices), len(JOINTS), dtype=torch.float64)
    weights.scatter_add_(1, torch.from_numpy(skin.joints), torch.from_numpy(skin.weights))
    blended = torch.einsum("vj,fjab->fvab", weights, transforms)
    points = torch.nn.functional.pad(torch.from_numpy(skin.vertices), (0, 1), value=1.0)
    wanted = torch.einsum("fvab,vb->fva", blended, points)[..., :3] + (rig.joints - joints)[:, :1]
    posed = skin.posed(rig)
    np.testing.assert_allclose(posed, wanted, atol=1e-9)
    np.testing.assert_allclose(skin.posed_at(rig, 4), posed[4], atol=1e-12)


def test_skin_weights_satisfy_gltf():
    skin = capsule_skin()
    np.testing.assert_allclose(skin.weights.sum(1), 1, atol=1e-12)
    assert (skin.weights >= 0).all()
    assert (skin.joints[skin.weights == 0] == 0).all()
    assert skin.joints.max() < len(JOINTS)
    assert skin.colours.shape == skin.vertices.shape


def test_capsule_skin_is_closed_and_stands_on_the_floor():
    skin = capsule_skin()
    mesh = trimesh.Trimesh(skin.vertices, skin.faces, process=False)
    assert len(skin.vertices) < 4000
    assert mesh.is_watertight
    assert all(piece.volume > 0 for piece in mesh.split())  # faces look outward
    assert 0.05 < mesh.volume < 0.09  # litres of water, or kilograms, by the thousand
    np.testing.assert_allclose(skin.vertices[:, 1].min(), -STANDING, atol=1e-3)
    assert 1.6 < np.ptp(skin.vertices[:, 1]) < 1.9


def test_capsule_skin_is_symmetric():
    skin = capsule_skin()
    away, _ = cKDTree(skin.vertices).query(skin.vertices * [-1, 1, 1])
    assert away.max() < 0.003
    for colour, sign in ((style.LEFT, 1), (style.RIGHT, -1)):
        limbs = np.isclose(skin.colours, style.rgb(colour)).all(1)
        carriers = set(skin.joints[limbs][skin.weights[limbs] > 0].tolist())
        assert all(JOINTS[joint].startswith("left" if sign > 0 else "right") for joint in carriers)
        assert (sign * skin.vertices[limbs, 0] > -0.03).all()
        assert {MIRRORED[joint] for joint in carriers}.isdisjoint(carriers)


def test_bent_limbs_stay_joined():
    """At any angle, each joint lies within two pieces: that of its parent bone and its own."""
    skin = capsule_skin()
    rng = np.random.default_rng(0)
    axes = rng.normal(size=(5, 22, 3))
    angles = rng.uniform(0, np.radians(130), (5, 22, 1))
    angles[:, [JOINTS.index(name) for name in ("spine1", "spine2", "spine3", "neck")]] *= 0.25
    turns = roma.rotvec_to_rotmat(torch.from_numpy(angles * axes / np.linalg.norm(axes, axis=-1, keepdims=True)))
    rig = Rig(turns, torch.zeros(5, 3, dtype=torch.float64), 20.0)
    limbs = [joint for joint, name in enumerate(JOINTS) if name.startswith(("left", "right")) or name == "head"]
    for vertices, joints in zip(skin.posed(rig), rig.joints.numpy()[:, limbs], strict=True):
        assert inside(vertices, skin.faces, joints).min() > 1.99


def test_trunk_is_one_piece_with_smooth_weights():
    skin = capsule_skin()
    label = parts(skin)
    spine = [JOINTS.index(name) for name in ("pelvis", "spine1", "spine2", "spine3", "neck")]
    (trunk,) = {label[vertex] for vertex in np.flatnonzero((skin.weights > 0).sum(1) > 1)}
    carried = skin.dense_weights[label == trunk]
    assert set(np.flatnonzero(carried.any(0)).tolist()) == set(spine)
    order = np.argsort(skin.vertices[label == trunk, 1])
    steps = np.abs(np.diff(carried[order], axis=0)).max()
    assert steps < 0.7
