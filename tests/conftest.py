"""What tests of several folders share."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def encoder():
    """The bundled model, loaded once."""
    from pixie_retrievers.encoder.pixie import PixieEncoder

    return PixieEncoder.bundled()
