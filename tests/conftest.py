"""Fixtures that several folders of tests share."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.support.postgres import postgres_server

collect_ignore = [] if find_spec("sentence_transformers") else ["torch"]  # `make test-torch` has it

# Most tests care little which embedder there is: they have the one that takes the least of the processor.
os.environ.setdefault("EMBEDDING_MODEL", "all-MiniLM-L6-v2")

# A busy machine is no failure: properties are judged by what they find, not by how long it took.
settings.register_profile(
    "ours",
    deadline=None,
    max_examples=int(os.environ.get("EXAMPLES", "40")),
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("ours")


@pytest.fixture(scope="session", autouse=True)
def models_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where embedding models are exported to, once for all tests and the processes they start."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder = Path(os.environ.get("LIBRI_DATA__MODELS_DIR") or shared / "models")
    os.environ["LIBRI_DATA__MODELS_DIR"] = str(folder)
    return folder


@pytest.fixture(scope="session")
def one_postgres() -> Iterator[str]:
    """The URL of a PostgreSQL server for all tests of this process; see `tests.support.databases`."""
    with postgres_server() as url:
        yield url


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI nothing may be skipped: what a test needs has to be installed there.

    Only what no machine of ours can have, a real Ollama, may be missing; those tests say "not verified".
    """
    report = yield
    if report.skipped and os.environ.get("CI") and "not verified: " not in str(report.longrepr):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped, and in CI that is an error: {report.longrepr}"
    return report
