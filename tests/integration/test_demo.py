"""`pixie demo`: what it promises, once as a person runs it, once as a program reads it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pytest
from rich.cells import cell_len

from pixie_retrievers.cli import corpus
from pixie_retrievers.filters import parse_filter

CARD = [
    "텔레픽스는 어떤 산업 분야에서 위성 데이터를 활용하나요?",
    "국방 분야에 어떤 위성 서비스가 제공되나요?",
    "텔레픽스의 기술 수준은 어느 정도인가요?",
]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The demo in a process, without a network and without a cached model."""
    folder = tmp_path_factory.mktemp("demo")
    (folder / "temporary").mkdir()
    (folder / "working").mkdir()
    environment = os.environ | {
        "HF_HUB_OFFLINE": "1",
        "HF_HOME": str(folder / "hub"),
        "TMPDIR": str(folder / "temporary"),
        "PYTHONIOENCODING": "utf-8",
        "PYTHONWARNINGS": "error",
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "COLUMNS": "80",
    }
    done = subprocess.run(
        [sys.executable, "-m", "pixie_retrievers.cli", "demo", "--queries", "1"],
        env=environment,
        cwd=folder / "working",
        capture_output=True,
        encoding="utf-8",
        timeout=600,
        check=False,
    )
    return done, folder


@pytest.fixture
def shown(run):
    return run[0].stdout


@pytest.fixture(scope="module")
def report(encoder, tmp_path_factory):
    """The demo's JSON; only the process that opens the file again loads a model."""
    from typer.testing import CliRunner

    from pixie_retrievers.cli.app import app
    from pixie_retrievers.encoder.pixie import PixieEncoder

    path = tmp_path_factory.mktemp("kept") / "demo.db"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PixieEncoder, "bundled", lambda **_: encoder)
        arguments = ["demo", "--model", "bundled", "--queries", "0", "--json", "-o", str(path)]
        done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert done.stderr == ""
    return json.loads(done.stdout)


# As a person runs it


def test_it_succeeds_without_a_complaint_and_leaves_nothing_behind(run):
    done, folder = run
    assert (done.returncode, done.stderr) == (0, "")
    left = [path.name for path in (folder / "temporary").iterdir()]
    assert [name for name in left if not name.startswith("torchinductor_")] == []  # torch makes it when imported
    assert list((folder / "working").iterdir()) == []


def test_it_says_in_one_line_that_the_bundled_model_takes_the_place_of_pixie(shown):
    assert [line for line in shown.splitlines() if "PIXIE" in line] == [
        "PIXIE is neither cached nor reachable on the hub: using the bundled model."
    ]


def test_it_asks_the_three_questions_of_the_model_card(shown):
    for question in CARD:
        assert f"? {question}\n" in shown


def test_each_hit_has_rank_score_text_and_tokens(shown):
    first = shown[shown.index(CARD[0]) : shown.index(CARD[1])]
    assert re.findall(r"^  (\d) .*  score +\d+\.\d\d$", first, re.MULTILINE) == ["1", "2", "3"]
    assert "위성 데이터를 분석하여" in first
    assert "query × text" in first
    assert len(re.findall(r"^    \S+ \d\.\d\d · ", first, re.MULTILINE)) == 2


def test_it_fits_a_narrow_terminal_without_colours(shown):
    assert "\x1b" not in shown
    assert max(cell_len(line) for line in shown.splitlines()) <= 80


def test_it_tells_what_the_new_process_found(shown):
    asked = len(re.findall(r"^\? ", shown, re.MULTILINE)) - 1  # the one before and after the changes stands there twice
    assert f"{asked} of {asked} questions find the same documents with the same scores" in shown


# As a program reads it


def test_the_whole_corpus_is_in_one_file(report):
    assert report["index"]["documents"] == len(corpus.passages()) >= 100
    texts = sum(len(document.text.encode()) for document in corpus.passages())
    assert report["index"]["bytes"] > texts


def test_every_question_gets_hits_whose_tokens_sum_to_the_score(report):
    assert [query["query"] for query in report["queries"]][:3] == CARD
    for query in report["queries"]:
        assert query["results"]
        for rank, hit in enumerate(query["results"], start=1):
            assert hit["rank"] == rank
            assert hit["text"]
            parts = [item["contribution"] for item in hit["explanation"]["contributions"]]
            assert parts
            assert sum(parts) + hit["explanation"]["residual"] == pytest.approx(hit["score"])


def test_one_question_shows_a_filter(report):
    filtered = [query for query in report["queries"] if "filter" in query]
    assert len(filtered) == 1
    question, condition = corpus.FILTERED
    assert filtered[0]["query"] == corpus.questions()[question].text
    assert filtered[0]["filter"] == condition
    assert all(parse_filter(condition).matches(hit["metadata"]) for hit in filtered[0]["results"])


def test_most_questions_find_their_answer_first(report):
    quality = report["quality"]
    assert quality["questions"] == len(corpus.questions())
    assert quality["right_at_rank_1"] > quality["questions"] / 2


def test_a_deletion_and_an_update_change_the_results(report):
    deleted, updated = report["deleted"], report["updated"]
    before, after = dict(deleted["before"]), dict(deleted["after"])
    assert deleted["id"] in before
    assert deleted["id"] not in after
    assert updated["before"] == deleted["after"]
    assert updated["after"] != updated["before"]
    assert dict(updated["before"])[updated["id"]] != dict(updated["after"])[updated["id"]]


def test_a_new_process_finds_the_same(report):
    reopened = report["reopened"]
    assert reopened["same"] == reopened["questions"] == len(report["queries"])
    # Encoded beside other questions, or alone.
    assert reopened["rankings"][0] == [[id, pytest.approx(score, rel=1e-5)] for id, score in report["updated"]["after"]]


def test_a_kept_file_is_an_index_like_any_other(report, encoder):
    from pixie_retrievers import SparseRetriever

    with SparseRetriever.from_index(report["index"]["path"], encoder=encoder, read_only=True) as retriever:
        assert len(retriever) == report["index"]["documents"] - 1
        assert retriever.get([report["deleted"]["id"]]) == [None]
        found = [[result.document.id, result.score] for result in retriever.search(CARD[0], 3)]
    assert found == [[id, pytest.approx(score, rel=1e-5)] for id, score in report["updated"]["after"]]


def test_a_file_that_exists_is_not_touched(tmp_path):
    from typer.testing import CliRunner

    from pixie_retrievers.cli.app import app

    path = tmp_path / "mine.db"
    path.write_text("mine")
    done = CliRunner().invoke(app, ["demo", "-o", str(path)])
    assert done.exit_code == 1
    assert "already exists" in done.stderr
    assert path.read_text() == "mine"


def test_the_corpus_is_sound():
    passages = {document.id for document in corpus.passages()}
    questions = corpus.questions()
    assert [questions[id].text for id in corpus.CARD] == CARD
    assert {id for question in questions.values() for id in question.relevant} <= passages
    assert {*corpus.CHOSEN, corpus.FILTERED[0]} <= questions.keys()
