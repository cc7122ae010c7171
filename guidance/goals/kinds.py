"""Every kind of goal there is."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from guidance.goals.heading import Heading
from guidance.goals.obstacles import Obstacle
from guidance.goals.orientations import Orientation
from guidance.goals.poses import Pose
from guidance.goals.positions import Joint, PathGoal, Waypoint
from guidance.goals.relations import Contact, Loop, Relation

Goal = Annotated[
    Waypoint | PathGoal | Joint | Pose | Heading | Orientation | Obstacle | Contact | Relation | Loop,
    Field(discriminator="kind"),
]
KINDS = ("waypoint", "path", "joint", "pose", "heading", "orientation", "obstacle", "contact", "relation", "loop")
