from typing import get_args

import pytest

from backend.__main__ import main
from backend.config import KNOWN_NAMES, Engine, Section, Settings
from backend.engines.dialects import DIALECTS


def test_every_setting_says_what_it_means() -> None:
    for field in Settings.model_fields.values():
        assert isinstance(field.annotation, type)
        assert issubclass(field.annotation, Section)
        assert field.annotation.__doc__
        assert all(inner.description for inner in field.annotation.model_fields.values())


@pytest.mark.parametrize("name", KNOWN_NAMES)
def test_names_that_operators_know_reach_their_setting(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    section, field = KNOWN_NAMES[name]
    values = {
        "LLM_BACKEND": "extractive",
        "OLLAMA_MAX_LOADED_MODELS": "3",
        "OLLAMA_NUM_PARALLEL": "7",
        "OLLAMA_URLS": "http://a:1,http://b:2/",
    }
    monkeypatch.setenv(name, values.get(name, "given"))
    found = getattr(getattr(Settings(), section), field)
    assert found != Settings.model_fields[section].default.model_dump()[field]


def test_every_dialect_that_can_be_set_is_spoken() -> None:
    assert get_args(Engine.model_fields["openai_dialect"].annotation) == tuple(DIALECTS)


def test_the_prefixed_name_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_MODEL", "old")
    monkeypatch.setenv("LIBRI_ENGINE__MODEL", "new")
    monkeypatch.setenv("OLLAMA_URLS", "http://a:1, http://b:2/")
    assert Settings().engine.model == "new"
    assert Settings().engine.ollama_urls == ("http://a:1", "http://b:2")


def test_a_wrong_value_is_named_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LIBRI_SERVER__PORT", "hunter2")
    assert main(["config"]) == 1
    said = capsys.readouterr().err
    assert "server.port" in said
    assert "hunter2" not in said


def test_secrets_are_masked(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("API_KEY", "hunter2")
    monkeypatch.setenv("DATABASE_URL", "postgresql+asyncpg://u:hunter2@db/x")
    monkeypatch.setenv("OLLAMA_URLS", "http://u:hunter2@gpu1:11434,http://gpu2:11434")
    assert main(["config"]) == 0
    shown = capsys.readouterr().out
    assert "hunter2" not in shown
    assert "@gpu1:11434" in shown
    assert "http://gpu2:11434" in shown
