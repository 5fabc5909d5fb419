"""The page of `batonics serve` in a real browser: what it shows is what the API says."""

from __future__ import annotations

import json
import random
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.support.browser import Watched, open_browser
from tests.support.command import SAMPLE, SCRIPT, environment
from tests.support.lakes import load
from tests.support.real_files import CLX5, ESH4_DAYS
from tests.support.serve import Server, serving

MOMENTS = 10
TOKEN = "3f9c1e7ab5d24c6880f1d2e3a4b5c6d7"
ROWS = """
  () => [...document.querySelectorAll("#ladder tbody tr")].map((row) => {
    const cells = [...row.cells].map((cell) => cell.textContent.trim());
    const [size, count] = row.dataset.side === "B" ? [1, 0] : [3, 4];
    return [row.dataset.side, cells[2], Number(cells[size]), Number(cells[count])];
  })
"""
TAPE = """
  () => [...document.querySelectorAll("#tape tbody tr")].map(
    (row) => [...row.cells].map((cell) => cell.textContent.trim()))
"""
QUEUE = """
  () => [...document.querySelectorAll("#queue button")].map(
    (button) => [button.dataset.order, Number(button.textContent)])
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as running:
        yield running


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving(SAMPLE) as running:
        yield running


@pytest.fixture
def watched(browser: Browser, server: Server) -> Iterator[Watched]:
    page = Watched(browser, server.address)
    yield page
    page.page.context.close()
    assert (page.errors, page.foreign) == ([], [])


def go_to(page: Page, fragment: str, at: str) -> None:
    """Show a view, and wait until the answers for its moment are shown."""
    page.evaluate("fragment => { location.hash = fragment; }", fragment)
    wait_for(page, at)


def wait_for(page: Page, at: str) -> None:
    page.wait_for_selector(f'#panels[data-at="{at}"][aria-busy="false"]')


def plain_price(text: str) -> str:
    """A price as the API writes it, without the zeros that align it."""
    return text.rstrip("0").rstrip(".") if "." in text else text


def levels(book: dict[str, Any], depth: int = 50) -> list[list[Any]]:
    """A book as the ladder shows it."""
    sides = [("A", book["asks"][:depth][::-1]), ("B", book["bids"][:depth])]
    return [
        [side, level["price"], level["size"], level["count"]]
        for side, rows in sides
        for level in rows
    ]


def shown_levels(page: Page) -> list[list[Any]]:
    return [[side, plain_price(price), *rest] for side, price, *rest in page.evaluate(ROWS)]


@pytest.mark.parametrize("names", [(CLX5,), ESH4_DAYS], ids=["CLX5", "ESH4"])
def test_numbers_are_those_of_the_api(
    browser: Browser, test_data: Path, names: tuple[str, ...]
) -> None:
    with serving(*(test_data / name for name in names)) as server:
        watched = Watched(browser, server.address)
        page = watched.open()
        (book,) = server.get("/v1/symbols").document["books"]
        symbol, count = book["symbol"], server.get("/v1/symbols").document["record_count"]
        chosen = random.Random(1).sample(range(count // 10, count), MOMENTS)
        for at in (f"record:{record}" for record in chosen):
            answer = server.get(f"/v1/books/{symbol}?at={at}&level=l3&depth=50").document
            best = answer["bids"][0]
            go_to(page, f"#symbol={symbol}&at={at}&side=B&price={best['price']}", at)
            assert shown_levels(page) == levels(answer)
            queue = [[order["order_id"], order["size"]] for order in best["orders"]]
            assert page.evaluate(QUEUE) == queue
            trades = server.get(
                f"/v1/trades?symbol={symbol}&at={at}&order=newest&limit=200"
            ).document["records"]
            tape = page.evaluate(TAPE)
            assert sum(int(row[3]) for row in tape) == sum(trade["size"] for trade in trades)
            if trades:
                assert (tape[0][0], plain_price(tape[0][2])) == (
                    trades[0]["ts_recv"][11:26],
                    trades[0]["price"],
                )
        assert (watched.errors, watched.foreign) == ([], [])


def test_an_order_shows_its_life(watched: Watched, server: Server) -> None:
    book = server.get("/v1/books/SIM0?level=l3&depth=1").document
    page = watched.open("#symbol=SIM0")
    page.keyboard.press("j")
    block = page.locator("#queue button").last
    expected = book["bids"][0]["orders"][-1]["order_id"]
    assert block.get_attribute("data-order") == expected
    block.click()
    page.wait_for_selector("#order article")
    (life,) = server.get(f"/v1/orders/{expected}").document["orders"]
    text = page.inner_text("#order")
    assert f"Ahead of it: {life['ahead']['orders']} orders of {life['ahead']['size']}" in text
    assert len(page.query_selector_all("#order li")) == len(life["records"])
    page.locator("#order li button").first.click()
    wait_for(page, f"record:{life['records'][0]['record']}")


def test_a_queue_shows_ages_and_refills(browser: Browser, test_data: Path) -> None:
    # The bid of 67 fills, whose first size was 1: an iceberg order of real data.
    view = "#symbol=CLX5&at=record:30546&side=B&price=64.8"
    with serving(test_data / CLX5) as server:
        watched = Watched(browser, server.address)
        page = watched.open(view)
        wait_for(page, "record:30546")
        queue = server.get("/v1/queues/CLX5?side=B&price=64.8&at=record:30546").document
        refilled = [one["order_id"] for one in queue["orders"] if one["is_refilled"]]
        assert refilled == ["8058566605345"]
        marked = page.locator("#queue .refilled")
        assert marked.get_attribute("data-order") == refilled[0]
        assert "filled 67 of first 1" in (marked.get_attribute("aria-label") or "")
        assert page.locator('#queue button:not([class*="age-"])').count() == 0
        assert (watched.errors, watched.foreign) == ([], [])
        page.context.close()


def test_books_stand_side_by_side(watched: Watched, server: Server) -> None:
    page = watched.open("#symbol=SIM0&at=record:50000")
    page.keyboard.press("b")
    page.keyboard.type("SIM1, SIM2 NONE")
    page.keyboard.press("Enter")
    page.wait_for_selector("#beside-panel article:nth-child(3)")
    wait_for(page, "record:50000")
    texts = page.locator("#beside-panel article").all_inner_texts()
    assert len(texts) == 3
    for symbol, text in zip(("SIM1", "SIM2"), texts, strict=False):
        book = server.get(f"/v1/books/{symbol}?at=record:50000&depth=3").document
        sizes = [level["size"] for level in (*book["asks"][::-1], *book["bids"])]
        assert [
            int(line.split("\t")[0] or line.split("\t")[2]) for line in text.splitlines()[-6:]
        ] == sizes
    assert "no book has the symbol 'NONE'" in texts[2]
    assert Axe().run(page).violations_count == 0
    page.locator("#beside-panel button").first.click()
    expect(page).to_have_title("SIM1 - batonics")


def test_keys_reach_everything(watched: Watched, server: Server) -> None:
    page = watched.open("#symbol=SIM0")
    page.select_option("#kind", "sweep")
    page.locator("#kind").evaluate("element => element.blur()")
    for key, path, kind in (
        ("Shift+ArrowLeft", "previous", "trade"),
        ("Shift+ArrowLeft", "previous", "trade"),
        ("ArrowLeft", "previous", "event"),
        ("ArrowRight", "next", "event"),
        ("Shift+ArrowRight", "next", "trade"),
        ("F", "previous", "sweep"),
        ("F", "previous", "sweep"),
        ("f", "next", "sweep"),
    ):
        at = page.locator("#panels").get_attribute("data-at") or ""
        suffix = f"&from={at}" if at else ""
        expected = server.get(f"/v1/{path}?symbol=SIM0&kind={kind}{suffix}").document["record"]
        page.keyboard.press(key)
        wait_for(page, f"record:{expected}")
    page.keyboard.press("End")
    wait_for(page, "")
    page.keyboard.press("t")
    page.keyboard.type("2026-01-05T14:30:40")
    page.keyboard.press("Enter")
    wait_for(page, "2026-01-05T14:30:40.000000000Z")
    page.keyboard.press("j")
    page.keyboard.press("j")
    assert page.locator('#ladder tr[aria-selected="true"]').count() == 1
    page.keyboard.press("/")
    page.keyboard.press("Control+a")
    page.keyboard.type("SIM3")
    page.keyboard.press("Enter")
    expect(page).to_have_title("SIM3 - batonics")
    page.keyboard.press("?")
    assert page.locator("#help").is_visible()
    listed = page.locator("#keys dt").all_inner_texts()
    assert {"Space", "ArrowLeft", "j", "k", "/", "t", "o", "d", "?"} <= set(listed)
    page.keyboard.press("Escape")
    theme = page.locator("html").get_attribute("data-theme")
    page.keyboard.press("d")
    assert page.locator("html").get_attribute("data-theme") != theme


def test_it_plays_to_the_end(watched: Watched, server: Server) -> None:
    page = watched.open("#symbol=SIM0&at=2026-01-05T14:30:05Z")
    wait_for(page, "2026-01-05T14:30:05Z")
    page.select_option("#speed", "100")
    page.click("#play")
    page.wait_for_selector('#panels[data-at=""]', timeout=120_000)
    wait_for(page, "")
    assert page.locator("#play").get_attribute("aria-pressed") == "false"
    assert shown_levels(page) == levels(server.get("/v1/books/SIM0").document)


def test_playing_asks_rest_for_little_and_pauses_exactly(watched: Watched, server: Server) -> None:
    page = watched.open("#symbol=SIM0&at=2026-01-05T14:30:05Z")
    wait_for(page, "2026-01-05T14:30:05Z")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.select_option("#speed", "10")
    page.click("#play")
    shown = re.compile("2026-01-05T14:(30:[2-5]|31)")
    expect(page.locator("#time")).to_have_value(shown, timeout=30_000)
    assert not [url for url in asked if "/v1/books/" in url or "/v1/trades" in url]
    page.click("#play")
    page.wait_for_selector('#panels[data-at^="record:"][aria-busy="false"]')
    at = page.locator("#panels").get_attribute("data-at") or ""
    assert shown_levels(page) == levels(server.get(f"/v1/books/SIM0?at={at}&depth=50").document)
    trades = server.get(f"/v1/trades?symbol=SIM0&at={at}&order=newest&limit=200").document
    sizes = sum(trade["size"] for trade in trades["records"])
    assert sum(int(row[3]) for row in page.evaluate(TAPE)) == sizes


def test_a_doubtful_book_says_so(watched: Watched) -> None:
    page = watched.open("#symbol=SIM0&at=2027-01-01T00:00:00Z")
    wait_for(page, "2027-01-01T00:00:00Z")
    assert "after_data" in page.inner_text("#status")


def test_a_problem_is_one_line_and_the_book_stays(watched: Watched) -> None:
    page = watched.open("#symbol=SIM0")
    before = shown_levels(page)
    for fragment, text in (
        ("#symbol=NONE", "no book has the symbol 'NONE'"),
        ("#symbol=SIM0&at=2020-01-01T00:00:00Z", "Before the data"),
        ("#symbol=SIM0&at=record:99999999", "No such record"),
    ):
        page.evaluate("fragment => { location.hash = fragment; }", fragment)
        expect(page.locator("#problem")).to_contain_text(text)
        assert shown_levels(page) == before


@pytest.mark.parametrize(
    ("scheme", "viewport"),
    [("light", (390, 844)), ("dark", (1440, 900))],
    ids=["light-390x844", "dark-1440x900"],
)
def test_axe_finds_nothing(
    browser: Browser, server: Server, scheme: str, viewport: tuple[int, int]
) -> None:
    size = {"width": viewport[0], "height": viewport[1]}
    watched = Watched(browser, server.address, color_scheme=scheme, viewport=size)
    page = watched.open("#symbol=SIM0")
    page.keyboard.press("j")
    page.locator("#queue button").first.click()
    page.wait_for_selector("#order article")
    results = Axe().run(page)
    assert results.violations_count == 0, results.generate_report()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.context.close()


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("page") / "lake"
    load(root, SAMPLE, schemas=["trades", "states-1"])
    return root


def ask_sql(page: Page) -> list[list[str]]:
    """Run the query of the SQL box by its key; the cells of the answer."""
    page.locator("#sql-text").press("Control+Enter")
    page.wait_for_selector('#sql-panel[aria-busy="true"], #sql-panel[aria-busy="false"]')
    page.wait_for_selector('#sql-panel[aria-busy="false"]')
    cells: list[list[str]] = page.evaluate(
        "() => [...document.querySelectorAll('#sql-table tbody tr')].map("
        "(row) => [...row.cells].map((cell) => cell.textContent))"
    )
    return cells


@pytest.mark.parametrize("scheme", ["dark"])
def test_the_sql_box_answers(browser: Browser, lake: Path, scheme: str) -> None:
    with serving(SAMPLE, "--lake", lake) as server:
        watched = Watched(
            browser,
            server.address,
            color_scheme=scheme,
            permissions=["clipboard-read", "clipboard-write"],
        )
        page = watched.open("#symbol=SIM1")
        page.keyboard.press("s")
        page.fill("#sql-text", "SELECT symbol, count(*) AS n FROM trades GROUP BY 1 ORDER BY 1")
        rows = ask_sql(page)
        assert [row[0] for row in rows] == [f"SIM{number}" for number in range(5)]
        assert "5 rows" in page.inner_text("#sql-summary")
        assert page.locator("#sql-chart .bar").count() == 5
        page.check("#sql-symbol")
        assert ask_sql(page) == [rows[1]]
        page.click("#sql-copy")
        expect(page.locator("#sql-summary")).to_contain_text("copied")
        assert (
            page.evaluate("navigator.clipboard.readText()") == f"symbol,n\r\nSIM1,{rows[1][1]}\r\n"
        )
        # A query of the menu: its parameter, and what has to be known of its answer.
        page.select_option("#sql-query", "spread_by_hour")
        page.fill('#sql-parameters input[name="tz"]', "Asia/Tokyo")
        assert ask_sql(page)[0][2:4] == ["23", "Asia/Tokyo"]
        assert "sessions_known is false" in page.inner_text("#sql-note")
        missing = page.locator('#sql-query option[value="depth_by_hour"]')
        assert (missing.is_disabled(), "no states_10" in missing.inner_text()) == (True, True)
        # A colleague who opens the URL has the same query.
        assert "query=spread_by_hour" in page.url
        assert "tz%3DAsia%252FTokyo" in page.url
        results = Axe().run(page)
        assert results.violations_count == 0, results.generate_report()
        page.select_option("#sql-query", "")
        page.fill("#sql-text", "DROP TABLE trades")
        ask_sql(page)
        assert "expected one SELECT statement" in page.inner_text("#sql-note")
        assert (watched.errors, watched.foreign) == ([], [])
        page.context.close()


def test_a_lake_alone_has_the_sql_box_alone(browser: Browser, lake: Path) -> None:
    with serving(lake) as server:
        watched = Watched(browser, server.address)
        page = watched.page
        page.goto(f"http://{server.address}/")
        page.wait_for_selector("#sql-panel:not([hidden])")
        assert ask_sql(page)
        assert not page.locator("#ladder-panel").is_visible()
        assert Axe().run(page).violations_count == 0
        assert (watched.errors, watched.foreign) == ([], [])
        page.context.close()


def test_a_server_that_comes_back(browser: Browser) -> None:
    with serving(SAMPLE) as first:
        watched = Watched(browser, first.address)
        page = watched.open("#symbol=SIM0")
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#problem")).to_contain_text("cannot be reached")
    with serving(SAMPLE, http=first.address):
        page.keyboard.press("ArrowLeft")
        expect(page.locator("#panels")).not_to_have_attribute("data-at", "")
        expect(page.locator("#problem")).to_be_hidden()
    page.context.close()


def test_a_token_is_asked_for_and_kept(browser: Browser) -> None:
    with serving(SAMPLE, BATONICS_TOKEN=TOKEN) as server:
        watched = Watched(browser, server.address)
        page = watched.page
        page.goto(f"http://{server.address}/#symbol=SIM0")
        for token in ("wrong", TOKEN):
            page.wait_for_selector("#token-dialog[open]")
            page.fill("#token", token)
            page.keyboard.press("Enter")
        page.wait_for_selector("#ladder tbody tr")
        page.reload()
        page.wait_for_selector("#ladder tbody tr")
        assert TOKEN not in page.url
        assert page.evaluate("localStorage.length") == 0
        page.context.close()


def test_open_hands_the_token_over_once(browser: Browser, tmp_path: Path) -> None:
    told = tmp_path / "url"
    opener = tmp_path / "opener"
    opener.write_text(f'#!/bin/sh\nprintf %s "$1" > {told}.new && mv {told}.new {told}\n')
    opener.chmod(0o755)
    command = [*SCRIPT, "serve", str(SAMPLE), "--http", "127.0.0.1:0", "--log-json", "--open"]
    changes = environment(BATONICS_TOKEN=TOKEN, BROWSER=str(opener))
    with subprocess.Popen(command, stderr=subprocess.PIPE, env=changes) as process:
        assert process.stderr is not None
        address = next(
            line["http"]
            for line in map(json.loads, process.stderr)
            if line["event"] == "server_started"
        )
        while not told.exists():
            assert process.poll() is None
        url = told.read_text()
        assert url.startswith(f"http://{address}/#code=")
        assert TOKEN not in url
        watched = Watched(browser, address)
        watched.page.goto(url)
        watched.page.wait_for_selector("#ladder tbody tr")
        assert "code" not in watched.page.url
        again = Watched(browser, address)
        again.page.goto(url)
        again.page.wait_for_selector("#token-dialog[open]")
        for page in (watched.page, again.page):
            page.context.close()
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
