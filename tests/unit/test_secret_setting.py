"""How `auth.secret` is read: one, or several of which the first signs."""

from __future__ import annotations

import pytest

from backend.config import Settings, load
from backend.core.errors import Misconfigured

A, B, C = "a" * 40, "b/" * 20, "c=" * 20


@pytest.mark.parametrize(
    ("given", "means"),
    [
        (A, [A]),
        (f"{A},{B},{C}", [A, B, C]),
        (f" {A} , {B} ", [A, B]),
        (f'["{A}", "{B}"]', [A, B]),
        (f"{A},", [A]),
        (f",{A}", [A]),
        (f"{A},,{B}", [A, B]),
        (f'["", "{A}"]', [A]),
        (f"{A},{A},{B},{A}", [A, B]),
        (f"{A}\n", [A]),
        (f'"{A}"\r\n', [A]),
        (f'["{A}\\n","{B}"]', [A, B]),
        ("", []),
        ("  ", []),
        ("[]", []),
    ],
)
def test_the_list_of_secrets_is_read_as_meant(
    given: str, means: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIBRI_AUTH__SECRET", given)
    assert load().auth.secrets == tuple(one.encode() for one in means)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (",", "names no secret"),
        ('["", " "]', "names no secret"),
        (f'["{A}"', "names no secret"),
        (f'["{A}", 5]', "names no secret"),
        ('["hunter2hunter2hun\\nter2"]', "line end"),
        ("hunter2hunter2\nhunter2", "line end"),
        ("hunter2", "shorter than 16"),
        (f"{A},hunter2", "shorter than 16"),
    ],
)
def test_what_is_no_secret_is_refused_without_being_shown(
    given: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIBRI_AUTH__SECRET", given)
    with pytest.raises(Misconfigured, match=said) as told:
        load()
    assert told.value.message.startswith("LIBRI_AUTH__SECRET: ")
    assert "hunter2" not in told.value.message
    assert A not in told.value.message
    assert "\n" not in told.value.message


def test_the_former_name_is_one_secret_of_any_form_and_is_believed_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LIBRI_AUTH__COOKIE_SECRET", "old, with a comma")
    assert load().auth.secrets == (b"old, with a comma",)
    monkeypatch.setenv("LIBRI_AUTH__SECRET", f"{A},{B}")
    assert load().auth.secrets == (A.encode(), B.encode(), b"old, with a comma")
    monkeypatch.setenv("LIBRI_AUTH__COOKIE_SECRET", A)
    assert load().auth.secrets == (A.encode(), B.encode())


def test_secrets_are_masked_wherever_settings_are_shown() -> None:
    settings = Settings(auth={"secret": [A, B], "cookie_secret": C})  # type: ignore[arg-type]
    shown = settings.model_dump_json() + repr(settings) + str(settings.model_dump(mode="json"))
    assert not any(one in shown for one in (A, B, C))
