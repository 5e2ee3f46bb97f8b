"""`pixie explore` in a real browser: each thing that a person does there, without an error, for everybody."""

from __future__ import annotations

import os
import re
import shutil
import threading
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from importlib.util import find_spec
from urllib.parse import parse_qs, quote, urlsplit

import pytest

from pixie_retrievers import Rules, SparseRetriever

BROWSER = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
PACKAGES = ("playwright", "axe_playwright_python", "starlette", "uvicorn")
MISSING = [name for name in PACKAGES if find_spec(name) is None] + ([] if BROWSER else ["chromium"])
if MISSING:
    said = f"the page is looked at with a browser: install {', '.join(MISSING)} (Debian has chromium)"
    if os.environ.get("PIXIE_REQUIRE_BROWSER") == "1":
        raise RuntimeError(said)
    pytest.skip(said, allow_module_level=True)

import uvicorn  # noqa: E402
from axe_playwright_python.sync_playwright import Axe  # noqa: E402
from playwright.sync_api import expect, sync_playwright  # noqa: E402

from pixie_retrievers.explore.app import make_app  # noqa: E402
from pixie_retrievers.tuning.effects import JudgedQuestions  # noqa: E402

pytestmark = [pytest.mark.new_process, pytest.mark.xdist_group("browser")]

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
HOSTILE = '<script>window.pwned = 1</script><img src=x onerror="window.pwned = 1"> 위성 \u202e거꾸로\u202c'
QUERY = "위성 사진"


JUDGED = [
    {"question": QUERY, "relevant": ["d2"]},
    {"question": "로켓 위성", "relevant": ["d4"]},
    {"question": "사진 위성", "relevant": ["d0"]},
]


@pytest.fixture(scope="module")
def retriever(encoder, tmp_path_factory):
    path = tmp_path_factory.mktemp("explore") / "corpus.db"
    texts = [
        "인공위성은 지구 궤도를 돌며 사진을 찍는다.",
        "로켓은 위성을 우주로 쏘아 올린다.",
        "사진가는 산에서 해가 뜨는 사진을 찍는다.",
        "벼는 물을 채운 논에서 자란다.",
        HOSTILE,
    ]
    metadatas = [{"year": 2018 + i, "field": ["우주", "농업"][i == 3], "title": f"글 {i}"} for i in range(len(texts))]
    with SparseRetriever.open(path, encoder=encoder) as retriever:
        retriever.add_texts(texts, metadatas, [f"d{i}" for i in range(len(texts))])
        yield retriever


@contextmanager
def served(app):
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join()


@pytest.fixture(scope="module")
def address(retriever):
    with served(make_app(retriever)) as address:
        yield address


@pytest.fixture(scope="module")
def editing(retriever, encoder):
    """The address of a page that may keep rules."""

    def keep(rules):
        return retriever.undo_rules() if rules is None else retriever.set_rules(rules)

    judged = JudgedQuestions(retriever.index, encoder, JUDGED)
    with served(make_app(retriever, judged=judged, keep=keep)) as address:
        yield address


@pytest.fixture
def without_rules(retriever):
    retriever.set_rules(Rules())
    yield
    retriever.set_rules(Rules())


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=FLAGS)
        expect.set_options(timeout=30_000)  # the first question waits for the search to be compiled
        yield browser
        browser.close()


@pytest.fixture
def page(browser, address):
    """A page whose console stays silent."""
    context = browser.new_context(base_url=address, viewport={"width": 1200, "height": 900})
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    yield page
    assert said == []
    assert page.evaluate("window.pwned") is None
    context.close()


def ids(page):
    return page.locator("#hits .id").all_inner_texts()


def scores(page):
    return [float(score) for score in page.locator("#hits .score").all_inner_texts()]


def state(page):
    return {name: values[0] for name, values in parse_qs(urlsplit(page.url).query).items()}


def test_it_searches_as_one_types_and_the_url_says_what_it_shows(page):
    page.goto("/")
    page.get_by_role("searchbox").press_sequentially(QUERY, delay=20)
    expect(page.locator("#hits .hit").first).to_contain_text("위성")
    page.wait_for_url(re.compile(r"\?q="))
    assert state(page) == {"q": QUERY}
    before = ids(page)
    page.reload()
    assert ids(page) == before
    assert before[0] == "d0"


def test_marks_stand_under_the_tokens_that_match(page):
    page.goto(f"/?q={quote(QUERY)}")
    marked = page.locator("#hits .hit").first.locator("mark").all_inner_texts()
    assert {"위성", "사진"} <= set(marked)


def test_a_filter_that_the_index_offers_narrows_the_hits(page):
    page.goto(f"/?q={quote(QUERY)}")
    page.get_by_text("Filters").click()
    page.get_by_label("year").select_option("2019")
    page.wait_for_url(re.compile("is.year=2019"))
    expect(page.locator("#hits .hit")).to_have_count(1)
    assert ids(page) == ["d1"]
    page.reload()
    assert ids(page) == ["d1"]


def test_a_token_switched_off_and_a_slider_change_the_ranking_at_once(page):
    page.goto(f"/?q={quote(QUERY)}")
    before, whole = ids(page), scores(page)
    tokens = page.locator("#tokens li")
    satellite = tokens.filter(has_text="위성").first
    satellite.get_by_role("checkbox").click()
    page.wait_for_url(re.compile("w="))
    expect(page.locator("#hits .why").first).not_to_contain_text("위성")
    assert scores(page) < whole
    assert satellite.get_by_role("slider").input_value() == "0"
    satellite.get_by_role("slider").fill("2")
    expect(page.locator("#hits .why").first).to_contain_text("위성")
    assert scores(page) > whole
    assert state(page)["w"].endswith(":2")
    page.reload()
    page.get_by_role("link", name="as it is kept").click()
    assert state(page) == {"q": QUERY}
    assert ids(page) == before


@pytest.mark.usefixtures("without_rules")
def test_a_sliders_setting_is_tried_on_judged_questions_kept_and_undone(page, editing, retriever):
    page.goto(f"{editing}/?q={quote(QUERY)}")
    whole = scores(page)
    row = page.locator("#tokens li").filter(has_text="위성").first
    row.get_by_role("checkbox").click()
    page.get_by_role("link", name="Keep these weights").click()
    expect(page.locator("#effect")).to_contain_text("1 better, 0 worse, 2 as they were, of 3 judged questions")
    expect(page.locator(".changes").first).to_contain_text(QUERY)
    page.get_by_role("button", name="Keep").click()
    expect(page.get_by_role("heading", name="Kept, version")).to_be_visible()
    assert [(one.term.surface, one.factor) for one in retriever.rules.factors] == [("위성", 0)]
    page.get_by_role("link", name="Search").click()
    assert scores(page) < whole
    expect(row.locator(".rule")).to_have_text("× 0, by hand")
    expect(row.get_by_role("checkbox")).not_to_be_checked()
    assert state(page) == {"q": QUERY}
    row.get_by_role("checkbox").click()
    page.wait_for_url(re.compile(r"w=\d+%3A1$"))
    page.get_by_role("link", name="Rules", exact=True).click()
    page.get_by_role("button", name="Undo").click()
    expect(page.locator("main")).to_contain_text("There are no rules")
    assert not retriever.rules


def test_a_page_that_only_reads_says_how_to_keep(page):
    page.goto(f"/rules?q={quote(QUERY)}&w=100:0.5")
    expect(page.locator("main")).to_contain_text("--edit")
    expect(page.locator("main")).to_contain_text("--judged")
    expect(page.get_by_role("button")).to_have_count(0)


def test_a_document_with_its_terms_and_back(page):
    page.goto(f"/?q={quote(QUERY)}")
    page.locator("#hits h3 a").first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("글 0")
    expect(page.get_by_role("row").nth(1)).to_contain_text("the text")
    page.get_by_role("link", name="back to the search").click()
    assert state(page) == {"q": QUERY}


def test_two_documents_side_by_side(page):
    page.goto(f"/?q={quote(QUERY)}")
    page.get_by_role("link", name="beside the first").first.click()
    expect(page.locator(".sides .hit")).to_have_count(2)
    differences = [float(cell) for cell in page.locator(".terms td:last-child").all_inner_texts()]
    assert any(differences)


def test_why_not_says_what_keeps_a_document_out(page):
    page.goto(f"/why-not?q={quote(QUERY)}")
    page.get_by_label("The document's id").fill("d3")
    page.get_by_role("button", name="Ask").click()
    expect(page.locator(".verdict")).to_contain_text("no token")
    page.goto(f"/why-not?q={quote(QUERY)}&id=d1&is.year=2018")
    expect(page.locator(".verdict")).to_contain_text("filter")


def test_the_index_in_figures(page):
    page.goto("/statistics")
    expect(page.locator(".facts")).to_contain_text("5")
    assert page.locator(".terms tbody tr").count() > 5


def test_hostile_text_stays_text(page):
    page.goto("/?q=" + quote("위성 script"))
    expect(page.locator("#hits")).to_contain_text("<script>window.pwned = 1</script>")
    page.goto("/document?id=d4")
    expect(page.locator(".whole")).to_contain_text("onerror")
    assert "\u202e" not in page.content()


def test_what_is_wrong_is_said(browser, address):
    page = browser.new_page(base_url=address)  # the browser itself says something of every status of 400 and more
    for path, match in (
        ("/?q=x&k=1000", "from 1 to 50"),
        ("/document?id=nothing", "no document"),
        ("/?q=x&w=zzz", "must be a number"),
    ):
        page.goto(path)
        expect(page.locator(".verdict, .none")).to_contain_text(match)
    page.close()


def test_by_keyboard_alone(page):
    page.goto("/")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.get_by_role("searchbox").focus()
    page.keyboard.type(QUERY)
    expect(page.locator("#hits .hit").first).to_be_visible()
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.type") == "range":
            break
    page.keyboard.press("ArrowRight")
    page.wait_for_url(re.compile("w="))
    assert page.evaluate("document.activeElement.type") == "range", "the slider keeps the focus while the ranking moves"


def test_on_a_phone_nothing_is_wider_than_the_screen(browser, address):
    context = browser.new_context(
        base_url=address, viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True
    )
    page = context.new_page()
    for path in (
        "/?q=" + quote(QUERY),
        "/document?id=d0",
        f"/compare?q={quote(QUERY)}&a=d0&b=d1",
        "/statistics",
        "/why-not",
        "/rules",
    ):
        page.goto(path)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, path
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_use_it(browser, address, scheme):
    context = browser.new_context(base_url=address, color_scheme=scheme, bypass_csp=True)
    page = context.new_page()
    for path in (
        "/",
        "/?q=" + quote(QUERY),
        "/document?id=d0",
        f"/compare?q={quote(QUERY)}&a=d0&b=d1",
        f"/why-not?q={quote(QUERY)}&id=d1&k=1",
        "/statistics",
        "/rules",
        "/nothing",
    ):
        page.goto(path)
        found = Axe().run(page)
        assert found.violations_count == 0, f"{path}: {found.generate_report()}"
    context.close()


def asked(address, path="/", **options):
    request = urllib.request.Request(address + path, **options)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, dict(answer.headers)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, dict(error.headers)


def test_another_sites_page_is_refused_and_nothing_is_written(address):
    assert asked(address)[0] == 200
    assert asked(address, headers={"Host": "evil.example"})[0] == 421
    assert asked(address, headers={"Origin": "https://evil.example"})[0] == 403
    assert asked(address, method="POST", data=b"q=1")[0] == 405
    assert asked(address, "/?q=" + "a" * 20_000)[0] == 414
    assert asked(address, "/static/../app.py")[0] == 404
    headers = asked(address)[1]
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["server-timing"].startswith("total;dur=")


def test_only_a_form_of_the_page_itself_keeps_rules(editing, retriever):
    own = {"Origin": editing, "Content-Type": "application/x-www-form-urlencoded"}
    for headers, data, status in (
        ({}, b"w=100:0", 403),
        (own | {"Origin": "null"}, b"w=100:0", 403),
        (own | {"Origin": "https://evil.example"}, b"w=100:0", 403),
        (own | {"Host": "evil.example"}, b"w=100:0", 421),
        (own, b"w=100:0", 400),
        (own, b"w=100:0&secret=guessed", 400),
        (own, b"w=" + b"1" * 20_000, 414),
    ):
        for path in ("/rules", "/rules/undo"):
            assert asked(editing, path, method="POST", data=data, headers=headers)[0] == status, (headers, data)
    assert asked(editing, "/", method="POST", data=b"q=1", headers=own)[0] == 405
    assert not retriever.rules
