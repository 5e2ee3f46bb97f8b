"""Equal models have equal fingerprints wherever they are, and different ones never."""

from __future__ import annotations

import json

import pytest

from pixie_retrievers import PixieEncoder
from pixie_retrievers.errors import IncompatibleIndexError, ModelUnavailableError


def test_a_fingerprint_is_one_line_of_sorted_compact_json(today_folder):
    fingerprint = PixieEncoder(today_folder, device="cpu", min_weight=0.5, max_active_terms=9).fingerprint
    content = json.loads(fingerprint)
    assert fingerprint == json.dumps(content, sort_keys=True, separators=(",", ":"))
    assert content.pop("sha256").isalnum()
    assert content == {
        "model": "random-splade",
        "pooling": "max/relu",
        "max_length": 64,
        "min_weight": 0.5,
        "max_active_terms": 9,
    }


def test_the_same_model_at_another_path_has_the_same_fingerprint(today_folder, copy_of, encoder):
    assert PixieEncoder(copy_of(today_folder), device="cpu").fingerprint == encoder.fingerprint


@pytest.mark.parametrize(
    "options",
    [{"min_weight": 0.1}, {"max_active_terms": 5}, {"max_length": 32}],
    ids=lambda options: next(iter(options)),
)
def test_whatever_changes_vectors_changes_the_fingerprint(today_folder, encoder, options):
    assert PixieEncoder(today_folder, device="cpu", **options).fingerprint != encoder.fingerprint


def test_what_changes_only_speed_does_not_change_the_fingerprint(today_folder, encoder):
    other = PixieEncoder(today_folder, device="cpu", max_batch_tokens=100, min_weight=0)
    assert other.fingerprint == encoder.fingerprint


@pytest.mark.parametrize("change", ["weights", "tokenizer", "architecture", "pooling", "prompts", "name"])
def test_another_model_has_another_fingerprint(change, today_folder, copy_of, encoder):
    folder = copy_of(today_folder, "another" if change == "name" else "random-splade")

    def edit(name, **values):
        path = folder / name
        path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | values), encoding="utf-8")

    if change == "weights":
        from safetensors.torch import load_file, save_file

        tensors = load_file(folder / "model.safetensors")
        tensors["decoder.bias"][7] += 1e-3
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    elif change == "tokenizer":
        edit("tokenizer.json", normalizer={"type": "NFKC"})
    elif change == "architecture":
        edit("config.json", local_attention=8)
    elif change == "pooling":
        edit("1_SpladePooling/config.json", activation_function="log1p_relu")
    elif change == "prompts":
        edit("config_sentence_transformers.json", prompts={"query": "질문: ", "document": ""})
    assert PixieEncoder(folder, device="cpu").fingerprint != encoder.fingerprint


def test_what_libraries_note_about_themselves_does_not_change_the_fingerprint(today_folder, copy_of, encoder):
    folder = copy_of(today_folder)
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"transformers_version": "99.0", "dtype": "float16"}))
    assert PixieEncoder(folder, device="cpu").fingerprint == encoder.fingerprint


def test_an_encoder_of_a_local_folder_is_to_be_passed_by_the_caller(today_folder):
    encoder = PixieEncoder(today_folder, device="cpu", min_weight=0.25, max_active_terms=7)
    with pytest.raises(ModelUnavailableError, match="local folder named 'random-splade'") as caught:
        PixieEncoder.from_fingerprint(encoder.fingerprint)
    assert "min_weight=0.25, max_active_terms=7, max_length=64" in str(caught.value)


@pytest.mark.parametrize("fingerprint", ["", "bm25", "[]", "{}", '{"model": "x"}'])
def test_what_is_not_a_fingerprint_of_ours_is_refused(fingerprint):
    with pytest.raises(IncompatibleIndexError, match="not written by PixieEncoder"):
        PixieEncoder.from_fingerprint(fingerprint)
