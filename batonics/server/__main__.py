"""The serving process: `python -m batonics.server CONFIG`; `launch` starts it."""

from __future__ import annotations

import json
import os
import sys

from batonics.server.config import TOKEN_VARIABLE, ServerConfig
from batonics.server.serving import run


def main() -> None:
    """Serve until ingest ends; the exit code is 0, or that of the error reported to `launch`."""
    token = os.environ.pop(TOKEN_VARIABLE, None)  # no other code has a use for it
    sys.exit(run(ServerConfig.from_json(json.loads(sys.argv[1]), token or None)))


if __name__ == "__main__":
    main()
