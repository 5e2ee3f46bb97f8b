"""Encoding on a Ray cluster, one of whose two workers is killed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

SCRIPT = Path(__file__).parents[1] / "ray_cluster.py"
# Ray listens on every interface, whatever it is told: it gets a network with nothing but loopback.
NAMESPACE = ["unshare", "--net", "--map-root-user", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]


def can_have_a_network_of_its_own():
    if not (shutil.which("unshare") and shutil.which("ip")):
        return False
    return subprocess.run([*NAMESPACE, "true"], capture_output=True, check=False).returncode == 0


@pytest.mark.server
@pytest.mark.xdist_group("elasticsearch")  # never beside the other clusters
@pytest.mark.skipif(find_spec("ray") is None, reason="ray is not installed: pip install 'ray[data]'")
@pytest.mark.skipif(
    not can_have_a_network_of_its_own(), reason="needs Linux's unshare and ip, and the right to use them"
)
def test_a_worker_that_is_killed_loses_and_doubles_nothing(tmp_path):
    with TemporaryDirectory(prefix="ray-") as folder:  # the path of a socket is short
        done = subprocess.run(
            [*NAMESPACE, sys.executable, str(SCRIPT), str(tmp_path), folder],
            capture_output=True,
            text=True,
            timeout=280,
            check=False,
            env=os.environ | {"HF_HUB_OFFLINE": "1", "PYTHONWARNINGS": "ignore"},  # Ray leaves its own logs open
        )
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout.splitlines()[-1])
    n = told["attached_n"]
    assert told["direct"] == told["attached"] == {"n": n, "ids": True, "sound": True}
    assert told["n_workers"] > 1 + 2 + 2, "one says what the model is, two encode in each of two runs, and one died"
    assert told["parts"] > 1
