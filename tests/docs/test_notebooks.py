"""The notebooks in examples/ run from top to bottom, draw what they speak of, and are stored without outputs."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat")
NotebookClient = pytest.importorskip("nbclient").NotebookClient
pytest.importorskip("ipykernel")

NOTEBOOKS = sorted((Path(__file__).parents[2] / "examples").glob("*.ipynb"))
SHOWS = {"explanations": 6, "langchain": 3}
"""How many of its cells draw something."""


def read(path):
    return nbformat.read(path, as_version=nbformat.NO_CONVERT)


def test_there_are_two_and_one_is_on_a_framework():
    assert {path.stem for path in NOTEBOOKS} == SHOWS.keys()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_valid_and_stored_without_outputs(path):
    notebook = read(path)
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [(cell.outputs, cell.execution_count) for cell in cells] == [([], None)] * len(cells)


@pytest.mark.new_process
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_and_draws_its_results(path, tmp_path, monkeypatch):
    if path.stem == "langchain":
        pytest.importorskip("langchain_core")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(part for part in sys.path if part))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for name in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR"):  # nothing is left in a home
        monkeypatch.setenv(name, str(tmp_path / name))
    notebook = read(path)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert [output for output in outputs if output.get("name") == "stderr"] == []
    drawn = ["".join(output["data"].get("text/html", "")) for output in outputs if "data" in output]
    assert sum('class="pixie"' in page for page in drawn) == SHOWS[path.stem]
