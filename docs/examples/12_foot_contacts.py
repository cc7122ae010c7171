"""Foot contacts by categorical diffusion: when does a foot of a walking person touch the ground?

Each frame of a motion has four contacts: ankle and ball of the left foot, ankle and ball of the right. Together they
are one label of 16, and a clip is a row of 64 labels. Between two labels there is no middle, so noise cannot blur them;
here it replaces them. At time t a frame still has its own label with probability ᾱ_t, and otherwise one drawn anew. A
small network learns to tell the clean labels from the noisy ones; sampling begins with labels drawn at random and
replaces them, step by step, by what the network believes.

Good samples walk: feet stand and swing for as long as they do in the data, and take turns. The table compares for how
many frames they do; the picture shows clips of the data, samples, and the lengths of all runs.

    python docs/examples/12_foot_contacts.py
    python docs/examples/12_foot_contacts.py --kind absorbing --data bandai --data-root DIR
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from torch import Tensor, nn
from tqdm.auto import tqdm, trange

from data_loaders.datasets import DatasetName, load_examples
from data_loaders.types import Examples
from motion_diffusion.atomic_io import atomic
from motion_diffusion.body.features import LAYOUT, encode
from motion_diffusion.diffusion.categorical import CategoricalProcess, sample
from motion_diffusion.diffusion.schedule import rectified
from motion_diffusion.errors import InputError, command, parse_arguments
from visualize.drawing.style import BACKGROUND, FAINT_INK, GOAL, LEFT, RIGHT

FRAMES = 64
"""Length of every clip: 3.2 s."""

STATES = 16
"""Ways for four contacts to be on or off."""

BATCH = 64
"""Clips in a step of training."""

SCHEDULE = rectified(T=100)
"""At time t it keeps ᾱ_t = α_t² = (1 − t/T)² of the labels; at T nothing of the data is left."""

FEET = ("left ankle", "left ball", "right ankle", "right ball")

BITS = torch.tensor([1, 2, 4, 8])
"""A label is the sum of those of its contacts."""


@dataclass(frozen=True)
class Options:
    """Train a categorical diffusion model of foot contacts, and see whether its samples walk as the data do."""

    out: Path = Path("out/foot_contacts.png")
    """The picture."""
    data: DatasetName = "procedural"
    """Data set; "procedural" needs no download."""
    data_root: Path | None = None
    """Folder with the clips of a data set that was downloaded."""
    kind: Literal["uniform", "marginal", "absorbing"] = "marginal"
    """What labels turn into: any label, one as frequent as in the data, or a mask."""
    clips: int = 2000
    """Clips of the data."""
    steps: int = 800
    """Steps of training."""
    sampling_steps: int = 50
    samples: int = 400
    """Clips to sample."""
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("clips", "steps", "samples"):
            if getattr(self, name) < 1:
                raise InputError(f"--{name} is {getattr(self, name)}; give at least 1")


class Network(nn.Module):
    """Noisy labels (B, F) and times (B,) → logits (B, F, 16) of the clean ones. Sees 2 s each way, by dilation."""

    DILATIONS = (1, 2, 4, 8, 16, 1, 2, 4)

    def __init__(self, states: int, width: int = 64) -> None:
        super().__init__()
        self.label = nn.Embedding(states, width)
        self.time = nn.Embedding(SCHEDULE.T + 1, width)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.GroupNorm(4, width),
                nn.Conv1d(width, width, 3, padding=dilation, dilation=dilation),
                nn.GELU(),
                nn.Conv1d(width, width, 1),
            )
            for dilation in self.DILATIONS
        )
        self.out = nn.Conv1d(width, STATES, 1)

    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        x, time = self.label(x_t).mT, self.time(t)[..., None]
        for block in self.blocks:
            x = x + block(x + time)
        return self.out(x).mT


def contact_labels(examples: Examples, clips: int) -> Tensor:
    """(clips, F) labels of the first examples that are long enough."""
    labels: list[Tensor] = []
    index = 0
    with tqdm(total=clips, desc="reading", disable=None) as progress:
        while len(labels) < clips:
            joints = torch.from_numpy(examples.example(index).joints[:FRAMES])
            index += 1
            if len(joints) == FRAMES:
                contacts = encode(joints, groups=["contacts"])[:, LAYOUT["contacts"]].long()
                labels.append((contacts * BITS).sum(-1))
                progress.update()
    return torch.stack(labels)


def make_process(kind: str, labels: Tensor) -> CategoricalProcess:
    """The forward process: how fast labels are lost, by the schedule, and what they turn into, by the kind."""
    keep = SCHEDULE.alpha**2
    if kind == "marginal":
        return CategoricalProcess.marginal(keep, labels, STATES)
    if kind == "uniform":
        return CategoricalProcess.uniform(keep, STATES)
    return CategoricalProcess.absorbing(keep, STATES)


def train(
    network: Network, labels: Tensor, process: CategoricalProcess, steps: int, generator: torch.Generator
) -> None:
    """Noise some clips to random times, ask the network for the clean labels, lower its cross-entropy; again."""
    optimizer = torch.optim.Adam(network.parameters())
    rate = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=3e-3, total_steps=steps)
    with trange(steps, desc="training", disable=None) as progress:
        for _ in progress:
            x0 = labels[torch.randint(len(labels), (BATCH,), generator=generator)]
            t = torch.randint(1, process.T + 1, (BATCH,), generator=generator)
            x_t = process.add_noise(x0, t, generator=generator)
            loss = process.cross_entropy(network(x_t, t), x0, x_t, t).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            rate.step()
            progress.set_postfix(nats=f"{loss.item():.2f}", refresh=False)


@torch.no_grad()
def sample_labels(
    network: Network, process: CategoricalProcess, count: int, times: list[int], generator: torch.Generator
) -> Tensor:
    """(count, F) labels, made of noise in as many steps as lie between the times."""
    with tqdm(total=len(times) - 1, desc="sampling", disable=None) as progress:

        def predict(x_t: Tensor, t: int) -> Tensor:
            progress.update()
            return network(x_t, torch.full((count,), t))

        x = process.noise((count, FRAMES), generator=generator)
        return sample(predict, x, process, times, generator=generator)


def contacts_of(labels: Tensor) -> Tensor:
    """(B, F) labels → (B, F, 4) bool contacts."""
    return (labels[..., None] & BITS) > 0


def run_lengths(contacts: Tensor, on: bool) -> Tensor:
    """Frames that a foot stays on the ground (or off it) at a time, of all runs in contacts (B, F), in a row.

    Runs are cut at both ends of a clip, in the data as in the samples.
    """
    count, frames = contacts.shape
    inside = torch.zeros(count, frames + 2, dtype=torch.int8)
    inside[:, 1:-1] = contacts == on
    change = inside.diff(dim=1).flatten()
    return (change == -1).nonzero().flatten() - (change == 1).nonzero().flatten()


def describe(contacts: Tensor, on: bool) -> str:
    """Of contacts (B, F), on or off: their share of all frames, and mean and quantiles of their runs, in frames."""
    share, runs = (contacts == on).double().mean(), run_lengths(contacts, on).double()
    if not len(runs):
        return f"{share:7.0%}" + 4 * f"{'–':>7}"
    low, middle, high = runs.quantile(runs.new_tensor([0.1, 0.5, 0.9])).tolist()
    return f"{share:7.0%}{runs.mean():7.1f}{low:7.0f}{middle:7.0f}{high:7.0f}"


def table(data: Tensor, samples: Tensor) -> str:
    """How long each foot stays on the ground and off it, in contacts (B, F, 4) of data and samples."""
    columns = "  share   mean   10 %   50 %   90 %"
    lines = [f"{'':15}   {'data':>{len(columns)}}   {'samples':>{len(columns)}}"]
    lines += [f"{'runs, in frames':15}   {columns}   {columns}"]
    for number, foot in enumerate(FEET):
        for way, on in (("on", True), ("off", False)):
            sides = (describe(contacts[..., number], on) for contacts in (data, samples))
            lines.append("   ".join((f"{foot} {way}".ljust(15), *sides)))
    return "\n".join(lines)


def draw_clips(axes: Axes, contacts: Tensor, title: str, clips: int = 8) -> None:
    """Some clips of contacts (B, F, 4), one below the other: a line for each contact, coloured while it is on."""
    sides = torch.tensor([1, 1, 2, 2]) * contacts[:clips]
    rows = nn.functional.pad(sides, (0, 2)).mT.flatten(0, 1)[:-2]  # two empty lines between clips
    colours = ListedColormap([BACKGROUND, LEFT, RIGHT])
    axes.imshow(rows.numpy(), colours, vmin=0, vmax=2, aspect="auto", interpolation="none")
    axes.set(title=title, xlabel="frame", yticks=[])


def draw_runs(axes: Axes, data: Tensor, samples: Tensor, on: bool) -> None:
    """How often each length of a run occurs, of all four contacts together."""
    bins = torch.arange(0.5, FRAMES + 1).tolist()
    in_data, in_samples = (
        torch.cat([run_lengths(contacts[..., foot], on) for foot in range(4)]).tolist() for contacts in (data, samples)
    )
    axes.hist(in_data, bins, density=True, color=FAINT_INK, label="data")
    axes.hist(in_samples, bins, density=True, histtype="step", color=GOAL, linewidth=1.5, label="samples")
    axes.set(xlim=(0, 40), xlabel="frames at a time", ylabel="share of runs")
    axes.set_title("on the ground" if on else "off the ground")
    axes.legend()


def draw(data: Tensor, samples: Tensor, path: Path) -> None:
    """The picture: clips above, lengths of runs below. data, samples: contacts (B, F, 4)."""
    figure = Figure(figsize=(11, 8), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(2, 2, height_ratios=(3, 2))
    draw_clips(axes[0, 0], data, "data: left foot blue, right foot orange, while on the ground")
    draw_clips(axes[0, 1], samples, "samples")
    draw_runs(axes[1, 0], data, samples, on=True)
    draw_runs(axes[1, 1], data, samples, on=False)
    with atomic(path) as temporary:
        figure.savefig(temporary)


@command
def main() -> None:
    options = parse_arguments(Options)
    torch.set_num_threads(1)  # with tensors this small, more would only wait for each other
    times = SCHEDULE.times(options.sampling_steps)
    examples = load_examples(options.data, options.data_root, frames=2 * FRAMES).train
    labels = contact_labels(examples, options.clips)
    process = make_process(options.kind, labels)
    torch.manual_seed(options.seed)  # for the network's first weights
    network = Network(len(process.limit))
    generator = torch.Generator().manual_seed(options.seed)
    train(network, labels, process, options.steps, generator)
    samples = sample_labels(network, process, options.samples, times, generator)
    print(table(contacts_of(labels), contacts_of(samples)))
    draw(contacts_of(labels), contacts_of(samples), options.out)
    print(f"wrote {options.out}")


if __name__ == "__main__":
    main()
