"""Any goal file is either sampled from or refused in one line, with every guidance method."""

import json

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data_loaders.load_motion import read_motion
from guidance.goals.goal_file import load_goals
from guidance.noise_optimization import NoiseOptimization
from motion_diffusion.errors import InputError
from sample.generate import Settings, generate
from tests.guidance.goal_files import mutated

METHODS = ("projection", "classifier", "imputation", "noise", "classifier+projection", "none")


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=mutated(), guidance=st.sampled_from(METHODS), clean_up=st.booleans())
def test_any_goal_file_is_sampled_from_or_refused(tmp_path, make_model, data, guidance, clean_up):
    path = tmp_path / "goals.json"
    path.write_text(json.dumps(data))
    ways = Settings(guidance=guidance, steps=2, clean_up=clean_up, noise=NoiseOptimization(steps=2, rounds=2))
    refusal, goals, motion = "a\nb", None, None
    try:
        goals = load_goals(path, read_motion=read_motion)
        (motion,) = generate(make_model("v"), ["a person walks"], [120], goals=[goals], seeds=[0], settings=ways)
    except InputError as error:
        refusal = str(error)
    if motion is None:
        assert len(refusal.splitlines()) == 1
    else:
        assert motion.joints.isfinite().all()
        assert len(motion.provenance["residuals"]) == len(goals.goals)
