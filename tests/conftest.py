"""What every tier with a cluster shares: where evidence goes, and that it is saved before anything is deleted."""

from collections.abc import Generator
from pathlib import Path

import pytest

from rayops.paths import EVIDENCE
from tests.harness.evidence import Live, file_name

LIVE = pytest.StashKey[Live]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("cluster")
    group.addoption("--keep-cluster", action="store_true", help="keep our own kind cluster for the next run")
    group.addoption("--evidence-dir", type=Path, default=EVIDENCE, help="where evidence and results go")
    group.addoption("--evidence", choices=("failed", "always"), default="failed", help="of which tests")


def pytest_configure(config: pytest.Config) -> None:
    always = config.getoption("--evidence") == "always"
    config.stash[LIVE] = Live(config.getoption("--evidence-dir"), always)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    live = item.config.stash[LIVE]
    if call.when != "teardown" and (report.failed or (live.always and call.when == "call")):
        live.save(file_name(item.nodeid), str(call.when))
    return report


@pytest.fixture(scope="session")
def live(pytestconfig: pytest.Config) -> Live:
    """The namespaces in use, so that evidence of a failure is there before anything is deleted."""
    return pytestconfig.stash[LIVE]
