"""What callers name as input, and the list of inputs that it stands for.

The rule here: this module alone says what a name means. What comes out can be given again, and
stands for itself.

| what is named                         | the inputs                                               |
|---------------------------------------|----------------------------------------------------------|
| a path, `~/day.dbn`, `file://` URL    | that file, as one of its batch download if it is of one  |
| a directory, a zip archive            | its data files                                           |
| a pattern, such as `2025/**/*.dbn`    | the data files, archives and directories that it matches |
| `s3://BUCKET/KEY`, `https://HOST/KEY` | that object; of a bucket also `PREFIX/` and patterns     |
| bytes, a DBNStore                     | a copy of the bytes                                      |
| an object with `read`                 | its bytes from where it is to its end                    |
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Annotated
from urllib.parse import unquote, urlsplit

from batonics.model.arguments import Expected
from batonics.model.errors import InputError
from batonics.sources.batch_download import SUPPORT_FILES, BatchFacts
from batonics.sources.input_files import STDIN, InputFile, MemoryFile, StreamedInput
from batonics.sources.layouts import (
    check_digests,
    data_files,
    expand_glob,
    is_archive,
    is_data_name,
    is_glob,
    list_archive,
    list_directory,
    read_facts,
)
from batonics.sources.open_objects import BinaryReader, read_object
from batonics.sources.remote_files import REMOTE_SCHEMES, find_remote


class DbnStore(ABC):
    """The class `databento.DBNStore`, recognised without importing its package."""

    @property
    @abstractmethod
    def raw(self) -> bytes:
        """The bytes as the vendor sent them, plain or compressed."""

    @classmethod
    def __subclasshook__(cls, other: type) -> bool:
        return other.__name__ == "DBNStore" and other.__module__.startswith("databento.")


def _advise(value: object) -> str:
    if hasattr(value, "read"):
        return "give the path of an open file"
    if isinstance(value, (bytes, DbnStore)):
        return "write it to a file, and give its path"
    return ""


Paths = Annotated[
    str | PathLike[str] | Sequence[str | PathLike[str]],
    Expected("a path or a collection of paths", _advise),
]
"""One name of files or several, of inputs that can be read again in another process."""
_Input = str | PathLike[str] | bytes | DbnStore | BinaryReader
Inputs = Annotated[
    _Input | Sequence[_Input],
    Expected("a path, bytes, a DBNStore, an open file, or a collection of them"),
]
"""One input or several."""


def find_inputs(named: Inputs, *, verify_manifest: bool = False) -> tuple[str, ...]:
    """The inputs that names stand for, in the order of the names, and of each by name.

    Args:
        named: one name or several.
        verify_manifest: compare every input with the digest in the manifest of its download.

    Raises:
        InputError: a name stands for nothing, or a batch download is not whole or not as it was.
    """
    several = (
        [named] if isinstance(named, (str, PathLike, bytes, DbnStore, BinaryReader)) else named
    )
    finder = _InputFinder()
    found = [one for name in several for one in finder.find(name)]
    inputs = _without_support_files(found)
    if verify_manifest:
        check_digests(inputs)
    return tuple(inputs)


class _InputFinder:
    """Finds inputs; the download that a file belongs to is read once for each directory."""

    def __init__(self) -> None:
        self._facts: dict[str, BatchFacts | None] = {}

    def find(self, name: _Input) -> Sequence[str]:
        """The inputs that a name stands for."""
        if isinstance(name, InputFile):
            return [name]
        if isinstance(name, (bytes, DbnStore)):
            return self._find_path(MemoryFile(name if isinstance(name, bytes) else name.raw))
        if isinstance(name, BinaryReader):
            return self._find_path(read_object(name))
        text = os.fspath(name)
        return self._find_url(text) if "://" in text else self._find_path(text)

    def _find_url(self, text: str) -> Sequence[str]:
        if os.path.lexists(text):
            return self._find_path(text)
        if urlsplit(text).scheme.lower() in REMOTE_SCHEMES:
            return find_remote(text)
        return self._find_path(_file_of_url(text))

    def _find_path(self, text: str) -> Sequence[str]:
        if text == STDIN or isinstance(text, StreamedInput):
            return [text]
        if text.startswith("~") and not os.path.lexists(text):
            text = os.path.expanduser(text)  # noqa: PTH111 - a text that may be a pattern
        if is_glob(text):
            matches = [one for one in expand_glob(text) if _is_meant(one)]
            if not matches:
                raise InputError(f"{text}: no data file has such a name")
            return [found for match in matches for found in self._find_path(match)]
        if os.path.isdir(text):  # noqa: PTH112 - an invalid path is none
            return data_files(list_directory(text))
        if is_archive(text):
            return data_files(list_archive(text))
        is_copy = isinstance(text, MemoryFile)
        return [text if is_copy else InputFile(text).of_batch(self._facts_of(text))]

    def _facts_of(self, path: str) -> BatchFacts | None:
        """What the batch download says that lists a file; None: none does."""
        directory, _, name = path.rpartition("/")
        if directory not in self._facts:
            self._facts[directory] = _find_facts(directory or ("/" if path[:1] == "/" else "."))
        facts = self._facts[directory]
        if facts is None or facts.files is None or name not in facts.files:
            return None
        return facts


def _find_facts(directory: str) -> BatchFacts | None:
    """The batch download in a directory; None: there is none that has a manifest of the vendor."""
    if not os.path.isfile(os.path.join(directory, SUPPORT_FILES[0])):  # noqa: PTH113, PTH118
        return None
    try:
        return read_facts(list_directory(directory))
    except InputError:
        return None  # another program's file of this name; the directory was not named


def _is_meant(path: str) -> bool:
    """Whether a path that a pattern matches is an input."""
    return os.path.isdir(path) or is_data_name(Path(path).name) or is_archive(path)  # noqa: PTH112


def _without_support_files(inputs: Sequence[str]) -> list[str]:
    """The inputs, without files of a download that are beside its data (`reconstruct day/*`)."""
    data = [one for one in inputs if one.rpartition("/")[2] not in SUPPORT_FILES]
    directories = {one.rpartition("/")[0] for one in data}
    for one in inputs:
        directory, _, name = one.rpartition("/")
        if name in SUPPORT_FILES and directory not in directories:
            raise InputError(f"{one}: is no data of a batch download; name its directory")
    return data


def _file_of_url(url: str) -> str:
    """The path that a `file://` URL names."""
    parts = urlsplit(url)
    schemes = ", ".join(("file", *REMOTE_SCHEMES))
    if parts.scheme.lower() != "file":
        raise InputError(f"{parts.scheme}://: not a URL that is read; there are {schemes}")
    if parts.netloc not in ("", "localhost"):
        raise InputError(f"{url}: is on the machine {parts.netloc}; expected file:///PATH")
    return unquote(parts.path)
