"""What some tests need and a clean clone lacks: data of others, extras that "dev" does not have, and programs.

A test that skips for lack of it says so through this module. Where the environment variable FAIL_ON_SKIPS is set, as in
continuous integration, a test that skips for any other reason fails the session, see `pytest_sessionfinish` in
conftest.py.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

NOT_HERE = "not here: "
"""Prefix of the reasons of tests that skip for lack of something that this module is for."""

DATA = (
    Path(os.environ.get("MOTION_DATA", Path.home() / ".cache" / "motion-data")),
    Path(__file__).parents[2] / "shared" / "data",
)
"""Folders with data sets, or parts of them, in any subfolders."""


def present(found: object, what: str) -> pytest.MarkDecorator:
    """Mark tests that skip unless `found` is true."""
    return pytest.mark.skipif(not found, reason=NOT_HERE + what)


def data(pattern: str, what: str) -> list[Path]:
    """Files of a data set, in order of their paths; the test skips if there are none.

    Args:
        pattern: Glob pattern of the files' names or of the ends of their paths.
        what: The data set, for the reason of the skip.
    """
    for folder in DATA:
        if paths := sorted(folder.rglob(pattern)):
            return paths
    pytest.skip(f"{NOT_HERE}{what} (in the folder MOTION_DATA)")


def published_clip() -> Path:
    """Folder with a clip that HumanML3D publishes, 012314, and its statistics; the test skips if it is missing."""
    (features, *_) = data("humanml3d-clip/012314_new_joint_vecs.npy", "HumanML3D's published clip, humanml3d-clip")
    return features.parent
