"""Packed layers compute what they stand for; int8 nearly, whatever stands beside a text, and says that it did."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from processes import script

from pixie_retrievers import DeviceUnavailableError, InvalidParameterError, PixieEncoder
from pixie_retrievers.encoder.device import this_machine
from pixie_retrievers.encoder.linear import PackedLinear, multiplies_bytes_exactly

needs_int8 = pytest.mark.skipif(
    not (this_machine().cpu_has_int8 and multiplies_bytes_exactly()),
    reason="the processor has no VNNI instructions, or ONEDNN_MAX_CPU_ISA hides them",
)


def dense(vectors):
    return vectors.to_scipy().toarray()


@pytest.fixture(scope="module")
def int8(today_folder):
    return PixieEncoder(today_folder, device="cpu", precision="int8")


@needs_int8
def test_linear_layers_are_near_their_float_selves_in_every_shape():
    from pixie_retrievers.encoder.linear import Int8Linear

    torch.manual_seed(0)
    for bias in (True, False):
        linear = torch.nn.Linear(96, 40, bias=bias)
        values = torch.randn(3, 5, 96)
        values[0, 0] = 0
        with torch.inference_mode():
            expected, found = linear(values), Int8Linear(linear)(values)
        assert found.shape == expected.shape
        assert (found - expected).norm() / expected.norm() < 0.02


@needs_int8
def test_not_a_number_stays_not_a_number():
    from pixie_retrievers.encoder.linear import Int8Linear

    values = torch.randn(2, 16)
    values[1, 3] = float("nan")
    with torch.inference_mode():
        found = Int8Linear(torch.nn.Linear(16, 8))(values)
    assert bool(found[0].isfinite().all())
    assert bool(found[1].isnan().all())


@needs_int8
def test_int8_is_near_float32(int8, encoder, sentences):
    expected, found = dense(encoder.encode_documents(sentences)), dense(int8.encode_documents(sentences))
    cosine = (expected * found).sum(axis=1) / np.linalg.norm(expected, axis=1) / np.linalg.norm(found, axis=1)
    assert int8.precision == "int8"
    assert not any(type(module) is torch.nn.Linear for module in int8._model.modules())
    assert cosine.min() > 0.99
    assert np.abs(expected - found).max() > 1e-4


@pytest.mark.filterwarnings("ignore:the model read only the beginning")
@needs_int8
def test_a_text_gets_the_same_int8_vector_alone_and_beside_others(int8, sentences):
    together = dense(int8.encode_documents([*sentences, " ".join(sentences)]))
    alone = np.concatenate([dense(int8.encode_documents([text])) for text in sentences])
    assert np.abs(together[:-1] - alone).max() <= 2e-3  # a float in front of a rounding may fall on its other side


@needs_int8
def test_the_fingerprint_tells_int8_from_floats(int8, encoder):
    content = json.loads(int8.fingerprint)
    assert content.pop("precision") == "int8"
    assert content == json.loads(encoder.fingerprint)


@needs_int8
def test_an_int8_encoder_comes_back_from_its_fingerprint():
    int8 = PixieEncoder.bundled(device="cpu", precision="int8")
    again = PixieEncoder.from_fingerprint(int8.fingerprint, device="cpu")
    assert (again.precision, again.fingerprint) == ("int8", int8.fingerprint)


HIDDEN = """
import json
import torch
from pixie_retrievers import DeviceUnavailableError, PixieEncoder
from pixie_retrievers.encoder.device import choose_precision, this_machine
refusals = []
fingerprint = PixieEncoder.bundled(device="cpu").fingerprint
for load in (
    lambda: PixieEncoder.bundled(device="cpu", precision="int8"),
    lambda: PixieEncoder.from_fingerprint(fingerprint, device="cpu", precision="int8"),
):
    try:
        load()
    except DeviceUnavailableError as error:
        refusals.append(str(error))
chosen = choose_precision("auto", "cpu", this_machine(), n_parameters=10**9)
print(json.dumps([refusals, chosen, this_machine().cpu_has_int8]))
"""


def test_int8_is_refused_and_bfloat16_not_chosen_where_a_setting_hides_the_instructions():
    refusals, chosen, has_vnni = script(HIDDEN, ONEDNN_MAX_CPU_ISA="AVX2")
    assert len(refusals) == 2
    for refusal in refusals:
        assert "pass 'float32'" in refusal
        assert ("ONEDNN_MAX_CPU_ISA" in refusal) == has_vnni
    assert chosen == "float32"


@pytest.mark.skipif(not this_machine().cpu_has_int8, reason="the processor has no VNNI instructions")
def test_products_of_bytes_prove_themselves_before_a_model_is_changed(today_folder, monkeypatch):
    monkeypatch.setattr("pixie_retrievers.encoder.linear.multiplies_bytes_exactly", lambda: False)
    with pytest.raises(DeviceUnavailableError, match=r"overflow.*unset ONEDNN_MAX_CPU_ISA.*pass 'float32'"):
        PixieEncoder(today_folder, device="cpu", precision="int8")


on_x86 = pytest.mark.skipif(
    not torch.backends.cpu.get_cpu_capability().startswith("AVX"), reason="layers are packed on x86 only"
)

needs_bfloat16 = pytest.mark.skipif(
    not torch.backends.cpu.get_cpu_capability().startswith("AVX") or not this_machine().cpu_has_bfloat16,
    reason="the processor does not multiply bfloat16 natively",
)


@on_x86
@pytest.mark.parametrize("n_tokens", [0, 1, 5, 700])
@pytest.mark.parametrize("bias", [True, False])
def test_packed_layers_give_what_they_stand_for(n_tokens, bias):
    torch.manual_seed(0)
    linear = torch.nn.Linear(96, 40, bias=bias)
    values = torch.randn(2, n_tokens, 96)
    with torch.inference_mode():
        expected, found = linear(values), PackedLinear(linear)(values)
    assert found.shape == expected.shape
    assert torch.allclose(found, expected, atol=1e-5)


@needs_bfloat16
def test_bfloat16_layers_are_packed_and_float32_layers_are_torchs_own(today_folder, encoder, sentences):
    packed = PixieEncoder(today_folder, device="cpu", precision="bfloat16")
    kinds = {type(module) for module in packed._model.modules()}
    assert PackedLinear in kinds
    assert torch.nn.Linear not in kinds
    assert not any(isinstance(module, PackedLinear) for module in encoder._model.modules())
    expected, found = dense(encoder.encode_documents(sentences)), dense(packed.encode_documents(sentences))
    cosine = (expected * found).sum(axis=1) / np.linalg.norm(expected, axis=1) / np.linalg.norm(found, axis=1)
    assert cosine.min() > 0.99


@pytest.fixture
def reads_its_weights(monkeypatch):
    """A model that does not call one of its layers, but takes the weights out of it."""
    from transformers.models.modernbert.modeling_modernbert import ModernBertPredictionHead

    monkeypatch.setattr(
        ModernBertPredictionHead,
        "forward",
        lambda self, hidden: self.norm(
            self.act(torch.nn.functional.linear(hidden, self.dense.weight, self.dense.bias))
        ),
    )


@needs_bfloat16
def test_a_model_that_takes_its_layers_apart_is_left_as_it_is(reads_its_weights, ordinary_folder, sentences):
    whole = PixieEncoder(ordinary_folder, device="cpu", precision="bfloat16")
    assert not any(isinstance(module, PackedLinear) for module in whole._model.modules())
    assert len(whole.encode_documents(sentences).term_ids) > 0


@needs_int8
def test_a_model_that_takes_its_layers_apart_is_refused_in_int8(reads_its_weights, ordinary_folder):
    with pytest.raises(InvalidParameterError, match=r"cannot be computed in int8 .*: pass another precision"):
        PixieEncoder(ordinary_folder, device="cpu", precision="int8")
