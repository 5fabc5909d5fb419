"""`query` and `Lake.sql` read the lake or the files named, and nothing else unless trusted."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from batonics.lake.lake import Lake
from batonics.lake.sql import TRUSTED_NOTE
from batonics.model.errors import DataWarning, UsageError
from batonics.model.mbo import Action
from tests.support.command import error_line, run_command, run_in_process
from tests.support.dbn_files import DAY_NS, encode, metadata, record
from tests.support.lakes import load
from tests.support.sql_escapes import SECRET, EscapeGround

HINT = "--trusted, in Python trusted=True"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    rows = [record(Action.TRADE, instrument_id=1 + at % 2, ts_recv=DAY_NS + at) for at in range(4)]
    (tmp_path / "day.dbn").write_bytes(metadata() + encode(rows))
    return tmp_path / "day.dbn"


@pytest.fixture
def ground(tmp_path: Path) -> EscapeGround:
    return EscapeGround(tmp_path)


def test_a_query_reads_no_other_file(file: Path, ground: EscapeGround, tmp_path: Path) -> None:
    load(tmp_path / "lake", file)
    lake = Lake(tmp_path / "lake")
    for sql in (
        f"SELECT * FROM read_text('{ground.secret}')",
        f"SELECT t.*, c.* FROM trades t, read_csv('{ground.secret}') c",
        f"FROM trades WHERE symbol IN (SELECT content FROM read_text('{ground.secret}'))",
        f"SELECT * FROM read_blob('{tmp_path}/lake/catalog.sqlite')",
        f"SELECT count(*) FROM trades, glob('{tmp_path}/*')",
    ):
        with pytest.raises(UsageError) as error:
            lake.sql(sql)
        assert SECRET not in str(error.value)
        assert str(error.value).endswith(HINT)
    # The views themselves are read, with a plan and without one.
    assert lake.sql("SELECT count(*) FROM trades").item() == 4
    assert lake.sql("SELECT count(*) FROM trades WHERE symbol = 'AAA'").item() == 2


def test_a_query_runs_where_the_temporary_directory_is_a_link(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(tmp_path / "lake", file)
    (tmp_path / "tmp").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "tmp")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "link"))
    found = Lake(tmp_path / "lake").sql("SELECT count(*) FROM trades WHERE symbol = 'AAA'")
    assert found.item() == 2


def test_a_query_does_not_change_the_lake(file: Path, tmp_path: Path) -> None:
    load(tmp_path / "lake", file)
    before = {path: path.read_bytes() for path in (tmp_path / "lake").rglob("*.parquet")}
    # Planning sees a path that does nothing, and the run that of a part.
    part = "current_setting('allowed_paths')"
    path = f"CASE WHEN len({part}) = 0 THEN '' ELSE {part}[1] END"
    copy = f"COPY (SELECT 1) TO ({path}) (FORMAT parquet, USE_TMP_FILE false)"
    with pytest.raises(UsageError, match="expected one SELECT statement"):
        Lake(tmp_path / "lake").sql(f"WITH x AS ({copy}) FROM x, trades")
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.parametrize("call", ["NOT (", "abs(", "["])
def test_a_query_that_is_nested_too_deeply_is_refused(
    call: str, file: Path, tmp_path: Path
) -> None:
    load(tmp_path / "lake", file)
    closing = "]" if call == "[" else ")"
    with pytest.raises(UsageError, match="nested too deeply"):
        Lake(tmp_path / "lake").sql(f"SELECT {call * 900} size {closing * 900} FROM trades")


@pytest.mark.parametrize("source", ["--lake", "--from"])
def test_the_command_refuses_and_a_trusted_query_says_so(
    source: str, file: Path, ground: EscapeGround, tmp_path: Path
) -> None:
    load(tmp_path / "lake", file)
    rows = (source, tmp_path / "lake" if source == "--lake" else file)
    sql = f"SELECT count(*) AS n FROM trades, read_csv('{ground.secret}')"
    (tmp_path / "q.sql").write_text(sql)
    for query in (sql, tmp_path / "q.sql"):
        assert error_line(run_in_process("query", query, *rows), 2).endswith(HINT)
    done = run_in_process(
        "query", sql, *rows, "--trusted", "--format", "csv", "-q", "--prices", "fixed"
    )
    assert (done.code, done.out) == (0, b"n\n4\n")
    assert done.err == f"batonics: {TRUSTED_NOTE}\n"


def test_in_python_a_trusted_query_warns(file: Path, ground: EscapeGround, tmp_path: Path) -> None:
    load(tmp_path / "lake", file)
    with pytest.warns(DataWarning, match="the query was trusted"):
        found = Lake(tmp_path / "lake").sql(f"FROM read_csv('{ground.secret}')", trusted=True)
    assert found.columns == ["name", SECRET]


def test_queries_of_a_shell_read_the_lake_alone(
    file: Path, ground: EscapeGround, tmp_path: Path
) -> None:
    load(tmp_path / "lake", file, schemas=("trades", "mbo"))
    lines = [
        "SELECT count(*) AS n FROM trades WHERE symbol = 'AAA';",
        f"SELECT * FROM read_text('{ground.secret}');",
        "SELECT count(*) AS m FROM mbo WHERE symbol = 'BBB';",
    ]
    done = run_command(
        "query", "--shell", "--lake", tmp_path / "lake", stdin="\n".join(lines).encode()
    )
    assert done.code == 0
    assert done.err.count(HINT) == done.err.count("batonics: ") == 1
    assert SECRET not in f"{done.out!r} {done.err}"
    assert done.out.split() == [b"n", b"2", b"m", b"2"]
