"""The decoders of one stream that comes in several inputs, and the names that they come upon.

The rule here: instruments keep their numbers from input to input, which of NDJSON only its decoder
knows; and a name is told once.
"""

from __future__ import annotations

from batonics.codec.dbn import DbnDecoder
from batonics.codec.framing import Framing, LengthPrefixedDecoder
from batonics.codec.messages import RTYPE_SYMBOL_MAPPING, parse_symbol_mapping
from batonics.codec.metadata import Metadata, symbol_intervals
from batonics.codec.ndjson import NdjsonDecoder
from batonics.model.symbols import MappingInterval

Decoder = DbnDecoder | NdjsonDecoder


class DecoderFactory:
    """Gives a decoder for each input, in their order.

    Args:
        batch_rows, buffers, skip_bad: as `DbnDecoder` has them.
    """

    def __init__(self, *, batch_rows: int, buffers: int = 1, skip_bad: bool = False) -> None:
        self._batch_rows, self._buffers, self._skip_bad = batch_rows, buffers, skip_bad
        self._ndjson: NdjsonDecoder | None = None
        self._symbols_told = 0
        self._metadata_told: Metadata | None = None

    @property
    def numbers_symbols(self) -> bool:
        """Whether instruments are numbered by when their names came, as those of NDJSON are."""
        return self._ndjson is not None

    def begin(self, framing: Framing | None, source: str | None) -> Decoder:
        """The decoder of the next input, which is not packed."""
        if framing is Framing.NDJSON:
            if self._ndjson is None:
                self._ndjson = NdjsonDecoder(
                    batch_rows=self._batch_rows, skip_bad=self._skip_bad, source=source
                )
            else:
                self._ndjson.begin(source)
            return self._ndjson
        kind = LengthPrefixedDecoder if framing is Framing.LENGTH_PREFIXED else DbnDecoder
        return kind(
            batch_rows=self._batch_rows,
            buffers=self._buffers,
            skip_bad=self._skip_bad,
            source=source,
        )

    def new_mappings(self, decoder: Decoder, source: str | None) -> list[MappingInterval]:
        """The names that the decoder has come upon since the last time; its `others` are read."""
        if isinstance(decoder, NdjsonDecoder):
            if len(decoder.symbols) == self._symbols_told:
                return []
            self._symbols_told = len(decoder.symbols)
            return list(decoder.symbol_intervals())
        names = []
        if decoder.metadata is not None and decoder.metadata is not self._metadata_told:
            self._metadata_told = decoder.metadata
            names = list(symbol_intervals(decoder.metadata))
        return names + [
            parse_symbol_mapping(record, decoder.version, source)
            for record in decoder.other_records
            if record.rtype == RTYPE_SYMBOL_MAPPING
        ]
