"""After `batonics.jobs.kernel_compilation` nothing is compiled, and no cache is written."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.command import SAMPLE, SCRIPT, environment, run_command

AT = "2026-01-05T14:31:00Z"
COMMANDS = {
    "reconstruct": ("reconstruct", SAMPLE, "--orders", "--out", "/dev/null"),
    "snapshots": ("reconstruct", SAMPLE, "--snapshots", "-", "--every", "1s"),
    "inspect": ("inspect", SAMPLE),
    "verify": ("verify", SAMPLE),
    "simulate": ("simulate", "--records", "100", "--out", "/dev/null"),
    "fill": ("fill", SAMPLE, "--symbols", "SIM0", "--side", "buy", "--price", "40", "--size", "1",
             "--at", AT),
    **{
        schema: ("convert", SAMPLE, "--schema", schema, "--out", "/dev/null", "--format", "csv")
        for schema in ("mbo", "tbbo", "mbp-1", "mbp-10", "trades", "bbo-1s", "ohlcv-1s")
    },
    "consolidated": ("convert", SAMPLE, "--schema", "mbp-1", "--consolidated", "--out",
                     "/dev/null", "--format", "csv"),
}  # fmt: skip


@pytest.fixture(scope="module")
def warmed(tmp_path_factory: pytest.TempPathFactory, compiled_kernels: Path | None) -> Path:
    directory = tmp_path_factory.mktemp("kernels")
    if compiled_kernels is not None:
        shutil.copytree(compiled_kernels, directory, dirs_exist_ok=True)
    else:
        env = environment(BATONICS_KERNEL_DIR=str(directory))
        command = [sys.executable, "-m", "batonics.jobs.kernel_compilation"]
        subprocess.run(command, env=env, check=True, capture_output=True)
    directory.chmod(0o500)
    return directory


RUN_ALL = """
import json, sys
from tests.support.command import run_in_process
for command in json.loads(sys.argv[1]):
    done = run_in_process(*command)
    print(json.dumps([done.code, done.err]), flush=True)
"""


def test_no_command_compiles_what_was_warmed(warmed: Path) -> None:
    before = sorted(path.name for path in warmed.rglob("*"))
    commands = json.dumps(list(COMMANDS.values()), default=str)
    # One process for all commands: each kernel that it compiled would be announced once.
    written = subprocess.check_output(
        [sys.executable, "-c", RUN_ALL, commands],
        env=environment(BATONICS_KERNEL_DIR=str(warmed)),
        text=True,
    )
    results = [json.loads(line) for line in written.splitlines()]
    for name, (code, err) in zip(COMMANDS, results, strict=True):
        assert code == 0, (name, err)
        assert "compiling" not in err, name
    assert sorted(path.name for path in warmed.rglob("*")) == before


@pytest.mark.parametrize("protocol", ["dbn", "length-prefixed", "ndjson"])
def test_neither_does_a_live_feed(protocol: str, warmed: Path) -> None:
    before = sorted(path.name for path in warmed.rglob("*"))
    env = environment(BATONICS_KERNEL_DIR=str(warmed))
    command = [
        *SCRIPT, "replay", str(SAMPLE), "--bind", "127.0.0.1:0", "--once", "--rate", "1000000",
        "--protocol", protocol,
    ]  # fmt: skip
    with subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True) as replay:
        assert replay.stderr is not None
        address = replay.stderr.readline().split()[-1]
        done = run_command("stream", "--connect", address, "--once", "--out", "/dev/null", env=env)
        said = replay.stderr.read()
    assert (done.code, replay.wait(30)) == (0, 0), done.err + said
    assert "compiling" not in done.err + said
    assert sorted(path.name for path in warmed.rglob("*")) == before
