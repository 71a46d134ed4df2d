"""What `doctor` says of the settings alone."""

from __future__ import annotations

import pytest

from backend.cli.doctor import of_settings
from backend.config import Engine, Server, Settings


@pytest.mark.parametrize(
    ("server", "noted"),
    [
        (Server(), False),
        (Server(host="0.0.0.0"), True),
        (Server(host="0.0.0.0", allowed_hosts=("library.example.org",)), False),
        (Server(host="::1"), False),
    ],
)
def test_another_address_needs_the_names_that_readers_use(server: Server, noted: bool) -> None:
    findings = {finding.what: finding for finding in of_settings(Settings(server=server))}
    assert ("host names" in findings) == noted
    if noted:
        assert "LIBRI_SERVER__ALLOWED_HOSTS" in findings["host names"].advice


@pytest.mark.parametrize(
    ("engine", "said"),
    [
        (Engine(), "http://localhost:11434"),
        (
            Engine(openai_urls=("http://u:hunter2@a:1",), ollama_urls=("http://b:2",)),
            "http://**********@a:1, http://b:2",
        ),
        (Engine(backend="openai", openai_urls=("http://a:1",)), "http://a:1"),
        (Engine(backend="extractive"), "none, by choice"),
    ],
)
def test_the_addresses_of_model_servers_are_named(engine: Engine, said: str) -> None:
    (finding,) = [one for one in of_settings(Settings(engine=engine)) if one.what == "model servers"]
    assert finding.detail == said
