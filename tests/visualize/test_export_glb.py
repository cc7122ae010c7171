"""GLB against glTF 2.0: Khronos' validator, trimesh, and a reader that skins the mesh as specified."""

import json
import os
import shutil
import subprocess

import numpy as np
import pytest
import torch
import trimesh
from scipy.spatial.transform import Rotation

from motion_diffusion.body.motion import Motion
from motion_diffusion.body.rig import REST, STANDING, Rig
from motion_diffusion.body.skeleton import JOINTS
from tests import needs
from tests.rigs import tumbled, tumbling
from visualize.bodies.capsules import capsule_skin
from visualize.drawing import style
from visualize.export.formats import export, to_bytes
from visualize.export.glb import quaternions, to_glb

VALIDATE = """
const bytes = new Uint8Array(require("fs").readFileSync(process.argv[1]));
require("gltf-validator").validateBytes(bytes).then((report) => console.log(JSON.stringify(report.issues)));
"""


def node_has_the_validator():
    node = shutil.which("node")
    return node and not subprocess.run([node, "-e", "require('gltf-validator')"], capture_output=True).returncode


class Glb:
    """A GLB parsed as specified."""

    def __init__(self, content):
        magic, version, length = content[:4], *np.frombuffer(content, "<u4", 2, 4)
        assert (magic, version, length) == (b"glTF", 2, len(content))
        size = int(np.frombuffer(content, "<u4", 1, 12)[0])
        assert content[16:20] == b"JSON"
        assert content[24 + size : 28 + size] == b"BIN\0"
        self.json, self.binary = json.loads(content[20 : 20 + size]), content[28 + size :]

    def array(self, index):
        """Values (count, components) of an accessor."""
        accessor = self.json["accessors"][index]
        view = self.json["bufferViews"][accessor["bufferView"]]
        kind = {5123: "<u2", 5125: "<u4", 5126: "<f4"}[accessor["componentType"]]
        width = {"SCALAR": 1, "VEC3": 3, "VEC4": 4, "MAT4": 16}[accessor["type"]]
        count = accessor["count"] * width
        return np.frombuffer(self.binary, kind, count, view["byteOffset"]).reshape(-1, width)

    def globals(self, frame):
        """Global transforms (nodes, 4, 4) in a frame of the animation."""
        nodes = self.json["nodes"]
        local = np.tile(np.eye(4), (len(nodes), 1, 1))
        for index, node in enumerate(nodes):
            local[index, :3, 3] = node.get("translation", [0, 0, 0])
        (animation,) = self.json["animations"]
        for channel in animation["channels"]:
            value = self.array(animation["samplers"][channel["sampler"]]["output"])[frame]
            if channel["target"]["path"] == "translation":
                local[channel["target"]["node"], :3, 3] = value
            else:
                local[channel["target"]["node"], :3, :3] = Rotation.from_quat(value).as_matrix()
        world = local.copy()
        stack = list(self.json["scenes"][self.json["scene"]]["nodes"])
        while stack:
            parent = stack.pop()
            for child in nodes[parent].get("children", []):
                world[child] = world[parent] @ local[child]
                stack.append(child)
        return world

    def skinned(self, frame):
        """Skinned vertices (V, 3) in a frame: Σ weight · global joint transform · inverse bind matrix · vertex."""
        (skin,) = self.json["skins"]
        (primitive,) = self.json["meshes"][0]["primitives"]
        names = ("POSITION", "JOINTS_0", "WEIGHTS_0")
        points, joints, weights = (self.array(primitive["attributes"][name]) for name in names)
        inverse = self.array(skin["inverseBindMatrices"]).reshape(-1, 4, 4).swapaxes(1, 2)
        matrices = self.globals(frame)[skin["joints"]] @ inverse
        blended = np.einsum("vk,vkab->vab", weights, matrices[joints])
        return np.einsum("vab,vb->va", blended, np.pad(points, ((0, 0), (0, 1)), constant_values=1))[:, :3]


@pytest.mark.parametrize("choices", [{}, {"fps": 60.0, "t_pose": True}])
def test_glb_poses_joints_and_skin_like_the_rig(choices):
    motion, rig = tumbled()
    file = Glb(to_bytes(motion, ".glb", **choices))
    rig = rig.at(60).after_t_pose() if choices else rig
    (skin,) = file.json["skins"]
    assert [file.json["nodes"][node]["name"] for node in skin["joints"]] == list(JOINTS)
    times = file.array(file.json["animations"][0]["samplers"][0]["input"])[:, 0]
    np.testing.assert_allclose(times, np.arange(len(rig.root)) / rig.fps, atol=1e-6)
    for frame in range(0, len(rig.root), 7):
        np.testing.assert_allclose(file.globals(frame)[skin["joints"], :3, 3], rig.joints[frame], atol=1e-5)
        np.testing.assert_allclose(file.skinned(frame), capsule_skin().posed_at(rig, frame), atol=1e-5)


def test_glb_nodes_are_in_the_rest_pose():
    file = Glb(to_bytes(tumbled()[0], ".glb"))
    file.json["animations"] = [{"channels": []}]
    joints = file.globals(0)[: len(JOINTS), :3, 3]
    np.testing.assert_allclose(joints, REST.numpy() + [0, STANDING, 0], atol=1e-9)


def test_quaternions_are_continuous():
    turns = quaternions(tumbling(frames=80).rotations)
    assert ((turns[1:] * turns[:-1]).sum(-1) > 0).all()
    np.testing.assert_allclose(turns.norm(dim=-1), 1, atol=1e-12)
    with_signs = Rotation.from_quat(turns.reshape(-1, 4).numpy()).as_matrix()
    np.testing.assert_allclose(with_signs.reshape(80, 22, 3, 3), tumbling(frames=80).rotations, atol=1e-9)
    assert (turns[..., 3] < 0).any()  # else nothing had to be done


def test_trimesh_reads_mesh_and_colours(tmp_path):
    export(tumbled()[0], tmp_path / "a.glb")
    scene = trimesh.load_scene(tmp_path / "a.glb", process=False)
    (mesh,) = scene.geometry.values()
    skin = capsule_skin()
    np.testing.assert_allclose(mesh.vertices, skin.vertices, atol=1e-6)
    np.testing.assert_array_equal(mesh.faces, skin.faces)
    outward = trimesh.Trimesh(skin.vertices, skin.faces, process=False).vertex_normals
    np.testing.assert_allclose(mesh.vertex_normals, outward, atol=1e-5)
    assert set(scene.graph.nodes) >= {*JOINTS, "body"}
    file = Glb((tmp_path / "a.glb").read_bytes())
    light = file.array(file.json["meshes"][0]["primitives"][0]["attributes"]["COLOR_0"])
    screen = 1.055 * light ** (1 / 2.4) - 0.055  # none of ours is dark enough for the straight part
    np.testing.assert_allclose(screen, skin.colours, atol=1e-5)
    assert np.isclose(screen, style.rgb(style.LEFT), atol=1e-5).all(1).any()


def test_glb_contains_text_and_provenance():
    motion, _ = tumbled()
    asset = Glb(to_bytes(motion, ".glb")).json["asset"]
    assert asset["version"] == "2.0"
    assert asset["extras"] == {"text": motion.text, "provenance": {"seed": 3}}


def test_glb_accepts_any_skin():
    triangle = capsule_skin()
    small = type(triangle)(
        triangle.vertices[:3], np.array([[0, 1, 2]]), triangle.joints[:3], triangle.weights[:3], triangle.colours[:3]
    )
    motion, rig = tumbled()
    assert Glb(to_glb(rig, motion, skin=small)).skinned(5).shape == (3, 3)


@needs.present(node_has_the_validator(), "node with the npm package gltf-validator")
@pytest.mark.parametrize("frames", [1, 40])
def test_khronos_validator_reports_no_issues(tmp_path, frames):
    export(Motion(tumbled()[0].joints[:frames], text="“a”"), tmp_path / "a.glb")
    ran = subprocess.run(["node", "-e", VALIDATE, tmp_path / "a.glb"], capture_output=True, text=True, env=os.environ)
    issues = json.loads(ran.stdout)
    assert not issues["messages"]
    assert (issues["numErrors"], issues["numWarnings"]) == (0, 0)


def test_glb_of_the_rest_pose_is_the_skin():
    still = Rig(torch.eye(3, dtype=torch.float64).expand(2, 22, 3, 3), torch.zeros(2, 3, dtype=torch.float64), 20.0)
    np.testing.assert_allclose(Glb(to_glb(still, tumbled()[0])).skinned(1), capsule_skin().vertices, atol=1e-6)
