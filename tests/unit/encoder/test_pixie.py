"""PixieEncoder against sentence-transformers itself, with real models: small, random, of 50,000 terms."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

import pixie_retrievers.encoder.pixie as pixie_module
from pixie_retrievers import Encoder, PixieEncoder, SparseVectors
from pixie_retrievers.encoder.modernbert import ModernBert
from pixie_retrievers.errors import (
    DeviceUnavailableError,
    InvalidParameterError,
    InvalidTextError,
    InvalidVectorError,
    PixieWarning,
)

TOLERANCE = 1e-5


def dense(vectors):
    return vectors.to_scipy().toarray()


def literal(vectors):
    """The terms that each text itself is made of."""
    return [set(row.term_ids[row.literal].tolist()) for row in vectors]


def without_special(encoder, expected):
    expected = expected.to_dense().float().numpy().copy()
    expected[:, encoder._model.tokenizer.all_special_ids] = 0
    return expected


def edit(path, change):
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content)
    path.write_text(json.dumps(content), encoding="utf-8")


# Parity


@pytest.mark.parametrize("layout", ["today_folder", "version_5_folder"])
def test_both_folder_layouts_give_what_sentence_transformers_gives(layout, request, sentences, reference):
    encoder = PixieEncoder(request.getfixturevalue(layout), device="cpu")
    assert encoder.vocabulary_size == 50_000
    assert encoder.max_length == 64
    documents = dense(encoder.encode_documents(sentences))
    queries = dense(encoder.encode_queries(sentences))
    assert 0 < (documents > 0).sum(axis=1).min() < 10_000
    expected = without_special(encoder, reference.encode_document(sentences))
    assert np.abs(documents - expected).max() <= TOLERANCE
    assert np.abs(queries - without_special(encoder, reference.encode_query(sentences))).max() <= TOLERANCE


def test_both_layouts_of_one_model_have_one_fingerprint(today_folder, version_5_folder):
    fingerprints = {PixieEncoder(folder, device="cpu").fingerprint for folder in (today_folder, version_5_folder)}
    assert len(fingerprints) == 1


@pytest.mark.filterwarnings("ignore:the model read only the beginning")
@pytest.mark.parametrize("budget", [1, 40, 100_000])
def test_the_budget_of_a_batch_does_not_change_the_result(budget, today_folder, encoder, sentences):
    texts = [*sentences, "위성", "  ", " ".join(sentences)]
    other = PixieEncoder(today_folder, device="cpu", max_batch_tokens=budget)
    assert np.abs(dense(other.encode_documents(texts)) - dense(encoder.encode_documents(texts))).max() <= TOLERANCE


def test_the_order_of_texts_does_not_change_their_vectors(encoder, sentences):
    backwards = dense(encoder.encode_documents(sentences[::-1]))[::-1]
    assert np.abs(backwards - dense(encoder.encode_documents(sentences))).max() <= TOLERANCE


def test_a_batch_never_holds_more_tokens_than_its_budget(today_folder, sentences, monkeypatch):
    encoder = PixieEncoder(today_folder, device="cpu", max_batch_tokens=60)
    seen = []
    inner = ModernBert.__call__
    monkeypatch.setattr(
        ModernBert, "__call__", lambda self, packing: (seen.append(packing.ends), inner(self, packing))[1]
    )
    encoder.encode_documents(["위성", "바다", *sentences * 3])
    assert sum(len(ends) - 1 for ends in seen) == 2 + 3 * len(sentences)
    assert all(ends[-1] <= 60 or len(ends) == 2 for ends in seen)
    assert any(len(ends) > 2 for ends in seen)


def test_float16_weights_are_computed_in_float32_on_a_cpu(today_folder, copy_of, sentences):
    from safetensors.torch import load_file, save_file

    folder = copy_of(today_folder)
    halved = {name: tensor.half() for name, tensor in load_file(folder / "model.safetensors").items()}
    save_file(halved, folder / "model.safetensors", metadata={"format": "pt"})
    edit(folder / "config.json", lambda config: config.update(dtype="float16"))
    encoder = PixieEncoder(folder, device="cpu")
    assert encoder.precision == "float32"
    assert {parameter.dtype for parameter in encoder._model.parameters()} == {torch.float32}
    vectors = encoder.encode_documents(sentences)
    assert len(np.unique(vectors.weights)) > len(np.unique(vectors.weights.astype(np.float16)))


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_a_lower_precision_that_is_asked_for_is_used(precision, today_folder, encoder, sentences):
    lower = PixieEncoder(today_folder, device="cpu", precision=precision)
    assert {parameter.dtype for parameter in lower._model.parameters()} == {getattr(torch, precision)}
    difference = np.abs(dense(lower.encode_documents(sentences)) - dense(encoder.encode_documents(sentences))).max()
    assert TOLERANCE < difference < 0.2
    assert lower.fingerprint == encoder.fingerprint


# Prompts and routes


def test_prompts_of_the_model_are_used_for_queries_and_documents(today_folder, copy_of, encoder, sentences):
    folder = copy_of(today_folder)
    prompts = {"query": "질문: ", "document": "문서: "}
    edit(folder / "config_sentence_transformers.json", lambda config: config.update(prompts=prompts))
    prompted = PixieEncoder(folder, device="cpu")
    for kind, encode in (("query", prompted.encode_queries), ("document", prompted.encode_documents)):
        expected = encoder.encode_documents([prompts[kind] + text for text in sentences])
        assert np.abs(dense(encode(sentences)) - dense(expected)).max() <= TOLERANCE
    assert json.loads(prompted.fingerprint)["prompts"] == prompts
    assert literal(prompted.encode_documents(sentences)) == literal(encoder.encode_documents(sentences))
    assert len(prompted.encode_queries(["", " \n"]).term_ids) == 0
    with pytest.raises(InvalidParameterError, match="prompt count"):
        PixieEncoder(folder, device="cpu", max_length=4)


def test_queries_and_documents_take_the_routes_of_a_router(
    today_folder, tmp_path, encoder, sentences, make_splade_modules
):
    from sentence_transformers import SparseEncoder

    try:
        from sentence_transformers.sparse_encoder.modules import Router, SparseStaticEmbedding
    except ImportError:  # before version 5.4
        from sentence_transformers.models import Router
        from sentence_transformers.sparse_encoder.models import SparseStaticEmbedding

    parts = make_splade_modules(today_folder)
    table = SparseStaticEmbedding(parts[0].tokenizer, weight=torch.full((50_000,), 0.5))
    router = Router.for_query_document([table], parts)
    SparseEncoder(modules=[router], device="cpu").save_pretrained(str(tmp_path / "routed"), create_model_card=False)
    routed = PixieEncoder(tmp_path / "routed", device="cpu")
    assert routed.vocabulary_size == 50_000
    expected = encoder.encode_documents(sentences)
    assert np.abs(dense(routed.encode_documents(sentences)) - dense(expected)).max() <= TOLERANCE
    queries = routed.encode_queries(sentences)
    assert queries.literal.all()
    assert set(queries.weights.tolist()) == {0.5}


def test_a_router_that_version_5_wrote_loads_too(today_folder, tmp_path, make_splade_modules, sentences, encoder):
    from sentence_transformers import SparseEncoder

    try:
        from sentence_transformers.sparse_encoder.modules import Router
    except ImportError:  # before version 5.4
        from sentence_transformers.models import Router
    folder = tmp_path / "routed"
    parts = make_splade_modules(today_folder)
    router = Router({"query": parts, "document": parts}, default_route="document")
    SparseEncoder(modules=[router], device="cpu").save_pretrained(str(folder), create_model_card=False)
    package = "sentence_transformers.sparse_encoder.models"
    spelling = {"Transformer": "MLMTransformer", "MLMTransformer": "MLMTransformer", "SpladePooling": "SpladePooling"}

    def respell(config):
        for id, type_ in config["types"].items():
            name = spelling[type_.rpartition(".")[2]]
            config["types"][id] = f"{package}.{name}.{name}"

    edit(folder / "router_config.json", respell)
    edit(folder / "modules.json", lambda found: found[0].update(type="sentence_transformers.models.Router"))
    routed = PixieEncoder(folder, device="cpu")
    expected = dense(encoder.encode_documents(sentences))
    assert np.abs(dense(routed.encode_documents(sentences)) - expected).max() <= TOLERANCE
    assert np.abs(dense(routed.encode_queries(sentences)) - expected).max() <= TOLERANCE


# What is kept


def test_thresholds_and_limits_keep_the_strongest_terms(today_folder, encoder, sentences):
    everything = encoder.encode_documents(sentences).to_dicts()
    threshold = float(np.median([weight for row in everything for weight in row.values()]))
    some = PixieEncoder(today_folder, device="cpu", min_weight=threshold).encode_documents(sentences)
    assert some.weights.min() > threshold
    assert some.to_dicts() == [
        {term: weight for term, weight in row.items() if weight > threshold} for row in everything
    ]
    few = PixieEncoder(today_folder, device="cpu", max_active_terms=5).encode_documents(sentences)
    assert few.to_dicts() == [
        dict(sorted(sorted(row.items(), key=lambda item: (-item[1], item[0]))[:5])) for row in everything
    ]


def test_special_tokens_get_no_weight_even_where_the_text_spells_them(encoder):
    special = set(encoder._model.tokenizer.all_special_ids)
    texts = ["[CLS] 위성 [SEP] [MASK] [UNK]"]
    assert not special & set(encoder.encode_documents(texts).term_ids.tolist())
    assert not special & {*encoder._vocabulary.read(texts)[0].terms.tolist()}


def test_weights_that_are_not_finite_are_refused(today_folder, copy_of):
    from safetensors.torch import load_file, save_file

    folder = copy_of(today_folder)
    tensors = load_file(folder / "model.safetensors")
    tensors["decoder.bias"][7] = float("nan")
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InvalidVectorError, match="not finite"):
        PixieEncoder(folder, device="cpu").encode_documents(["위성"])


# Texts


def test_no_texts_give_no_vectors(encoder):
    for empty in (encoder.encode_documents([]), encoder.encode_queries(())):
        assert empty == SparseVectors.from_dicts([], 50_000)


@pytest.mark.parametrize("text", ["", " ", "\n\t\u3000", "\u00a0"])
def test_a_text_without_content_gives_an_empty_vector_without_asking_the_model(encoder, text, monkeypatch):
    monkeypatch.setattr(encoder._model, "forward", lambda *_, **__: pytest.fail("the model was asked"))
    monkeypatch.setattr(ModernBert, "__call__", lambda *_: pytest.fail("the model was asked"))
    assert encoder.encode_documents([text, text]).to_dicts() == [{}, {}]
    assert encoder.encode_queries([text]).to_dicts() == [{}]


def test_texts_without_content_keep_their_place(encoder, sentences):
    vectors = encoder.encode_documents(["", sentences[0], " ", sentences[1]])
    assert [len(row) > 0 for row in vectors.to_dicts()] == [False, True, False, True]


@pytest.mark.parametrize("method", ["encode_queries", "encode_documents"])
@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ("위성", "one string; pass a list"),
        (5, "of type int; pass a list"),
        (["위성", None], "text 1 is of type NoneType"),
        ([b"bytes"], "text 0 is of type bytes"),
        (["위성", "비밀\ud800"], "text 1 holds half of a surrogate pair"),
    ],
)
def test_what_is_not_a_text_is_refused_with_its_position_but_not_its_content(encoder, method, texts, message):
    with pytest.raises(InvalidTextError, match=message) as caught:
        getattr(encoder, method)(texts)
    assert "비밀" not in str(caught.value)
    assert caught.value.__context__ is None


def test_long_documents_are_cut_with_one_warning_that_does_not_quote_them(encoder, sentences):
    long = "비밀 " * 500
    with pytest.warns(PixieWarning) as caught:
        first, second = encoder.encode_documents([long + sentences[0], long + sentences[1], sentences[0]])[:2]
    assert np.abs(dense(first) - dense(second)).max() <= TOLERANCE
    (warning,) = caught
    assert warning.filename == __file__
    message = str(warning.message)
    longest = 1500 + max(map(len, sentences[:2]))
    assert message.startswith("the model read only the beginning of 2 of 3 texts")
    n_read = encoder._vocabulary.read([long])[0].n_read
    assert f"it reads 64 tokens; of the longest, {longest:,} characters, it read {n_read})" in message
    assert encoder.count_tokens([long[:n_read], long[: n_read + 4]]) == [64, 65]
    assert "비밀" not in message


def test_long_queries_are_cut_and_counted_in_the_log_without_their_content(encoder, caplog):
    with caplog.at_level(logging.DEBUG, logger="pixie_retrievers"):
        encoder.encode_queries(["비밀 " * 500])
    assert [record.getMessage() for record in caplog.records] == [
        "1 of 1 queries were longer than 64 tokens and were cut"
    ]


def test_tokens_are_counted_beyond_what_the_model_reads(encoder, sentences):
    for text in (*sentences, "", "비밀 " * 500):
        assert encoder.count_tokens([text]) == [len(encoder._model.tokenizer(text).input_ids)]


@pytest.mark.filterwarnings("ignore:the model read only the beginning")
def test_max_length_cuts_texts_and_their_literal_terms_alike(today_folder, encoder, reference, sentences):
    short = PixieEncoder(today_folder, device="cpu", max_length=8)
    assert short.max_length == 8
    text = sentences[0]
    whole = reference.tokenizer(text, add_special_tokens=False).input_ids
    assert len(whole) > 6
    assert {*short._vocabulary.read([text])[0].terms.tolist()} == {*whole[:6]}
    start = reference.tokenizer.decode(whole[:6])
    assert np.abs(dense(short.encode_documents([text])) - dense(encoder.encode_documents([start]))).max() <= TOLERANCE
    assert json.loads(short.fingerprint)["max_length"] == 8


@settings(deadline=None, max_examples=25)
@example(["\x00", "\u200b", "🛰️", "각", "\ufeff", "a" * 3000])
@given(st.lists(st.text(st.characters(exclude_categories=()), max_size=40), max_size=4))
def test_any_texts_give_vectors_or_the_error_for_texts(encoder, texts):
    try:
        vectors = encoder.encode_documents(texts)
    except InvalidTextError:
        assert any("\ud800" <= letter <= "\udfff" for text in texts for letter in text)
    else:
        assert len(vectors) == len(texts)


# Terms


def test_tokens_are_spelled_as_the_tokenizer_spells_them(encoder, reference, sentences):
    ids = encoder.encode_documents(sentences[:1]).term_ids.tolist()
    assert encoder.tokens(ids) == reference.tokenizer.convert_ids_to_tokens(ids)
    assert encoder.surfaces(np.array(ids, np.int32)) == [token.removeprefix("##") for token in encoder.tokens(ids)]


def test_literal_terms_are_those_of_the_text_itself(encoder):
    vectors = encoder.encode_documents(["위성", "위성 위성", ""])
    once, twice, empty = literal(vectors)
    assert once == twice
    own = {*encoder._vocabulary.read(["위성"])[0].terms.tolist()}
    assert "".join(encoder.surfaces(sorted(own))) == "위성"
    assert once == own & set(vectors[0].term_ids.tolist())  # those that the model gave no weight are in no vector
    assert empty == set()
    assert not vectors.literal.all()  # the rest the model expanded to
    assert literal(encoder.encode_queries(["위성"])) == [once]


# Behaviour around the model


def test_it_is_an_encoder_and_says_what_it_is(encoder):
    assert isinstance(encoder, Encoder)
    assert repr(encoder) == "PixieEncoder('random-splade', device='cpu', precision='float32')"
    assert (encoder.name, encoder.device) == ("random-splade", "cpu")


def test_many_threads_get_what_one_gets(today_folder, sentences):
    encoder = PixieEncoder(today_folder, device="cpu", max_batch_tokens=40)
    expected = dense(encoder.encode_documents(sentences))
    own = literal(encoder.encode_documents(sentences))

    def work(n):
        vectors = (encoder.encode_documents if n % 2 else encoder.encode_queries)(sentences)
        return literal(vectors) == own and np.abs(dense(vectors) - expected).max() <= TOLERANCE

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(24)))


def test_nothing_is_printed_unless_progress_is_asked_for_on_a_terminal(today_folder, sentences, capfd, monkeypatch):
    encoder = PixieEncoder(today_folder, device="cpu")
    encoder.encode_documents(sentences)
    encoder.encode_documents(sentences, show_progress=True)  # nobody watches a pipe
    assert capfd.readouterr() == ("", "")
    monkeypatch.setenv("FORCE_COLOR", "1")  # as if it were one
    encoder.encode_documents(sentences, show_progress=True)
    out, err = capfd.readouterr()
    assert out == ""
    assert "encoding" in err
    assert f"{len(sentences)}/{len(sentences)}" in err


def test_loading_leaves_the_logging_of_other_libraries_as_it_was(today_folder):
    logger = logging.getLogger("transformers")
    before = (logger.handlers[:], logger.propagate, logger.level)
    PixieEncoder(today_folder, device="cpu")
    assert (logger.handlers, logger.propagate, logger.level) == before


def test_importing_the_class_loads_no_torch():
    code = (
        "import sys; from pixie_retrievers import PixieEncoder;"
        "print(sorted({'torch', 'transformers', 'sentence_transformers', 'tokenizers'} & set(sys.modules)))"
    )
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert finished.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_weight": -0.1}, "min_weight"),
        ({"min_weight": float("nan")}, "min_weight"),
        ({"min_weight": float("inf")}, "min_weight"),
        ({"max_active_terms": 0}, "max_active_terms"),
        ({"max_active_terms": 1.5}, "max_active_terms"),
        ({"max_batch_tokens": 0}, "max_batch_tokens"),
        ({"max_length": 2}, "special tokens and prompt count"),
        ({"max_length": 65}, "reads at most 64 tokens"),
        ({"max_length": True}, "max_length"),
        ({"precision": "int4"}, "precision"),
        ({"device": "gpu"}, "device"),
        ({"revision": "main"}, "is a folder"),
    ],
)
def test_arguments_out_of_range_are_refused_by_name(today_folder, options, message):
    with pytest.raises(InvalidParameterError, match=message):
        PixieEncoder(today_folder, **options)


def test_an_absent_device_is_refused_before_the_model_is_loaded(today_folder, monkeypatch):
    monkeypatch.setattr(pixie_module, "load_model", lambda *_, **__: pytest.fail("the model was loaded"))
    with pytest.raises(DeviceUnavailableError, match="cuda:99"):
        PixieEncoder(today_folder, device="cuda:99")
