"""What the documentation says runs, and what it points to is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from programs import run_program

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("**/*.md"))]


@pytest.mark.parametrize("number", range(README.count("```python")))
def test_a_readme_example_runs(number, tmp_path):
    code = re.findall(r"```python\n(.*?)```", README, re.DOTALL)[number]
    done = run_program(code, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    assert done.stderr == ""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_inside_the_project_leads_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("example", sorted((ROOT / "examples").glob("*.py")), ids=lambda example: example.stem)
def test_an_example_runs_and_holds_what_it_asserts(example, tmp_path):
    done = run_program(example.read_text(encoding="utf-8"), tmp_path, name=str(example), warnings_are="default")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
