"""What the ending of a file's name says of the format of the file.

The rule: a name that says one format never holds another.
"""

from __future__ import annotations

from pathlib import Path

from batonics.model.errors import UsageError

COMPRESSED = (".zst", ".gz", ".bz2", ".xz")
"""Endings that say how a file is compressed, behind the ending that says what it holds."""
FORMAT_ENDINGS = {
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".csv": "csv",
    ".json": "json",
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".dbn": "dbn",
}
"""Each ending of a name and the format that it says."""


def named_format(path: str | Path) -> str | None:
    """The format that a name says: `csv`, `csv.zst`; None where its ending says none.

    A name that ends in `.zst` alone says `zst`.
    """
    *stem, ending = ["", *Path(path).suffixes]
    ending = ending.lower()
    if ending not in COMPRESSED:
        return FORMAT_ENDINGS.get(ending)
    inner = FORMAT_ENDINGS.get(stem[-1].lower()) if stem else None
    return ending[1:] if inner is None else inner + ending


def check_file_name(path: str | Path, file_format: str) -> None:
    """Refuse a name that says another format than that of the file.

    Raises:
        UsageError: the name, what it says, and what the file would hold.
    """
    named = named_format(path)
    if named is None or named == file_format:
        return
    if f".{named}" in COMPRESSED and file_format.endswith(f".{named}"):
        return
    raise UsageError(
        f"{path}: the name says {named}, but the file would hold {file_format};"
        f" end it in .{file_format}"
    )
