"""Which fingerprints are of one model, and that every door holds an index to its model and not to its name."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

import pixie_retrievers
from pixie_retrievers import IncompatibleIndexError, ModelUnavailableError, PixieEncoder, SparseRetriever, SqliteIndex
from pixie_retrievers.fingerprints import differences
from pixie_retrievers.index.copying import copy_index
from pixie_retrievers.text_fields import TextFields

NANO = Path(pixie_retrievers.__file__).parent / "encoder/nano"
OURS = {"model": "a", "sha256": "0f", "pooling": "max/relu", "max_length": 64, "min_weight": 0.0}


def fingerprint(**changes):
    content = {name: value for name, value in (OURS | changes).items() if value is not None}
    return json.dumps(content, sort_keys=True, separators=(",", ":"))


@pytest.mark.parametrize("changes", [{}, {"model": "owner/b"}, {"revision": "1" * 40}])
def test_what_a_model_is_called_is_information(changes):
    assert differences(fingerprint(), fingerprint(**changes)) == ""


@pytest.mark.parametrize(
    "changes",
    [
        {"sha256": "ff"},
        {"pooling": "sum/relu"},
        {"max_length": 32},
        {"min_weight": 0.5},
        {"max_active_terms": 9},
        {"prompts": {"query": "질문: "}},
        {"precision": "int8"},
        {"made_up_later": 1},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_whatever_changes_vectors_makes_another_model_and_is_named(changes):
    ((name, value),) = changes.items()
    assert f"{name} {value!r} and {OURS.get(name)!r}" in differences(fingerprint(**changes), fingerprint())


def test_other_weights_are_named_with_their_models():
    assert differences(fingerprint(model="b", sha256="ff"), fingerprint()) == "model 'b' and 'a', sha256 'ff' and '0f'"


def test_encoded_fields_belong_to_an_index():
    titled = TextFields.of(("title", "text"))
    assert differences(titled.marked(fingerprint()), titled.marked(fingerprint(model="b"))) == ""
    assert "text_fields" in differences(titled.marked(fingerprint()), fingerprint())


@pytest.mark.parametrize("other", ["bm25", "", "[]", '{"model": "a"}', fingerprint()])
def test_other_encoders_fingerprints_are_compared_as_they_stand(other):
    assert differences(other, other) == ""
    assert differences(other, "BM25") == f"{other!r} and 'BM25'"


@pytest.fixture(params=["renamed", "linked"])
def moved(request, tmp_path):
    """The bundled model's files under another name."""
    folder = tmp_path / "air-gapped-model"
    if request.param == "linked":
        folder.symlink_to(NANO, target_is_directory=True)
    else:
        shutil.copytree(NANO, folder)
    return folder


@pytest.fixture
def path(moved, tmp_path):
    with SparseRetriever.open(tmp_path / "corpus.db", encoder=PixieEncoder(moved)) as retriever:
        retriever.add_texts(["위성은 지구를 돈다."], ids=["a"])
    return tmp_path / "corpus.db"


DOORS = {
    "facade": lambda path, encoder: SparseRetriever(encoder, SqliteIndex(path)),
    "from_index": lambda path, encoder: SparseRetriever.from_index(path, encoder=encoder),
    "from_index of a folder": lambda path, _: SparseRetriever.from_index(path, encoder=NANO),
    "from_index by itself": lambda path, _: SparseRetriever.from_index(path),
    "open": lambda path, encoder: SparseRetriever.open(path, encoder=encoder),
    "open by itself": lambda path, _: SparseRetriever.open(path),
    "begun again": lambda path, encoder: SparseRetriever(
        encoder,
        SqliteIndex(path, vocabulary_size=encoder.vocabulary_size, fingerprint=encoder.fingerprint),
    ),
    "langchain": lambda path, encoder: langchain().PixieVectorStore(path, encoder=encoder).sparse_retriever,
    "llama_index": lambda path, encoder: llama_index().PixieVectorStore(path, encoder=encoder).sparse_retriever,
}


def langchain():
    return pytest.importorskip("pixie_retrievers.langchain")


def llama_index():
    return pytest.importorskip("pixie_retrievers.llama_index")


@pytest.mark.parametrize("door", DOORS)
def test_the_same_files_open_the_index_whatever_they_are_called(door, path, encoder):
    with DOORS[door](path, encoder) as retriever:
        assert [one.document.id for one in retriever.search("위성")] == ["a"]
        retriever.add_texts(["벼는 논에서 자란다."], ids=["b"])


def test_an_index_of_the_packages_model_opens_with_a_copy(tmp_path, moved, encoder):
    with SparseRetriever.open(tmp_path / "corpus.db", encoder=encoder) as retriever:
        retriever.add_texts(["위성은 지구를 돈다."], ids=["a"])
    with SparseRetriever.from_index(tmp_path / "corpus.db", encoder=moved) as retriever:
        assert retriever.encoder.name == moved.resolve().name.replace("nano", "pixie-nano")
        assert [one.document.id for one in retriever.search("위성")] == ["a"]


def test_copies_go_from_one_to_the_other(path, encoder, tmp_path):
    with (
        SqliteIndex(path) as source,
        SqliteIndex(
            tmp_path / "target.db", vocabulary_size=encoder.vocabulary_size, fingerprint=encoder.fingerprint
        ) as target,
    ):
        assert copy_index(source, target).differences == ()


def test_the_command_takes_them_too(path, moved):
    from pixie_retrievers.cli.app import app

    for model in ([], ["--model", str(moved)], ["--model", "bundled"]):
        done = CliRunner().invoke(app, ["search", str(path), "위성", "--json", *model])
        assert done.exit_code == 0, done.output


def test_embeddings_that_were_serialised_take_them(moved, encoder):
    serialised = PixieEncoder(moved).fingerprint
    assert llama_index().PixieSparseEmbedding(encoder, fingerprint=serialised).fingerprint == encoder.fingerprint


@pytest.mark.parametrize("options", [{"min_weight": 0.25}, {"max_length": 64}, {"max_active_terms": 7}])
def test_a_named_folder_takes_the_options_of_the_index(tmp_path, moved, options):
    with SparseRetriever.open(tmp_path / "corpus.db", encoder=PixieEncoder(NANO, **options)) as retriever:
        retriever.add_texts(["위성은 지구를 돈다."])
    with SparseRetriever.from_index(tmp_path / "corpus.db", encoder=moved) as retriever:
        ((name, value),) = options.items()
        assert json.loads(retriever.encoder.fingerprint)[name] == value


def test_other_options_are_refused_by_name_at_every_door(path, tmp_path):
    other = PixieEncoder.bundled(max_length=64)
    named = "max_length 1024 and 64"
    with pytest.raises(IncompatibleIndexError, match=named):
        SparseRetriever.from_index(path, encoder=other)
    with pytest.raises(IncompatibleIndexError, match=named):
        SqliteIndex(path, fingerprint=other.fingerprint)
    with (
        SqliteIndex(path) as source,
        SqliteIndex(
            tmp_path / "target.db", vocabulary_size=other.vocabulary_size, fingerprint=other.fingerprint
        ) as target,
        pytest.raises(IncompatibleIndexError, match=named),
    ):
        copy_index(source, target)


def test_a_collection_on_a_server_is_held_to_its_model(moved, encoder):
    from pixie_retrievers.fingerprints import check_built_with
    from pixie_retrievers.index.remote.manifest import check_manifest, new_manifest

    found = check_manifest(new_manifest(encoder.vocabulary_size, PixieEncoder(moved).fingerprint), "server/name")
    check_built_with("server/name", found, vocabulary_size=encoder.vocabulary_size, fingerprint=encoder.fingerprint)
    with pytest.raises(IncompatibleIndexError, match=r"server/name was built with another model: \S+ 1024 and 64"):
        check_built_with("server/name", found, fingerprint=PixieEncoder.bundled(max_length=64).fingerprint)
    with pytest.raises(IncompatibleIndexError, match="vocabulary_size"):
        check_built_with("server/name", found, vocabulary_size=9)


def test_what_lies_beside_a_model_is_not_part_of_it(tmp_path, encoder):
    folder = tmp_path / "whole-repository"
    shutil.copytree(NANO, folder)
    (folder / "onnx").mkdir()
    shutil.copytree(NANO, folder / "checkpoint-100")
    assert differences(PixieEncoder(folder).fingerprint, encoder.fingerprint) == ""


def test_an_index_says_how_its_model_is_had(tmp_path):
    from safetensors.numpy import load_file, save_file

    folder = tmp_path / "models/pixie-nano"
    shutil.copytree(NANO, folder)
    tensors = load_file(folder / "model.safetensors")
    name = next(iter(tensors))
    tensors[name] = tensors[name] * 1.5
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    other = PixieEncoder(folder, max_active_terms=9)
    with pytest.raises(IncompatibleIndexError, match=r"sha256 .*: pass its folder"):  # it is called as the package's is
        PixieEncoder.from_fingerprint(other.fingerprint)
    folder = folder.rename(tmp_path / "models/mine")
    other = PixieEncoder(folder, max_active_terms=9)
    with pytest.raises(ModelUnavailableError, match="local folder named 'mine'") as caught:
        PixieEncoder.from_fingerprint(other.fingerprint)
    for word in (json.loads(other.fingerprint)["sha256"], "encoder='<folder>'", "--model", "max_active_terms=9"):
        assert word in str(caught.value)
