"""Which of 200 tools a conversation is about: by its last message, by all of them joined, and as ToolIndex reads it.

python tests/benchmarks/conversations.py
"""

from __future__ import annotations

import runpy
import sys
import time
from pathlib import Path

from pixie_retrievers import PixieEncoder
from pixie_retrievers.tools import ToolDescription, ToolIndex

EXAMPLE = Path(__file__).parents[2] / "examples" / "langchain_many_tools.py"
K = 5

# The user's messages and the assistant's, in turn, and the tool that is wanted then.
CONVERSATIONS = [
    (
        ["부산 가는 기차표를 예약해 줘", "KTX 10시 출발 편이 있습니다. 진행할까요?", "네, 그렇게 해 주세요"],
        "reserve_train",
    ),
    (["내일 서울 날씨를 검색해 줘", "어느 구의 날씨를 원하시나요?", "강남구요"], "search_weather"),
    (["주식 목록을 보여 줘", "국내와 해외 중 어느 쪽인가요?", "둘 다요"], "list_stock"),
    (["세금 계산서를 인쇄해 줘", "몇 부 필요하신가요?", "두 부 부탁해요"], "print_invoice"),
    (["도서관 책 예약을 취소해 줘", "정말 취소할까요?", "응"], "cancel_library"),
    (["병원 진료를 예약하고 싶어", "언제가 좋으세요?", "다음 주 화요일 오후 세 시"], "reserve_hospital"),
    (["택배를 검색해 줘", "송장 번호를 알려 주세요.", "1234-5678"], "search_parcel"),
    (["음악을 공유해 줘", "누구에게 보낼까요?", "엄마한테"], "share_music"),
    (["부산에 가야 하는데", "기차표를 예약해 드릴까요?", "네"], "reserve_train"),
    (["열이 나고 머리가 아파", "병원 진료를 예약해 드릴까요?", "그래, 부탁해"], "reserve_hospital"),
    (["저녁에 뭐 먹지", "요리법을 검색해 드릴까요?", "좋아요"], "search_recipe"),
    (["부산 가는 기차표를 예약해 줘", "예약했습니다.", "고마워. 이제 내일 날씨를 검색해 줘"], "search_weather"),
    (["뉴스 기사를 요약해 줘", "요약입니다. 정부가 새 정책을 발표했습니다.", "호텔 방을 비교해 줘"], "compare_hotel"),
    (["전자 우편을 보관해 줘", "보관했습니다.", "위성 영상을 공유해 줘"], "share_satellite"),
    (["대출을 비교해 줘", "은행 세 곳을 비교했습니다.", "이번에는 농작물 목록을 보여 줘"], "list_crop"),
    (["번역을 평가해 줘", "좋은 번역입니다.", "지도를 인쇄해 줄래?"], "print_map"),
    (["일정 목록을 보여 줘", "오늘은 회의가 두 번 있습니다.", "두 번째 것을 취소해 줘"], "cancel_calendar"),
    (["호텔 방을 검색해 줘", "세 곳을 찾았습니다.", "첫 번째 곳을 예약해 줘"], "reserve_hotel"),
    (["뉴스 기사를 검색해 줘", "다섯 건을 찾았습니다.", "요약해 줘"], "summarize_news"),
    (["대학 강의 목록을 보여 줘", "열 개가 있습니다.", "그중에서 제일 좋은 걸 공유해 줘"], "share_lecture"),
    (["약을 검색해 줘", "타이레놀이 있습니다.", "비슷한 것과 비교해 줄래?"], "compare_medicine"),
    (
        [
            "기차표를 예약해 줘",
            "어디로 가세요?",
            "부산",
            "몇 시에 출발할까요?",
            "아침 아홉 시쯤",
            "한 분이세요?",
            "네 혼자예요",
        ],
        "reserve_train",
    ),
    (
        [
            "호텔 방을 예약해 줘",
            "며칠 묵으세요?",
            "이틀",
            "어느 도시인가요?",
            "제주도",
            "바다 전망으로 할까요?",
            "그렇게 해 주세요",
        ],
        "reserve_hotel",
    ),
    (["안녕하세요", "안녕하세요! 무엇을 도와드릴까요?", "주식을 검색해 줘"], "search_stock"),
]

READINGS = {
    "the last message": lambda messages: messages[-1],
    "all messages joined": " ".join,
    "as a conversation": list,
}


def main() -> None:
    """Print how often each reading finds the wanted tool, and how long it takes."""
    tools = [ToolDescription(tool.name, tool.description) for tool in runpy.run_path(str(EXAMPLE))["TOOLS"]]
    for name, read in READINGS.items():
        with ToolIndex.open(encoder=PixieEncoder.bundled(), k=K) as index:
            index.sync(tools)
            index.choose("준비")
            places, seconds = [], []
            for messages, wanted in CONVERSATIONS:
                index.choose(read(messages[:-2] or ["준비"]))  # read when it was said
                start = time.perf_counter()
                chosen = [match.name for match in index.choose(read(messages))]
                seconds.append(time.perf_counter() - start)
                places.append(chosen.index(wanted) + 1 if wanted in chosen else None)
        found = sum(place is not None for place in places)
        median = sorted(seconds)[len(seconds) // 2] * 1000
        line = f"{name:<20} wanted tool among {K}: {found} of {len(places)}, first: {places.count(1)}, {median:.1f} ms"
        sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    main()
