"""Tools found by what a request asks for, kept by name from one process to the next."""

from __future__ import annotations

import subprocess
import sys

import pytest

from pixie_retrievers.errors import (
    DuplicateIdError,
    InvalidDocumentError,
    InvalidParameterError,
    InvalidTextError,
)
from pixie_retrievers.retriever import SparseRetriever
from pixie_retrievers.tools import ToolChanges, ToolDescription, ToolIndex

TOOLS = [
    ToolDescription("get_weather", "도시의 오늘 날씨와 기온을 알려 준다."),
    ToolDescription("send_mail", "받는 사람에게 전자 우편을 보낸다."),
    ToolDescription("stock_price", "회사의 주가를 조회한다."),
    ToolDescription("launch_schedule", "로켓과 위성의 발사 일정을 찾는다."),
]


class Counted:
    """The bundled model, with a note of every document text that it encodes."""

    def __init__(self, encoder):
        self.encoder = encoder
        self.texts = []

    def __getattr__(self, name):
        return getattr(self.encoder, name)

    def encode_documents(self, texts, *, show_progress=False):
        self.texts.extend(texts)
        return self.encoder.encode_documents(texts, show_progress=show_progress)


@pytest.fixture
def index(encoder):
    with ToolIndex.open(encoder=encoder) as index:
        index.sync(TOOLS)
        yield index


def names(matches):
    return [match.name for match in matches]


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ("서울 날씨 어때?", "get_weather"),
        ("김 부장에게 우편을 보내 줘", "send_mail"),
        ("위성은 언제 발사하나요?", "launch_schedule"),
    ],
)
def test_the_tool_that_a_request_is_about_comes_first(index, request_, expected):
    matches = index.choose(request_)
    assert matches[0].name == expected
    scores = [match.score for match in matches]
    assert scores == sorted(scores, reverse=True)


def test_a_choice_names_the_tokens_that_made_it(index):
    match = index.choose("위성은 언제 발사하나요?", k=1, top_k_tokens=None)[0]
    contributions = match.explanation.contributions
    assert sum(one.contribution for one in contributions) == pytest.approx(match.score, abs=1e-5)
    assert {"위성", "발사"} & {one.surface for one in contributions}
    assert index.choose("위성", k=1, top_k_tokens=0)[0].explanation is None


def test_no_tool_is_an_answer(index):
    best = index.choose("위성은 언제 발사하나요?")[0].score
    assert index.choose("위성은 언제 발사하나요?", score_threshold=best + 1) == []
    index.score_threshold = best
    assert names(index.choose("위성은 언제 발사하나요?")) == ["launch_schedule"]
    assert index.choose("", score_threshold=0) == []


def test_only_tools_among_the_given_count(index):
    every = names(index.choose("위성은 언제 발사하나요? 날씨는?"))
    assert {"launch_schedule", "get_weather"} <= set(every)
    assert names(index.choose("위성은 언제 발사하나요? 날씨는?", among=["get_weather", "unknown"])) == ["get_weather"]
    assert index.choose("위성은 언제 발사하나요?", among=[]) == []
    assert index.choose("위성은 언제 발사하나요?", among=["no_such_tool"]) == []


def test_words_joined_by_underscores_are_found(encoder):
    with ToolIndex.open(encoder=encoder) as index:
        index.sync([ToolDescription("위성_발사_일정", ""), ToolDescription("김치_요리법", "")])
        assert names(index.choose("위성 발사", k=1)) == ["위성_발사_일정"]


def test_only_what_changed_is_encoded_and_written(encoder, tmp_path):
    counted = Counted(encoder)
    with ToolIndex.open(tmp_path / "tools.db", encoder=counted) as index:
        assert index.sync(TOOLS) == ToolChanges(tuple(tool.name for tool in TOOLS), (), ())
        counted.texts.clear()
        generation = index.sparse_retriever.index.stats().generation
        assert index.sync(TOOLS) == ToolChanges((), (), ())
        assert (counted.texts, index.sparse_retriever.index.stats().generation) == ([], generation)
        changed = ToolDescription("send_mail", "팩스를 보낸다.")
        assert index.sync([TOOLS[0], changed, *TOOLS[2:]]) == ToolChanges((), ("send_mail",), ())
        assert [text for text in counted.texts if text] == ["send mail: 팩스를 보낸다."]


def test_a_tool_that_left_the_set_is_no_longer_found(index):
    assert index.sync(TOOLS[:3]) == ToolChanges((), (), ("launch_schedule",))
    assert "launch_schedule" not in names(index.choose("위성은 언제 발사하나요?"))
    assert index.names() == [tool.name for tool in TOOLS[:3]]
    assert len(index) == 3
    assert index.sync([]) == ToolChanges((), (), tuple(tool.name for tool in TOOLS[:3]))
    assert index.choose("서울 날씨 어때?") == []


def test_agents_with_different_tools_may_share_an_index(index):
    assert index.sync(
        [TOOLS[0], ToolDescription("translate", "글을 다른 말로 옮긴다.")], keep_others=True
    ) == ToolChanges(("translate",), (), ())
    assert set(index.names()) == {*(tool.name for tool in TOOLS), "translate"}
    assert names(index.choose("위성은 언제 발사하나요?", k=1)) == ["launch_schedule"]


def test_a_cut_between_the_two_commits_leaves_nothing_that_the_next_sync_does_not_mend(index, monkeypatch):
    class Cut(Exception):  # noqa: N818  # it stands for a power cut
        pass

    def cut(documents):
        raise Cut

    new = ToolDescription("translate", "글을 다른 말로 옮긴다.")
    with monkeypatch.context() as patched:
        patched.setattr(index.sparse_retriever, "add", cut)
        with pytest.raises(Cut):
            index.sync([*TOOLS[:3], new])
    assert index.choose("위성은 언제 발사하나요?", among=["launch_schedule"]) == []
    assert index.sync([*TOOLS[:3], new]).added == ("translate",)
    assert index.names() == [*(tool.name for tool in TOOLS[:3]), "translate"]


@pytest.mark.new_process
def test_another_process_finds_the_same_tools_by_the_same_names(encoder, tmp_path):
    path = tmp_path / "tools.db"
    with ToolIndex.open(path, encoder=encoder) as index:
        index.sync(TOOLS)
        here = names(index.choose("위성은 언제 발사하나요?"))
    code = """
import sys
from pixie_retrievers.tools import ToolIndex
with ToolIndex.open(sys.argv[1]) as index:
    print(*(match.name for match in index.choose(sys.argv[2])))
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(path), "위성은 언제 발사하나요?"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == here


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (ToolDescription("get_weather", "둘째"), DuplicateIdError),
        (ToolDescription("", "이름이 없다"), InvalidDocumentError),
        (ToolDescription("broken", "\ud800"), InvalidTextError),
        (ToolDescription("silent", None), InvalidTextError),
    ],
)
def test_tools_that_cannot_be_kept_raise_and_change_nothing(index, bad, error):
    with pytest.raises(error):
        index.sync([TOOLS[0], bad])
    assert len(index) == len(TOOLS)
    assert names(index.choose("위성은 언제 발사하나요?", k=1)) == ["launch_schedule"]


ASKED = ["서울 날씨를 알려 줘", "오늘과 내일 중 언제인가요?"]


class TestAConversation:
    @pytest.mark.parametrize("answer", ["네, 그렇게 해 주세요", "내일", "응", "두 번째로 부탁해"])
    def test_an_answer_keeps_the_tools_of_the_request(self, index, answer):
        assert names(index.choose([*ASKED, answer], k=1)) == ["get_weather"]

    def test_an_answer_keeps_the_tools_of_what_the_other_side_offered(self, index):
        assert names(index.choose(["심심하네", "회사의 주가를 조회해 드릴까요?", "좋아"], k=1)) == ["stock_price"]

    def test_another_request_is_found_by_itself(self, index):
        alone = index.choose("회사의 주가를 조회해 줘")
        assert index.choose([*ASKED, "회사의 주가를 조회해 줘"]) == alone
        assert alone[0].name == "stock_price"

    def test_half_of_the_places_are_for_what_the_last_message_finds_alone(self, encoder):
        trains = [ToolDescription(f"train_{n}", "부산 가는 기차표를 예약한다.") for n in range(6)]
        with ToolIndex.open(encoder=encoder, k=4) as index:
            index.sync([*trains, ToolDescription("map", "지도를 본다."), ToolDescription("mail", "편지를 쓴다.")])
            said = ["부산 가는 기차표를 예약해 줘", "예약했습니다."]
            chosen = index.choose([*said, "지도"])
            assert len(chosen) == 4
            assert names(chosen)[-1] == "map"
            assert [match.score for match in chosen] == sorted((match.score for match in chosen), reverse=True)
            assert names(index.choose([*said, "지도"], k=1))[0].startswith("train")
            assert len(index.choose([*said, "지도"], k=8)) == 7

    def test_the_tokens_that_chose_a_tool_are_those_of_all_messages_that_count(self, index):
        (match,) = index.choose(["오늘 날씨를 알려 줘", "네"], k=1)
        assert match.explanation.score == match.score
        own = {one.surface.strip() for one in match.explanation.contributions if one.in_query}
        assert {"오늘", "날씨"} <= own

    def test_the_last_eight_messages_are_read_and_the_ends_of_the_earlier(self, index):
        waiting = ["잠깐"] * 6
        assert names(index.choose([*ASKED[:1], *waiting, "네"], k=1)) == ["get_weather"]
        assert names(index.choose([*ASKED[:1], *waiting, "음", "네"], k=1)) == []
        assert names(index.choose([ASKED[0] + " 음" * 400, "네"], k=1)) == []
        assert names(index.choose(["음 " * 400 + ASKED[0], "네"], k=1)) == ["get_weather"]

    def test_nothing_said_is_about_no_tool(self, index):
        assert index.choose([]) == index.choose([""]) == index.choose(["", " "]) == []

    def test_a_message_that_is_not_a_string_is_refused(self, index):
        with pytest.raises(InvalidTextError, match="NoneType"):
            index.choose([None, "네"])


def test_an_index_of_documents_is_not_taken_for_one_of_tools(encoder):
    with SparseRetriever.open(encoder=encoder) as retriever:
        retriever.add_texts(["위성은 지구를 돈다."])
        with pytest.raises(InvalidDocumentError, match="their own file"):
            ToolIndex(retriever).sync(TOOLS)
        assert len(retriever) == 1


@pytest.mark.parametrize("options", [{"k": 0}, {"top_k_tokens": -1}, {"score_threshold": "high"}])
def test_numbers_out_of_range_are_refused(index, options):
    with pytest.raises(InvalidParameterError):
        index.choose("날씨", **options)


def test_closing_leaves_open_what_was_passed_in(encoder):
    with SparseRetriever.open(encoder=encoder) as retriever:
        with ToolIndex(retriever) as index:
            index.sync(TOOLS)
        assert len(retriever) == len(TOOLS) + 1
