"""Batch downloads as the vendor lays them out, made of small files.

The rule: the four documents are what the vendor writes, key by key; a test changes one of them.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.support.dbn_files import SYMBOLS

JOB_ID = "TEST-20241006-ABCDEFGHIJ"
URL = f"https://api.databento.com/v0/batch/download/USER/{JOB_ID}"


def symbology(
    symbols: Mapping[str, int] = SYMBOLS, start: str = "2024-10-01", end: str = "2024-11-01"
) -> dict[str, Any]:
    """The document of symbols."""
    return {
        "result": {
            name: [{"d0": start, "d1": end, "s": str(number)}] for name, number in symbols.items()
        },
        "symbols": list(symbols),
        "stype_in": "raw_symbol",
        "stype_out": "instrument_id",
        "start_date": start,
        "end_date": end,
        "partial": [],
        "not_found": [],
        "message": "OK",
        "status": 0,
    }


def conditions(**days: str) -> list[dict[str, str | None]]:
    """The document of conditions; a day is named `d20241004`."""
    return [
        {
            "date": f"{day[1:5]}-{day[5:7]}-{day[7:]}",
            "condition": condition,
            "last_modified_date": None if condition == "missing" else "2024-10-06",
        }
        for day, condition in days.items()
    ]


def request_document(schema: str = "mbo") -> dict[str, Any]:
    """The document of the request."""
    return {
        "version": 1,
        "job_id": JOB_ID,
        "query": {
            "dataset": "XNAS.ITCH",
            "schema": schema,
            "symbols": list(SYMBOLS),
            "stype_in": "raw_symbol",
            "stype_out": "instrument_id",
            "start": 1728000000000000000,
            "end": 1728172800000000000,
            "limit": None,
            "encoding": "dbn",
            "compression": "zstd",
        },
        "customizations": {
            "pretty_px": False,
            "pretty_ts": False,
            "map_symbols": False,
            "split_symbols": False,
            "split_duration": "day",
            "split_size": None,
            "packaging": None,
            "delivery": "download",
        },
    }


def batch_files(
    data: Mapping[str, bytes],
    days: list[dict[str, str | None]] | None = None,
    symbols: dict[str, Any] | None = None,
) -> dict[str, bytes]:
    """All files of a download, by name."""
    documents = {
        "condition.json": conditions(d20241004="available") if days is None else days,
        "metadata.json": request_document(),
        "symbology.json": symbology() if symbols is None else symbols,
    }
    files = {name: json.dumps(document, indent=4).encode() for name, document in documents.items()}
    files |= data
    manifest = {
        "job_id": JOB_ID,
        "files": [
            {
                "filename": name,
                "size": len(content),
                "hash": f"sha256:{hashlib.sha256(content).hexdigest()}",
                "urls": {"https": f"{URL}/{name}", "ftp": f"ftp://ftp.databento.com/{name}"},
            }
            for name, content in files.items()
        ],
    }
    return files | {"manifest.json": json.dumps(manifest, indent=4).encode()}


def write_batch(directory: Path, files: Mapping[str, bytes]) -> Path:
    """The files in a new directory."""
    directory.mkdir(parents=True)
    for name, content in files.items():
        (directory / name).write_bytes(content)
    return directory


def zip_batch(path: Path, files: Mapping[str, bytes], place: str = "") -> Path:
    """The files in a zip archive: data as they are, documents deflated."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            how = zipfile.ZIP_DEFLATED if name.endswith(".json") else zipfile.ZIP_STORED
            archive.writestr(f"{place}{name}", content, how)
    return path
