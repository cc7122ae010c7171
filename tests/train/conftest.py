import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

TINY = "--width 16 --depth 1 --heads 2 --frame-width 8 --max-frames 60 --validation-examples 4 --log-every 1".split()
TINY += ["--T", "20"]


@pytest.fixture(scope="session")
def forks(tmp_path_factory):
    """(folder, run): run(arguments, …) trains there in separate processes, see forks.py. Returns the result."""
    folder, script = tmp_path_factory.mktemp("forks"), Path(__file__).with_name("forks.py")
    root = script.parents[2]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(root)}
    with subprocess.Popen(
        [sys.executable, str(script), str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    ) as driver:

        def run(arguments, **task):
            print(json.dumps({"arguments": [*map(str, arguments), *TINY], **task}), file=driver.stdin, flush=True)
            return json.loads(driver.stdout.readline())

        yield folder, run
        driver.stdin.close()


def lines(run):
    """The logged numbers of a run, without measured times."""
    read = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k not in ("samples_per_s", "matmul_share")} for line in read]


@pytest.fixture(name="lines", scope="session")
def _lines():
    return lines
