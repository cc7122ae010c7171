"""The CMU database: skeletons, descriptions and splits of trials; several formats of the index."""

import pickle

import numpy as np
import pytest

from data_loaders.cmu import Cmu, read_index
from data_loaders.datasets import load_examples
from data_loaders.store import prepare, read_all
from data_loaders.types import Caption
from motion_diffusion.errors import InputError
from tests.data_loaders.amc_files import write_walk

SUBJECTS = {"train": ("02", "05"), "val": ("10",), "test": ("06",)}
"""Some of each part; must never change, or models would be tested on people that they know."""

INDEX = """Carnegie-Mellon Graphics Lab Motion Capture Database
  full file listing with descriptions
Compiled from the individual CMU index files

Subject #2 (various expressions and human behaviors)

02_01\twalk
02_02\tWalk,  turn Left


Subject #10 (different walking styles)

10_1\tUnknown
10_02  Left_Front_Kicking001

Subject #6 (dribble, shoot basketball)
06_01\t
"""


@pytest.fixture(scope="module")
def trial(tmp_path_factory, walk):
    """Texts of a motion of 3 seconds and of its skeleton."""
    folder = tmp_path_factory.mktemp("amc")
    write_walk(folder / "a.amc", folder / "a.asf", walk[:61], fps=30)
    return (folder / "a.amc").read_text(), (folder / "a.asf").read_text()


@pytest.fixture
def root(tmp_path, trial):
    """Folder with two trials of each of four subjects."""
    for subjects in SUBJECTS.values():
        for subject in subjects:
            folder = tmp_path / "subjects" / subject
            folder.mkdir(parents=True)
            (folder / f"{subject}.asf").write_text(trial[1])
            for number in ("01", "02"):
                (folder / f"{subject}_{number}.amc").write_text(trial[0])
    return tmp_path / "subjects"


def test_subjects_are_in_one_split_each(root):
    parts = {entry.name: entry.split for entry in Cmu(root).source().entries}
    assert parts == {
        f"{subject}/{subject}_{number}": part
        for part, subjects in SUBJECTS.items()
        for subject in subjects
        for number in ("01", "02")
    }


def test_captions_are_read_from_index(root):
    assert Cmu(root).source().problems == []  # for display only
    (root / "cmu-mocap-index-text.txt").write_text(INDEX)
    source = Cmu(root, fps=30).source()
    assert {entry.name: entry.annotation.captions for entry in source.entries} == {
        "02/02_01": (Caption("walk"),),
        "02/02_02": (Caption("Walk, turn Left"),),
        "05/05_01": (),
        "05/05_02": (),
        "06/06_01": (Caption("dribble, shoot basketball"),),
        "06/06_02": (),
        "10/10_01": (Caption("different walking styles"),),
        "10/10_02": (Caption("Left Front Kicking"),),
    }
    lines = [line.partition(": ")[0] for line in source.problems]
    assert lines == [str(root / name) for name in ("05/05_01.amc", "05/05_02.amc", "06/06_02.amc")]
    assert set(source.files) == {*root.rglob("*.amc"), *root.rglob("*.asf"), root / "cmu-mocap-index-text.txt"}
    for entry in source.entries:
        assert pickle.loads(pickle.dumps(entry)) == entry


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("index.txt", "02_01 walk\n02_02.amc\trun, jump\n"),
        ("Index.CSV", 'trial,description\n"02_01",walk\n02_02,"run, jump"\n'),
        ("index.html", "<table><TR><td>02_01</td>\n<td> walk</td></tr><tr><td>02_02<td>run, <b>jump</b></TR></table>"),
        ("index.htm", "<p>02_01 walk</p><p>02_02&nbsp;run,&#32;jump</p>"),
    ],
)  # fmt: skip
def test_index_formats(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    assert read_index(tmp_path / name) == {(2, 1): "walk", (2, 2): "run, jump"}
    (tmp_path / name).write_bytes(text.replace("walk", "für").encode("latin-1"))
    assert read_index(tmp_path / name)[2, 1] == "für"


def test_caption_table_overrides_index(root, tmp_path):
    (root / "index.txt").write_text(INDEX)
    table = tmp_path / "captions.csv"
    table.write_text(
        "file,text,start,end,split,action\n02_01.amc,someone walks,,,test,walk\n05/05_01,goes,1,2,,\n"
        "05_02,goes,,,,\n06_02,goes,,,,\n"
    )
    source = Cmu(root, captions=table, fps=30).source()
    assert source.problems == []
    clips = {clip.name: clip for clip in read_all(source.entries, processes=1)}
    assert clips["02/02_01"].captions == (Caption("someone walks"),)
    assert (clips["02/02_01"].split, clips["02/02_01"].action) == ("test", "walk")
    assert clips["02/02_02"].captions == (Caption("Walk, turn Left"),)
    assert clips["05/05_01"].captions == (Caption("goes", 1.0, 2.0),)


def test_store_can_be_trained_on(root, tmp_path):
    (root / "index.txt").write_text(INDEX + "05_01 a\n05_02 b\n06_02 c\n")
    source = Cmu(root, fps=30).source()
    store = prepare("cmu", source, tmp_path / "store", processes=1)
    assert [len(clip.joints) for clip in store.clips] == [60] * 8
    data = load_examples("cmu", tmp_path / "store", frames=60)
    assert data.licence.startswith("CMU Graphics Lab Motion Capture Database: free for all uses")
    example = data.train.example(0)
    assert example.joints.shape == (60, 22, 3)
    assert example.text
    with pytest.raises(InputError, match="prepare cmu"):
        load_examples("cmu", root, frames=60)


def test_frame_rate_option(root):
    """At a higher frame rate, the same files are shorter."""
    slow, quick = (Cmu(root, fps=fps).source().entries[0].read().joints for fps in (30.0, 60.0))
    assert [len(slow), len(quick)] == [60, 30]
    np.testing.assert_allclose(slow[::2], quick, atol=1e-3)  # the floor depends on the speed of the feet
    assert len(Cmu(root).source().entries[0].read().joints) == 15  # 120
    with pytest.raises(InputError, match="--fps 0: give the frames per second of the files, 1 to 1000"):
        Cmu(root, fps=0).source()


def test_invalid_folders_are_refused(tmp_path, root):
    with pytest.raises(FileNotFoundError, match="no folder .*--data-root"):
        Cmu(tmp_path / "nowhere").source()
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"no \.amc files.*--data-root the folder of the CMU database"):
        Cmu(tmp_path / "empty").source()
    with pytest.raises(FileNotFoundError, match="no captions file"):
        Cmu(root, captions=tmp_path / "no.csv").source()
    (root / "index.csv").write_text(f'02_01,"{"x" * 200_000}"\n')
    with pytest.raises(InputError, match=r"index\.csv: field larger than .*; check its quotes"):
        Cmu(root).source()
    (root / "index.csv").unlink()
    (root / "02" / "02_01.AMC").write_text("")
    with pytest.raises(InputError, match="differs from another file in nothing but its ending"):
        Cmu(root).source()


def test_trial_without_skeleton_is_broken(root):
    (root / "05" / "05.asf").unlink()
    lines = [line for line in read_all(Cmu(root).source().entries, processes=1) if isinstance(line, str)]
    assert [line.partition(": ")[0] for line in lines] == [str(root / "05" / f"05_0{i}.amc") for i in (1, 2)]
    assert all("put its skeleton there as 05.asf" in line for line in lines)
