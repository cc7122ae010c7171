"""Pretrained text encoders, against their libraries: small ones with random weights."""

import dataclasses
import json
import pickle
import shutil
import sys

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import AutoModel, AutoTokenizer, PreTrainedTokenizerFast

from motion_diffusion.errors import InputError
from motion_diffusion.model import MotionModel
from motion_diffusion.network.text_encoders import ClipEncoder, text_encoder
from tests import needs

WORDS = "[PAD] [UNK] [CLS] [SEP] a person walks runs left right then é 走る".split()
TEXTS = ["a person walks", "runs left then right then left", "é 走る unheard", "then"]
SIZES = {"vocab_size": len(WORDS), "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
BERT = ("Bert", SIZES | {"intermediate_size": 64, "max_position_embeddings": 20})
T5 = ("T5", {"vocab_size": len(WORDS), "d_model": 32, "d_kv": 16, "d_ff": 64, "num_layers": 2, "num_heads": 2})
GPT2 = (
    "GPT2",
    {"vocab_size": len(WORDS), "n_embd": 32, "n_layer": 2, "n_head": 2, "bos_token_id": 2, "eos_token_id": 3},
)
TOWER = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
CLIP = (
    "CLIP",
    {
        "text_config": SIZES | {"intermediate_size": 64, "bos_token_id": 2, "eos_token_id": 3, "pad_token_id": 0},
        "vision_config": TOWER | {"image_size": 32, "patch_size": 16},
    },
)
VISION = ("ViT", TOWER | {"image_size": 32})


@pytest.fixture(autouse=True)
def _fresh(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    text_encoder.cache_clear()
    yield
    text_encoder.cache_clear()


@pytest.fixture
def save(tmp_path):
    """save(kind): a folder with a random model, and a tokenizer of the words above that puts two tokens around them."""

    def make(kind=BERT, name="encoder"):
        architecture, sizes = kind
        torch.manual_seed(0)
        config = getattr(transformers, f"{architecture}Config")(**sizes)
        getattr(transformers, f"{architecture}Model")(config).save_pretrained(tmp_path / name)
        tokens = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
        tokens.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        around = [("[CLS]", WORDS.index("[CLS]")), ("[SEP]", WORDS.index("[SEP]"))]
        tokens.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=around)
        special = {"unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "eos_token": "[SEP]"}
        if kind is not GPT2:  # which is published without a token for padding
            special["pad_token"] = "[PAD]"
        PreTrainedTokenizerFast(
            tokenizer_object=tokens,
            padding_side="left" if kind is GPT2 else "right",
            model_input_names=["input_ids", "attention_mask"],
            **special,
        ).save_pretrained(tmp_path / name)
        return tmp_path / name

    return make


def directly(folder, texts, **tokenizing):
    """The library's result for a batch: hidden states and mask."""
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    part = {"T5Model": "encoder", "CLIPModel": "text_model"}.get(type(model).__name__)
    tokens = tokenizer(texts, return_tensors="pt", **tokenizing)
    with torch.no_grad():
        h = (model if part is None else getattr(model, part))(**tokens).last_hidden_state
    return h, tokens["attention_mask"].bool()


def close(words, expected):
    torch.testing.assert_close(words, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("kind", [BERT, T5, GPT2, CLIP], ids=lambda kind: kind[0])
def test_vectors_match_the_library(save, kind):
    folder = save(kind)
    encoder = text_encoder(f"transformers:{folder}")
    words, visible = encoder(TEXTS)
    assert encoder.dim == words.shape[-1] == 32
    assert visible.sum(1).tolist() == [5, 8, 5, 3]
    assert not words[~visible].any()
    assert not words.requires_grad
    for i, text in enumerate(TEXTS):
        alone, _ = directly(folder, [text])
        close(words[i, visible[i]], alone[0])
    if kind is not GPT2:
        padded, exist = directly(folder, TEXTS, padding=True)
        assert torch.equal(visible, exist)
        close(words[visible], padded[exist])


def test_truncation_matches_the_library(save):
    folder = save()
    encoder = text_encoder(f"transformers:{folder}")
    long = "a person walks then " * 30
    words, visible = encoder([long, "runs"])
    assert encoder.max_words == words.shape[1] == 20
    close(words[0], directly(folder, [long], truncation=True, max_length=20)[0][0])
    assert visible.sum(1).tolist() == [20, 3]
    assert text_encoder(f"transformers:{save(T5, 't5')}").max_words == 77


def test_dimension_is_known_without_loading_weights(save):
    folder = save(T5)
    for path in folder.iterdir():
        if path.name != "config.json":
            path.unlink()
    encoder = text_encoder(f"transformers:{folder}")
    assert encoder.dim == 32
    with pytest.raises(InputError):
        encoder(["walks"])


def test_cached_texts_need_no_model(save):
    folder = save()
    first = text_encoder(f"transformers:{folder}")(TEXTS)
    text_encoder.cache_clear()
    encoder = text_encoder(f"transformers:{folder}")
    shutil.rmtree(folder)
    again = encoder(TEXTS)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    with pytest.raises(InputError):
        encoder(["a text that is new"])


def change(folder):
    tensors = load_file(folder / "model.safetensors")
    save_file({name: 2 * tensor for name, tensor in tensors.items()}, folder / "model.safetensors", {"format": "pt"})


def test_changed_model_gets_its_own_cache(save):
    name = f"transformers:{save()}"
    before, _ = text_encoder(name)(["a person walks"])
    stale = text_encoder(name)
    text_encoder.cache_clear()
    unused = text_encoder(name)
    change(save())
    with pytest.raises(InputError, match="is not what it was"):
        unused(["runs"])
    text_encoder.cache_clear()
    after, _ = text_encoder(name)(["a person walks"])
    assert (after - before).abs().max() > 0.1
    assert torch.equal(stale(["a person walks"])[0], before)


def test_copies_of_a_model_share_the_cache(save, tmp_path):
    folder = save()
    shutil.copytree(folder, tmp_path / "copy")
    paths = {text_encoder(f"transformers:{name}").path for name in (folder, tmp_path / "copy")}
    assert len(paths) == 1


COMMITS = ["0" * 40, "1" * 40]


@pytest.fixture
def hub(save, tmp_path, monkeypatch):
    """Two commits of a model as they lie where the library keeps its downloads; `main` is the second one."""
    home = tmp_path / "hub" / "models--somebody--encoder"
    (home / "refs").mkdir(parents=True)
    (home / "refs" / "main").write_text(COMMITS[1])
    for commit in COMMITS:
        (home / "snapshots").mkdir(exist_ok=True)
        shutil.move(save(), home / "snapshots" / commit)
    change(home / "snapshots" / COMMITS[1])
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    return home / "snapshots"


def test_names_use_the_downloaded_copy(hub):
    names = ["somebody/encoder", f"somebody/encoder@{COMMITS[0]}", f"somebody/encoder@{COMMITS[1]}"]
    words = [text_encoder(f"transformers:{name}")(TEXTS)[0] for name in names]
    assert torch.equal(words[0], words[2])
    assert not torch.equal(words[0], words[1])
    close(words[1][0, :5], directly(hub / COMMITS[0], TEXTS[:1])[0][0])
    close(words[2][0, :5], directly(hub / COMMITS[1], TEXTS[:1])[0][0])


@pytest.mark.parametrize("name", ["nobody/nothing", "somebody/encoder@another", "no name at all", "a/b/c/d"])
def test_unavailable_names_are_refused(hub, name):
    with pytest.raises(InputError, match="connect when it is used first") as refusal:
        text_encoder(f"transformers:{name}")
    assert "\n" not in str(refusal.value)
    assert name.partition("@")[0] in str(refusal.value)


class Bomb:
    """Has a side effect when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def no_tokenizer(folder):
    for path in folder.glob("tokenizer*.json"):
        path.unlink()


def torn(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def without_a_layer(folder):
    path = folder / "model.safetensors"
    kept = {name: tensor for name, tensor in load_file(path).items() if "layer.1" not in name}
    save_file(kept, path, {"format": "pt"})


def of_other_sizes(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"hidden_size": 64}))


def of_no_kind(folder):
    (folder / "config.json").write_text('{"model_type": "no-such-model"}')


def with_its_own_code(folder):
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "own", "auto_map": {name: f"own.{name}" for name in ("AutoConfig", "AutoModel")}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "own.py").write_text(f"open({str(folder.parent / 'executed')!r}, 'w')")


def pickled(folder):
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb(folder.parent / "executed")))


def empty(folder):
    for path in folder.iterdir():
        path.unlink()


BROKEN = [no_tokenizer, torn, without_a_layer, of_other_sizes, of_no_kind, with_its_own_code, pickled, empty]


@pytest.mark.parametrize("spoil", BROKEN, ids=lambda spoil: spoil.__name__)
def test_invalid_encoders_are_refused_in_one_line(save, tmp_path, spoil):
    folder = save()
    spoil(folder)
    with pytest.raises(InputError) as refusal:
        text_encoder(f"transformers:{folder}")(["walks"])
    assert "\n" not in str(refusal.value)
    assert str(folder) in str(refusal.value)
    assert not (tmp_path / "executed").exists()


def test_models_of_other_kinds_are_refused(save):
    with pytest.raises(InputError, match="give a folder with"):
        text_encoder(f"transformers:{save(VISION)}")(["walks"])


def test_missing_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match="there is no folder"):
        text_encoder(f"transformers:{tmp_path / 'nothing'}")


@pytest.mark.parametrize(
    ("name", "module", "extra"), [("transformers:x/y", "transformers", "text"), ("clip", "clip", "clip")]
)
def test_missing_extras_are_named(monkeypatch, name, module, extra):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(InputError, match=rf"motion-diffusion\[{extra}\]"):
        text_encoder(name)(["walks"])


def test_saved_model_names_its_encoder(save, make_model, tmp_path):
    name = f"transformers:{save()}"
    plain = make_model()
    denoiser = dataclasses.replace(plain.config.denoiser, text_dim=32)
    model = MotionModel(dataclasses.replace(plain.config, text=name, denoiser=denoiser), plain.representation)
    model.save(tmp_path / "run")
    again = MotionModel.load(tmp_path / "run")
    assert again.config.text == name
    run = {"lengths": [20], "seeds": [0], "steps": 3}
    torch.testing.assert_close(again.sample(["a person walks"], **run), model.eval().sample(["a person walks"], **run))


def test_missing_encoder_of_a_model_is_reported(save, make_model, tmp_path):
    make_model().save(tmp_path / "run")
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    (tmp_path / "run" / "config.json").write_text(json.dumps(config | {"text": "transformers:/no/such/folder"}))
    with pytest.raises(InputError, match="there is no folder /no/such/folder"):
        MotionModel.load(tmp_path / "run")


def test_clip_vectors_match_encode_text():
    """With random weights, so that nothing is downloaded."""
    clip = pytest.importorskip("clip", reason=f"{needs.NOT_HERE}the extra clip", exc_type=Exception)
    tower = {"transformer_width": 64, "transformer_heads": 2, "transformer_layers": 2, "vocab_size": 49408}
    image = {"image_resolution": 32, "vision_layers": 1, "vision_width": 64, "vision_patch_size": 16}
    torch.manual_seed(0)
    model = clip.model.CLIP(embed_dim=48, context_length=77, **tower, **image).eval()
    encoder = ClipEncoder()
    vars(encoder)["_clip"] = clip.tokenize, model
    texts = ["a person walks", "run", "a tired person walks " * 40, "走る é 🏃"]
    words = encoder.encode(texts)
    assert [len(row) for row in words[:3]] == [5, 3, 77]
    projected = torch.stack([row[-1] for row in words]) @ model.text_projection
    torch.testing.assert_close(projected, model.encode_text(clip.tokenize(texts, truncate=True)))
