"""Drives a decoder over the same bytes cut in every way; what comes out must not differ.

One rule holds here: an outcome is all that a caller can see. Two outcomes that are equal are the
same to him.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from batonics.codec.dbn import DbnDecoder
from batonics.codec.itch import ItchDecoder
from batonics.codec.lobster import LobsterDecoder
from batonics.codec.messages import OtherRecord
from batonics.codec.metadata import Metadata, encode_metadata
from batonics.codec.ndjson import NdjsonDecoder
from batonics.model.errors import BatonicsError
from batonics.model.mbo import MBO_DTYPE, MboBatch, batch_from_records, records_from_batch

Decoder = DbnDecoder | NdjsonDecoder | ItchDecoder | LobsterDecoder

METADATA = encode_metadata(Metadata(dataset="GLBX.MDP3"))


class DecodeOutcome(NamedTuple):
    """What a stream gave: rows as wire bytes, other records, the error, and the counts."""

    rows: bytes
    other_records: tuple[OtherRecord, ...]
    error: BatonicsError | None
    records: int
    row_count: int
    skipped: int
    byte_offset: int

    def visible(self) -> tuple[object, ...]:
        """The outcome with the error as its kind and its words."""
        return (*self[:2], type(self.error), str(self.error), *self[3:])


def decode_in_chunks(decoder: Decoder, data: bytes, chunk_bytes: int) -> DecodeOutcome:
    """Feed `data` in chunks, then close; errors become part of the outcome."""
    rows: list[bytes] = []
    other_records: list[OtherRecord] = []
    error = None
    chunks = [data[at : at + chunk_bytes] for at in range(0, len(data), chunk_bytes)]
    try:
        for chunk in [*chunks, decoder.TRAILER]:
            for batch in decoder.feed(chunk):
                rows.append(records_from_batch(batch).tobytes())
                other_records += decoder.other_records
                decoder.other_records.clear()
            other_records += decoder.other_records
            decoder.other_records.clear()
        decoder.close()
    except BatonicsError as raised:
        error = raised
    return DecodeOutcome(
        b"".join(rows),
        tuple(other_records),
        error,
        decoder.records,
        decoder.rows,
        decoder.skipped,
        decoder.byte_offset,
    )


def decode_every_way(make: Callable[[], Decoder], data: bytes) -> DecodeOutcome:
    """The outcome of `data` fed whole, which must be that of any other way to feed it."""
    whole = decode_in_chunks(make(), data, max(len(data), 1))
    for chunk_bytes in (1, 2, 55, 57, 4096):
        cut = decode_in_chunks(make(), data, chunk_bytes)
        assert cut.visible() == whole.visible(), f"in chunks of {chunk_bytes}"
    return whole


def mbo_rows(count: int) -> MboBatch:
    """Rows that differ in every field, of all actions and sides in turn."""
    index = np.arange(count)
    big = np.arange(count, dtype=np.uint64)
    records = np.zeros(count, MBO_DTYPE)
    records["publisher_id"] = 1 + index % 3
    records["instrument_id"] = 2**32 - 1 - index
    records["ts_event"] = np.uint64(2**63) + big
    records["order_id"] = np.uint64(2**64 - 1) - big
    records["price"] = index * 10**9 - 2**40
    records["size"] = 2**31 + index
    records["flags"] = index % 256
    records["channel_id"] = 255 - index % 256
    records["action"] = np.frombuffer(b"ACMRTFN", np.uint8)[index % 7]
    records["side"] = np.frombuffer(b"ABN", np.uint8)[index % 3]
    records["ts_recv"] = np.uint64(2**63 + 1) + big
    records["ts_in_delta"] = -index
    records["sequence"] = 7 * index
    return batch_from_records(records)
