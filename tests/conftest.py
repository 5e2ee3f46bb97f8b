"""What tests of several folders share."""

from __future__ import annotations

import os
import signal
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest
from engines.fixtures import (  # noqa: F401  # servers that tests ask for by name
    elasticsearch_node,
    milvus_node,
    opensearch_node,
    qdrant_node,
)
from figures import pytest_runtest_makereport, pytest_terminal_summary  # noqa: F401  # the table of a soak
from hypothesis import settings

# Threads of a model that wait for each other sleep: awake, they hold up whatever else runs on the same cores, as the
# tests beside them. To be said before torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# One thread a process: each core has a test of its own, and by another number of threads a weight's last bits differ.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A shell's job in the background begins with interrupts ignored, and so do all whom it starts.
signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile("pixie", deadline=None)  # a deadline is a timed assertion
settings.load_profile("pixie")

if find_spec("llama_index"):
    # llama-index-core ships the data that its splitters need; older versions look for it elsewhere, and would fetch it.
    core = Path(find_spec("llama_index.core").origin).parent
    os.environ["NLTK_DATA"] = str(core / "_static" / "nltk_cache")


@pytest.fixture(scope="session", autouse=True)
def _children_leave_nothing_open():
    """What pytest holds this process to holds for the processes that tests start, which can only print it."""
    run = subprocess.run

    def watched(*arguments, **options):
        done = run(*arguments, **options)
        said = done.stderr or ""
        said = said if isinstance(said, str) else said.decode(errors="replace")
        assert "ResourceWarning" not in said, said[-3000:]
        return done

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subprocess, "run", watched)
        patch.setenv("PYTHONWARNINGS", "default::ResourceWarning")
        yield


@pytest.fixture(scope="session")
def encoder():
    """The bundled model, loaded once."""
    from pixie_retrievers.encoder.pixie import PixieEncoder

    return PixieEncoder.bundled()
