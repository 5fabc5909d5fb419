"""Charts: what they show is what the books hold, and files of them work offline."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import batonics
import batonics.plot
from batonics.model.errors import UsageError
from tests.support.command import SAMPLE, run_command
from tests.support.dbn_files import DAY_NS, adds, encode, metadata
from tests.support.real_files import CLX5

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def books() -> batonics.Books:
    return batonics.reconstruct(SAMPLE)


@pytest.fixture(scope="module")
def chart() -> dict[str, Any]:
    found: dict[str, Any] = batonics.plot.heatmap(SAMPLE, "SIM0", rows=20, columns=30).to_dict()
    return found


def values_of(spec: dict[str, Any], layer: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    """The data of a layer of a chart; None: of the chart itself."""
    found: list[dict[str, Any]] = spec["datasets"][(layer or spec)["data"]["name"]]
    return found


def test_the_last_column_of_a_heatmap_is_the_book(
    chart: dict[str, Any], books: batonics.Books
) -> None:
    levels = books.symbol_levels("SIM0", prices="float")
    low, high = chart["layer"][0]["encoding"]["y"]["scale"]["domain"]
    for layer, side in zip(chart["layer"][:2], "BA", strict=True):
        cells = values_of(chart, layer)
        last = max(cell["end"] for cell in cells)
        inside = levels.filter(
            pl.col("side") == side, pl.col("price") >= low - 1e-12, pl.col("price") < high - 1e-12
        )
        shown = [cell for cell in cells if cell["end"] == last]
        assert sum(cell["size"] for cell in shown) == inside["size"].sum() > 0
        for cell in shown:
            band = inside.filter(
                pl.col("price") >= cell["low"] - 1e-12, pl.col("price") < cell["high"] - 1e-12
            )
            assert band["size"].sum() == cell["size"]


def test_a_heatmap_has_best_prices_and_trades(chart: dict[str, Any], books: batonics.Books) -> None:
    best = books.symbol_levels("SIM0", prices="float").filter(level=0)
    for layer, side in zip(chart["layer"][2:4], "BA", strict=True):
        assert values_of(chart, layer)[-1]["price"] == best.filter(side=side)["price"].item()
    trades = batonics.scan_mbo(SAMPLE).filter(symbol="SIM0", action="T").collect()
    assert sum(one["volume"] for one in values_of(chart, chart["layer"][4])) <= trades["size"].sum()


@pytest.mark.filterwarnings("ignore::batonics.DataWarning")
def test_gaps_are_gaps(tmp_path: Path) -> None:
    files, hour_ns = [], 3_600_000_000_000
    for start in (DAY_NS, DAY_NS + 3 * hour_ns):
        rows = encode(adds(400, ts_recv=start + 1_000))
        files.append(str(tmp_path / f"{start}.dbn"))
        Path(files[-1]).write_bytes(metadata(start=start, end=start + hour_ns) + rows)
    found = batonics.plot.heatmap(files, "AAA", rows=10, columns=40).to_dict()
    # No file covers the time between them, so each has a panel.
    first, second = (
        panel["layer"][0]["encoding"]["x"]["scale"]["domain"] for panel in found["hconcat"]
    )
    assert second[0] - first[1] > 1.9 * 3_600_000


def test_sessions_are_panels(test_data: Path) -> None:
    session = "21:00-20:59 UTC"
    found = batonics.plot.heatmap(str(test_data / CLX5), session=session, columns=40, rows=10)
    spec = found.to_dict()
    panels = spec["hconcat"]
    first = [values_of(spec, panel["layer"][0])[0]["start"] for panel in panels]
    hour = 3_600_000
    assert [int(start // hour % 24) for start in first] == [19, 21]
    # The file begins within the day: the picture says that orders may be missing.
    assert any(line.startswith("cold: ") for line in spec["title"]["subtitle"])


def test_a_depth_chart_adds_up_sizes(books: batonics.Books) -> None:
    spec = books.plot("SIM1").to_dict()
    assert spec == batonics.plot.depth_chart(books, "SIM1").to_dict()
    levels = books.symbol_levels("SIM1", prices="float")
    for word, side in (("bid", "B"), ("ask", "A")):
        rows = [row for row in values_of(spec) if row["side"] == word]
        sizes = levels.filter(side=side).sort("level")["size"]
        assert [row["depth"] for row in rows] == sizes.cum_sum()[: len(rows)].to_list()
        # Levels far away, with a tenth of the size, are not drawn; the title says how much.
        assert rows[-1]["depth"] >= 0.9 * sum(sizes.to_list())
    outside = sum(levels["size"].to_list()) - sum(row["size"] for row in values_of(spec))
    assert f"{outside:,} further away" in spec["title"]


def test_a_queue_has_its_orders_in_order(books: batonics.Books) -> None:
    spec = batonics.plot.queue(books, "SIM0", side="A").to_dict()
    orders = books.orders().filter(symbol="SIM0", side="A")
    best = orders.filter(pl.col("price") == orders["price"].min()).sort("position")
    rows = values_of(spec)
    assert [(row["order"], row["size"]) for row in rows] == [
        (str(order_id), size) for order_id, size in best.select("order_id", "size").iter_rows()
    ]
    assert [row["ahead"] for row in rows] == [0, *best["size"].cum_sum().to_list()[:-1]]


def test_what_cannot_be_drawn_is_one_line(books: batonics.Books) -> None:
    draws: tuple[Callable[[], Any], ...] = (
        lambda: batonics.plot.depth_chart(books),
        lambda: batonics.plot.depth_chart(books, "NONE"),
        lambda: batonics.plot.queue(books, "SIM0", side="X"),
        lambda: batonics.plot.queue(books, "SIM0", price="1"),
        lambda: batonics.plot.heatmap(SAMPLE),
        lambda: batonics.plot.heatmap(SAMPLE, "NONE"),
        lambda: batonics.plot.heatmap(SAMPLE, "SIM0", start="2027-01-01"),
    )
    for draw in draws:
        with pytest.raises(UsageError) as caught:
            draw()
        assert len(str(caught.value).splitlines()) == 1


def test_files_of_charts_work_offline(tmp_path: Path) -> None:
    command = "plot", str(SAMPLE), "--symbols", "SIM0", "--columns", "20", "--rows", "10", "--out"
    for ending in ("png", "svg", "html"):
        out = tmp_path / f"heatmap.{ending}"
        assert run_command(*command, str(out)).code == 0
        content = out.read_bytes()
        if ending == "png":
            assert content.startswith(PNG)
        elif ending == "svg":
            assert content.startswith(b"<svg")
            assert content.count(b"<path") > 100
        else:
            assert b"vegaEmbed" in content
            assert b'src="http' not in content
            assert b"import(" not in content[:2_000]


def test_a_name_without_a_format_is_refused_before_reading(tmp_path: Path) -> None:
    result = run_command("plot", str(tmp_path / "none.dbn"), "--out", str(tmp_path / "a.gif"))
    assert result.code != 0
    assert "must end in .png, .svg or .html" in result.err
    assert len(result.err.splitlines()) == 1
