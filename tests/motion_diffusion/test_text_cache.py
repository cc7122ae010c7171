"""The cache of word vectors: complete entries or none, equal in all processes, also if some are killed."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time

import pytest
import torch

from motion_diffusion.errors import InputError
from motion_diffusion.network.text_encoders import CachedEncoder, StaticEmbedding

TEXTS = ["a tired person walks", "run", "走る é 🏃 'quoted\"; --", "a person walks, then walks back", "run "]


class Counted:
    """The static embedding as a cacheable encoder that records the texts it encodes."""

    dim, max_words = StaticEmbedding.dim, StaticEmbedding.max_words

    def __init__(self, identity="static", shift=0.0):
        self.identity, self.shift, self.asked = identity, shift, []
        self.static = StaticEmbedding()

    def encode(self, texts):
        self.asked += texts
        words, visible = self.static(texts)
        return [row[seen] + self.shift for row, seen in zip(words, visible, strict=True)]


WORKER = """
import hashlib, sys, time
from test_text_cache import Counted
from motion_diffusion.network.text_encoders import CachedEncoder

encoder = Counted(shift=float(sys.argv[1]))
cached, digest = CachedEncoder(encoder), hashlib.sha256()
print("ready", flush=True)
sys.stdin.readline()
for i in range(int(sys.argv[2])):
    words, visible = cached([f"walk {k}" for k in range(8 * i, 8 * i + 8)])
    digest.update(words.numpy().tobytes())
print(digest.hexdigest(), len(encoder.asked))
"""


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def start(tmp_path):
    """start(shift, batches): a process that is ready to encode captions when it gets a line."""
    started = []
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.path.dirname(__file__)}

    def begin(shift, batches):
        command = [sys.executable, "-c", WORKER, str(shift), str(batches)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        started.append(subprocess.Popen(command, env=environment, text=True, **pipes))
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def rows(path):
    with sqlite3.connect(path) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return dict(database.execute("SELECT text, vectors FROM words"))


def test_cached_vectors_match_to_16_bits():
    encoder = Counted()
    words, visible = CachedEncoder(encoder)(TEXTS)
    for i, (text, own) in enumerate(zip(TEXTS, encoder.encode(TEXTS), strict=True)):
        assert visible[i].tolist() == [True] * len(own) + [False] * (visible.shape[1] - len(own)), text
        torch.testing.assert_close(words[i, visible[i]], own, rtol=2**-11, atol=2**-25)
    assert not words[~visible].any()
    assert words.dtype == torch.float32


def test_first_and_cached_results_are_equal():
    first = Counted()
    computed = CachedEncoder(first)(TEXTS)
    second = Counted()
    stored = CachedEncoder(second)(TEXTS)
    assert all(torch.equal(a, b) for a, b in zip(computed, stored, strict=True))
    assert (first.asked, second.asked) == (TEXTS, [])


def test_only_missing_texts_are_encoded():
    encoder = Counted()
    cached = CachedEncoder(encoder)
    cached(["run", "walk", "run"])
    cached(["jump", "walk", "jump", "run"])
    assert encoder.asked == ["run", "walk", "jump"]
    many = [f"walk {i}" for i in range(1000)]
    words, _ = cached(many)
    assert encoder.asked[3:] == many
    assert torch.equal(words[:, 0], words[:1, 0].expand(1000, -1))
    assert len(rows(cached.path)) == 1003


def test_empty_texts_are_not_encoded():
    encoder = Counted()
    words, visible = CachedEncoder(encoder)(["", " \n", "walk"])
    assert visible.tolist() == [[False], [False], [True]]
    assert not words[:2].any()
    alone = CachedEncoder(encoder)([""])
    assert [each.shape for each in alone] == [(1, 1, 128), (1, 1)]
    assert encoder.asked == ["walk"]


def test_encoders_have_separate_caches():
    one, other = (CachedEncoder(Counted(name, shift)) for name, shift in (("a@1", 0.0), ("a@2", 1.0)))
    difference = other(["walk"])[0] - one(["walk"])[0]
    torch.testing.assert_close(difference, torch.ones_like(difference), atol=1e-2, rtol=0)
    assert one.path != other.path


def test_encoding_does_not_change_the_random_state():
    """So that a run is the same whether its texts were there or not."""

    class Drawing(Counted):
        def encode(self, texts):
            torch.randn(3)
            return super().encode(texts)

    before = torch.get_rng_state()
    CachedEncoder(Drawing())(["walk"])
    assert torch.equal(torch.get_rng_state(), before)


def test_concurrent_processes_share_vectors(start):
    """Each would compute other words, 1 apart; whoever is first is right for both."""
    processes = [start(shift, 40) for shift in (0.0, 1.0)]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    ends = []
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    for process in processes:
        ends.append(process.communicate()[0].split())
        assert process.returncode == 0
    assert ends[0][0] == ends[1][0]
    assert int(ends[0][1]) + int(ends[1][1]) >= 320
    cached = CachedEncoder(Counted())
    assert len(rows(cached.path)) == 320


def test_killed_process_leaves_complete_entries(start):
    delays = random.Random(0)
    for _ in range(2):
        process = start(0.0, 100_000)
        assert process.stdout.readline() == "ready\n"
        process.stdin.write("\n")
        process.stdin.flush()
        time.sleep(0.2 + 0.1 * delays.random())
        process.send_signal(signal.SIGKILL)
        process.wait()
    encoder = Counted()
    cached = CachedEncoder(encoder)
    stored = rows(cached.path)
    assert len(stored) > 8
    assert len(stored) % 8 == 0  # what was encoded together is there together
    words, _ = cached(list(stored))
    assert encoder.asked == []
    expected, _ = CachedEncoder(Counted("another"))(list(stored))
    assert torch.equal(words, expected)


def test_damaged_cache_is_refused_in_one_line():
    cached = CachedEncoder(Counted())
    cached.path.parent.mkdir(parents=True)
    cached.path.write_bytes(b"no database, but as long as one begins" * 100)
    with pytest.raises(InputError, match=r"text-.*\.sqlite: file is not a database; delete this file") as refusal:
        cached(["walk"])
    assert "\n" not in str(refusal.value)


def test_unwritable_folder_is_refused(tmp_path):
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(InputError, match="let XDG_CACHE_HOME name a folder that can be written"):
        CachedEncoder(Counted())(["walk"])


def test_vectors_beyond_16_bits_are_refused():
    cached = CachedEncoder(Counted(shift=1e5))
    with pytest.raises(InputError, match="16 bits"):
        cached(["walk"])
    assert rows(cached.path) == {}
