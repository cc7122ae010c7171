"""Scenes: footprints, the floor below the soles, and titles."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from motion_diffusion.body.motion import Motion
from visualize.drawing.camera import Camera, view_azimuth
from visualize.scene import Actor, detect_footprints, floor_camera, make_scene, make_titles


def test_footprints_are_at_the_foot_contacts(motion):
    joints = motion.joints.numpy()
    steps = detect_footprints(joints, 20.0)
    assert {step.toe for step in steps} == {10, 11}
    for step in steps:
        stance = joints[round(step.time * 20) : round(step.last * 20) + 1, step.toe]
        assert np.abs(stance[:, [0, 2]] - step.ball).max() < 0.12
        assert np.linalg.norm(step.ball - step.heel) < 0.2
    fine = np.stack([np.interp(np.arange(0, 59, 1 / 3), np.arange(60), axis) for axis in joints.reshape(60, -1).T], -1)
    others = detect_footprints(fine.reshape(-1, 22, 3), 60.0)
    assert [(step.time, step.toe) for step in others] == [(step.time, step.toe) for step in steps]


def test_floor_camera_puts_the_floor_at_the_soles(motion):
    """Seen through its camera, the floor is where the soles of feet that stand are."""
    actor = Actor(make_scene(motion, None))
    camera = Camera(np.array([0.0, 0.9, 0.0]), view_azimuth(motion.joints.numpy()), 4.0, (640, 480))
    sole = np.array([0.0, -actor.sole_offset, 0.0])
    np.testing.assert_allclose(
        floor_camera(camera, [actor]).project(np.zeros(3))[0], camera.project(sole)[0], atol=1e-9
    )
    sunk = Actor(make_scene(Motion(motion.joints - torch.tensor([0.0, 0.02, 0.0])), None))
    assert sunk.sole_offset == pytest.approx(actor.sole_offset + 0.02, abs=1e-6)


def test_full_title_joins_title_and_text(motion):
    scene = make_scene(motion, None, title="walk")
    assert [replace(scene, text=text).full_title for text in ("a person walks", "")] == ["walk: a person walks", "walk"]
    assert [replace(scene, text=text, title="").full_title for text in ("a person walks", "")] == ["a person walks", ""]


def test_titles_name_the_differences(motion):
    def made(name, guidance, seed):
        return Motion(
            motion.joints, provenance={"model": {"name": name}, "settings": {"guidance": guidance}, "seed": seed}
        )

    assert make_titles([motion]) == [""]
    assert make_titles([motion, made("eps", "noise", 0)]) == ["real", "eps"]
    assert make_titles([made("eps", "noise", 0), made("x0", "noise", 0)]) == ["eps", "x0"]
    assert make_titles([made("v", "noise", 0), made("v", "masks", 0)]) == ["v, noise", "v, masks"]
    assert make_titles([made("v", "noise", 0), made("v", "noise", 1)]) == ["v, seed 0", "v, seed 1"]
    assert make_titles([motion, motion]) == ["real (1)", "real (2)"]
    assert make_titles([Motion(motion.joints, provenance={"file": "a.bvh"}), motion]) == ["a.bvh", "real"]
    assert make_titles([motion, made("v", "masks", 0)], ["walk", "made"]) == ["walk", "v"]
    waves = replace(made("v", "masks", 0), text="a person waves")
    assert make_titles([made("v", "masks", 0), waves]) == ["v", "v"]  # their words tell them apart
    assert make_titles([waves, made("v", "masks", 0), waves]) == ["v (1)", "v", "v (3)"]
