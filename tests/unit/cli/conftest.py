from __future__ import annotations

import pytest


@pytest.fixture
def pixie(monkeypatch, encoder):
    """Run the command line inside this process, with the bundled model loaded once for all tests."""
    from typer.testing import CliRunner

    from pixie_retrievers.cli.app import app
    from pixie_retrievers.encoder.pixie import PixieEncoder

    monkeypatch.setattr(PixieEncoder, "bundled", lambda **_: encoder)
    monkeypatch.setenv("COLUMNS", "80")
    runner = CliRunner()

    def run(*arguments, **options):
        return runner.invoke(app, [str(argument) for argument in arguments], prog_name="pixie", **options)

    return run
