"""What `doctor` says of the settings alone."""

from __future__ import annotations

import pytest

from backend.cli.doctor import of_settings
from backend.config import Server, Settings


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
