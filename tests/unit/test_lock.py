"""tests/lock.txt and pyproject.toml agree: what is installed is what the package asks for, on every Python."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
LOCK = (ROOT / "tests" / "lock.txt").read_text(encoding="utf-8")
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PYTHONS = ["3.10", "3.11", "3.12", "3.13"]


def asked_for():
    project = PYPROJECT["project"]
    groups = [
        project["dependencies"],
        *project["optional-dependencies"].values(),
        *PYPROJECT["dependency-groups"].values(),
    ]
    requirements = [Requirement(line) for group in groups for line in group]
    return [requirement for requirement in requirements if requirement.name != project["name"]]


def locked(python):
    """The version of each package on a Python, under Linux."""
    environment = {"python_version": python, "python_full_version": f"{python}.0", "sys_platform": "linux"}
    lines = [Requirement(line) for line in LOCK.splitlines() if not line.startswith("#")]
    found = {}
    for line in lines:
        if line.marker is None or line.marker.evaluate(environment):
            name = canonicalize_name(line.name)
            assert name not in found, f"{name} is locked twice for Python {python}"
            (version,) = line.specifier
            assert version.operator == "=="
            found[name] = version.version
    return found


@pytest.mark.parametrize("python", PYTHONS)
def test_each_direct_dependency_is_locked_at_a_version_that_is_asked_for(python):
    versions = locked(python)
    for requirement in asked_for():
        version = versions.get(canonicalize_name(requirement.name))
        assert version is not None, f"{requirement.name} is not locked for Python {python}: make lock"
        assert requirement.specifier.contains(version), f"{requirement} is locked at {version}: make lock"


def test_the_lock_names_no_host_and_no_path():
    assert "://" not in LOCK
    assert "/" not in LOCK.replace("via the following command", "")


def test_a_torch_without_cuda_is_not_forbidden():
    """``UV_TORCH_BACKEND=cpu`` brings a local version, which a lock with a local version of its own would refuse."""
    (torch,) = [Requirement(line) for line in LOCK.splitlines() if line.startswith("torch==")]
    assert torch.specifier.contains(f"{next(iter(torch.specifier)).version}+cpu")
