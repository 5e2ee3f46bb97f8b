"""int8 computes what float32 computes, nearly, whatever stands beside a text; and says that it did."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from pixie_retrievers import PixieEncoder
from pixie_retrievers.encoder.device import this_machine

pytestmark = pytest.mark.skipif(not this_machine().cpu_has_int8, reason="the processor has no VNNI instructions")


def dense(vectors):
    return vectors.to_scipy().toarray()


@pytest.fixture(scope="module")
def int8(today_folder):
    return PixieEncoder(today_folder, device="cpu", precision="int8")


def test_linear_layers_are_near_their_float_selves_in_every_shape():
    from pixie_retrievers.encoder.int8 import Int8Linear

    torch.manual_seed(0)
    for bias in (True, False):
        linear = torch.nn.Linear(96, 40, bias=bias)
        values = torch.randn(3, 5, 96)
        values[0, 0] = 0
        with torch.inference_mode():
            expected, found = linear(values), Int8Linear(linear)(values)
        assert found.shape == expected.shape
        assert (found - expected).norm() / expected.norm() < 0.02


def test_not_a_number_stays_not_a_number():
    from pixie_retrievers.encoder.int8 import Int8Linear

    values = torch.randn(2, 16)
    values[1, 3] = float("nan")
    with torch.inference_mode():
        found = Int8Linear(torch.nn.Linear(16, 8))(values)
    assert bool(found[0].isfinite().all())
    assert bool(found[1].isnan().all())


def test_int8_is_near_float32(int8, encoder, sentences):
    expected, found = dense(encoder.encode_documents(sentences)), dense(int8.encode_documents(sentences))
    cosine = (expected * found).sum(axis=1) / np.linalg.norm(expected, axis=1) / np.linalg.norm(found, axis=1)
    assert int8.precision == "int8"
    assert not any(type(module) is torch.nn.Linear for module in int8._model.modules())
    assert cosine.min() > 0.99
    assert np.abs(expected - found).max() > 1e-4


def test_a_text_gets_the_same_int8_vector_alone_and_beside_others(int8, sentences):
    together = dense(int8.encode_documents([*sentences, " ".join(sentences)]))
    alone = np.concatenate([dense(int8.encode_documents([text])) for text in sentences])
    assert np.abs(together[:-1] - alone).max() <= 2e-3  # a float in front of a rounding may fall on its other side


def test_the_fingerprint_tells_int8_from_floats(int8, encoder):
    content = json.loads(int8.fingerprint)
    assert content.pop("precision") == "int8"
    assert content == json.loads(encoder.fingerprint)


def test_an_int8_encoder_comes_back_from_its_fingerprint():
    int8 = PixieEncoder.bundled(device="cpu", precision="int8")
    again = PixieEncoder.from_fingerprint(int8.fingerprint, device="cpu")
    assert (again.precision, again.fingerprint) == ("int8", int8.fingerprint)
