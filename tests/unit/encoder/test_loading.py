"""Which folders and hub models load, and which are refused before anything of theirs runs."""

from __future__ import annotations

import base64
import json
import os
import shutil
import struct
import time
from pathlib import Path

import numpy as np
import pytest
import torch

import pixie_retrievers.encoder.pixie as pixie_module
from pixie_retrievers import Document, PixieEncoder
from pixie_retrievers.encoder.forward import prepare
from pixie_retrievers.errors import InvalidParameterError, ModelUnavailableError, UnsafeModelError
from pixie_retrievers.passages import split_documents

HUB_NAME = "example/random-splade"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def edit(path, change):
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content)
    write(path, content)


@pytest.fixture
def cached_on_hub(today_folder, tmp_path):
    """The local cache as the hub's own client fills it: blobs, a snapshot of links, and a reference to it."""
    root = tmp_path / "hub-cache" / f"models--{HUB_NAME.replace('/', '--')}"
    snapshot = root / "snapshots" / COMMIT
    (root / "blobs").mkdir(parents=True)
    (root / "refs").mkdir()
    (root / "refs" / "main").write_text(COMMIT)
    for n, path in enumerate(sorted(path for path in today_folder.rglob("*") if path.is_file())):
        blob = root / "blobs" / f"blob-{n}"
        shutil.copy(path, blob)
        link = snapshot / path.relative_to(today_folder)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(blob, link.parent))
    return snapshot


# Folders that would run code


@pytest.mark.parametrize("folder", ["today_folder", "version_5_folder"])
@pytest.mark.parametrize("position", [0, 1])
def test_a_module_of_the_models_own_is_refused_before_it_is_imported(folder, position, request, copy_of, tmp_path):
    marker = tmp_path / "marker"
    evil = copy_of(request.getfixturevalue(folder))
    (evil / "evil.py").write_text(f"open({str(marker)!r}, 'w').close()\nclass Module: pass\n")
    edit(evil / "modules.json", lambda modules: modules[position].update(type="evil.Module"))
    with pytest.raises(UnsafeModelError, match=r"'evil\.Module'"):
        PixieEncoder(evil, device="cpu")
    assert not marker.exists()


@pytest.mark.parametrize(
    "type_",
    [
        "os.system",
        "builtins.eval",
        "sentence_transformers.evil.Transformer",
        "sentence_transformers.sparse_encoder.models.SpladePooling.evil",
        "sentence_transformers.base.modules.transformer.importlib",
        None,
        ["sentence_transformers.models.Transformer"],
    ],
)
def test_only_the_known_modules_of_sentence_transformers_are_accepted(type_, copy_of, today_folder):
    folder = copy_of(today_folder)
    edit(folder / "modules.json", lambda modules: modules[0].update(type=type_))
    with pytest.raises(UnsafeModelError):
        PixieEncoder(folder, device="cpu")


def test_a_module_of_its_own_behind_a_router_is_refused(copy_of, today_folder, tmp_path):
    marker = tmp_path / "marker"
    folder = copy_of(today_folder)
    (folder / "evil.py").write_text(f"open({str(marker)!r}, 'w').close()\nclass Module: pass\n")
    router = {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.base.modules.router.Router"}
    write(folder / "modules.json", [router])
    write(folder / "router_config.json", {"types": {"query_0": "evil.Module"}, "structure": {}, "parameters": {}})
    with pytest.raises(UnsafeModelError, match=r"router_config\.json"):
        PixieEncoder(folder, device="cpu")
    assert not marker.exists()


ROUTER = "sentence_transformers.base.modules.router.Router"


def behind_routers(folder, n_routers, type_, config="router_config.json"):
    """Put a module behind routers that lie in each other."""
    write(folder / "modules.json", [{"idx": 0, "name": "0", "path": "r", "type": ROUTER}])
    inner = folder
    for number in range(n_routers):
        inner = inner / "r"
        inner.mkdir()
        types = {"r": ROUTER if number < n_routers - 1 else type_}
        write(inner / config, {"types": types, "structure": {"query": ["r"]}, "parameters": {}})
    (inner / "r").mkdir()


@pytest.mark.parametrize("n_routers", [1, 2, 3, 8])
@pytest.mark.parametrize("config", ["router_config.json", "config.json"])
def test_a_module_of_its_own_behind_routers_in_routers_is_refused(n_routers, config, copy_of, today_folder, tmp_path):
    marker = tmp_path / "marker"
    folder = copy_of(today_folder)
    (folder / "evil.py").write_text(f"open({str(marker)!r}, 'w').close()\nclass Module: pass\n")
    behind_routers(folder, n_routers, "evil.Module", config)
    with pytest.raises(UnsafeModelError, match=r"evil\.Module"):
        PixieEncoder(folder, device="cpu")
    assert not marker.exists()


def test_a_transformer_behind_routers_is_checked_like_any_other(copy_of, today_folder):
    folder = copy_of(today_folder)
    behind_routers(folder, 2, "sentence_transformers.sparse_encoder.models.MLMTransformer.MLMTransformer")
    write(folder / "r" / "r" / "r" / "config.json", {"auto_map": {"AutoModelForMaskedLM": "evil.Model"}})
    with pytest.raises(UnsafeModelError, match="auto_map"):
        PixieEncoder(folder, device="cpu")


def test_routers_without_end_are_refused(copy_of, today_folder):
    folder = copy_of(today_folder)
    write(folder / "modules.json", [{"idx": 0, "name": "0", "path": "", "type": ROUTER}])
    write(folder / "router_config.json", {"types": {"": ROUTER}, "structure": {}, "parameters": {}})
    with pytest.raises(UnsafeModelError, match="leads to itself"):
        PixieEncoder(folder, device="cpu")


def test_a_second_list_of_a_routers_modules_is_checked_too(copy_of, today_folder):
    folder = copy_of(today_folder)
    write(folder / "modules.json", [{"idx": 0, "name": "0", "path": "r", "type": ROUTER}])
    (folder / "r").mkdir()
    pooling = "sentence_transformers.sparse_encoder.models.SpladePooling"
    write(folder / "r" / "router_config.json", {"types": {"document_0_SpladePooling": pooling}})
    write(folder / "r" / "config.json", {"types": {"document_0": "evil.Module"}})
    with pytest.raises(UnsafeModelError, match=r"evil\.Module"):
        PixieEncoder(folder, device="cpu")


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("config.json", "_attn_implementation_internal", "someone/kernel"),
        ("config.json", "attn_implementation", {"text": "someone/kernel"}),
        ("config.json", "text_config", {"_attn_implementation_internal": "someone/kernel:fn"}),
        ("config.json", "_experts_implementation_internal", "someone/kernel"),
        ("config.json", "attn_implementation", "paged|someone/kernel"),
        ("config.json", "sub_configs", [{"inner": [{"auto_map": {"AutoConfig": "evil.Config"}}]}]),
        ("config.json", "quantization_config", {"quant_method": "custom"}),
        ("config.json", "kernel_config", {"layer": "someone/kernel"}),
        ("tokenizer_config.json", "auto_map", {"AutoTokenizer": ["evil.Tokenizer", None]}),
        ("processor_config.json", "auto_map", {"AutoProcessor": "evil.Processor"}),
        ("sentence_bert_config.json", "trust_remote_code", True),
    ],
)
def test_a_key_that_names_code_is_refused_wherever_it_stands(name, key, value, copy_of, today_folder):
    folder = copy_of(today_folder)
    path = folder / name
    write(path, {**(json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}), key: value})
    with pytest.raises(UnsafeModelError, match=name):
        PixieEncoder(folder, device="cpu")


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("config.json", {"num_hidden_layers": 10**6}),
        ("config.json", {"num_hidden_layers": 10**4_000}),
        ("config.json", {"vocab_size": 10**9}),
        ("config.json", {"hidden_size": 10**9}),
        ("config.json", {"vocab_size": 10**6, "hidden_size": 10**5}),
        ("config.json", {"num_attention_heads": 10**8}),
        ("config.json", {"max_position_embeddings": 10**12}),
        ("config_sentence_transformers.json", {"prompts": {"query": "가" * 100_000}}),
        ("config_sentence_transformers.json", {"prompts": {f"p{n}": "" for n in range(100_000)}}),
        ("tokenizer.json", {"added_tokens": [{"id": n, "content": f"t{n}"} for n in range(20_000)]}),
        ("tokenizer.json", {"normalizer": {"type": "Replace", "pattern": {"Regex": "(a|" * 1000}, "content": ""}}),
        ("tokenizer.json", {"normalizer": {"type": "Replace", "pattern": {"Regex": "(a{9999}){9999}"}, "content": ""}}),
        ("tokenizer.json", {"normalizer": {"type": "Replace", "pattern": {"String": "a"}, "content": "b" * 10_000}}),
        ("tokenizer.json", {"normalizer": {"type": "Prepend", "prepend": "b" * 10_000}}),
    ],
)
def test_sizes_without_bounds_are_refused_before_anything_is_loaded(name, change, copy_of, today_folder):
    folder = copy_of(today_folder)
    edit(folder / name, lambda content: content.update(change))
    with pytest.raises(UnsafeModelError, match=name):
        PixieEncoder(folder, device="cpu")


@pytest.mark.parametrize("content", [b"", b"\x04\0\0\0\xff\xff\xff\xff"], ids=["when it is read", "at the first text"])
def test_a_tokenizer_that_panics_is_refused(content, copy_of, today_folder, capfd):
    folder = copy_of(today_folder)
    panics = {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(content).decode()}
    edit(folder / "tokenizer.json", lambda content: content.update(normalizer=panics))
    with pytest.raises(UnsafeModelError, match="tokenizer"):
        PixieEncoder(folder, device="cpu")


@pytest.mark.parametrize(
    "work",
    [
        lambda encoder, text: encoder.encode_documents(["위성", text]),
        lambda encoder, text: encoder.encode_queries([text]),
        lambda encoder, text: encoder.count_tokens([text]),
        lambda encoder, text: encoder._vocabulary.characters(text),  # what names a part of a character for a result
        lambda encoder, text: prepare(encoder._model, [text], "document"),
        lambda encoder, text: list(split_documents([Document("a", text)], encoder)),
    ],
    ids=["documents", "queries", "tokens", "names", "forward", "passages"],
)
def test_a_tokenizer_that_panics_at_a_later_text_is_refused_there_and_goes_on(work, copy_of, today_folder, capfd):
    # A table of bytes that leads nowhere, but from the first byte of kana far behind its end.
    table = [0] * 256
    table[0xE3] = 0xE3 | 0x1FFFFF << 10
    content = struct.pack("<257I", 4 * len(table), *table)
    folder = copy_of(today_folder)
    panics = {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(content).decode()}
    edit(folder / "tokenizer.json", lambda content: content.update(normalizer=panics))
    encoder = PixieEncoder(folder, device="cpu")
    work(encoder, "위성")
    with pytest.raises(UnsafeModelError, match="tokenizer breaks down at a text"):
        work(encoder, "えいせい")
    work(encoder, "위성")


@pytest.mark.parametrize("path", ["../elsewhere", "/etc", "C:\\models", "a/../../b"])
def test_a_module_outside_the_folder_is_refused(path, copy_of, today_folder):
    folder = copy_of(today_folder)
    edit(folder / "modules.json", lambda modules: modules[1].update(path=path))
    with pytest.raises(UnsafeModelError, match="outside"):
        PixieEncoder(folder, device="cpu")


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt"])
def test_weights_that_would_be_unpickled_are_refused(name, copy_of, today_folder, tmp_path):
    marker = tmp_path / "marker"

    class Evil:
        def __reduce__(self):
            return (Path.touch, (marker,))

    folder = copy_of(today_folder)
    (folder / "model.safetensors").unlink()
    torch.save({"weights": Evil()}, folder / name)
    with pytest.raises(UnsafeModelError, match=name):
        PixieEncoder(folder, device="cpu")
    assert not marker.exists()


def test_pickled_weights_beside_safetensors_are_never_read(copy_of, today_folder, tmp_path, encoder, sentences):
    folder = copy_of(today_folder)
    (folder / "pytorch_model.bin").write_bytes(b"not even a pickle")
    found = PixieEncoder(folder, device="cpu").encode_documents(sentences)
    assert np.array_equal(found.term_ids, encoder.encode_documents(sentences).term_ids)


@pytest.mark.parametrize(
    ("key", "settings"),
    [
        ("model_args", {"attn_implementation": "someone/kernel"}),
        ("model_kwargs", {"quantization_config": {"quant_method": "custom"}}),
        ("config_args", {"auto_map": {"AutoConfig": "evil.Config"}}),
        ("tokenizer_args", {"trust_remote_code": True}),
    ],
)
def test_settings_that_can_fetch_code_are_refused(key, settings, copy_of, version_5_folder):
    folder = copy_of(version_5_folder)
    edit(folder / "sentence_bert_config.json", lambda config: config.update({key: settings}))
    with pytest.raises(UnsafeModelError, match=next(iter(settings))):
        PixieEncoder(folder, device="cpu")


def test_harmless_settings_are_accepted(copy_of, version_5_folder):
    folder = copy_of(version_5_folder)
    edit(
        folder / "sentence_bert_config.json",
        lambda config: config.update(model_args={"attn_implementation": "eager"}, tokenizer_args={}),
    )
    assert PixieEncoder(folder, device="cpu").vocabulary_size == 50_000


def test_an_attention_of_someone_elses_is_refused(copy_of, today_folder):
    folder = copy_of(today_folder)
    edit(folder / "config.json", lambda config: config.update(_attn_implementation="someone/kernel"))
    with pytest.raises(UnsafeModelError, match="attn_implementation"):
        PixieEncoder(folder, device="cpu")


def test_an_architecture_that_comes_with_the_model_is_refused(copy_of, today_folder, tmp_path):
    marker = tmp_path / "marker"
    folder = copy_of(today_folder)
    (folder / "evil.py").write_text(f"open({str(marker)!r}, 'w').close()\nclass Config: pass\n")
    names = {"AutoConfig": "evil.Config", "AutoModelForMaskedLM": "evil.Model"}
    edit(folder / "config.json", lambda config: config.update(model_type="evil", auto_map=names))
    with pytest.raises(UnsafeModelError, match="never run"):
        PixieEncoder(folder, device="cpu")
    assert not marker.exists()


def test_an_adapter_is_refused(copy_of, today_folder):
    folder = copy_of(today_folder)
    write(folder / "adapter_config.json", {"base_model_name_or_path": "someone/else"})
    with pytest.raises(UnsafeModelError, match="adapter"):
        PixieEncoder(folder, device="cpu")


# Folders that hold no whole SPLADE model


def test_a_dense_model_is_refused(copy_of, today_folder):
    folder = copy_of(today_folder)
    edit(folder / "modules.json", list.pop)
    with pytest.raises(InvalidParameterError, match="without SpladePooling"):
        PixieEncoder(folder, device="cpu")


@pytest.mark.parametrize("kind", ["SentenceTransformer", None])
def test_a_folder_of_another_kind_is_refused_and_not_converted(kind, copy_of, today_folder):
    folder = copy_of(today_folder)
    edit(folder / "config_sentence_transformers.json", lambda config: config.update(model_type=kind))
    with pytest.raises(InvalidParameterError, match="'SparseEncoder'"):
        PixieEncoder(folder, device="cpu")


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(InvalidParameterError, match="does not hold a SPLADE model"):
        PixieEncoder(tmp_path, device="cpu")


def test_a_plain_masked_language_model_is_pooled_by_maximum(copy_of, today_folder, encoder, sentences):
    folder = copy_of(today_folder)
    for name in ("modules.json", "sentence_bert_config.json", "config_sentence_transformers.json"):
        (folder / name).unlink()
    plain = PixieEncoder(folder, device="cpu")
    assert plain.fingerprint == encoder.fingerprint
    difference = plain.encode_documents(sentences).to_scipy() - encoder.encode_documents(sentences).to_scipy()
    assert abs(difference).max() <= 1e-5


def test_weights_that_lack_a_part_are_refused_instead_of_filled_with_random_numbers(copy_of, today_folder):
    from safetensors.torch import load_file, save_file

    folder = copy_of(today_folder)
    tensors = load_file(folder / "model.safetensors")
    del tensors["head.dense.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelUnavailableError, match="would be random"):
        PixieEncoder(folder, device="cpu")


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "config.json", "modules.json"])
def test_damaged_files_are_reported_as_such(name, copy_of, today_folder):
    folder = copy_of(today_folder)
    (folder / name).write_bytes((folder / name).read_bytes()[:100])
    with pytest.raises(ModelUnavailableError, match="fetch the model again"):
        PixieEncoder(folder, device="cpu")


def test_missing_weights_and_missing_shards_are_named(copy_of, today_folder):
    folder = copy_of(today_folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelUnavailableError, match=r"no model\.safetensors"):
        PixieEncoder(folder, device="cpu")
    write(folder / "model.safetensors.index.json", {"weight_map": {"a": "model-00001-of-00002.safetensors"}})
    with pytest.raises(ModelUnavailableError, match="model-00001-of-00002"):
        PixieEncoder(folder, device="cpu")


# Names that are no folder


@pytest.mark.parametrize("model", ["telepix/PIXIE-Splade-Preview", "example/none-such"])
def test_a_model_that_is_nowhere_is_reported_quickly_and_quietly_with_three_ways_out(model, capfd):
    start = time.perf_counter()
    with pytest.raises(ModelUnavailableError) as caught:
        PixieEncoder(model, device="cpu")
    assert time.perf_counter() - start < 30  # minutes are what it must never take
    message = str(caught.value)
    assert model in message
    for way_out in ("Connect once", "path of a folder", "PixieEncoder.bundled()"):
        assert way_out in message
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("path", ["/none/such/folder", "./none-such", "none-such", "a/b/c", Path("owner/name"), ""])
def test_a_path_that_is_not_a_folder_is_reported_without_asking_the_hub(path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *_, **__: pytest.fail("the hub was asked"))
    with pytest.raises(ModelUnavailableError, match="no model folder"):
        PixieEncoder(path, device="cpu")


def test_a_cached_hub_model_loads_offline_and_remembers_its_commit(cached_on_hub, encoder, sentences, capfd):
    cached = PixieEncoder(HUB_NAME, device="cpu", min_weight=0.1)
    assert cached.name == HUB_NAME
    content = json.loads(cached.fingerprint)
    assert (content["model"], content["revision"]) == (HUB_NAME, COMMIT)
    assert content["sha256"] == json.loads(encoder.fingerprint)["sha256"]
    again = PixieEncoder.from_fingerprint(cached.fingerprint, device="cpu")
    assert again.fingerprint == cached.fingerprint
    assert again.encode_documents(sentences) == cached.encode_documents(sentences)
    assert capfd.readouterr() == ("", "")


def test_an_older_commit_of_the_same_files_is_the_cached_one(cached_on_hub, encoder):
    older = json.dumps(json.loads(PixieEncoder(HUB_NAME, device="cpu").fingerprint) | {"revision": "e" * 40})
    assert json.loads(PixieEncoder.from_fingerprint(older, device="cpu").fingerprint)["revision"] == COMMIT
    other = json.dumps(json.loads(older) | {"sha256": "0" * 16, "max_active_terms": 9})
    with pytest.raises(ModelUnavailableError) as caught:
        PixieEncoder.from_fingerprint(other, device="cpu")
    for said in (HUB_NAME, "e" * 40, "0" * 16, f"hf download {HUB_NAME} --revision", "max_active_terms=9", "--model"):
        assert said in str(caught.value)


def test_a_cached_hub_model_is_checked_like_a_folder(cached_on_hub):
    path = cached_on_hub / "modules.json"
    content = json.loads(path.read_text())
    content[1]["type"] = "evil.Module"
    path.write_text(json.dumps(content))
    with pytest.raises(UnsafeModelError):
        PixieEncoder(HUB_NAME, device="cpu")


@pytest.mark.parametrize("name", ["model.safetensors", "modules.json"])
@pytest.mark.parametrize("revision", [None, COMMIT])
def test_a_half_cached_hub_model_is_unavailable_offline(cached_on_hub, name, revision):
    (cached_on_hub / name).unlink()
    with pytest.raises(ModelUnavailableError, match="random-splade|" + COMMIT):
        PixieEncoder(HUB_NAME, revision=revision, device="cpu")


def test_a_cached_commit_is_used_without_asking_the_hub(cached_on_hub, monkeypatch):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.HfApi.model_info", lambda *_, **__: pytest.fail("the hub was asked"))
    assert json.loads(PixieEncoder(HUB_NAME, revision=COMMIT, device="cpu").fingerprint)["revision"] == COMMIT


@pytest.mark.parametrize("revision", ["none-such", "f" * 40])
def test_an_unknown_revision_is_unavailable(cached_on_hub, revision):
    with pytest.raises(ModelUnavailableError, match=revision):
        PixieEncoder(HUB_NAME, revision=revision, device="cpu")


def test_a_package_without_its_bundled_model_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr(pixie_module, "BUNDLED_FOLDER", tmp_path / "none-such")
    with pytest.raises(ModelUnavailableError, match="install the package again"):
        PixieEncoder.bundled()


def test_json_that_is_nested_too_deeply_is_damage(version_5_folder, copy_of):
    folder = copy_of(version_5_folder)
    (folder / "config.json").write_text("[" * 200_000 + "]" * 200_000)
    with pytest.raises(ModelUnavailableError, match=r"config\.json cannot be read .*: fetch the model again"):
        PixieEncoder(folder, device="cpu")
