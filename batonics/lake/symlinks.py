"""Paths for DuckDB by way of symbolic links.

The rule here: a path that DuckDB gets has only the lake's own NAME=VALUE directories, since DuckDB
makes a column of each: a lake in `venue=GLBX/` would get one more, one in `symbol=X/` a wrong one.
"""

from __future__ import annotations

import os
import weakref
from contextlib import ExitStack
from pathlib import Path

from batonics.model.errors import OutputError
from batonics.sinks.temporary import temporary_directory


class SymlinkDirectory:
    """A temporary directory with links to the roots of lakes.

    Attributes:
        directory: the directory; callers may create files of their own in it.
        close: removes the directory; this happens at the latest when the object is collected.

    Raises:
        OutputError: a temporary directory cannot be made.
    """

    def __init__(self) -> None:
        stack = ExitStack()
        try:
            directory = stack.enter_context(temporary_directory("batonics-views-"))
        except OSError as error:
            raise OutputError(f"no directory for temporary files: {error}") from None
        # Resolved, since DuckDB resolves the paths that it may open, if they exist by then.
        self.directory = Path(directory).resolve()
        self.close = weakref.finalize(self, stack.close)
        self._roots: dict[str, str] = {}
        """The name of the link to each root."""
        self._links: set[str] = set()
        """The names of links that are made."""

    def link(self, path: str | Path, part_path: str) -> str:
        """The path of a file by way of a link to its root.

        Args:
            path: path of the file, which ends with `part_path`.
            part_path: its path from the lake's root.

        Raises:
            OutputError: the link cannot be made.
        """
        root = str(path).removesuffix(part_path)
        name = self._roots.setdefault(root, f"lake-{len(self._roots)}")
        return f"{self._link_to(root, name)}/{part_path}"

    def _link_to(self, target: str, name: str) -> Path:
        link = self.directory / name
        if name not in self._links:
            try:
                link.symlink_to(os.path.abspath(target))  # noqa: PTH100 - links stay
            except OSError as error:
                raise OutputError(f"{link}: cannot be made: {error}") from None
            self._links.add(name)
        return link
