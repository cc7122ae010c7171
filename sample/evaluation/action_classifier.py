"""A classifier of actions, trained on real clips, that recognises the actions of generated motions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm.auto import tqdm

from data_loaders.types import Clip
from motion_diffusion.body.features import LAYOUT, encode
from motion_diffusion.body.heading import to_origin
from motion_diffusion.errors import InputError
from sample.evaluation.trials import MIN_FRAMES, of_split

_GROUPS = ("root", "positions", "velocities")


class _Network(nn.Module):
    """Three strided convolutions over time, mean and maximum pooling: (B, F, D) and lengths (B,) → (B, classes)."""

    def __init__(self, features: int, classes: int, width: int = 128):
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Conv1d(features if i == 0 else width, width, kernel_size=5, stride=2, padding=2) for i in range(3)
        )
        self.out = nn.Linear(2 * width, classes)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        h = x.transpose(1, 2)
        for layer in self.layers:
            h = F.dropout(F.gelu(layer(h)), 0.1, self.training)
            lengths = (lengths + 1) // 2
            exists = torch.arange(h.shape[-1]) < lengths[:, None]
            h = h * exists[:, None]
        mean = h.sum(-1) / lengths[:, None]
        maximum = h.masked_fill(~exists[:, None], -torch.inf).amax(-1)
        return self.out(torch.cat([mean, maximum], dim=-1))


@dataclass(frozen=True)
class ActionClassifier:
    """Predicts the action of a motion. `train` creates one."""

    actions: tuple[str, ...]
    """Names of the classes."""
    network: _Network
    mean: Tensor
    """(D,) mean of the features."""
    std: Tensor
    """(D,) standard deviation of the features."""

    @staticmethod
    def train(
        clips: Sequence[Tensor], labels: Sequence[str], *, frames: int, steps: int = 1500, seed: int = 0
    ) -> ActionClassifier:
        """Train a classifier.

        Args:
            clips: Clips (F, 22, 3) in metres; batches contain all actions equally often.
            labels: The action of each clip.
            frames: Clips are cut at random to at most this length.
            steps: Training steps.
            seed: Seed of weights, batches and cuts.
        """
        actions = tuple(sorted(set(labels)))
        generator = torch.Generator().manual_seed(seed)
        of_action = [[i for i, label in enumerate(labels) if label == action] for action in actions]
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            statistics = torch.cat([_features([clip])[0][0] for clip in clips[::10]])
            mean, std = statistics.mean(0), statistics.std(0).clamp_min(1e-3)
            network = _Network(len(mean), len(actions))
            optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=0.05)
            schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
            for _ in tqdm(range(steps), desc="training the action classifier", disable=None):
                which = torch.randint(len(actions), (48,), generator=generator).tolist()
                batch = [_cut(clips[_one(of_action[k], generator)], frames, generator) for k in which]
                x, lengths = _features(batch)
                loss = F.cross_entropy(network((x - mean) / std, lengths), torch.tensor(which), label_smoothing=0.05)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
        return ActionClassifier(actions, network.eval(), mean, std)

    @torch.no_grad()
    def predict(self, motions: Sequence[Tensor]) -> list[str]:
        """Predict the action of each motion (F, 22, 3)."""
        x, lengths = _features(motions)
        best = self.network((x - self.mean) / self.std, lengths).argmax(-1)
        return [self.actions[i] for i in best.tolist()]


def train_action_classifier(clips: Sequence[Clip], *, longest: int, steps: int) -> ActionClassifier:
    """Train a classifier on the training clips among some clips, deterministically.

    Args:
        clips: Clips with an action.
        longest: Longest motion in frames; longer clips are cut at random.
        steps: Training steps.

    Raises:
        InputError: No training clip has `MIN_FRAMES` frames.
    """
    train = [clip for clip in of_split(clips, "train") if len(clip.joints) >= MIN_FRAMES]
    if not train:
        raise InputError(
            f"no training clip has {MIN_FRAMES} frames or more to train the action classifier on; check --data-root"
        )
    motions = [torch.from_numpy(np.array(clip.joints)) for clip in train]
    return ActionClassifier.train(motions, [clip.action for clip in train], frames=longest, steps=steps)


def _features(motions: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Features (B, F, D) without the root's position on the floor, and lengths (B,)."""
    lengths = torch.tensor([len(motion) for motion in motions])
    longest = int(lengths.max())
    joints = torch.stack([torch.cat([m, m[-1:].expand(longest - len(m), -1, -1)]) for m in map(to_origin, motions)])
    features = encode(joints, lengths=lengths, groups=_GROUPS)
    return torch.cat(
        [features[..., :1], features[..., 3:67], features[..., LAYOUT["velocities"]] * 10], dim=-1
    ), lengths


def _one(options: Sequence[int], generator: torch.Generator) -> int:
    return options[int(torch.randint(len(options), (), generator=generator))]


def _cut(clip: Tensor, frames: int, generator: torch.Generator) -> Tensor:
    """A random section of a clip with at most `frames` frames."""
    start = int(torch.randint(max(len(clip) - frames, 0) + 1, (), generator=generator))
    return clip[start : start + frames]
