"""Each documented entry point works in a process in which nothing else has been imported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import batonics
from tests.support.command import SAMPLE, environment

RECORDS = "pl.scan_parquet('{mbo}')"
ENTRY_POINTS = {
    "reconstruct": f"import batonics; len(batonics.reconstruct({str(SAMPLE)!r}))",
    "scan_mbo": f"import batonics; batonics.scan_mbo({str(SAMPLE)!r}).head(1).collect()",
    "scan_mbo().mbo": f"import batonics; batonics.scan_mbo({str(SAMPLE)!r}).mbo.bbo().collect()",
    ".mbo, polars first": f"import polars as pl, batonics; {RECORDS}.mbo.bbo().collect()",
    ".mbo, polars last": f"import batonics; import polars as pl; {RECORDS}.mbo.bbo().collect()",
    "with_symbols": "import batonics, polars as pl;"
    f" batonics.with_symbols({RECORDS}, {str(SAMPLE)!r}).collect()",
    "load_lake": "import batonics;"
    f" batonics.load_lake({str(SAMPLE)!r}, '{{new}}', schemas=['tbbo'])"
    ".sql('SELECT count(*) FROM tbbo')",
    "Lake": "import batonics; batonics.Lake('{lake}').scan('trades').collect()",
    "version": "import batonics; assert batonics.__version__[0].isdecimal()",
    "python -m": "import runpy, sys; sys.argv = ['batonics', '--version'];"
    " runpy.run_module('batonics', run_name='__main__')",
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A Parquet file of records, a lake, and a directory that does not exist."""
    directory = tmp_path_factory.mktemp("entry_points")
    batonics.scan_mbo(SAMPLE).head(1_000).drop("symbol").collect().write_parquet(
        directory / "mbo.parquet"
    )
    batonics.load_lake(SAMPLE, directory / "lake", schemas=["trades"])
    return {
        "mbo": directory / "mbo.parquet",
        "lake": directory / "lake",
        "new": directory / "new",
    }


@pytest.mark.parametrize("name", ENTRY_POINTS)
def test_an_entry_point_works_alone(name: str, files: dict[str, Path]) -> None:
    code = ENTRY_POINTS[name].format(**files)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_the_import_of_polars_is_as_python_has_it() -> None:
    code = (
        "import batonics, sys; before = len(sys.meta_path); import polars as pl, importlib;"
        " assert len(sys.meta_path) == before - 1;"
        " assert 'def concat' in __import__('inspect').getsource(pl.functions.eager);"
        " importlib.reload(batonics); pl.LazyFrame().mbo"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], env=environment(), check=True)


def test_polars_that_cannot_be_imported_is_tried_again(tmp_path: Path) -> None:
    (tmp_path / "polars").mkdir()
    (tmp_path / "polars" / "__init__.py").write_text("raise ImportError('broken')")
    code = (
        "import batonics, sys\n"
        f"sys.path.insert(0, {str(tmp_path)!r})\n"
        "try:\n    import polars\n"
        "except ImportError as error:\n    assert str(error) == 'broken'\n"
        "sys.path.pop(0)\n"
        "import polars\npolars.LazyFrame().mbo\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], env=environment(), check=True)
