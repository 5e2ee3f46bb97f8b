"""A tokenizer read from its file gives what transformers' own gives; where that would do more, it is left to it."""

from __future__ import annotations

import json

import pytest
from transformers import AutoTokenizer

from pixie_retrievers import PixieEncoder
from pixie_retrievers.encoder.direct.known import AnotherKind
from pixie_retrievers.encoder.direct.model import DirectSplade
from pixie_retrievers.encoder.direct.tokenizer import read_tokenizer
from pixie_retrievers.encoder.source import BUNDLED_FOLDER
from pixie_retrievers.encoder.spelling import TokenizerDescription

N_TERMS = 50_000


@pytest.mark.parametrize("layout", ["today_folder", "version_5_folder", "bundled"])
def test_it_reads_and_is_described_as_transformers_has_it(layout, request, sentences):
    folder = BUNDLED_FOLDER if layout == "bundled" else request.getfixturevalue(layout)
    found, expected = read_tokenizer(folder, N_TERMS), AutoTokenizer.from_pretrained(folder)
    assert TokenizerDescription.of(found) == TokenizerDescription.of(expected)
    texts = [*sentences, "", "[MASK] 위성 [SEP]", "a" * 3000, "\u1112\u1161\u11ab \U0001f34e\ufe0f"]
    assert found(texts).input_ids == expected(texts).input_ids
    assert found(texts[0]).input_ids == expected(texts[0]).input_ids
    assert found(texts, 7).input_ids == expected(texts, max_length=7, truncation=True).input_ids
    for name in ("pad_token_id", "model_max_length", "truncation_side", "padding_side", "is_fast"):
        assert getattr(found, name) == getattr(expected, name)
    assert set(found.all_special_tokens) == set(expected.all_special_tokens)
    assert len(found) == len(expected)


def test_special_tokens_beside_the_named_ones_are_special(changed, today_folder):
    content = json.loads((today_folder / "tokenizer.json").read_text(encoding="utf-8"))
    unused, id = next((piece, id) for piece, id in content["model"]["vocab"].items() if "unused" in piece)
    added = content["added_tokens"]
    folder = changed(
        today_folder, "tokenizer.json", {"added_tokens": [*added, added[0] | {"id": id, "content": unused}]}
    )
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text(encoding="utf-8")) | {"additional_special_tokens": [unused]}
    path.write_text(json.dumps(config), encoding="utf-8")
    found = read_tokenizer(folder, N_TERMS).all_special_ids
    assert id in found
    assert set(found) == set(AutoTokenizer.from_pretrained(folder).all_special_ids)


def test_a_tokenizer_that_cuts_on_the_left_cuts_there(changed, today_folder, sentences):
    folder = changed(today_folder, "tokenizer_config.json", {"truncation_side": "left"})
    encoder = PixieEncoder(folder, device="cpu", max_length=8)
    assert isinstance(encoder._model, DirectSplade)
    expected = AutoTokenizer.from_pretrained(folder)(sentences[0], max_length=8, truncation=True).input_ids
    assert encoder.vocabulary.read([sentences[0]])[0].ids.tolist() == expected
    assert read_tokenizer(folder, N_TERMS)([sentences[0]], 8).input_ids == [expected]


BERT = {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None}


@pytest.mark.parametrize("class_", ["BertTokenizer", "BertTokenizerFast"])
@pytest.mark.parametrize("lowercase", [True, False])
def test_a_tokenizer_of_berts_class_is_read_where_its_file_holds_what_the_class_makes(
    class_, lowercase, changed, today_folder, sentences
):
    folder = changed(today_folder, "tokenizer.json", {"normalizer": BERT | {"lowercase": lowercase}})
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text(encoding="utf-8")) | {"tokenizer_class": class_, "do_lower_case": lowercase}
    path.write_text(json.dumps(config), encoding="utf-8")
    found, expected = read_tokenizer(folder, N_TERMS), AutoTokenizer.from_pretrained(folder)
    texts = [*sentences, "AI ai ÀÉ 위성\u0000 漢字", "a" * 200]
    assert found(texts).input_ids == expected(texts).input_ids
    assert set(found.all_special_ids) == set(expected.all_special_ids)
    path.write_text(json.dumps(config | {"do_lower_case": not lowercase}), encoding="utf-8")
    with pytest.raises(AnotherKind):
        read_tokenizer(folder, N_TERMS)


@pytest.mark.parametrize(
    "values",
    [
        {"tokenizer_class": "BertTokenizer"},  # whose normalizer is another one
        {"tokenizer_class": "DebertaV2Tokenizer"},
        {"tokenizer_class": None},
        {"mask_token": "[NEW]"},
        {"mask_token": "위성"},
        {"pad_token": None},
        {"mask_token": {"content": "[MASK]", "lstrip": True}},
        {"additional_special_tokens": ["[NEW]"]},
        {"added_tokens_decoder": {"4": {"content": "[MASK]", "special": False}}},
        {"added_tokens_decoder": {"5": {"content": "[MASK]", "special": True}}},
        {"added_tokens_decoder": {"4": "[MASK]"}},
        {"added_tokens_decoder": {"4": {"content": "[MASK]", "new": None}}},
        {"padding_side": "left"},
        {"split_special_tokens": True},
        {"add_prefix_space": True},
        {"do_basic_tokenize": False},
    ],
    ids=str,
)
def test_what_transformers_may_change_is_left_to_it(values, changed, today_folder):
    with pytest.raises(AnotherKind):
        read_tokenizer(changed(today_folder, "tokenizer_config.json", values), N_TERMS)


@pytest.mark.parametrize(
    "values",
    [
        {"post_processor": None},
        {"padding": {"strategy": "BatchLongest", "direction": "Left", "pad_to_multiple_of": None, "pad_id": 0,
                     "pad_type_id": 0, "pad_token": "[PAD]"}},
        {"added_tokens": [{"id": 0}]},
        {"model": {}},
    ],
)  # fmt: skip
def test_a_file_that_does_not_say_all_or_is_damaged_is_left_to_it(values, changed, today_folder):
    with pytest.raises(AnotherKind):
        read_tokenizer(changed(today_folder, "tokenizer.json", values), N_TERMS)


def test_two_files_that_disagree_about_a_token_are_left_to_it(changed, today_folder):
    with pytest.raises(AnotherKind):
        read_tokenizer(changed(today_folder, "special_tokens_map.json", {"mask_token": "[UNK]"}), N_TERMS)
    with pytest.raises(AnotherKind):
        read_tokenizer(today_folder, 3)
