"""Which way texts go through a model, and that neither way nor grouping changes what comes out."""

from __future__ import annotations

import gc
import threading
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixie_retrievers import PixieEncoder
from pixie_retrievers.encoder.batches import by_tokens
from pixie_retrievers.encoder.modernbert import ModernBert
from pixie_retrievers.encoder.passes import PackedPasses, PaddedPasses
from pixie_retrievers.errors import InvalidVectorError, UnsafeModelError


def dense(vectors):
    return vectors.to_scipy().toarray()


@given(st.lists(st.lists(st.integers(0, 50), max_size=9), max_size=9), st.integers(1, 80), st.integers(1, 9))
def test_groups_keep_the_order_and_hold_no_more_than_they_may(pieces, most_tokens, most_texts):
    readings = [[SimpleNamespace(n_tokens=n, id=(p, i)) for i, n in enumerate(piece)] for p, piece in enumerate(pieces)]
    groups = list(by_tokens(iter(readings), most_tokens, most_texts))
    assert [one.id for group in groups for one in group] == [one.id for piece in readings for one in piece]
    for group in groups:
        assert 1 <= len(group) <= most_texts
        assert sum(one.n_tokens for one in group) <= most_tokens or len(group) == 1


def test_a_modernbert_takes_texts_behind_each_other_and_both_kinds_share_its_parts(encoder):
    assert isinstance(encoder._streams["document"].passes, PackedPasses)
    assert encoder._streams["query"].passes is encoder._streams["document"].passes


def test_where_its_states_differ_it_is_run_as_transformers_does_and_the_log_says_so(
    ordinary_folder, sentences, encoder, monkeypatch, caplog
):
    monkeypatch.setattr(ModernBert, "__call__", lambda self, packing: self._network.model.embeddings(packing.ids))
    with caplog.at_level("INFO", logger="pixie_retrievers"):
        padded = PixieEncoder(ordinary_folder, device="cpu")
    assert isinstance(padded._streams["document"].passes, PaddedPasses)
    assert "with padding: its states differ" in caplog.text
    monkeypatch.undo()
    difference = np.abs(dense(padded.encode_documents(sentences)) - dense(encoder.encode_documents(sentences)))
    assert difference.max() <= 1e-5


def test_where_transformers_is_another_release_it_is_run_as_that_does(ordinary_folder, sentences, monkeypatch, caplog):
    monkeypatch.setattr(ModernBert, "_table", lambda *_: {}["rotary_emb"])
    with caplog.at_level("INFO", logger="pixie_retrievers"):
        padded = PixieEncoder(ordinary_folder, device="cpu")
    assert isinstance(padded._streams["document"].passes, PaddedPasses)
    assert "with padding: KeyError" in caplog.text
    assert len(padded.encode_documents(sentences)) == len(sentences)


def test_where_the_model_changes_texts_before_they_are_tokens_it_tokenises_them_itself(ordinary_folder, monkeypatch):
    from pixie_retrievers.encoder import passes

    other = SimpleNamespace(ids=np.array([7], np.int32))
    monkeypatch.setattr(passes.Vocabulary, "read", lambda _, texts, __="": [other] * len(texts))
    padded = PixieEncoder(ordinary_folder, device="cpu")._streams["document"].passes
    assert isinstance(padded, PaddedPasses)
    assert padded._beside is None


def test_tokens_of_readings_give_a_padded_model_what_its_own_tokenizer_gives(ordinary_folder, sentences, monkeypatch):
    monkeypatch.setattr("pixie_retrievers.encoder.passes.packed_network", lambda *_: None)
    encoder = PixieEncoder(ordinary_folder, device="cpu")
    passes = encoder._streams["document"].passes
    assert passes._beside is not None
    ours = dense(encoder.encode_documents(sentences))
    passes._beside = None
    assert np.array_equal(dense(encoder.encode_documents(sentences)), ours)


@pytest.mark.parametrize("folder", ["today_folder", "ordinary_folder"])
def test_each_text_is_tokenised_once(folder, request, sentences, monkeypatch):
    encoder = PixieEncoder(request.getfixturevalue(folder), device="cpu")
    monkeypatch.setattr(encoder._model, "preprocess", lambda *_, **__: pytest.fail("tokenised again"), raising=False)
    monkeypatch.setattr(encoder._model, "tokenize", lambda *_, **__: pytest.fail("tokenised again"), raising=False)
    assert len(encoder.encode_documents(sentences)) == len(sentences)
    assert len(encoder.encode_queries(sentences[:1])) == 1


# Piece by piece


def test_parts_come_in_order_while_later_ones_are_not_computed_yet(encoder, sentences, monkeypatch):
    texts = [*sentences, "", *sentences] * 30
    passes = encoder._streams["document"].passes
    monkeypatch.setattr(passes, "_max_batch_tokens", 100)
    started = []
    start = passes.start
    monkeypatch.setattr(passes, "start", lambda readings, *_: (started.append(len(readings)), start(readings))[1])
    parts = (vectors for _, vectors in encoder._streams["document"].documents(texts))
    first = next(parts)
    assert sum(started) < len(texts) / 10
    rest = list(parts)
    assert len(started) == 1 + len(rest)
    found = np.concatenate([dense(part) for part in (first, *rest)])
    assert np.abs(found - dense(encoder.encode_documents(texts))).max() <= 1e-5


def test_who_stops_listening_leaves_no_thread_behind(encoder, sentences):
    before = threading.active_count()
    parts = encoder._streams["document"].documents(sentences * 60)
    next(parts)
    parts.close()
    gc.collect()
    assert threading.active_count() == before


def test_what_a_later_text_does_to_the_tokenizer_is_raised_and_the_parts_before_are_sound(encoder, monkeypatch):
    read = encoder._vocabulary.read

    def reads(texts, prompt=""):
        if any("break" in text for text in texts):
            raise UnsafeModelError("the model's tokenizer breaks down at a text")
        return read(texts, prompt)

    monkeypatch.setattr(encoder._vocabulary, "read", reads)
    monkeypatch.setattr(encoder._streams["document"].passes, "_max_batch_tokens", 20)
    parts = encoder._streams["document"].documents(["위성"] * 200 + ["break"] * 200)
    readings, vectors = next(parts)
    alone = dense(encoder.encode_documents(["위성"]))
    assert np.abs(dense(vectors) - np.repeat(alone, len(readings), axis=0)).max() <= 1e-5
    with pytest.raises(UnsafeModelError):
        list(parts)


def test_states_that_are_not_finite_are_refused(today_folder, copy_of):
    import torch
    from safetensors.torch import load_file, save_file

    folder = copy_of(today_folder)
    tensors = load_file(folder / "model.safetensors")
    name = next(name for name in tensors if name.endswith("final_norm.weight"))
    tensors[name] = torch.full_like(tensors[name], float("nan"))
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InvalidVectorError, match="not finite"):
        PixieEncoder(folder, device="cpu").encode_documents(["위성"])
