"""What is shown of an encoding: a bar on a terminal, a line in a notebook, nothing where nobody watches."""

from __future__ import annotations

import os
import sys

import pytest

from pixie_retrievers.encoder.progress import progress, progress_line

CELL = """
import time
from pixie_retrievers.encoder.progress import progress
with progress({total}, shown={shown}) as advance:
    for _ in range(4):
        advance(250)
        time.sleep(0.3)
    {end}
"""


@pytest.mark.parametrize(
    ("n_done", "total", "elapsed_s", "line"),
    [
        (0, 3000, 0.0, "encoding 0/3,000 (0%)"),
        (1024, 3000, 2.0, "encoding 1,024/3,000 (34%), 512.0 texts/s, 0:00:04 left"),
        (3000, 3000, 6.0, "encoding 3,000, 500.0 texts/s, 0:00:06"),
        (3200, 3000, 6.4, "encoding 3,200, 500.0 texts/s, 0:00:06"),  # more came than were announced
        (1500, None, 3.0, "encoding 1,500, 500.0 texts/s, 0:00:03"),
        (0, None, 0.0, "encoding 0, 0.0 texts/s, 0:00:00"),
        (1_000_000, 2_000_000, 40_000.0, "encoding 1,000,000/2,000,000 (50%), 25.0 texts/s, 11:06:40 left"),
    ],
)
def test_a_line_says_how_far_how_fast_and_how_long(n_done, total, elapsed_s, line):
    assert progress_line(n_done, total, elapsed_s) == line


@pytest.mark.parametrize("shown", [True, False])
def test_nothing_is_written_to_a_pipe(shown, capfd):
    with progress(10, shown=shown) as advance:
        advance(10)
    assert capfd.readouterr() == ("", "")


@pytest.mark.new_process
@pytest.mark.parametrize("total", [1000, None])
def test_a_notebook_without_widgets_shows_one_line_that_is_written_anew(total, tmp_path, monkeypatch):
    outputs, updates = run_cell(CELL.format(total=total, shown=True, end="pass"), tmp_path, monkeypatch)
    (output,) = outputs
    assert output["data"].keys() == {"text/plain"}
    assert output["data"]["text/plain"].startswith("encoding 1,000, ")
    assert 3 <= len(updates) <= 6
    assert ("/1,000 (" in updates[0]) == (total is not None)


@pytest.mark.new_process
def test_what_is_interrupted_shows_how_far_it_came(tmp_path, monkeypatch):
    outputs, _ = run_cell(CELL.format(total=4000, shown=True, end="raise KeyError('x')"), tmp_path, monkeypatch)
    assert [output["output_type"] for output in outputs] == ["display_data", "error"]
    assert outputs[0]["data"]["text/plain"].startswith("encoding 1,000/4,000 (25%)")


@pytest.mark.new_process
def test_a_notebook_shows_nothing_that_was_not_asked_for(tmp_path, monkeypatch):
    assert run_cell(CELL.format(total=4000, shown=False, end="pass"), tmp_path, monkeypatch) == ([], [])


def run_cell(source, tmp_path, monkeypatch):
    """The outputs of a cell in a kernel, as they stand in the end, and the lines that were written on the way."""
    nbformat = pytest.importorskip("nbformat")
    client = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(part for part in sys.path if part))
    for name in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR"):  # nothing is left in a home
        monkeypatch.setenv(name, str(tmp_path / name))
    updates = []

    class Client(client.NotebookClient):
        def process_message(self, msg, cell, cell_index):
            if msg["msg_type"] == "update_display_data":
                updates.append(msg["content"]["data"]["text/plain"])
            return super().process_message(msg, cell, cell_index)

    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    Client(notebook, timeout=300, allow_errors=True, resources={"metadata": {"path": str(tmp_path)}}).execute()
    return notebook.cells[0].outputs, updates
