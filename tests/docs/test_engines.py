"""The pages of the engines run, against real servers."""

from __future__ import annotations

import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from engines.fixtures import new_location, server_engines

ROOT = Path(__file__).parents[2]


@pytest.fixture(params=server_engines())
def engine(request):
    """An engine, and what names a new place in it."""
    return request.param, partial(new_location, request)


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("PYTHONIOENCODING", "utf-8")

    def run(*command):
        done = subprocess.run(
            [sys.executable, *command], capture_output=True, encoding="utf-8", cwd=tmp_path, timeout=300, check=False
        )
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        return done.stdout

    return run


def test_a_page_runs(engine, run):
    name, location = engine
    code = "\n".join(re.findall(r"```python\n(.*?)```", (ROOT / f"docs/{name}.md").read_text("utf-8"), re.DOTALL))
    urls = re.findall(rf'"{name}\+[^"]+"', code)
    assert urls
    for url in urls:
        code = code.replace(url, repr(location()))
    assert len(run("-W", "error", "-c", code).splitlines()) == len(urls)


def test_a_file_moves_to_a_server_and_answers_the_same(engine, run):
    assert "nuri" in run(str(ROOT / "examples" / "from_file_to_server.py"), engine[1]())
