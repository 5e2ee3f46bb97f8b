"""What surrounds the package agrees with it: the workflow, the forms, the hooks, the one place for the version."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from pixie_retrievers import __version__

ROOT = Path(__file__).parents[2]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
LANES = set(re.findall(r"^([\w-]+):", MAKEFILE, re.MULTILINE))
FILES = [ROOT / ".mkdocs.yml", ROOT / ".pre-commit-config.yaml", *sorted((ROOT / ".github").glob("**/*.yml"))]
PAGES = [*sorted((ROOT / ".github").glob("**/*.md")), *sorted((ROOT / "docs").glob("**/*.md")), ROOT / "README.md"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_configuration_is_yaml(path):
    assert isinstance(yaml.safe_load(path.read_text(encoding="utf-8")), dict)


@pytest.mark.parametrize(
    "path", sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("[!c]*.yml")), ids=lambda path: path.stem
)
def test_a_form_has_what_a_form_needs(path):
    form = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert {"name", "description", "body"} <= form.keys()
    ids = [field["id"] for field in form["body"]]
    assert len(ids) == len(set(ids))
    assert all(field["attributes"]["label"] for field in form["body"])


def test_the_workflow_runs_what_make_runs():
    workflow = yaml.safe_load((ROOT / ".github/workflows/tests.yml").read_text(encoding="utf-8"))
    jobs = workflow["jobs"]
    (quick,) = [step["run"] for step in jobs["quick"]["steps"] if "pytest" in step.get("run", "")]
    assert re.search(r"^QUICK := (.+)$", MAKEFILE, re.MULTILINE)[1] == quick.partition("-n auto ")[2].strip()
    lanes = {row["lane"] for row in jobs["versions"]["strategy"]["matrix"]["include"]}
    assert lanes | set(jobs["everything"]["strategy"]["matrix"]["lane"]) <= LANES


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_page_names_only_lanes_that_are_there(path):
    text = path.read_text(encoding="utf-8")
    code = " && ".join([*re.findall(r"`([^`\n]+)`", text), *re.findall(r"```sh\n(.*?)```", text, re.DOTALL)])
    assert set(re.findall(r"\bmake ([a-z][\w-]*)", code)) <= LANES


@pytest.mark.parametrize("page", sorted((ROOT / ".github").glob("**/*.md")), ids=lambda page: page.stem)
def test_every_link_leads_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
        assert "://" in target or (page.parent / target).exists(), target


def test_the_version_stands_in_one_place():
    command = [sys.executable, "-m", "hatchling", "version"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == __version__
    assert f"\n## {__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
