"""A table over the bundled model's vocabulary, with weights that can be told apart."""

from __future__ import annotations

import numpy as np
import pytest

from pixie_retrievers.encoder.inference_free.parts import Expansions, TableOrigin
from pixie_retrievers.encoder.inference_free.table import QueryTable


@pytest.fixture(scope="session")
def bundled():
    from pixie_retrievers import PixieEncoder

    return PixieEncoder.bundled(device="cpu")


@pytest.fixture(scope="session")
def make_table(bundled):
    """Makes a table: every token weighs 1 and a bit more than the one before; tokens add what they are told to."""
    vocabulary = bundled.vocabulary
    size = bundled.vocabulary_size

    def make(added=None, **changes):
        weights = (1 + np.arange(size) / size).astype(np.float32)
        weights[list(vocabulary.special_ids)] = 0
        rows = [sorted((added or {}).get(token, {}).items()) for token in range(size)]
        expansions = Expansions(
            np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64),
            np.array([term for row in rows for term, _ in row], np.int32),
            np.array([weight for row in rows for _, weight in row], np.float32),
        )
        said = {
            "weights": weights,
            "tokenizer": vocabulary.tokenizer,
            "max_length": vocabulary.max_length,
            "special_is_text": vocabulary.special_is_text,
            "origin": TableOrigin(bundled.fingerprint, 100, "questions", "mean", "2026-01-01", 0.9),
            "expansions": expansions,
        }
        return QueryTable(**said | changes)

    return make


@pytest.fixture(scope="session")
def table(make_table):
    return make_table()
