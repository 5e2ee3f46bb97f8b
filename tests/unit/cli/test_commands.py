"""`pixie index`, `search`, `explain` and `info` inside this process: what they store, print and refuse."""

from __future__ import annotations

import json
import re
import signal
import unicodedata

import pytest
from rich.cells import cell_len

from pixie_retrievers.index.sqlite.engine import SqliteIndex
from pixie_retrievers.retriever import SparseRetriever
from pixie_retrievers.types import Document, SparseVectors

PASSAGES = [
    {"id": "위성", "title": "정찰 위성", "text": "정찰 위성이 국경의 움직임을 살핀다.", "year": 2024},
    {"id": "김치", "text": "김치는 낮은 온도에서 천천히 익는다.", "year": 2019},
    {"id": "이자", "text": "대출 이자는 기준 금리를 따라 움직인다.", "year": 2022},
]
QUERY = "국방에 쓰이는 위성"


def write(path, rows):
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def corpus(tmp_path):
    return write(tmp_path / "corpus.jsonl", PASSAGES)


@pytest.fixture
def index(pixie, corpus, tmp_path):
    path = tmp_path / "corpus.db"
    assert pixie("index", corpus, "-o", path, "--model", "bundled").exit_code == 0
    return path


def foreign_index(path, fingerprint, vocabulary_size=10):
    """An index of one document that another model built."""
    with SqliteIndex(path, vocabulary_size=vocabulary_size, fingerprint=fingerprint) as index:
        index.upsert([Document("1", "글")], SparseVectors.from_dicts([{1: 1.0}], vocabulary_size))
    return path


def answer(result):
    """The one JSON document on stdout."""
    assert result.exit_code == 0, result.output
    assert not re.search(r"\\u[a-d]", result.stdout), "Korean is escaped"
    return json.loads(result.stdout)


def refusal(result):
    """The one line on stderr."""
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    return result.stderr


# index


def test_indexing_says_what_became_of_the_documents(pixie, corpus, tmp_path):
    result = pixie("index", corpus, "-o", tmp_path / "new.db", "--model", "bundled")
    assert result.exit_code == 0
    assert "3 added, 0 updated, 0 unchanged; 3 documents" in result.stdout
    assert result.stdout.count("\n") == 1


def test_indexing_the_same_again_changes_nothing(pixie, corpus, index, encoder, monkeypatch):
    with SqliteIndex(index, read_only=True) as opened:
        before = opened.stats()
    monkeypatch.setattr(encoder, "encode_documents", lambda *_, **__: pytest.fail("encoded again"))
    summary = answer(pixie("index", corpus, "-o", index, "--json"))
    assert {name: summary[name] for name in ("documents", "added", "updated", "unchanged")} == {
        "documents": 3,
        "added": 0,
        "updated": 0,
        "unchanged": 3,
    }
    assert summary["index"] == str(index)
    assert summary["model"] == encoder.fingerprint
    with SqliteIndex(index, read_only=True) as opened:
        assert opened.stats().generation == before.generation


def test_a_changed_text_or_changed_metadata_replace_a_document(pixie, index, tmp_path):
    changed = [
        PASSAGES[0],
        PASSAGES[1] | {"text": "국방 위성은 김치를 담그지 않는다."},
        PASSAGES[2] | {"year": 2022.0},
        {"id": "새", "text": "새 글이다."},
    ]
    summary = answer(pixie("index", write(tmp_path / "changed.jsonl", changed), "-o", index, "--json"))
    assert (summary["documents"], summary["added"], summary["updated"], summary["unchanged"]) == (4, 1, 2, 1)
    found = answer(pixie("search", index, QUERY, "--json"))["results"]
    assert {hit["id"]: hit["text"] for hit in found}["김치"] == changed[1]["text"]


def test_files_and_folders_go_into_one_index(pixie, corpus, tmp_path):
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "위성.txt").write_text("위성은 하늘에 있다.\n\n둘째 문단", encoding="utf-8")
    (tmp_path / "글.md").write_text("첫 문단\n\n둘째 문단", encoding="utf-8")
    arguments = ("index", corpus, folder, tmp_path / "글.md", "-o", tmp_path / "all.db", "--model", "bundled", "--json")
    assert answer(pixie(*arguments))["documents"] == 6
    found = answer(pixie("search", tmp_path / "all.db", "하늘", "--json"))["results"]
    assert found[0]["id"] == "위성.txt"
    assert found[0]["metadata"] == {"source": "위성.txt"}


def test_a_bad_line_stores_nothing(pixie, index, tmp_path):
    before = index.read_bytes()
    bad = write(tmp_path / "bad.jsonl", [{"id": "새", "text": "새 글"}, {"id": "더", "text": None}])
    assert f"{bad}:2: " in refusal(pixie("index", bad, "-o", index))
    assert index.read_bytes() == before
    assert f"{bad}:2: " in refusal(pixie("index", bad, "-o", tmp_path / "new.db", "--model", "bundled"))
    assert not (tmp_path / "new.db").exists()


def test_inputs_are_judged_before_a_model_is_loaded(pixie, tmp_path, monkeypatch):
    monkeypatch.setattr("pixie_retrievers.cli.models.load_encoder", lambda *_, **__: pytest.fail("loaded"))
    refusal(pixie("index", tmp_path / "nowhere.jsonl", "-o", tmp_path / "new.db"))
    refusal(pixie("index", tmp_path, "-o", tmp_path / "new.db"))
    (tmp_path / "old.txt").write_bytes("국방 위성".encode("cp949"))
    assert "pass --encoding cp949" in refusal(pixie("index", tmp_path, "-o", tmp_path / "new.db"))


@pytest.mark.parametrize("weights", ["uint8", "float16"])
def test_weights_can_be_kept_smaller(pixie, corpus, tmp_path, weights):
    path = tmp_path / "small.db"
    answer(pixie("index", corpus, "-o", path, "--model", "bundled", "--weights", weights, "--json"))
    assert answer(pixie("info", path, "--json"))["weights"] == weights
    (hit,) = answer(pixie("search", path, QUERY, "--json", "-k", 1))["results"]
    assert hit["id"] == "위성"
    contributions = [item["contribution"] for item in hit["explanation"]["contributions"]]
    assert sum(contributions) + hit["explanation"]["residual"] == pytest.approx(hit["score"])


def test_an_index_does_not_change_its_weights(pixie, corpus, index):
    assert "float32" in refusal(pixie("index", corpus, "-o", index, "--weights", "uint8"))


def test_a_target_that_is_not_an_index_is_refused_and_left_alone(pixie, corpus, tmp_path):
    before = corpus.read_bytes()
    assert "not an SQLite database" in refusal(pixie("index", corpus, "-o", corpus, "--model", "bundled"))
    assert corpus.read_bytes() == before
    refusal(pixie("index", corpus, "-o", tmp_path, "--model", "bundled"))
    refusal(pixie("index", corpus, "-o", tmp_path / "no" / "folder" / "x.db", "--model", "bundled"))
    assert not (tmp_path / "no").exists()


def test_a_file_of_another_encoding_is_indexed_when_it_is_named(pixie, tmp_path):
    (tmp_path / "old.csv").write_bytes("id,본문\n1,국방 위성\n".encode("cp949"))
    arguments = ("index", tmp_path / "old.csv", "-o", tmp_path / "x.db", "--model", "bundled", "--encoding", "cp949")
    assert answer(pixie(*arguments, "--json"))["added"] == 1
    assert answer(pixie("search", tmp_path / "x.db", "위성", "--json"))["results"][0]["text"] == "국방 위성"


def test_an_empty_file_is_a_place_for_a_new_index(pixie, corpus, tmp_path):
    (tmp_path / "x.db").touch()
    assert answer(pixie("index", corpus, "-o", tmp_path / "x.db", "--model", "bundled", "--json"))["documents"] == 3


def test_without_a_word_nothing_is_deleted(pixie, corpus, index):
    summary = answer(pixie("index", write(corpus, PASSAGES[:1]), "-o", index, "--json"))
    assert (summary["documents"], summary["deleted"]) == (3, 0)


def test_syncing_makes_an_index_equal_to_its_inputs(pixie, tmp_path, encoder, monkeypatch):
    folder, path = tmp_path / "notes", tmp_path / "x.db"
    folder.mkdir()
    (folder / "규정.txt").write_text("첫 문단\n\n위성 문단\n\n셋째 문단", encoding="utf-8")
    (folder / "글.md").write_text("위성이 하늘에 있다.", encoding="utf-8")
    arguments = ("index", folder, "-o", path, "--split", "paragraph", "--sync")
    assert "4 added, 0 updated, 0 unchanged, 0 deleted; 4 documents" in pixie(*arguments, "--model", "bundled").stdout
    (folder / "규정.txt").write_text("첫 문단\n\n셋째 문단", encoding="utf-8")
    (folder / "글.md").unlink()
    summary = answer(pixie(*arguments, "--json"))
    assert {name: summary[name] for name in ("documents", "added", "updated", "unchanged", "deleted")} == {
        "documents": 2,
        "added": 0,
        "updated": 1,
        "unchanged": 1,
        "deleted": 2,
    }
    assert [hit for hit in answer(pixie("search", path, "위성", "--json"))["results"] if "위성" in hit["text"]] == []
    monkeypatch.setattr(encoder, "encode_documents", lambda *_, **__: pytest.fail("encoded again"))
    assert answer(pixie(*arguments, "--json"))["unchanged"] == 2


def test_more_than_half_is_deleted_only_by_agreement(pixie, corpus, index, monkeypatch):
    monkeypatch.setattr("pixie_retrievers.cli.models.encoder_for_index", lambda *_, **__: pytest.fail("loaded"))
    arguments = ("index", write(corpus, PASSAGES[:1]), "-o", index, "--sync")
    assert "2 of 3 documents are not in the inputs" in refusal(pixie(*arguments))
    monkeypatch.undo()
    assert answer(pixie("info", index, "--json"))["n_documents"] == 3
    summary = answer(pixie(*arguments, "--yes", "--json"))
    assert (summary["documents"], summary["deleted"]) == (1, 2)


def test_whoever_sits_at_a_terminal_is_asked(pixie, corpus, index, monkeypatch):
    monkeypatch.setattr("pixie_retrievers.cli.index._has_terminal", lambda: True)
    arguments = ("index", write(corpus, PASSAGES[:1]), "-o", index, "--sync", "--json")
    declined = pixie(*arguments, input="n\n")
    assert (declined.exit_code, declined.stdout) == (1, "")
    assert "2 of 3 documents are not in the inputs. Delete them? [y/N] nothing was changed\n" in declined.stderr
    assert answer(pixie("info", index, "--json"))["n_documents"] == 3
    assert answer(pixie(*arguments, input="y\n"))["deleted"] == 2


def test_texts_that_are_cut_are_counted_and_said_in_one_line(pixie, tmp_path):
    rows = [{"id": f"글-{n}", "text": "위성 " * length} for n, length in enumerate((2000, 3, 3000))]
    path = write(tmp_path / "long.jsonl", rows)
    result = pixie("index", path, "-o", tmp_path / "x.db", "--model", "bundled")
    assert result.exit_code == 0
    assert "3 added, 0 updated, 0 unchanged, 2 longer than the model reads; " in result.stdout
    assert result.stderr.startswith("warning: the model read only the beginning of 2 of 3 texts")
    assert result.stderr.count("\n") == 1
    again = pixie("index", path, "-o", tmp_path / "x.db", "--json")
    assert (answer(again)["cut"], again.stderr) == (0, "")
    assert answer(pixie("info", tmp_path / "x.db", "--json"))["n_cut"] == 2
    assert "cut         2 documents, longer than the model reads\n" in pixie("info", tmp_path / "x.db").stdout


def test_long_documents_are_split_into_passages_on_demand(pixie, tmp_path):
    (tmp_path / "규정.md").write_text("직원은 휴가를 쓸 수 있다.\n\n" * 300 + "위성은 둘째 문단이다.", encoding="utf-8")
    arguments = ("index", tmp_path / "규정.md", "-o", tmp_path / "x.db", "--split", "100", "--sync", "--json")
    summary = answer(pixie(*arguments, "--model", "bundled"))
    assert summary["documents"] > 20
    assert summary["cut"] == 0
    (hit, *_) = answer(pixie("search", tmp_path / "x.db", "위성", "--json"))["results"]
    assert hit["id"] == f"규정.md#{summary['documents']}"
    assert hit["metadata"] == {"source": "규정.md", "passage": summary["documents"]}
    (tmp_path / "규정.md").write_text("직원은 휴가를 쓸 수 있다.", encoding="utf-8")
    assert pixie(*arguments).exit_code == 1  # more than half would go
    assert answer(pixie(*arguments, "--yes"))["documents"] == 1


@pytest.mark.parametrize(
    ("split", "code", "message"),
    [("sentence", 2, "number of tokens"), ("9", 1, "max_tokens is 9"), ("99999", 1, "reads at most 1024")],
)
def test_a_split_that_cannot_be_is_refused(pixie, corpus, tmp_path, split, code, message):
    result = pixie("index", corpus, "-o", tmp_path / "x.db", "--model", "bundled", "--split", split)
    assert result.exit_code == code
    assert message in " ".join(result.stderr.replace("│", " ").split())


def test_what_macos_calls_a_file_finds_what_others_call_it(pixie, tmp_path):
    folder, path = tmp_path / "notes", tmp_path / "x.db"
    folder.mkdir()
    name = "휴가규정.md"
    apart = unicodedata.normalize("NFD", name)
    (folder / apart).write_text("휴가는 열다섯 날이다.", encoding="utf-8")
    assert answer(pixie("index", folder, "-o", path, "--model", "bundled", "--json"))["added"] == 1
    for form in (name, apart):
        for source in (form, {"$in": [form]}):
            wanted = json.dumps({"$and": [{"source": source}, {"$not": {"source": "x"}}]})
            (hit,) = answer(pixie("search", path, "휴가", "--filter", wanted, "--json"))["results"]
            assert hit["id"] == name
        assert answer(pixie("explain", path, "휴가", form, "--json"))["id"] == name
    missing = pixie("delete", path, apart, unicodedata.normalize("NFD", "없다"), "--json")
    assert answer(missing)["n_deleted"] == 1


# search


def test_a_search_prints_rank_score_text_and_tokens_in_80_columns(pixie, index):
    result = pixie("search", index, QUERY)
    assert result.exit_code == 0
    assert result.stderr == ""
    first, *_ = result.stdout.splitlines()
    assert first.split()[:3] == ["1", "정찰", "위성"]
    assert "score" in first
    assert "국경의 움직임을 살핀다." in result.stdout
    assert "2.0" in result.stdout
    assert "query + text" in result.stdout
    assert "█" in result.stdout
    assert "\x1b" not in result.stdout
    assert all(cell_len(line) <= 80 and line == line.rstrip() for line in result.stdout.splitlines())


def test_a_search_as_json_holds_all_that_is_known_of_a_hit(pixie, index, encoder):
    content = answer(pixie("search", index, QUERY, "--json"))
    assert (content["query"], content["index"], content["model"]) == (QUERY, str(index), encoder.fingerprint)
    first = content["results"][0]
    assert list(first) == ["rank", "id", "score", "text", "metadata", "explanation"]
    assert (first["rank"], first["id"]) == (1, "위성")
    assert first["metadata"] == {"title": "정찰 위성", "year": 2024}
    for hit in content["results"]:
        explanation = hit["explanation"]
        parts = [item["contribution"] for item in explanation["contributions"]]
        assert sum(parts) + explanation["residual"] == pytest.approx(hit["score"])
        assert parts == sorted(parts, reverse=True)
        for item in explanation["contributions"]:
            assert item["contribution"] == pytest.approx(item["query_weight"] * item["document_weight"])


def test_fewer_tokens_leave_a_larger_residual(pixie, index):
    query = PASSAGES[0]["text"]
    one = answer(pixie("search", index, query, "--json", "--tokens", 1, "-k", 1))["results"][0]["explanation"]
    assert len(one["contributions"]) == 1
    assert one["n_tokens"] > 1
    assert one["contributions"][0]["contribution"] + one["residual"] == pytest.approx(one["score"])
    none = answer(pixie("search", index, query, "--json", "--tokens", 0, "-k", 1))["results"][0]
    assert none["explanation"] is None
    assert "query + text" not in pixie("search", index, query, "--tokens", 0).stdout


def test_k_filter_and_threshold_leave_hits_out(pixie, index):
    query = "위성 김치 이자"
    every = answer(pixie("search", index, query, "--json"))["results"]
    assert sorted(hit["id"] for hit in every) == ["김치", "위성", "이자"]
    assert answer(pixie("search", index, query, "--json", "-k", 2))["results"] == every[:2]
    late = answer(pixie("search", index, query, "--json", "--filter", '{"year": {"$gte": 2022}}'))["results"]
    assert sorted(hit["id"] for hit in late) == ["위성", "이자"]
    best = every[0]["score"]
    assert answer(pixie("search", index, query, "--json", "--threshold", best))["results"] == every[:1]


def test_a_long_text_is_cut_unless_it_is_wanted_whole(pixie, tmp_path):
    text = "처음 " + "아무 말이나 길게 늘어놓는다. " * 40 + "끝에 위성이 나온다."
    rows = write(tmp_path / "long.jsonl", [{"id": "long", "text": text}])
    assert pixie("index", rows, "-o", tmp_path / "long.db", "--model", "bundled").exit_code == 0
    cut = pixie("search", tmp_path / "long.db", "위성").stdout
    assert "끝에 위성이 나온다" in cut
    assert "처음" not in cut
    assert "처음" in pixie("search", tmp_path / "long.db", "위성", "--full").stdout


def test_no_hit_is_an_answer_too(pixie, index):
    arguments = ("search", index, QUERY, "--filter", '{"year": 1900}')
    assert answer(pixie(*arguments, "--json"))["results"] == []
    assert pixie(*arguments).stdout.count("\n") == 1


def test_hostile_documents_come_out_inert(pixie, tmp_path):
    row = {
        "id": "[red]id[/red]\x1b[2J",
        "title": "[bold]x[/]",
        "text": "위성 \x1b[31m빨강\x07\u202e뒤집힘",
        "k\x1b[1m": "v\x9b",
    }
    rows = write(tmp_path / "hostile.jsonl", [row])
    path = tmp_path / "hostile.db"
    for result in (
        pixie("index", rows, "-o", path, "--model", "bundled"),
        pixie("search", path, "위성"),
        pixie("explain", path, "위성", row["id"]),
    ):
        assert result.exit_code == 0
        assert not set(result.output) & {"\x1b", "\x07", "\x9b", "\u202e"}
    shown = pixie("search", path, "위성").stdout
    assert "[bold]x[/]" in shown
    assert "[red]id[/red]" in shown
    as_json = pixie("search", path, "위성", "--json")
    assert not set(as_json.output) & {"\x1b", "\x07", "\x9b"}
    assert answer(as_json)["results"][0]["text"] == f"[bold]x[/]\n{row['text']}"


@pytest.mark.parametrize(
    ("text", "reason"), [("{year: 1}", "not valid JSON"), ("[1]", "a filter is a JSON object"), ("2020", "JSON object")]
)
def test_a_filter_that_is_not_a_json_object_is_a_usage_error(pixie, index, text, reason):
    result = pixie("search", index, QUERY, "--filter", text)
    assert result.exit_code == 2
    assert reason in " ".join(result.stderr.split())
    assert result.stdout == ""


def test_a_filter_that_means_nothing_is_refused(pixie, index):
    assert "$near" in refusal(pixie("search", index, QUERY, "--filter", '{"year": {"$near": 2020}}'))


# explain


def test_an_explanation_lists_every_shared_token(pixie, index):
    content = answer(pixie("explain", index, PASSAGES[0]["text"], "위성", "--json"))
    assert content["id"] == "위성"
    explanation = content["explanation"]
    assert len(explanation["contributions"]) == explanation["n_tokens"] > 1
    assert explanation["residual"] == 0
    assert sum(item["contribution"] for item in explanation["contributions"]) == pytest.approx(content["score"])
    shown = pixie("explain", index, PASSAGES[0]["text"], "위성")
    assert shown.exit_code == 0
    for item in explanation["contributions"]:
        assert item["surface"] in shown.stdout
    assert "found in: " in shown.stdout


def test_an_explanation_agrees_with_the_search(pixie, index):
    hit = answer(pixie("search", index, QUERY, "--json", "--tokens", 3))["results"][0]
    alone = answer(pixie("explain", index, QUERY, hit["id"], "--json", "--tokens", 3))
    assert alone["score"] == pytest.approx(hit["score"])
    assert [c["token_id"] for c in alone["explanation"]["contributions"]] == [
        c["token_id"] for c in hit["explanation"]["contributions"]
    ]


def test_a_document_that_shares_nothing_is_explained_too(pixie, index):
    content = answer(pixie("explain", index, "qqq", "위성", "--json"))
    assert (content["score"], content["explanation"]["contributions"]) == (0, [])
    assert "the score is 0" in pixie("explain", index, "qqq", "위성").stdout


def test_an_unknown_document_is_refused_before_a_model_is_loaded(pixie, index, monkeypatch):
    monkeypatch.setattr("pixie_retrievers.cli.models.encoder_for_index", lambda *_, **__: pytest.fail("loaded"))
    assert "'없음'" in refusal(pixie("explain", index, QUERY, "없음"))


def test_a_question_alone_is_explained_by_what_the_model_makes_of_it(pixie, index, encoder):
    content = answer(pixie("explain", index, QUERY, "--json", "--raised-by"))
    assert list(content) == ["query", "index", "model", "kind", "id", "text", "read", "tokens"]
    assert (content["query"], content["kind"], content["id"]) == (QUERY, "query", None)
    weights = {token["token_id"]: token["weight"] for token in content["tokens"]}
    assert weights == encoder.encode_queries([QUERY]).to_dicts()[0]
    assert all("raised_by" in token for token in content["tokens"] if not token["literal"])
    shown = pixie("explain", index, QUERY, "--tokens", 2).stdout
    assert shown.startswith(f"query  {len(weights)} tokens")
    assert f"+ {len(weights) - 2} others" in shown


def test_a_document_alone_is_explained_by_what_the_index_has_of_it(pixie, index):
    content = answer(pixie("explain", index, "--document", "위성", "--json", "--raised-by"))
    assert list(content) == ["index", "model", "kind", "id", "text", "read", "tokens"]
    assert (content["kind"], content["id"]) == ("document", "위성")
    with SqliteIndex(index, read_only=True) as opened:
        (stored,) = opened.vectors(["위성"]).to_dicts()
    assert {token["token_id"]: token["weight"] for token in content["tokens"]} == stored
    assert pixie("explain", index, "--document", "위성").stdout.startswith(f"위성  {len(stored)} tokens")
    assert "'없음'" in refusal(pixie("explain", index, "--document", "없음"))


def test_what_raised_a_token_is_named_on_demand(pixie, index):
    explanation = answer(pixie("explain", index, "정찰 우주", "위성", "--json", "--raised-by"))["explanation"]
    assert "raised_by" in explanation
    assert "← names the word" in " ".join(pixie("explain", index, "정찰 우주", "위성", "--raised-by").stdout.split())
    assert "raised_by" not in answer(pixie("explain", index, "정찰 우주", "위성", "--json"))["explanation"]


# compare and why-not


def test_two_documents_are_compared(pixie, index):
    content = answer(pixie("compare", index, "위성 김치", "위성", "김치", "--json"))
    assert [content["a"]["id"], content["b"]["id"]] == ["위성", "김치"]
    assert sum(token["difference"] for token in content["tokens"]) == pytest.approx(content["difference"])
    result = pixie("compare", index, "위성 김치", "위성", "김치", "--tokens", 1)
    assert result.exit_code == 0
    assert "A − B" in result.stdout
    assert "together" in result.stdout
    assert all(cell_len(line) <= 80 for line in result.stdout.splitlines())
    assert "'없음'" in refusal(pixie("compare", index, "위성", "위성", "없음"))


def test_why_a_document_is_not_found_is_said(pixie, index):
    content = answer(pixie("why-not", index, "위성 김치", "이자", "-k", 1, "--json"))
    assert (content["id"], content["k"]) == ("이자", 1)
    assert content["verdict"] in ("ranked lower", "shares no token")
    assert answer(pixie("why-not", index, "위성", "위성", "--json"))["verdict"] == "found"
    assert answer(pixie("why-not", index, "위성", "없음", "--json"))["verdict"] == "not there"
    out = answer(pixie("why-not", index, "위성", "위성", "--filter", '{"year": 1900}', "--json"))
    assert out["verdict"] == "filtered out"
    assert "The filter keeps it out." in pixie("why-not", index, "위성", "위성", "--filter", '{"year": 1900}').stdout
    assert pixie("why-not", index, "위성", "위성", "--filter", "[]").exit_code == 2


def test_an_id_is_compared_and_asked_about_in_either_form(pixie, index):
    apart = unicodedata.normalize("NFD", "위성")
    assert answer(pixie("why-not", index, "위성", apart, "--json"))["verdict"] == "found"
    assert answer(pixie("compare", index, "위성", apart, "김치", "--json"))["a"]["id"] == "위성"


# info


def test_info_says_what_a_file_holds_without_a_model(pixie, index, encoder, monkeypatch):
    monkeypatch.setattr("pixie_retrievers.cli.models._loaded", lambda *_: pytest.fail("loaded"))
    content = answer(pixie("info", index, "--json", "--check"))
    assert content["n_documents"] == 3
    assert content["fingerprint"] == encoder.fingerprint
    assert content["vocabulary_size"] == encoder.vocabulary_size
    assert content["file_bytes"] >= index.stat().st_size
    assert content["problems"] == []
    shown = pixie("info", index, "--check")
    assert shown.exit_code == 0
    for line in ("documents   3", "commits     1", "check       sound"):
        assert line in shown.stdout


def test_info_shows_a_hostile_fingerprint_inert(pixie, tmp_path):
    path = foreign_index(tmp_path / "hostile.db", "\x1b[2J[bold]model[/]")
    shown = pixie("info", path)
    assert shown.exit_code == 0
    assert "\x1b" not in shown.output
    assert "[bold]model[/]" in shown.stdout
    assert "\x1b" not in refusal(pixie("search", path, QUERY))


# Indexes that cannot be used


@pytest.mark.parametrize("command", [("search", QUERY), ("explain", QUERY, "위성"), ("info",)])
def test_what_is_not_an_index_is_refused(pixie, corpus, tmp_path, command):
    name, *rest = command
    assert "not an SQLite database" in refusal(pixie(name, corpus, *rest))
    refusal(pixie(name, tmp_path, *rest))
    (tmp_path / "empty.db").touch()
    refusal(pixie(name, tmp_path / "empty.db", *rest))


@pytest.mark.parametrize(
    ("command", "rest"),
    [
        ("search", [QUERY]),
        ("explain", [QUERY, "위성"]),
        ("delete", ["위성"]),
        ("compact", []),
        ("info", []),
        ("check", []),
        ("repair", ["new.db"]),
    ],
)
def test_a_missing_index_is_answered_with_what_to_do_at_the_command_line(pixie, tmp_path, command, rest):
    path = tmp_path / "nowhere.db"
    error = refusal(pixie(command, path, *rest))
    assert error == f"error: there is no index at {path}: check the path, or build an index with `pixie index`\n"
    assert not path.exists()


def test_an_index_of_another_model_is_refused(pixie, corpus, tmp_path, encoder):
    fingerprint = json.dumps(json.loads(encoder.fingerprint) | {"sha256": "0" * 16})
    path = foreign_index(tmp_path / "other.db", fingerprint, encoder.vocabulary_size)
    before = path.read_bytes()
    for arguments in (
        ("search", path, QUERY),
        ("search", path, QUERY, "--model", "bundled"),
        ("index", corpus, "-o", path),
        ("index", corpus, "-o", path, "--model", "bundled"),
    ):
        message = refusal(pixie(*arguments))
        assert "build the index again" in message or "leave --model" in message
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "command", [("search", QUERY), ("search", QUERY, "--model", "bundled"), ("explain", QUERY, "1")]
)
def test_an_index_of_another_encoder_is_refused_with_what_a_person_at_a_terminal_can_do(pixie, tmp_path, command):
    name, *rest = command
    message = refusal(pixie(name, foreign_index(tmp_path / "other.db", "TF-IDF"), *rest))
    assert "'TF-IDF'" in message
    assert "search it in Python with that encoder, or build another with `pixie index`" in message


def test_another_format_of_weights_is_refused_with_the_option_to_leave_out(pixie, corpus, index):
    message = refusal(pixie("index", corpus, "-o", index, "--weights", "uint8"))
    assert "leave --model and --weights out, or name a new file with -o" in message


def test_an_index_of_a_local_folder_asks_where_the_folder_is(pixie, tmp_path):
    fingerprint = json.dumps({"model": "my-model", "sha256": "0" * 16, "max_length": 512, "min_weight": 0.0})
    path = foreign_index(tmp_path / "local.db", fingerprint)
    message = refusal(pixie("search", path, QUERY))
    assert "'my-model'" in message
    assert "--model" in message


# Usage


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("frobnicate",),
        ("--frobnicate",),
        ("search",),
        ("search", "x.db", "q", "-k", "0"),
        ("search", "x.db", "q", "-k", "many"),
        ("search", "x.db", "q", "--tokens", "-1"),
        ("search", "x.db", "q", "--frobnicate"),
        ("explain", "x.db"),
        ("explain", "x.db", "q", "--document", "id"),
        ("compare", "x.db", "q", "id"),
        ("why-not", "x.db", "q"),
        ("why-not", "x.db", "q", "id", "-k", "0"),
        ("explain", "x.db", "q", "id", "--tokens", "0"),
        ("index", "-o", "x.db"),
        ("index", "a.jsonl"),
        ("index", "a.jsonl", "-o", "x.db", "--weights", "int4"),
        ("index", "a.jsonl", "-o", "x.db", "--processes", str(10**30)),
        ("index", "a.jsonl", "-o", "x.db", "--split", "word"),
        ("info",),
        ("demo", "--queries", "-1"),
        ("demo", "extra"),
    ],
    ids=" ".join,
)
def test_wrong_usage_leaves_with_2(pixie, arguments):
    result = pixie(*arguments)
    assert result.exit_code == 2
    assert "Traceback" not in result.output


def test_an_error_of_the_system_is_one_line_too(pixie, monkeypatch, tmp_path):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pixie_retrievers.cli.inputs.read_documents", full)
    assert "No space left on device" in refusal(pixie("index", "a.jsonl", "-o", tmp_path / "x.db"))


def test_an_interrupt_leaves_with_130(pixie, monkeypatch, tmp_path):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("pixie_retrievers.cli.inputs.read_documents", interrupt)
    result = pixie("index", "a.jsonl", "-o", tmp_path / "x.db")
    assert (result.exit_code, result.stderr) == (130, "interrupted\n")


def test_an_interrupt_while_documents_are_stored_says_what_there_is(pixie, monkeypatch, tmp_path, encoder):
    from pixie_retrievers import indexing

    rows = write(tmp_path / "rows.jsonl", [{"id": f"{n}", "text": f"위성 {n}"} for n in range(50)])
    encode = type(encoder).encode_documents
    asked = []

    def interrupted(self, texts, **options):
        asked.extend(texts)
        if len(asked) > 30:
            signal.raise_signal(signal.SIGINT)
        return encode(self, texts, **options)

    monkeypatch.setattr(indexing, "_COMMIT_DOCUMENTS", 10)
    path = tmp_path / "x.db"
    with monkeypatch.context() as patch:
        patch.setattr(type(encoder), "encode_documents", interrupted)
        result = pixie("index", rows, "-o", path, "--model", "bundled")
    said = f"interrupted: {path} is sound and holds 30 documents; the same command again does the rest\n"
    assert (result.exit_code, result.stdout, result.stderr) == (130, "", said)
    assert answer(pixie("check", path, "--json"))["sound"]
    again = answer(pixie("index", rows, "-o", path, "--json"))
    assert (again["added"], again["unchanged"]) == (20, 30)


def test_a_bug_shows_its_traceback(pixie, monkeypatch, tmp_path):
    def bug(*_, **__):
        raise ZeroDivisionError

    monkeypatch.setattr("pixie_retrievers.cli.inputs.read_documents", bug)
    assert isinstance(pixie("index", "a.jsonl", "-o", tmp_path / "x.db").exception, ZeroDivisionError)


# Several questions


def test_without_a_question_one_a_line_is_read(pixie, index):
    result = pixie("search", index, "--json", "-k", 1, input="위성\n\n논에서 자라는 벼\n")
    assert result.exit_code == 0
    decoder, rest, queries = json.JSONDecoder(), result.stdout.strip(), []
    while rest:
        found, end = decoder.raw_decode(rest)
        queries.append(found["query"])
        rest = rest[end:].strip()
    assert queries == ["위성", "논에서 자라는 벼"]
    assert pixie("search", index, input="").stdout == ""


# Help


def test_every_command_and_every_option_says_what_it_is_for():
    from typer.main import get_command

    from pixie_retrievers.cli.app import app

    for name, command in get_command(app).commands.items():
        assert command.help, name
        for parameter in command.params:
            assert parameter.help, (name, parameter.name)


def test_every_command_can_answer_as_json():
    from typer.main import get_command

    from pixie_retrievers.cli.app import app

    commands = get_command(app).commands
    silent = {name for name, command in commands.items() if not any("--json" in p.opts for p in command.params)}
    assert silent == {"mcp"}  # it speaks JSON to begin with


def test_every_command_is_documented():
    from pathlib import Path

    from typer.main import get_command

    from pixie_retrievers.cli.app import app

    root = Path(__file__).parents[3]
    pages = "".join(page.read_text("utf-8") for page in (root / "README.md", *(root / "docs").glob("*.md")))
    for name in get_command(app).commands:
        assert f"pixie {name}" in pages, name


def test_an_index_that_encodes_fields_is_searched_and_added_to(pixie, encoder, tmp_path):
    path = tmp_path / "fields.db"
    with SparseRetriever.open(path, encoder=encoder, text_fields=("title", "text")) as retriever:
        retriever.add_texts(["지구를 돈다."], [{"title": "달"}], ["moon"])
    (tmp_path / "more.jsonl").write_text('{"id": "rice", "title": "벼", "text": "논에서 자란다."}', encoding="utf-8")
    assert pixie("index", tmp_path / "more.jsonl", "-o", path).exit_code == 0
    with SparseRetriever.from_index(path, encoder=encoder) as retriever:
        assert [one.text for one in retriever.get(["moon", "rice"])] == ["달\n지구를 돈다.", "벼\n논에서 자란다."]
    assert "지구를 돈다" in pixie("search", path, "달").stdout
    assert "{title}" in pixie("info", path).stdout


def test_a_template_says_what_a_new_index_encodes(pixie, encoder, tmp_path):
    path, rows = tmp_path / "books.db", tmp_path / "books.jsonl"
    rows.write_text('{"id": "rice", "title": "벼", "year": 2020, "text": "논에서 자란다."}', encoding="utf-8")
    template = "{title} ({year})\\n{text}"
    assert pixie("index", rows, "-o", path, "--model", "bundled", "--template", template).exit_code == 0
    with SparseRetriever.from_index(path, encoder=encoder) as retriever:
        assert [one.text for one in retriever.get(["rice"])] == ["벼 (2020)\n논에서 자란다."]
    again = pixie("index", rows, "-o", path, "--split", "64", "--sync", "--yes", "--json")
    assert again.exit_code == 0  # remembered
    with SparseRetriever.from_index(path, encoder=encoder) as retriever:
        assert [one.text for one in retriever.get(["rice#1"])] == ["벼 (2020)\n논에서 자란다."]
    for other, messages in (
        ("{year}: {text}", ("encodes '{title} ({year})", "leave --template out")),
        ("{year}", ("--template is '{year}'; pass fields with {text} among them once",)),
    ):
        refused = pixie("index", rows, "-o", path, "--template", other)
        assert refused.exit_code == 1
        for message in messages:
            assert message in refused.stderr
