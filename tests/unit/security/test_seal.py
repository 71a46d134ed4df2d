"""What others may read, and nobody but us understands."""

import pytest

from backend.security.seal import Seal

OLD, NEW = b"o" * 32, b"n" * 32


def sealed_by(*keys: bytes) -> Seal:
    return Seal(keys)


def test_who_has_the_secret_reads_what_was_sealed():
    token = sealed_by(OLD).seal("hunter2 é")
    assert "hunter2" not in token
    assert sealed_by(OLD).open(token) == "hunter2 é"
    assert token != sealed_by(OLD).seal("hunter2 é"), "equal secrets are not seen to be equal"


def test_a_secret_can_be_replaced():
    token = sealed_by(OLD).seal("hunter2")
    assert sealed_by(NEW, OLD).open(token) == "hunter2"
    with pytest.raises(ValueError, match="another secret"):
        sealed_by(OLD).open(sealed_by(NEW, OLD).seal("hunter2"))


@pytest.mark.parametrize("token", ["", "hunter2", "gAAAAA", "\x00", "é", "\udcff", "=" * 10_000])
def test_what_was_never_sealed_does_not_open(token: str):
    with pytest.raises(ValueError):  # noqa: PT011
        sealed_by(OLD).open(token)


def test_what_was_changed_does_not_open():
    token = sealed_by(OLD).seal("hunter2")
    for at in range(0, len(token) - 4, 7):
        wrong = token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :]
        with pytest.raises(ValueError, match="another secret"):
            sealed_by(OLD).open(wrong)
