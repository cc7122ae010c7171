"""Every kind of goal there is."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from guidance.bonds import Contact, Loop, Relation
from guidance.facing import Heading
from guidance.obstacles import Obstacle
from guidance.orientation import Orientation
from guidance.places import Joint, Path_, Waypoint
from guidance.poses import Pose

Goal = Annotated[
    Waypoint | Path_ | Joint | Pose | Heading | Orientation | Obstacle | Contact | Relation | Loop,
    Field(discriminator="kind"),
]
KINDS = ("waypoint", "path", "joint", "pose", "heading", "orientation", "obstacle", "contact", "relation", "loop")
