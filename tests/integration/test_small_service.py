"""The example service in an environment without torch: what its Dockerfile installs, and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from serving import ask, service

from pixie_retrievers import SparseRetriever

ROOT = Path(__file__).parents[2]
THINGS = ["정찰 위성", "김치", "대출 이자", "한강의 수위"]

pytestmark = pytest.mark.new_process


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A Python of its own, with the extra `inference-free` and a server."""
    folder = tmp_path_factory.mktemp("small") / "environment"
    command = ["sh", "tests/environment.sh", str(folder), ".[inference-free]", "uvicorn"]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | {"PYTHON": sys.executable, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    if done.returncode and os.environ.get("PIXIE_REQUIRE_ENGINES") != "1":
        pytest.skip(f"packages cannot be installed here: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    return folder / "bin" / "python"


def test_it_answers_as_the_whole_package_does(small, tmp_path, encoder):
    path = tmp_path / "corpus.db"
    with SparseRetriever.open(path, encoder=encoder) as retriever:
        retriever.add_texts(
            [f"{THINGS[n % 4]}에 관한 {n}번째 글이다. 오늘은 {THINGS[n % 4]}을 본다." for n in range(60)]
        )
        retriever.derive_query_table()
    missing = "import importlib.util as u; assert not any(map(u.find_spec, ('torch', 'transformers', 'scipy')))"
    alone = {"PYTHONPATH": "", "PYTHONHOME": ""}  # what other packages are here, it does not see
    subprocess.run([small, "-c", missing], check=True, env=os.environ | alone)
    compiling = [small, ROOT / "examples" / "service" / "compile.py"]
    subprocess.run(compiling, check=True, timeout=300, env=os.environ | alone)
    questions = [f"{thing}은 무엇인가?" for thing in THINGS]
    with (
        service(path, n_workers=1, python=str(small), QUERIES="inference-free", **alone) as address,
        SparseRetriever.open(path, queries="inference-free") as retriever,
    ):
        answers = [answer for _, answer in ask(address, questions, n_callers=1, k=3)]
        for question, answer in zip(questions, answers, strict=True):
            assert answer == [result.to_dict() for result in retriever.search(question, 3)]
