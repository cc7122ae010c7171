"""From a request to a motion: the whole path, callable from a notebook."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from tqdm.auto import tqdm

from guidance.goals import Goals, Waypoint
from guidance.methods import CLASSIFIER_SCALE, Guidance, guide
from guidance.observation import Observation
from motion_diffusion.errors import InputError
from motion_diffusion.model import MotionModel
from motion_diffusion.motion import Motion
from motion_diffusion.samplers import Estimate, SamplerName
from motion_diffusion.skeleton import FPS

START = Waypoint(frame=0, x=0.0, z=0.0)
"""Motions begin at the origin of the floor, as the goals' coordinates want it."""


@dataclass(frozen=True)
class Settings:
    """How to sample and to guide."""

    guidance: Guidance = "classifier+imputation"
    """How goals steer: by the gradient of the distance to them, by putting them into the motion, or both."""
    scale: float = CLASSIFIER_SCALE
    """Strength of the gradient."""
    text_scale: float = 2.5
    """Strength of the words (classifier-free guidance); 1 is the plain model."""
    steps: int = 50
    """Denoising steps, 1 to 1000."""
    sampler: SamplerName = "ancestral"


def generate(
    model: MotionModel,
    texts: Sequence[str],
    frames: Sequence[int],
    *,
    goals: Sequence[Goals],
    seeds: Sequence[int],
    settings: Settings = Settings(),
    progress: bool = False,
) -> list[Motion]:
    """One motion for each text, with as many frames, its goals and its seed; all sampled in one batch.

    Motions begin at (0, 0); a goal for the pelvis at frame 0 takes precedence. A motion does not depend on the others
    in its batch. Raises InputError for empty texts, motions longer than the
    model knows, numbers of steps it cannot take, and goals beyond the motion's end.
    """
    if not model.representation.whole_body:
        raise InputError(f"{model.name} makes only the path of the root, no body; choose another --model")
    longest = model.config.max_frames
    for text in texts:
        if not text.strip():
            raise InputError("the prompt is empty; say what the person does, e.g. 'a tired person walks'")
    for count in frames:
        if not 2 <= count <= longest:
            raise InputError(
                f"{count / FPS:g} s is too {'short' if count < 2 else 'long'}: this model makes motions of up "
                f"to {longest / FPS:g} s; choose --seconds within that"
            )
    if not 1 <= settings.steps <= model.schedule.T:
        raise InputError(f"{settings.steps} steps: choose --steps from 1 to {model.schedule.T}")

    for wanted, count in zip(goals, frames, strict=True):
        wanted.check(count)
    from_start = [Goals(goals=[START, *wanted.goals]) for wanted in goals]
    observation = Observation.stack([wanted.observe(max(frames)) for wanted in from_start]).to(model.device)
    lengths = torch.tensor(list(frames), device=model.device)
    guided = settings.guidance != "none" and any(wanted.goals for wanted in goals)
    with tqdm(total=settings.steps, desc="sampling", unit="step", disable=None if progress else True) as bar:

        def advance(_t: int, _estimate: Estimate) -> None:
            bar.update()

        x = model.sample(
            texts,
            frames,
            seeds=seeds,
            steps=settings.steps,
            sampler=settings.sampler,
            text_scale=settings.text_scale,
            guide=guide(settings.guidance, model, observation, lengths, scale=settings.scale) if guided else None,
            on_step=advance,
        )
    exactly = (observation.values, observation.mask) if guided and "imputation" in settings.guidance else None
    joints = model.representation.decode(x, lengths=lengths, observed=exactly).cpu()
    if not guided:
        joints = joints - joints[:, :1, :1] * torch.tensor([1.0, 0.0, 1.0])

    motions = []
    for i, count in enumerate(frames):
        provenance = {
            "model": {"name": model.name, "weights": model.digest, "licence": model.config.licence},
            "settings": dataclasses.asdict(settings),
            "seed": seeds[i],
            "goals": goals[i].model_dump(exclude_none=True),
            "residuals": [residual.model_dump(exclude={"goal"}) for residual in goals[i].residuals(joints[i, :count])],
        }
        motions.append(Motion(joints[i, :count], text=texts[i], provenance=provenance))
    return motions
