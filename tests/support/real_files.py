"""The real MBO files, by name, as batches.

The rule: the list is closed, so that a file that is missing fails a test and is never passed over.
"""

from __future__ import annotations

import sys
from pathlib import Path

from batonics.codec.dbn import DbnDecoder
from batonics.model.mbo import MboBatch, concat_batches, copy_batch

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

CLX5 = "clx5/CLX5_mbo.dbn"
DBEQ = "dbeq/dbeq-20240131.mbo.dbn"
ESH4_DAYS = (
    "esh4/esh4-glbx-mdp3-20231224.mbo.dbn.zst",
    "esh4/esh4-glbx-mdp3-20231225.mbo.dbn.zst",
)
SMALL = (
    "venues/GLBX.MDP3.mbo.dbn.zst",
    "venues/IFEU.IMPACT.mbo.dbn.zst",
    "venues/NDEX.IMPACT.mbo.dbn.zst",
    "venues/XNAS.ITCH.mbo.dbn.zst",
    "dbn-versions/test_data.mbo.dbn",
    "dbn-versions/test_data.mbo.v1.dbn.zst",
    "dbn-versions/test_data.mbo.v2.dbn.zst",
    "dbn-versions/test_data.mbo.v3.dbn",
    "dbn-versions/test_data.mbo.v3.dbn.zst",
    "dbn-versions/live-mixed.v3.dbn.zst",
)
FILES = (CLX5, DBEQ, *ESH4_DAYS, *SMALL)


def read_mbo(path: Path) -> MboBatch:
    """All MBO rows of a DBN file, zstd or plain."""
    data = path.read_bytes()
    if path.suffix == ".zst":
        data = zstd.decompress(data)
    decoder = DbnDecoder()
    batches = [copy_batch(batch) for batch in decoder.feed(data)]
    decoder.close()
    return concat_batches(batches)
