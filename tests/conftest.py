"""What every test may rely on: real data through one fixture, and skips that are never hidden.

The rule: where BATONICS_TEST_DATA is set, every test runs. A skip is then a failure, whatever its
reason; without the variable the tests of real data skip, and the summary counts them.
"""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
import sys
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from fcntl import LOCK_EX, LOCK_SH, LOCK_UN, flock
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import settings

from batonics.native import kernel_directories
from tests.support.paths import DATA_VARIABLE, ROOT

pytest_plugins = ["pytester"]

NO_DATA = f"{DATA_VARIABLE} is not set"
ALONE = "alone"
DIRECTORY = "batonics_shared_directory"
GATE = "gate"
KERNELS = "kernels"
SHARED = pytest.StashKey[TemporaryDirectory[str]]()
COMPILATION = pytest.StashKey["_Compilation"]()
LONG_FILES = (
    "tests/soak/test_mutants.py",
    "tests/integration/test_lake_kill.py",
    "tests/integration/test_queries.py",
    "tests/integration/test_lake_export.py",
    "tests/integration/test_memory.py",
    "tests/integration/test_damaged_files.py",
    "tests/integration/test_lake_bucket_live.py",
)
"""Files that take longest, in the order of their time."""

# A failure prints the `@reproduce_failure` line that repeats it. Wall time is pytest's own
# business: the first example of a kernel includes its compilation.
settings.register_profile("ci", derandomize=True, print_blob=True, deadline=None)
settings.register_profile("dev", print_blob=True, deadline=None)
settings.load_profile(
    os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "dev")
)


def data_directory() -> Path | None:
    """The directory of real data, or None where the variable is unset or empty."""
    named = os.environ.get(DATA_VARIABLE)
    return Path(named) if named else None


def pytest_report_header() -> list[str]:
    return [
        f"hypothesis profile: {settings.get_current_profile_name()}",
        f"real data: {data_directory() or NO_DATA}",
    ]


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The directory of real data: `test_data / "clx5" / "CLX5_mbo.dbn"` and so on.

    Tests that ask for it are skipped where BATONICS_TEST_DATA is not set.
    """
    directory = data_directory()
    if directory is None:
        pytest.skip(NO_DATA)
    return directory


@pytest.fixture(scope="session")
def cases(test_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of small cases: `cases / "v1_two_levels.dbn"` and so on.

    Their right values are in cases/README.md of the real data.
    """
    directory = tmp_path_factory.mktemp("cases")
    script = test_data / "cases" / "make_cases.py"
    subprocess.run([sys.executable, str(script), str(directory)], check=True)
    return directory


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "alone: measures time; no other test runs beside it")
    config.addinivalue_line("markers", "sweep: a sample of many cases; `make soak` runs all")
    directory = data_directory()
    if directory is not None and not directory.is_dir():
        raise pytest.UsageError(f"{DATA_VARIABLE}={directory} is not a directory")


def pytest_unconfigure() -> None:
    # Live feeds freeze the garbage collector; what is frozen at the end looks leaked to DuckDB.
    gc.unfreeze()


# Tests on several cores (pytest-xdist). A worker is given a directory by the process that starts
# it: the workers take turns with two locks in it, and find the kernels there.


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    if session.config.getoption("numprocesses", None):
        directory = TemporaryDirectory(prefix="batonics-tests-")
        session.config.stash[SHARED] = directory
        session.config.stash[COMPILATION] = _Compilation(Path(directory.name))


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    node.workerinput[DIRECTORY] = node.config.stash[SHARED].name


def pytest_sessionfinish(session: pytest.Session) -> None:
    if SHARED in session.config.stash:
        session.config.stash[COMPILATION].finish()
        session.config.stash[SHARED].cleanup()


class _Compilation:
    """Compiles every kernel while the workers import the tests, which wait behind the gate."""

    def __init__(self, shared: Path) -> None:
        self._copy = shared / KERNELS
        self._gate = (shared / GATE).open("w")
        flock(self._gate, LOCK_EX)
        self._pool = ThreadPoolExecutor(1)
        self._done = self._pool.submit(self._run)

    def _run(self) -> None:
        with self._gate:
            _compile_kernels(self._copy)

    def finish(self) -> None:
        """Wait for the end; CalledProcessError if kernels do not compile."""
        self._pool.shutdown()
        self._done.result()


def _compile_kernels(copy: Path) -> None:
    """Compile every kernel; keep a copy if there were none before."""
    cache = kernel_directories()[0].path
    is_first = not any(cache.rglob("*.nbi"))
    subprocess.run(
        [sys.executable, "-m", "batonics.jobs.kernel_compilation"],
        check=True,
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
    )
    if is_first and cache.is_dir():
        shutil.copytree(cache, copy)


@pytest.fixture(scope="session")
def compiled_kernels(request: pytest.FixtureRequest) -> Path | None:
    """A cache with all that `jobs.kernel_compilation` compiles, and nothing else, if there is one.

    There is one where several workers began with an empty cache.
    """
    shared = _shared_directory(request.config)
    copy = shared / KERNELS if shared else None
    return copy if copy and copy.is_dir() else None


def _shared_directory(config: pytest.Config) -> Path | None:
    name = getattr(config, "workerinput", {}).get(DIRECTORY)
    return Path(name) if name else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with tests that run alone come first, then those that take long, then notebooks.

    Beside tests that run alone there is enough for other workers then, and at the end all workers
    have short files.
    """
    alone = {item.path for item in items if item.get_closest_marker(ALONE)}
    long = [ROOT / name for name in LONG_FILES]
    long += sorted({item.path for item in items if item.path.suffix == ".ipynb"})
    places = {path: place for place, path in enumerate(long)}
    items.sort(key=lambda item: (item.path not in alone, places.get(item.path, len(long))))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    shared = _shared_directory(item.config)
    if shared is None:
        return (yield)
    with (shared / GATE).open("w") as gate, (shared / "floor").open("w") as floor:
        # Who waits for the floor holds the gate, so that no later test gets ahead.
        flock(gate, LOCK_EX)
        flock(floor, LOCK_EX if item.get_closest_marker(ALONE) else LOCK_SH)
        flock(gate, LOCK_UN)
        return (yield)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    # An expected failure is reported as "skipped" too, but it did run.
    if report.skipped and not hasattr(report, "wasxfail"):
        _fail_if_data_is_set(report)
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    if report.skipped:
        _fail_if_data_is_set(report)
    return report


def _fail_if_data_is_set(report: pytest.TestReport | pytest.CollectReport) -> None:
    if data_directory() is None:
        return
    report.outcome = "failed"
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
    report.longrepr = f"skipped although {DATA_VARIABLE} is set: {reason}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    skipped = terminalreporter.stats.get("skipped", [])
    for_data = sum(NO_DATA in str(report.longrepr) for report in skipped)
    terminalreporter.write_sep("-", "skips")
    terminalreporter.write_line(
        f"{len(skipped)} skipped, {for_data} of them because {NO_DATA}" if skipped else "0 skipped"
    )
