"""Which state of the repository a soak has run on, to be printed with its figure."""

from __future__ import annotations

import subprocess

from tests.support.paths import ROOT


def revision() -> str:
    """The commit, with a `+` where tracked files differ from it; `unknown` without git."""
    try:
        commit = _git("rev-parse", "--short=12", "HEAD")
        return commit + ("+" if _git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip()
