"""The T2M evaluator with random weights under the published names, against its equations written out."""

from __future__ import annotations

import io
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from data_loaders.types import Caption
from motion_diffusion.body.features import FEATURES, LAYOUT, from_relative
from motion_diffusion.body.heading import turn
from motion_diffusion.errors import InputError
from sample.evaluation.evaluators import Evaluator
from sample.evaluation.t2m.evaluator import T2MEvaluator
from sample.evaluation.t2m.published_files import read_pickle
from tests import needs

VOCABULARY = ["sos", "eos", "unk", "a", "person", "walk", "slowly", "left", "and", "run"]


def linear(name: str, inputs: int, outputs: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def sequence(inputs: int, width: int) -> dict[str, tuple[int, ...]]:
    gru = {}
    for way in ("l0", "l0_reverse"):
        gru |= {f"gru.{kind}_{way}": (3 * width, width) for kind in ("weight_ih", "weight_hh")}
        gru |= {f"gru.{kind}_{way}": (3 * width,) for kind in ("bias_ih", "bias_hh")}
    ends = linear("input_emb", inputs, width) | linear("output_net.0", 2 * width, width)
    norm = {"output_net.1.weight": (width,), "output_net.1.bias": (width,)}
    return {"hidden": (2, 1, width)} | ends | gru | norm | linear("output_net.3", width, 512)


PUBLISHED = {
    "movement_encoder": {"main.0.weight": (512, 259, 4), "main.0.bias": (512,)}
    | {"main.3.weight": (512, 512, 4), "main.3.bias": (512,)}
    | linear("out_net", 512, 512),
    "motion_encoder": sequence(512, 1024),
    "text_encoder": linear("pos_emb", 15, 300) | sequence(300, 512),
}
"""Names and shapes in finest.tar, beside which it has epoch, iter and the state of two optimizers."""

WEIGHTS = "t2m/text_mot_match/model/finest.tar"
META = "t2m/Comp_v6_KLD01/meta"
LAYOUTS = {
    "unpacked": lambda name: name,
    "T2M": lambda name: f"checkpoints/{name}" if name.startswith("t2m") else name,
    "MDM": lambda name: name.replace(f"{META}/", "dataset/t2m_"),
}


def std() -> np.ndarray:
    """As the evaluator's: yaw velocity, root velocity, height, positions, rotations, velocities, contacts."""
    sizes, counts = (0.0005, 0.0007, 0.006, 0.12, 0.3, 0.02, 0.014), (1, 2, 1, 63, 126, 66, 4)
    return np.repeat(sizes, counts)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """The published files, with random weights and ten words."""
    root = tmp_path_factory.mktemp("t2m")
    generator = torch.Generator().manual_seed(0)
    checkpoint: dict[str, object] = {"epoch": 3, "iter": 99, "opt_text_encoder": {"state": {}, "param_groups": []}}
    for network, shapes in PUBLISHED.items():
        sizes = {name: 2 * max(1, int(np.prod(shape[1:]))) ** -0.5 for name, shape in shapes.items()}
        checkpoint[network] = {
            name: sizes[name] * torch.randn(shape, generator=generator) for name, shape in shapes.items()
        }
    for place in (Path(WEIGHTS).parent, META, "glove"):
        (root / place).mkdir(parents=True)
    torch.save(checkpoint, root / WEIGHTS)
    np.save(root / META / "mean.npy", np.linspace(-0.5, 0.5, FEATURES))
    np.save(root / META / "std.npy", std())
    np.save(root / "glove/our_vab_data.npy", torch.randn(10, 300, generator=generator).numpy())
    (root / "glove/our_vab_words.pkl").write_bytes(pickle.dumps(VOCABULARY, protocol=3))
    (root / "glove/our_vab_idx.pkl").write_bytes(pickle.dumps({w: i for i, w in enumerate(VOCABULARY)}, protocol=3))
    return root


@pytest.fixture(scope="module")
def evaluator(folder) -> T2MEvaluator:
    return T2MEvaluator.load(folder)


@pytest.fixture
def copy(folder, tmp_path):
    """copy(place=name → path): a folder with all of the files, which can be replaced without touching the others."""

    def make(place=LAYOUTS["unpacked"]) -> Path:
        for path in (path for path in folder.rglob("*") if path.is_file()):
            new = tmp_path / place(str(path.relative_to(folder)))
            new.parent.mkdir(parents=True, exist_ok=True)
            new.symlink_to(path)
        return tmp_path

    return make


def replaced(path: Path, content: bytes) -> None:
    path.unlink()
    path.write_bytes(content)


def saved(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def caption(*tokens: str) -> Caption:
    return Caption(" ".join(token.split("/")[0] for token in tokens), tokens=tokens)


def features(frames: int, seed: int = 0) -> torch.Tensor:
    noise = torch.randn(frames, FEATURES, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.linspace(-0.5, 0.5, FEATURES) + torch.from_numpy(std()) * noise


CAPTIONS = [
    caption("walk/VERB"),
    caption("a/DET", "person/NOUN", "walk/VERB", "slowly/ADV", "left/ADJ"),
    caption(*["run/VERB", "and/CCONJ"] * 9, "left/NOUN"),
    caption(*["run/VERB", "and/CCONJ"] * 15),
]


# ---- the equations of the networks


@pytest.fixture(scope="module")
def weights(folder) -> dict[str, dict[str, torch.Tensor]]:
    loaded = torch.load(folder / WEIGHTS, weights_only=True)
    return {network: {name: tensor.double() for name, tensor in loaded[network].items()} for network in PUBLISHED}


def gru(w: dict[str, torch.Tensor], way: str, h: torch.Tensor, inputs: torch.Tensor) -> torch.Tensor:
    """Cho et al. 2014, in torch's form: the last state."""
    for x in inputs:
        r_x, z_x, n_x = (w[f"gru.weight_ih_{way}"] @ x + w[f"gru.bias_ih_{way}"]).chunk(3)
        r_h, z_h, n_h = (w[f"gru.weight_hh_{way}"] @ h + w[f"gru.bias_hh_{way}"]).chunk(3)
        z = torch.sigmoid(z_x + z_h)
        h = (1 - z) * torch.tanh(n_x + torch.sigmoid(r_x + r_h) * n_h) + z * h
    return h


def read(w: dict[str, torch.Tensor], inputs: torch.Tensor) -> torch.Tensor:
    x = inputs @ w["input_emb.weight"].T + w["input_emb.bias"]
    both = torch.cat([gru(w, "l0", w["hidden"][0, 0], x), gru(w, "l0_reverse", w["hidden"][1, 0], x.flip(0))])
    h = w["output_net.0.weight"] @ both + w["output_net.0.bias"]
    h = (h - h.mean()) / (h.var(correction=0) + 1e-5).sqrt() * w["output_net.1.weight"] + w["output_net.1.bias"]
    return w["output_net.3.weight"] @ torch.where(h > 0, h, 0.2 * h) + w["output_net.3.bias"]


def close(mine: torch.Tensor, expected: torch.Tensor) -> None:
    assert mine.dtype == torch.float32
    torch.testing.assert_close(mine.double(), expected, rtol=0, atol=1e-5 * expected.abs().max().item())


def test_weights_have_the_published_names_and_shapes(evaluator):
    shapes = {
        network: {k: tuple(v.shape) for k, v in m.state_dict().items()} for network, m in evaluator.named_children()
    }
    assert shapes == PUBLISHED


@pytest.mark.parametrize("count_padding", [False, True])
def test_text_embeddings_by_their_equations(folder, weights, count_padding):
    evaluator = T2MEvaluator.load(folder, count_padding=count_padding)
    words, tags, lengths = evaluator.words([c.tokens for c in CAPTIONS])
    assert lengths.tolist() == [3, 7, 21, 22]
    w = weights["text_encoder"]
    inputs = words.double() + tags.double() @ w["pos_emb.weight"].T + w["pos_emb.bias"]
    counted = [22] * 4 if count_padding else lengths.tolist()
    close(evaluator.embed_texts(CAPTIONS), torch.stack([read(w, x[:n]) for x, n in zip(inputs, counted, strict=True)]))


def test_motion_embeddings_by_their_equations(evaluator, weights):
    motions = [features(4), features(30, 1), features(199, 2)]
    w = weights["movement_encoder"]
    expected = []
    for motion in motions:
        frames = len(motion) // 4 * 4
        x = torch.zeros(196, 259, dtype=torch.float64)
        x[:frames] = ((motion[:frames] - evaluator.mean.double()) / evaluator.std.double())[:, :259]
        h = x.T[None]
        for layer in ("main.0", "main.3"):
            h = F.leaky_relu(F.conv1d(h, w[f"{layer}.weight"], w[f"{layer}.bias"], stride=2, padding=1), 0.2)
        snippets = h[0].T @ w["out_net.weight"].T + w["out_net.bias"]
        expected.append(read(weights["motion_encoder"], snippets[: frames // 4]))
    close(evaluator.embed_features(motions), torch.stack(expected))


# ---- dependence of embeddings on their input


def test_embeddings_do_not_depend_on_the_batch(evaluator):
    many = [CAPTIONS[i % 4] for i in range(70)]  # more than a batch
    alone = torch.cat([evaluator.embed_texts([c]) for c in CAPTIONS])
    torch.testing.assert_close(evaluator.embed_texts(many), alone[[i % 4 for i in range(70)]], atol=1e-5, rtol=1e-5)
    motions = [features(frames, frames) for frames in (40, 180, 12, 100)]
    alone = torch.cat([evaluator.embed_features([motion]) for motion in motions])
    torch.testing.assert_close(evaluator.embed_features(motions), alone, atol=1e-5, rtol=1e-5)
    assert torch.pdist(alone).min() > 1e-2


def test_contacts_and_frames_after_the_last_snippet_are_ignored(evaluator):
    motion = features(43)
    other = motion.clone()
    other[40:] = 9.0
    other[:, LAYOUT["contacts"]] = -3.0
    assert torch.equal(evaluator.embed_features([motion]), evaluator.embed_features([other]))
    other[39] = 9.0
    assert not torch.allclose(evaluator.embed_features([motion]), evaluator.embed_features([other]))


def test_counting_padding_changes_short_captions(folder, evaluator):
    defective = T2MEvaluator.load(folder, count_padding=True)
    apart = (defective.embed_texts(CAPTIONS) - evaluator.embed_texts(CAPTIONS)).norm(dim=-1)
    assert (apart[:3] > 1e-2).all()
    assert apart[3] < 1e-4  # twenty words and more leave none
    motion = [features(60)]
    assert torch.equal(defective.embed_features(motion), evaluator.embed_features(motion))
    assert defective.name != evaluator.name


def test_embeddings_do_not_depend_on_place_and_heading(evaluator, walks):
    def elsewhere(motion):
        return turn(motion, torch.full((len(motion),), 2.0)) + torch.tensor([3.0, 0.0, -1.0])

    here, there = (evaluator.embed_motions(motions) for motions in (walks[:3], list(map(elsewhere, walks[:3]))))
    assert (here - there).norm(dim=-1).max() < 0.02 * torch.pdist(here).min()


def test_it_implements_the_evaluator_protocol(evaluator, walks):
    some: Evaluator = evaluator
    assert some.name == "T2M"
    assert some.embed_texts(CAPTIONS[:2]).shape == some.embed_motions(walks[:2]).shape == (2, 512)


@pytest.fixture(scope="module")
def published_clip() -> tuple[torch.Tensor, torch.Tensor]:
    """Joints (170, 22, 3) and features (170, 263), relative root, float64, that HumanML3D publishes."""
    files = [needs.published_clip() / f"012314_{name}.npy" for name in ("new_joints", "new_joint_vecs")]
    joints, relative = (torch.from_numpy(np.load(file, allow_pickle=False)).double() for file in files)
    return joints, relative


def test_published_joints_and_features_embed_alike(evaluator, published_clip):
    """The frame that HumanML3D leaves out follows from the last velocities; without it headings differ slightly."""
    joints, relative = published_clip
    last = from_relative(relative)[-1:]
    step = turn(last[:, LAYOUT["velocities"]].view(1, 22, 3), -2 * last[:, 0])
    whole = torch.cat([joints, joints[-1:] + step])
    expected, mine, cut, half = (
        evaluator.embed_features([relative]),
        evaluator.embed_motions([whole]),
        evaluator.embed_motions([joints]),
        evaluator.embed_features([relative[:84]]),
    )
    size = (half - expected).norm()
    assert (mine - expected).norm() < 1e-3 * size
    assert (cut - expected).norm() < 0.2 * size


# ---- wrong input


@pytest.mark.parametrize("frames", [0, 3, 200])
def test_motions_of_other_lengths_are_refused(evaluator, frames):
    with pytest.raises(InputError, match=f"{frames} frames.*4 to 199"):
        evaluator.embed_features([features(40), features(frames)])
    joints = torch.zeros(frames + 1, 22, 3)
    with pytest.raises(InputError, match=f"{frames} frames"):
        evaluator.embed_motions([joints])


def test_captions_without_tags_are_refused(evaluator):
    with pytest.raises(InputError, match="'a person walks'.*part-of-speech tags"):
        evaluator.embed_texts([CAPTIONS[0], Caption("a person walks")])
    with pytest.raises(InputError, match="'walks'.*walk/VERB"):
        evaluator.embed_texts([Caption("walks", tokens=("walks",))])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_files_are_found_in_all_layouts(evaluator, copy, layout):
    loaded = T2MEvaluator.load(copy(LAYOUTS[layout]))
    assert torch.equal(loaded.embed_texts(CAPTIONS), evaluator.embed_texts(CAPTIONS))


def test_missing_files_are_named(copy, tmp_path):
    folder = copy()
    (folder / WEIGHTS).unlink()
    (folder / "glove/our_vab_idx.pkl").unlink()
    with pytest.raises(InputError, match=f"no {WEIGHTS}, no glove/our_vab_idx.pkl: give a folder") as error:
        T2MEvaluator.load(folder)
    assert "mean.npy" not in str(error.value)
    with pytest.raises(InputError, match=r"mean\.npy.*our_vab_data\.npy"):
        T2MEvaluator.load(tmp_path / "nowhere")


HUMANML3D = std() * np.repeat([25, 1, 25], [4, 255, 4])
ABSOLUTE = np.concatenate([[0.65, 0.73, 0.73], std()[3:]])


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (HUMANML3D, r"std of yaw velocity 0\.013.*its own mean and std"),
        (ABSOLUTE, r"std of yaw velocity 0\.65.*absolute"),
        (np.concatenate([std()[:1], ABSOLUTE[1:]]), r"std of root velocity 0\.73"),
        (np.where(np.arange(FEATURES) == 70, 0.0, std()), "std of rotations 0,"),
        (std()[:251], r"\(251,\)"),
        (np.full(FEATURES, np.nan), "finite"),
        (np.array([{}]), "pickle"),
    ],
)
def test_statistics_of_another_representation_are_refused(copy, array, said):
    folder = copy()
    replaced(folder / META / "std.npy", saved(array))
    with pytest.raises(InputError, match=said) as error:
        T2MEvaluator.load(folder)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("our_vab_words.pkl", {"a": 1}, "not a list of words"),
        ("our_vab_words.pkl", ["sos", 5], "not a list of words"),
        ("our_vab_words.pkl", ["eos", "a"], "lacks sos, unk"),
        ("our_vab_idx.pkl", VOCABULARY, "one of the 10 rows"),
        ("our_vab_idx.pkl", {w: i + 1 for i, w in enumerate(VOCABULARY)}, "one of the 10 rows"),
        ("our_vab_idx.pkl", {w: str(i) for i, w in enumerate(VOCABULARY)}, "one of the 10 rows"),
    ],
)
def test_inconsistent_vocabularies_are_refused(copy, name, content, said):
    folder = copy()
    replaced(folder / "glove" / name, pickle.dumps(content))
    with pytest.raises(InputError, match=f"{name}.*{said}"):
        T2MEvaluator.load(folder)


class Runs:
    """When unpickled, makes a folder."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_pickles_that_would_execute_code_are_refused(copy, tmp_path, protocol):
    folder, proof = copy(), tmp_path / "was-run"
    for name in ("glove/our_vab_words.pkl", "glove/our_vab_idx.pkl"):
        replaced(folder / name, pickle.dumps(["sos", Runs(proof)], protocol=protocol))
        with pytest.raises(InputError, match=r"asks for \w+\.mkdir"):
            T2MEvaluator.load(folder)
        assert not proof.exists()
        pickle.loads((folder / name).read_bytes())  # pickle itself would execute it
        proof.rmdir()
        (folder / name).write_bytes(b"")
        with pytest.raises(InputError, match="not a plain list"):
            T2MEvaluator.load(folder)
        replaced(folder / name, pickle.dumps({w: i for i, w in enumerate(VOCABULARY)}))


@pytest.mark.parametrize(
    "content", [b"(ios\nmkdir\n(S'x'\noR.", b"\x80\x02\x82\x01.", b"\x80\x04Pabc\n.", b"hello", b""]
)
def test_other_bytes_are_refused(tmp_path, content):
    """Instances, extension codes, persistent ids, other bytes, none."""
    path = tmp_path / "words.pkl"
    path.write_bytes(content)
    with pytest.raises(InputError, match="not a plain list") as error:
        read_pickle(path)
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == [path]


def test_plain_pickles_are_read(tmp_path):
    path = tmp_path / "words.pkl"
    for content in (VOCABULARY, {"a": 1, "b": 70_000}, [("a", 1), ["b"]]):
        for protocol in range(6):
            path.write_bytes(pickle.dumps(content, protocol=protocol))
            assert read_pickle(path) == content


def test_weights_that_are_not_the_evaluators_are_refused(folder, copy, tmp_path):
    place, proof = copy() / WEIGHTS, tmp_path / "was-run"
    good = torch.load(folder / WEIGHTS, weights_only=True)
    kit = {**good, "movement_encoder": {**good["movement_encoder"], "main.0.weight": torch.zeros(512, 247, 4)}}
    for content, said in (
        ({"movement_encoder": Runs(proof)}, "holds more than weights"),
        ([1, 2], "no checkpoint"),
        ({"movement_encoder": 3}, "not the T2M evaluator"),
        (kit, "KIT-ML has another"),
    ):
        place.unlink()
        torch.save(content, place)
        with pytest.raises(InputError, match=said) as error:
            T2MEvaluator.load(tmp_path)
        assert "\n" not in str(error.value)
        assert not proof.exists()
    place.write_bytes(b"hello")
    with pytest.raises(InputError, match="no checkpoint"):
        T2MEvaluator.load(tmp_path)
