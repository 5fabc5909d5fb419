"""What every test may rely on: real data through one fixture, and skips that are never hidden.

The rule: where BATONICS_TEST_DATA is set, every test runs. A skip is then a failure, whatever its
reason; without the variable the tests of real data skip, and the summary counts them.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import settings

pytest_plugins = ["pytester"]

DATA_VARIABLE = "BATONICS_TEST_DATA"
NO_DATA = f"{DATA_VARIABLE} is not set"

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


def pytest_configure() -> None:
    directory = data_directory()
    if directory is not None and not directory.is_dir():
        raise pytest.UsageError(f"{DATA_VARIABLE}={directory} is not a directory")


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
