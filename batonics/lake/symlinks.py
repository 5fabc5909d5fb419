"""Parts of a lake under a directory of our own, for DuckDB.

The rule here: a path that DuckDB gets has no NAME=VALUE directory but those of the lake. It takes
each for a column: a lake in `venue=GLBX/` would have one more, and one in `symbol=X/` a wrong one.
"""

from __future__ import annotations

import os
import weakref
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

from batonics.model.errors import OutputError


class SymlinkDirectory:
    """A temporary directory with links to where parts lie.

    Attributes:
        directory: it; others may put files of theirs beside the links.
        close: removes it; called at the latest when this is collected.

    Raises:
        OutputError: there is no place for temporary files.
    """

    def __init__(self) -> None:
        try:
            self.directory = Path(mkdtemp(prefix="batonics-views-"))
        except OSError as error:
            raise OutputError(f"no directory for temporary files: {error}") from None
        self.close = weakref.finalize(self, rmtree, self.directory, ignore_errors=True)
        self._roots: dict[str, Path] = {}

    def path(self, path: str | Path, part: str) -> str:
        """The path of a file by way of a link.

        Args:
            path: of the file, which ends with
            part: its path from the lake's root.

        Raises:
            OutputError: a link cannot be made.
        """
        root = str(path).removesuffix(part)
        link = self._roots.get(root)
        if link is None:
            link = self._roots[root] = self.directory / f"lake-{len(self._roots)}"
            try:
                link.symlink_to(os.path.abspath(root))  # noqa: PTH100 - links stay
            except OSError as error:
                raise OutputError(f"{link}: cannot be made: {error}") from None
        return f"{link}/{part}"
