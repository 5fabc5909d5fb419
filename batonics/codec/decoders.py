"""Decoders for the inputs of one stream, and the symbols that they find.

The rule here: instruments keep their ids from input to input; those of NDJSON are numbered by its
decoder, which is kept. Each symbol mapping is returned once.
"""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Union

from batonics.codec.dbn import METADATA_BYTES_MAX, DbnDecoder
from batonics.codec.framing import NUMBERED_FORMS, TABLES, Framing, LengthPrefixedDecoder
from batonics.codec.itch import ItchDecoder
from batonics.codec.lobster import LobsterDecoder
from batonics.codec.metadata import SCHEMA_MBO, Metadata, symbol_intervals
from batonics.codec.ndjson import NdjsonDecoder
from batonics.codec.session_day import find_itch_day, find_lobster_day
from batonics.model.errors import InputError
from batonics.model.record_columns import NO_NOTES, TableNotes
from batonics.model.symbols import MappingInterval

if TYPE_CHECKING:
    from batonics.codec.record_text import RecordTextDecoder

Decoder = Union[DbnDecoder, NdjsonDecoder, ItchDecoder, LobsterDecoder, "RecordTextDecoder"]


class DecoderFactory:
    """Makes the decoder of each input of a stream, in order.

    Args:
        batch_rows: the greatest number of rows of a batch.
        buffers: the number of batches that stay valid (DBN only).
        skip_bad: whether bad records are counted and skipped.
        any_schema: DBN files of schemas other than mbo are read too; all their records are other
            records.
        metadata_bytes_max: longer metadata is refused, except in a plain file of that size.
        ends_at_error: whether an error message of the gateway ends the stream.
        lossy: whether tables may have values of which something is lost; None: no table is read.
        session_date: the day of ITCH files whose names do not say it.
    """

    def __init__(  # noqa: PLR0913 - settings, by keyword
        self,
        *,
        batch_rows: int,
        buffers: int = 1,
        skip_bad: bool = False,
        any_schema: bool = False,
        metadata_bytes_max: int = METADATA_BYTES_MAX,
        ends_at_error: bool = False,
        lossy: bool | None = None,
        session_date: date | None = None,
    ) -> None:
        self._lossy, self._session_date = lossy, session_date
        self._numbers_symbols = False
        self._ends_at_error = ends_at_error
        self._metadata_bytes_max = metadata_bytes_max
        self._batch_rows, self._buffers, self._skip_bad = batch_rows, buffers, skip_bad
        self._schema = None if any_schema else SCHEMA_MBO
        self._ndjson: NdjsonDecoder | None = None
        self._symbols_returned = 0
        self._metadata_returned: Metadata | None = None

    @property
    def numbers_symbols(self) -> bool:
        """Whether instruments are numbered in the order of their first symbols."""
        return self._numbers_symbols

    def begin(
        self, framing: Framing | None, source: str | None, file_bytes: int | None = None
    ) -> Decoder:
        """The decoder of the next input, which is plain.

        Args:
            framing: the form of its bytes.
            source: a name for error messages.
            file_bytes: the size of the file that the input is; None: it is compressed, or no file.
        """
        self._numbers_symbols |= framing in NUMBERED_FORMS
        if framing is Framing.NDJSON:
            if self._ndjson is None:
                self._ndjson = NdjsonDecoder(
                    batch_rows=self._batch_rows, skip_bad=self._skip_bad, source=source
                )
            else:
                self._ndjson.begin(source)
            return self._ndjson
        if framing in TABLES:
            return self._begin_text(framing, source)
        if framing is Framing.ITCH:
            return self._begin_itch(source)
        if framing is Framing.LOBSTER:
            return self._begin_lobster(source)
        kind = LengthPrefixedDecoder if framing is Framing.LENGTH_PREFIXED else DbnDecoder
        return kind(
            batch_rows=self._batch_rows,
            buffers=self._buffers,
            skip_bad=self._skip_bad,
            source=source,
            metadata_bytes_max=self._metadata_bytes_max,
            file_bytes=file_bytes,
            schema=self._schema,
            ends_at_error=self._ends_at_error,
        )

    def _begin_itch(self, source: str | None) -> ItchDecoder:
        day = find_itch_day(source, self._session_date)
        return ItchDecoder(
            day.session,
            publisher_id=day.publisher_id,
            batch_rows=self._batch_rows,
            buffers=self._buffers,
            skip_bad=self._skip_bad,
            source=source,
        )

    def _begin_lobster(self, source: str | None) -> LobsterDecoder:
        day = find_lobster_day(source)
        return LobsterDecoder(
            day.ticker,
            day.session,
            batch_rows=self._batch_rows,
            buffers=self._buffers,
            skip_bad=self._skip_bad,
            source=source,
        )

    def _begin_text(self, framing: Framing | None, source: str | None) -> RecordTextDecoder:
        """The decoder of CSV or JSON records.

        Raises:
            InputError: tables are not read, or the form is read from files only.
        """
        # pyarrow takes a third of a second to import, and most input is no table.
        from batonics.codec.csv_records import CsvDecoder
        from batonics.codec.json_records import JsonRecordsDecoder

        kinds = {Framing.CSV: CsvDecoder, Framing.JSON_RECORDS: JsonRecordsDecoder}
        if self._lossy is None or framing not in kinds:
            form = framing.value if framing else "of no form"
            where = "as a feed" if self._lossy is None else "from a pipe, or compressed"
            prefix = f"{source}: " if source else ""
            raise InputError(f"{prefix}is {form}, which is not read {where}; write it to a file")
        return kinds[framing](
            batch_rows=self._batch_rows,
            buffers=self._buffers,
            skip_bad=self._skip_bad,
            lossy=self._lossy,
            source=source,
        )

    def new_mappings(self, decoder: Decoder) -> list[MappingInterval]:
        """The symbol mappings that a decoder has found since the last call."""
        if isinstance(decoder, NdjsonDecoder):
            first, self._symbols_returned = self._symbols_returned, len(decoder.symbols)
            return list(decoder.symbol_intervals(first))
        if not isinstance(decoder, DbnDecoder):
            return decoder.new_names()
        mappings = []
        if decoder.metadata is not None and decoder.metadata is not self._metadata_returned:
            self._metadata_returned = decoder.metadata
            mappings = list(symbol_intervals(decoder.metadata))
        contents = (record.content for record in decoder.other_records)
        return mappings + [known for known in contents if isinstance(known, MappingInterval)]


def describe_table(decoder: Decoder) -> TableNotes:
    """What a user has to know of the records so far, if they are a table."""
    return NO_NOTES if isinstance(decoder, (DbnDecoder, NdjsonDecoder)) else decoder.describe()
