"""The wheel holds what the package needs at run time, and nothing of the rest."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=120)
    (path,) = folder.glob("*.whl")
    return path


def test_the_wheel_holds_the_model_the_corpus_and_the_types_marker(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    for name in (
        "py.typed",
        "encoder/nano/model.safetensors",
        "encoder/nano/tokenizer.json",
        "encoder/nano/README.md",
        "cli/demo_corpus/passages.jsonl",
        "cli/demo_corpus/questions.jsonl",
    ):
        assert f"pixie_retrievers/{name}" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert {name.split("/")[0].partition("-")[0] for name in names} == {"pixie_retrievers"}
    assert wheel.stat().st_size < 12_000_000


def test_what_the_wheel_installs_runs_without_the_sources(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    code = """
import sys
sys.path.insert(0, sys.argv[1])
import pixie_retrievers
from pixie_retrievers import PixieEncoder, SparseRetriever
from pixie_retrievers.cli.corpus import passages
assert pixie_retrievers.__file__.startswith(sys.argv[1]), pixie_retrievers.__file__
with SparseRetriever.open(encoder=PixieEncoder.bundled()) as retriever:
    retriever.add(passages()[:20])
    print(retriever.search("위성", k=1)[0].document.id)
"""
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(("space", "telepix"))
