"""Foot contacts of a part of a motion are those of the whole."""

import torch

from data_loaders.procedural.walks import ProceduralWalks
from motion_diffusion.body.foot_contacts import AROUND, detect_contacts


def test_contacts_within_a_part_are_those_of_the_whole_motion():
    joints = torch.from_numpy(ProceduralWalks(3, 700, 700).example(2).joints)
    whole, part = detect_contacts(joints), slice(300, 420)

    def inside(contacts):
        return [each for each in contacts if each.end > part.start and each.start < part.stop]

    found = inside(detect_contacts(joints, within=part))
    wanted = inside(whole)
    assert len(wanted) > 10
    assert max(each.end - each.start for each in wanted) < AROUND
    assert [(each.joint, each.start, each.end) for each in found] == [(e.joint, e.start, e.end) for e in wanted]
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one.place, other.place)
