"""What tests of several folders share."""

from __future__ import annotations

import pytest
from figures import pytest_runtest_makereport, pytest_terminal_summary  # noqa: F401  # the table of a soak


@pytest.fixture(scope="session")
def encoder():
    """The bundled model, loaded once."""
    from pixie_retrievers.encoder.pixie import PixieEncoder

    return PixieEncoder.bundled()
