"""`pixie rules`: shown, set, removed, undone, written to a file and taken from one."""

from __future__ import annotations

import json

import pytest

from pixie_retrievers import Document, SparseRetriever


@pytest.fixture
def index(tmp_path, encoder):
    with SparseRetriever.open(tmp_path / "corpus.db", encoder=encoder) as retriever:
        retriever.add(
            [Document("pool", "스레드 풀"), Document("riddle", "수수께끼는 풀립니다"), Document("leave", "휴가")]
        )
    return tmp_path / "corpus.db"


def listed(pixie, index):
    said = json.loads(pixie("rules", index, "--json").stdout)
    factors = {one["surface"]: one["factor"] for one in said["factors"]}
    expansions = {
        ("+".join(s["surface"] for s in one["from"]), one["to"]["surface"]): one["weight"] for one in said["expansions"]
    }
    return factors, expansions, said["version"]


def test_an_index_begins_without_rules(pixie, index):
    assert pixie("rules", index).stdout.startswith("No rules")
    assert listed(pixie, index) == ({}, {}, 0)


def test_rules_are_set_and_shown(pixie, index):
    result = pixie("rules", index, "--set", "풀=0.3", "--set", "휴가=2", "--expand", "연+차->휴가=0.8")
    assert result.exit_code == 0
    assert "연+차 → 휴가" in result.stdout
    assert "3 rules, version 1" in pixie("rules", index).stdout
    assert listed(pixie, index) == ({"풀": 0.3, "휴가": 2}, {("연+차", "휴가"): 0.8}, 1)


def test_searching_keeps_them_and_is_told_not_to(pixie, index):
    pixie("rules", index, "--set", "풀=0")
    assert "riddle" not in pixie("search", index, "스레드 풀").stdout
    assert "riddle" in pixie("search", index, "스레드 풀", "--rules", "off").stdout
    assert "풀" in pixie("explain", index, "스레드 풀", "pool", "--rules", "off", "--json").stdout
    assert "shares no token" in pixie("why-not", index, "스레드 풀", "riddle").stdout
    assert json.loads(pixie("compare", index, "스레드 풀", "pool", "riddle", "--json").stdout)["b"]["score"] == 0


def test_rules_are_removed_and_undone(pixie, index):
    pixie("rules", index, "--set", "풀=0.3", "--set", "휴가=2", "--expand", "풀->휴가=0.5")
    pixie("rules", index, "--remove", "풀")
    assert listed(pixie, index) == ({"휴가": 2}, {}, 2)
    pixie("rules", index, "--undo")
    assert listed(pixie, index) == ({"풀": 0.3, "휴가": 2}, {("풀", "휴가"): 0.5}, 3)
    pixie("rules", index, "--clear")
    assert listed(pixie, index)[0] == {}


def test_rules_go_through_a_file(pixie, index, tmp_path):
    file = tmp_path / "rules.json"
    pixie("rules", index, "--set", "풀=0.3")
    assert pixie("rules", index, "--export", file).exit_code == 0
    pixie("rules", index, "--clear")
    assert "riddle" in pixie("search", index, "풀", "--rules", file).stdout
    pixie("rules", index, "--import", file, "--set", "휴가=2")
    assert listed(pixie, index)[0] == {"풀": 0.3, "휴가": 2}


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--set", "풀"], 2, "there is no ="),
        (["--set", "풀=viel"], 2, "not WORD=FACTOR"),
        (["--set", "연차=2"], 1, "apart into '연', '차'"),
        (["--set", "풀=-1"], 1, "factor of '풀'"),
        (["--expand", "풀=2"], 2, "WORD->WORD=WEIGHT"),
        (["--expand", "풀->풀=2"], 1, "other tokens"),
        (["--remove", "풀"], 1, "no rule about '풀'"),
        (["--undo"], 1, "nothing to undo"),
        (["--undo", "--clear"], 2, "goes alone"),
    ],
)
def test_what_cannot_be_is_refused_and_changes_nothing(pixie, index, arguments, code, said):
    result = pixie("rules", index, *arguments)
    assert result.exit_code == code
    assert said in " ".join(result.stderr.replace("│", " ").split())
    assert listed(pixie, index) == ({}, {}, 0)


def test_info_says_which_rules_are_in_force(pixie, index):
    assert "\nrules " not in pixie("info", index).stdout
    pixie("rules", index, "--set", "풀=0.3")
    shown = pixie("info", index).stdout
    said = json.loads(pixie("info", index, "--json").stdout)["rules"]
    assert f"1 rule, version 1, {said['fingerprint']}" in shown
    assert len(said["fingerprint"]) == 12
