"""Where the repository is, and how the environment names the real data."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DATA_VARIABLE = "BATONICS_TEST_DATA"
