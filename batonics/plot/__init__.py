"""Charts for notebooks and files: depth over time, depth by price, queues (the extra `plot`).

Each is an `altair` chart, which shows itself in a notebook; `chart.save("name.png")` writes it as
PNG, SVG or HTML, without a network.
"""

from batonics.frames.depth.book_charts import depth_chart, queue
from batonics.plot.heatmap_chart import heatmap

__all__ = ["depth_chart", "heatmap", "queue"]
