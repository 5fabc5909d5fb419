"""The serving process: `python -m batonics.server`; `launch` starts it.

Standard input has one document of JSON: `config`, and the `token` or null.
"""

from __future__ import annotations

import json
import sys

from batonics.model.secret import Secret
from batonics.server.config import ServerConfig
from batonics.server.serving import run


def main() -> None:
    """Serve until ingest ends; the exit code is 0, or that of the error reported to `launch`."""
    document = json.load(sys.stdin)
    token = Secret(document["token"]) if document["token"] else None
    sys.exit(run(ServerConfig.from_json(document["config"], token)))


if __name__ == "__main__":
    main()
