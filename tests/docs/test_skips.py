"""Skips are counted, and are failures where the real data is there."""

from __future__ import annotations

import pytest

from tests.support.paths import ROOT

SUITE = """
import pytest

def test_real(test_data):
    assert test_data.is_dir()

@pytest.mark.skip(reason="later")
def test_later():
    pass

@pytest.mark.xfail(reason="known", strict=True)
def test_known():
    assert False
"""


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A small test-suite under our own conftest, without the real data."""
    monkeypatch.delenv("BATONICS_TEST_DATA", raising=False)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    pytester.makeconftest((ROOT / "tests" / "conftest.py").read_text())
    pytester.makepyfile(SUITE)
    return pytester


def test_without_data_skips_are_counted(suite: pytest.Pytester) -> None:
    result = suite.runpytest_subprocess()
    result.assert_outcomes(skipped=2, xfailed=1)
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["2 skipped, 1 of them because BATONICS_TEST_DATA is not set"])


def test_with_data_a_skip_is_a_failure(
    suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BATONICS_TEST_DATA", str(suite.path))
    result = suite.runpytest_subprocess()
    result.assert_outcomes(passed=1, errors=1, xfailed=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["*skipped although BATONICS_TEST_DATA is set: Skipped: later*"])


def test_with_data_a_skipped_module_is_a_failure(
    suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BATONICS_TEST_DATA", str(suite.path))
    suite.makepyfile(test_whole='import pytest\npytest.importorskip("no_such_module")\n')
    result = suite.runpytest_subprocess()
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(["*skipped although BATONICS_TEST_DATA is set*no_such_module*"])


def test_data_that_is_not_there_stops_the_run(
    suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BATONICS_TEST_DATA", str(suite.path / "none"))
    result = suite.runpytest_subprocess()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*none is not a directory"])
