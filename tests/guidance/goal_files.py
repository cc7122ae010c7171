"""Goal files, right and wrong, for Hypothesis to draw."""

import json
import math

from hypothesis import strategies as st

from guidance.goals.goal_file import SCHEMA
from guidance.goals.goal_set import KINDS
from motion_diffusion.body.skeleton import JOINTS

FILES = sorted(path for path in SCHEMA.parent.glob("*.json") if path != SCHEMA)

GOOD = {
    "version": 1,
    "goals": [
        {"kind": "waypoint", "time": 2.0, "x": 0.0, "z": 2.0},
        {"kind": "path", "points": [[0, 0], [0, 2], [2, 2]], "start": 0.0, "end": 4.0},
        {"kind": "joint", "joint": "right_wrist", "frame": 30, "position": [None, 1.6, None]},
    ],
}

VALID = [json.loads(path.read_text()) for path in FILES] + [GOOD]
NUMBERS = st.one_of(
    st.floats(),
    st.integers(),
    st.sampled_from([0, 1, -1, 10**9, 10**400, 1e-310, 1e300, math.nan, math.inf, 0.05, 3.0]),
)
SCALARS = st.one_of(st.none(), st.booleans(), NUMBERS, st.text(max_size=5), st.sampled_from([*JOINTS[:2], *KINDS]))
ANY = st.recursive(
    SCALARS, lambda deeper: st.lists(deeper, max_size=3) | st.dictionaries(st.text(max_size=5), deeper, max_size=3)
)


def places(data, here=()):
    """The way to every value in a JSON document."""
    if here:
        yield here
    entries = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for name, value in entries:
        yield from places(value, (*here, name))


@st.composite
def mutated(draw):
    """A valid goal file with a few values replaced, by anything or by another of its values, or taken out."""
    data = json.loads(json.dumps(draw(st.sampled_from(VALID))))
    for _ in range(draw(st.integers(1, 4))):
        ways = list(places(data))
        if not ways:
            break
        *way, last = draw(st.sampled_from(ways))
        holder = data
        for name in way:
            holder = holder[name]
        change = draw(st.integers(0, 3))
        if change == 0:
            del holder[last]
        elif change == 1:
            holder[last] = draw(ANY)
        elif change == 2 and isinstance(holder[last], int | float):
            holder[last] = draw(NUMBERS | st.floats(-3, 6))
        elif isinstance(holder, dict):
            holder[draw(st.sampled_from([*holder, "start", "end", "times", "position", "a\nb"]))] = holder[last]
    return data
