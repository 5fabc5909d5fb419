"""What the page costs a browser: the first picture, and drawing each part again.

    python -m tests.bench.bench_page

It serves the sample, or CLX5 where BATONICS_TEST_DATA is set, to chromium without a screen. Drawing
is timed as it runs, with the layout of the table and a pixel of the canvas read back; the rate of
frames of a browser without a screen says nothing.
"""

from __future__ import annotations

import gzip
import os
import statistics
import time
from pathlib import Path

from batonics.server import page_files
from tests.bench.harness import figure, heading, print_machine
from tests.support.browser import Watched, open_browser
from tests.support.paths import DATA_VARIABLE, ROOT
from tests.support.real_files import CLX5
from tests.support.serve import serving

OPENINGS, DRAWINGS = 10, 300
DRAW = """
  async ([symbol, count]) => {
    const { drawHeatmap, drawNow } = await import("/page/heatmap_drawing.js");
    const { Ladder } = await import("/page/ladder.js");
    const get = async (path) => (await fetch(path)).json();
    const grid = await get(`/v1/heatmap/${symbol}?rows=90&columns=210`);
    const records = (await get(`/v1/trades?symbol=${symbol}&limit=20`)).records;
    const books = [];
    for (const { record } of records) {
      books.push(await get(`/v1/books/${symbol}?level=l3&depth=50&at=record:${record}`));
    }
    const canvas = document.getElementById("heatmap-cells");
    const ladder = new Ladder(() => {});
    const pixel = () => canvas.getContext("2d").getImageData(0, 0, 1, 1);
    const parts = {
      ladder: (at) => { ladder.show(books[at % books.length]); return document.body.offsetHeight; },
      "time in the heatmap": () => {
        drawNow(document.getElementById("heatmap-now"), grid, null);
      },
      heatmap: () => { drawHeatmap(canvas, grid); return pixel(); },
    };
    return Object.entries(parts).map(([name, draw]) => {
      const times = [];
      for (let at = 0; at < count; at += 1) {
        const started = performance.now();
        draw(at);
        times.push(performance.now() - started);
      }
      return [name, times];
    });
  }
"""


def main() -> None:
    """Print all figures."""
    print_machine()
    data = os.environ.get(DATA_VARIABLE)
    path = Path(data) / CLX5 if data else ROOT / "data" / "sample.dbn.zst"
    symbol = "CLX5" if data else "SIM0"
    with serving(path) as server, open_browser() as browser:
        heading(f"{path.name}, 1440 by 900 pixels")
        times = []
        for _ in range(OPENINGS):
            watched = Watched(browser, server.address, viewport={"width": 1440, "height": 900})
            started = time.perf_counter()
            watched.open(f"#symbol={symbol}")
            watched.page.wait_for_selector('#panels[aria-busy="false"]')
            times.append(time.perf_counter() - started)
            watched.page.context.close()
        figure("all panels shown, after opening", percentiles(times, 1e3))
        page = Watched(browser, server.address, viewport={"width": 1440, "height": 900})
        for name, drawings in page.open(f"#symbol={symbol}").evaluate(DRAW, [symbol, DRAWINGS]):
            figure(f"drawing the {name}", percentiles(drawings))
    files = (Path(page_files.__file__).parent / "page").iterdir()
    sent = [path for path in files if path.suffix in {".html", ".css", ".js"}]
    size = sum(len(gzip.compress(path.read_bytes())) for path in sent)
    figure("the page, gzip", f"{size / 1e3:,.1f} kB in {len(sent)} files")


def percentiles(times: list[float], scale: float = 1.0) -> str:
    """The median and the 99th percentile, in milliseconds."""
    cuts = statistics.quantiles(times, n=100, method="inclusive")
    return f"p50 {cuts[49] * scale:.1f} ms, p99 {cuts[98] * scale:.1f} ms"


if __name__ == "__main__":
    main()
