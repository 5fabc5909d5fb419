"""No file of ours tells where it was made: no machine's paths, no registry's host, no secret."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

from tests.support.paths import ROOT

# Spelt so that this file does not match itself.
FORBIDDEN = {
    "a registry's host": r"pypi\.org|pythonhosted\.|registry\.npmjs\.|crates\.io/|deb\.debian\.",
    "an index option": r"--(?:extra-)?index-url\b|--find-link[s]\b|--trusted-hos[t]\b",
    "a machine's path": r"(?<![\w.])/(?:wor[k]|roo[t]|opt/whee[l]s|opt/pyp[i]|tmp/[w])/",
    "a home directory": r"/home/(?!nonroot)\w+/",
    "a private key": r"-----BEGIN [A-Z ]*PRIVATE KE[Y]-----",
    "a token": r"\b(?:gh[pousr]_\w{36}|github_pat_\w{22}|pypi-AgEI\w|AKIA[0-9A-Z]{16}|db-\w{29})\b",
}


def tracked_files() -> list[str]:
    """Every path that is in the repository or about to be; skips where git cannot tell."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    return sorted(path for path in listed.stdout.split("\0") if (ROOT / path).is_file())


def faults(text: str) -> list[str]:
    """`what: the words found` for each kind of thing that has no place in a file."""
    return [
        f"{what}: {match[0]}"
        for what, pattern in FORBIDDEN.items()
        if (match := re.search(pattern, text))
    ]


def test_no_file_tells_where_it_was_made() -> None:
    found = {
        path: wrong
        for path in tracked_files()
        # Data in bytes is searched as what ASCII it holds.
        if (wrong := faults((ROOT / path).read_bytes().decode("ascii", "replace")))
    }
    assert not found


@pytest.mark.parametrize(
    "text",
    [
        "see https://pypi." + "org/simple",
        "--extra-index" + "-url x",
        "cd /wor" + "k/main",
        "x = '/roo" + "t/.cache'",
        "/home/" + "somebody/data",
        "db-" + "a" * 29,
        "ghp_" + "b" * 36,
        "-----BEGIN RSA PRIVATE KEY" + "-----",
    ],
)
def test_what_has_no_place_is_found(text: str) -> None:
    assert len(faults(text)) == 1


@pytest.mark.parametrize("text", ["a framework/x", "src/root/x", "db-stats", "/tmp/batonics/x"])
def test_what_is_harmless_is_let_be(text: str) -> None:
    assert faults(text) == []
