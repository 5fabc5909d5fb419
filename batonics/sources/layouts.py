"""Layouts of data: directories, archives and buckets, and the files of them that are data.

The rule here: a listing has names, and an input for each; whatever is listed, the same rules say
which of them are data. Where there is a manifest, its files are, all of them and no others.
Otherwise those with an ending of data are. What is left out is said.
"""

from __future__ import annotations

import glob
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from batonics.codec.session_day import is_itch_name, is_lobster_book_name
from batonics.model.errors import DataWarning, InputError
from batonics.sources.batch_download import (
    CONDITIONS,
    MANIFEST,
    REQUEST,
    SUPPORT_BYTES_MAX,
    SUPPORT_FILES,
    BatchFacts,
)
from batonics.sources.input_files import InputFile, input_digest, input_size, read_whole
from batonics.sources.zip_archives import ZIP_MAGIC, ZipArchive, ZipMember

_FORMS = (".dbn", ".dbn.frag", ".csv", ".json", ".jsonl", ".ndjson")
_TABLES = (".parquet", ".arrow", ".feather", ".ipc")
_PACKED = (".zst", ".gz")
DATA_ENDINGS = (*_FORMS, *(f"{form}{packed}" for form in _FORMS for packed in _PACKED), *_TABLES)
"""Endings of files of directories that are data."""
ZIP_ENDING = ".zip"
NAMES_LISTED_MAX = 5


class Listing(NamedTuple):
    """The files of a directory, archive or prefix of a bucket.

    Attributes:
        name: its name, for messages.
        files: the input of each file, by name.
        directories: names of directories in it.
    """

    name: str
    files: Mapping[str, InputFile]
    directories: Sequence[str] = ()

    def documents(self) -> dict[str, bytes]:
        """The text of each support file that is there.

        Raises:
            InputError: one cannot be read, or is too large.
        """
        return {
            name: read_whole(self.files[name], SUPPORT_BYTES_MAX)
            for name in SUPPORT_FILES
            if name in self.files
        }


def list_directory(path: str) -> Listing:
    """The files of a directory. A link to a file counts as one.

    Raises:
        InputError: it cannot be listed.
    """
    try:
        with os.scandir(path) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise InputError(f"{path}: cannot be listed: {error.strerror}") from None
    files = {entry.name: InputFile(os.path.join(path, entry.name)) for entry in found}  # noqa: PTH118
    directories = [entry.name for entry in found if entry.is_dir()]
    for name in directories:
        del files[name]
    return Listing(path.rstrip("/") or "/", files, directories)


def list_archive(path: str) -> Listing:
    """The files of a zip archive, which may all be in one directory of it.

    Raises:
        InputError: the archive is refused, or its files are in several directories.
    """
    archive = ZipArchive(path)
    files: dict[str, InputFile] = {}
    places = set()
    for info in archive.members:
        place, _, name = info.filename.rpartition("/")
        if any(part.startswith(".") or part == "__MACOSX" for part in info.filename.split("/")):
            continue
        places.add(place)
        if name in files:
            raise InputError(f"{path}: has {name} twice; unpack it, and name its files")
        files[name] = ZipMember(archive, info)
    if len(places) > 1:
        raise InputError(f"{path}: has files in {len(places)} directories; unpack it")
    return Listing(path, files)


def is_archive(path: str) -> bool:
    """Whether a path is that of a zip archive, by its ending or its first bytes."""
    if path.endswith(ZIP_ENDING):
        return True
    if path.endswith(DATA_ENDINGS) or not Path(path).is_file():
        return False
    try:
        with Path(path).open("rb") as file:
            return file.read(len(ZIP_MAGIC)) == ZIP_MAGIC
    except OSError:
        return False  # who reads it says so


def data_files(listing: Listing) -> list[InputFile]:
    """The data files of a listing, by name.

    Raises:
        InputError: there are none; a file of the manifest is missing, or has another size; or there
            are data that the manifest does not know.
    """
    shown = {name: file for name, file in listing.files.items() if not name.startswith(".")}
    facts = read_facts(listing)
    data = {name: file for name, file in shown.items() if is_data_name(name)}
    if facts is not None and facts.files is not None:
        _check_manifest(listing, facts, data)
        data = {name: shown[name] for name in facts.files if name not in SUPPORT_FILES}
    if not data:
        advice = "name files"
        if listing.directories:
            advice = f"name its directories, such as {listing.name}/{listing.directories[0]}"
        raise InputError(f"{listing.name}: has no data files; {advice}")
    left_out = [name for name in shown if name not in data and name not in SUPPORT_FILES]
    left_out += [f"{name}/" for name in listing.directories if not name.startswith(".")]
    if left_out:
        listed = ", ".join(left_out[:NAMES_LISTED_MAX])
        more = len(left_out) - NAMES_LISTED_MAX
        listed += f" and {more:,} more" if more > 0 else ""
        warnings.warn(
            f"{listing.name}: left out, as no data files of it: {listed}", DataWarning, stacklevel=2
        )
    return [file.of_batch(facts) for _, file in sorted(data.items())]


def is_data_name(name: str) -> bool:
    """Whether a name of a directory is that of data."""
    if is_itch_name(name):
        return True
    is_other = name in SUPPORT_FILES or is_lobster_book_name(name)
    return name.endswith(DATA_ENDINGS) and not is_other


def read_facts(listing: Listing) -> BatchFacts | None:
    """What a listing says as a batch download; None: it is none.

    Raises:
        InputError: a file of the download is not what the vendor writes.
    """
    documents = listing.documents()
    # Any of these alone may be somebody else's.
    if MANIFEST not in documents and not {REQUEST, CONDITIONS} <= documents.keys():
        return None
    return BatchFacts(listing.name, documents)


def check_digests(inputs: Sequence[str]) -> None:
    """Compare the bytes of inputs with the digests of their manifests.

    Raises:
        InputError: a digest differs, or no manifest names an input.
    """
    for path in inputs:
        facts = path.facts if isinstance(path, InputFile) else None
        known = None if facts is None or facts.files is None else facts.files.get(_last_part(path))
        if facts is None or known is None:
            raise InputError(f"{path}: is in no manifest, so there is no checksum to verify")
        if input_digest(path) != known.digest:
            raise InputError(
                f"{path}: its SHA-256 is not that of {facts.name}/{MANIFEST}; download it again"
            )


def expand_glob(pattern: str) -> list[str]:
    """The paths that a pattern matches, by name; `**` stands for directories at any depth.

    Raises:
        InputError: none does.
    """
    found = sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207 - absolute patterns
    if not found:
        raise InputError(f"{pattern}: no file has such a name")
    return found


def is_glob(text: str) -> bool:
    """Whether a text is a pattern, and no file has it as its name."""
    return glob.has_magic(text) and not os.path.lexists(text)


def _check_manifest(listing: Listing, facts: BatchFacts, data: Mapping[str, InputFile]) -> None:
    """Refuse a download of which files are missing, cut, or not in its manifest."""
    again = "download it again"
    for name, expected in (facts.files or {}).items():
        if name not in listing.files:
            raise InputError(f"{listing.name}: {name} of {MANIFEST} is missing; {again}")
        size = input_size(listing.files[name])
        if size != expected.size:
            raise InputError(
                f"{listing.files[name]}: has {size:,} bytes, {expected.size:,} in {MANIFEST};"
                f" {again}"
            )
    for name, file in data.items():
        if name not in (facts.files or {}):
            raise InputError(f"{file}: is not in {MANIFEST}; move it away, or name the files")


def _last_part(path: str) -> str:
    return path.rpartition("/")[2]
