"""Continuous integration fails if a test skips that could have run."""

import pytest

from tests import needs

SUITE = f"""
    import pytest

    def test_of_data():
        pytest.skip({needs.NOT_HERE!r} + "data of others")

    @pytest.mark.skipif(True, reason="no browser")
    def test_of_a_page():
        pass

    def test_that_runs():
        pass
"""


@pytest.fixture
def run(pytester, monkeypatch):
    """run(**environment): the exit code and the output of a session of SUITE."""
    pytester.makeconftest("from tests.conftest import pytest_sessionfinish")
    pytester.makepyfile(SUITE)
    monkeypatch.delenv("FAIL_ON_SKIPS", raising=False)
    monkeypatch.delenv("SKIPS_ALLOWED", raising=False)

    def session(**environment):
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        done = pytester.runpytest_inprocess("-rs", "-p", "no:randomly", "-p", "no:xdist", "-p", "no:cacheprovider")
        done.assert_outcomes(passed=1, skipped=2)
        return done.ret, done.stdout.str()

    return session


def test_skips_fail_no_session_by_themselves(run):
    code, said = run()
    assert code == 0
    assert "data of others" in said
    assert "can run here" not in said


def test_a_skip_for_another_reason_fails_the_session_on_request(run):
    code, said = run(FAIL_ON_SKIPS="1")
    assert code == pytest.ExitCode.TESTS_FAILED
    assert "tests skipped that can run here: no browser" in said


def test_a_reason_can_be_allowed(run):
    code, _ = run(FAIL_ON_SKIPS="1", SKIPS_ALLOWED="browser")
    assert code == 0


def test_a_module_that_skips_fails_the_session_too(pytester, monkeypatch):
    pytester.makeconftest("from tests.conftest import pytest_sessionfinish")
    pytester.makepyfile(test_page="import pytest\npytest.importorskip('no_such_browser')")
    monkeypatch.setenv("FAIL_ON_SKIPS", "1")
    monkeypatch.delenv("SKIPS_ALLOWED", raising=False)
    done = pytester.runpytest_inprocess("-p", "no:randomly", "-p", "no:xdist", "-p", "no:cacheprovider")
    assert done.ret == pytest.ExitCode.TESTS_FAILED
    assert "no_such_browser" in done.stdout.str()
