from pathlib import Path
from typing import get_args

import pytest

from backend.__main__ import main
from backend.config import KNOWN_NAMES, Engine, Section, Settings, load
from backend.core.errors import Misconfigured
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
        "OLLAMA_KEEP_ALIVE": "5m",
        "OLLAMA_URLS": "http://a:1,http://b:2/",
        "REDIS_URL": "redis://cache",
        "CHROMA_URL": "http://chroma:8000",
    }
    given = "7.5" if name.endswith("_S") else "4" if name.endswith("_AT_ONCE") else "given"
    monkeypatch.setenv(name, values.get(name, given))
    found = getattr(getattr(Settings(), section), field)
    assert found != Settings.model_fields[section].default.model_dump()[field]


def test_the_present_name_of_a_setting_wins_over_a_former_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("libri_engine__gap_s", "3")
    assert Settings().engine.inter_token_timeout_s == 3
    monkeypatch.setenv("LIBRI_ENGINE__INTER_TOKEN_TIMEOUT_S", "4")
    assert Settings().engine.inter_token_timeout_s == 4


def test_a_wrong_value_is_told_under_the_name_that_was_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIBRI_ENGINE__QUARANTINE_S", "-1")
    with pytest.raises(Misconfigured, match=r"^LIBRI_ENGINE__QUARANTINE_S=-1: input should be greater"):
        load()


INSTANCE = '{"id": "gpu1", "kind": "vllm", "url": "http://u:hunter2@gpu1", "key": "hunter3"%s}'


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("hunter2", "is no JSON list"),
        ("{}", "is no JSON list"),
        ("[1]", "is no JSON list"),
        ("[" * 100_000, "is no JSON list"),
        ('[{"id": "gpu1", "key": "hunter3"}]', "its instance 1: needs kind and url"),
        ("[" + INSTANCE % ', "slot": 4' + "]", "its instance 1: has no field 'slot'"),
        (
            "[" + INSTANCE % "" + "," + INSTANCE % ', "slots": "4"' + "]",
            "2: its slots must be a whole",
        ),
        ("[" + INSTANCE % ', "models": "m"' + "]", "its models must be a list of names"),
        ("[" + INSTANCE % ', "served_names": {"m": 5}' + "]", "its served_names must be an object of names"),
    ],
)
def test_instances_that_cannot_be_read_are_told_without_their_secrets(
    value: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIBRI_ENGINE__INSTANCES", value)
    with pytest.raises(Misconfigured) as refused:
        load()
    assert str(refused.value).startswith("LIBRI_ENGINE__INSTANCES: ")
    assert said in str(refused.value)
    assert "hunter" not in str(refused.value)
    assert len(str(refused.value)) < 1000


def test_instances_may_be_written_on_several_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIBRI_ENGINE__INSTANCES", "[\n" + INSTANCE % ',\n\t"slots": 3' + "\n]\n")
    monkeypatch.setenv("LIBRI_ENGINE__OLLAMA_URLS", "")
    settings = Settings()
    (spec,) = [spec for _, spec in settings.engine.declared()]
    assert (spec.id, spec.kind, spec.slots, spec.key) == ("gpu1", "vllm", 3, "hunter3")
    assert "hunter" not in repr(spec) + settings.model_dump_json() + repr(settings)


def test_every_dialect_that_can_be_set_is_spoken() -> None:
    assert get_args(Engine.model_fields["openai_dialect"].annotation) == tuple(DIALECTS)


def test_the_prefixed_name_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_MODEL", "old")
    monkeypatch.setenv("LIBRI_ENGINE__MODEL", "new")
    monkeypatch.setenv("OLLAMA_URLS", "http://a:1, http://b:2/")
    assert Settings().engine.model == "new"
    assert Settings().engine.ollama_urls == ("http://a:1", "http://b:2")


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("LIBRI_SERVER__PORT", "abc", "LIBRI_SERVER__PORT=abc: input should be a valid integer"),
        ("libri_server__port", "abc", "libri_server__port=abc: input should be a valid integer"),
        ("LIBRI_CHAT__DEADLINE_S", "nan", "LIBRI_CHAT__DEADLINE_S=nan: input should be a finite number"),
        ("OLLAMA_NUM_PARALLEL", "-1", "OLLAMA_NUM_PARALLEL=-1: input should be greater"),
        ("OLLAMA_URLS", "gpu1:11434", "OLLAMA_URLS: gpu1:11434 has no scheme: write http://gpu1:11434"),
        ("OLLAMA_URLS", "http://u:hunter2@", "OLLAMA_URLS: http://**********@ has no valid host"),
        ("OLLAMA_URLS", "http://u:hun@ter2/x@gpu1", "OLLAMA_URLS: http://**********@gpu1 has no valid host"),
        ("LIBRI_ENGINE__OPENAI_URLS", "[1", "LIBRI_ENGINE__OPENAI_URLS=[1: "),
        ("LIBRI_ENGINE__OPENAI_URLS", "http://a?key=hunter2", "LIBRI_ENGINE__OPENAI_URLS: http://a?key=***"),
        ("REDIS_URL", "hunter2", "REDIS_URL: is no address: write redis://HOST:PORT"),
        ("REDIS_URL", "redis://:hunter2@x/zero", "REDIS_URL: has no number for its database"),
        ("CHROMA_URL", "hunter2", "CHROMA_URL: is no address: write http://HOST:PORT"),
        ("CHROMA_URL", "chroma:8000", "CHROMA_URL: chroma:8000 has no scheme: write http://chroma:8000"),
        ("CHROMA_URL", "http://u:hunter2@", "CHROMA_URL: http://**********@ has no valid host"),
        ("REDIS_URL", "redis://:hunter2@a:1,b:2", "REDIS_URL: has several hosts in one address: write redis://"),
        ("REDIS_URL", "redis://a:1,redis://:hunter2@b:2/3", "REDIS_URL: has the number of a database: a cl"),
        ("REDIS_URL", "redis://a:1, hunter2", "REDIS_URL: has several hosts in one address"),
        ("REDIS_URL", "redis://a:1,redis://:hun@ter2@b:x", "REDIS_URL: redis://**********@b:x has no valid"),
        ("API_KEY", "hunter2\nx", "API_KEY: holds a line end or another control character"),
        ("OPENAI_API_KEY", "hunter2\x7fx", "OPENAI_API_KEY: holds a line end or another control character"),
        ("LIBRI_PORT", "8000", "LIBRI_PORT: there is no such setting; the nearest is LIBRI_"),
        ("LIBRI_ENGINE", "{}", "LIBRI_ENGINE: there is no such setting"),
        ("LIBRI_REDIS__URLS", "x", "LIBRI_REDIS__URLS: there is no such setting; the nearest is"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_named_as_it_was_written(
    name: str, value: str, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(name, value)
    assert main(["config"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"libriassist: {said}"), line
    assert "hunter2" not in line
    assert "ter2" not in line


def test_every_wrong_value_has_its_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LIBRI_SERVER__PORT", "x" * 5000)
    monkeypatch.setenv("OLLAMA_URLS", "a")
    assert main(["config"]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert all(len(line) < 1024 for line in lines)


def test_commands_bear_wrong_settings_that_they_do_not_look_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LIBRI_DATA__DIR", str(tmp_path / "data"))
    monkeypatch.setenv("OLLAMA_KEEP_ALIVE", "forever")
    monkeypatch.setenv("REDIS_URL", "localhost:6379")
    assert main(["keys", "list"]) == 0
    assert (tmp_path / "data" / "libriassist.db").exists(), "the other settings hold"
    assert main(["models", "list"]) == 1
    assert "OLLAMA_KEEP_ALIVE=forever" in capsys.readouterr().err


@pytest.mark.parametrize(
    "around", ["{}\r", "{}\n", "\ufeff{}", " {} ", '"{}"', "'{}' \r\n", "\u00a0{}\t", '\ufeff"{}"']
)
@pytest.mark.parametrize(("name", "value"), [
    ("API_KEY", "hunter2"),
    ("LIBRI_AUTH__COOKIE_SECRET", "hunter2"),
    ("OPENAI_API_KEY", "hunter2"),
    ("REDIS_URL", "redis://:hunter2@cache:6379/1"),
    ("REDIS_URL", "redis://:hunter2@a:1,redis://:hunter2@b:2/0, rediss://c:3"),
    ("DATABASE_URL", "postgresql://u:hunter2@db/x"),
    ("CHROMA_URL", "http://u:hunter2@chroma:8000"),
    ("OLLAMA_URLS", "http://gpu1:11434,http://gpu2:11434"),
    ("LIBRI_SERVER__PORT", "8001"),
    ("LIBRI_SERVER__ALLOWED_HOSTS", "a.example,b.example"),
    ("LLM_BACKEND", "openai"),
    ("LIBRI_DATA__DIR", "/srv/data"),
    ("OLLAMA_KEEP_ALIVE", "5m"),
])  # fmt: skip
def test_what_a_file_of_variables_leaves_around_a_value_is_no_part_of_it(
    name: str, value: str, around: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    plain = Settings()
    monkeypatch.setenv(name, around.format(value))
    assert Settings() == plain


@pytest.mark.parametrize(
    ("given", "means"),
    [
        ("0", 0), ("-1", -1), ("-300", -1), ("1800", 1800), ("+5", 5), ("30m", "30m"), ("1h30m", "1h30m"),
        ("-1s", "-1s"), ("500ms", "500ms"), ("1.5h", "1.5h"), ('"-1"', -1), ("", "30m"), ("007", 7),
    ],
)  # fmt: skip
def test_how_long_ollama_keeps_a_model_travels_as_ollama_takes_it(
    given: str, means: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIBRI_ENGINE__OLLAMA_KEEP_ALIVE", given)
    found = Settings().engine.ollama_keep_alive
    assert (type(found), found) == (type(means), means)


@pytest.mark.parametrize(
    "given",
    ["forever", "1d", "5 m", "1.5", "30M", "1h-5m", "99999999999", "9999999h", "٣", "1e3", "m", "inf"],
)
def test_a_duration_that_ollama_refuses_stops_the_start(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_KEEP_ALIVE", given)
    with pytest.raises(Misconfigured, match=r"OLLAMA_KEEP_ALIVE=.*is no duration: write 30m"):
        load()


@pytest.mark.parametrize("ending", ["", "/", "/v1", "/v1/", "/api", "/api/", "//"])
@pytest.mark.parametrize("name", ["OLLAMA_URLS", "LIBRI_ENGINE__OPENAI_URLS"])
def test_the_address_of_a_model_server_may_end_as_other_clients_want_it(
    name: str, ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, f"http://gpu1:11434{ending},https://x.example/ollama{ending}")
    engine = Settings().engine
    urls = engine.ollama_urls if name == "OLLAMA_URLS" else engine.openai_urls
    assert urls == ("http://gpu1:11434", "https://x.example/ollama")


def test_zero_is_what_ollama_takes_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_NUM_PARALLEL", "0")
    monkeypatch.setenv("OLLAMA_MAX_LOADED_MODELS", "0")
    assert (Settings().engine.slots, Settings().engine.max_loaded_models) == (1, 3)


def test_an_empty_variable_is_an_unset_one_but_for_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "LIBRI_SERVER__HOST",
        "LIBRI_SERVER__PORT",
        "LIBRI_DATA__MODELS_DIR",
        "LIBRI_ENGINE__OLLAMA_URLS",
    ):
        monkeypatch.setenv(name, "")
    settings = Settings()
    assert (settings.server.host, settings.server.port) == ("127.0.0.1", 8000)
    assert settings.data.models_dir is None
    assert settings.engine.ollama_urls == ()


SHARED = {
    "REDIS_URL": "redis://cache",
    "DATABASE_URL": "postgresql://u@db/x",
    "CHROMA_URL": "http://chroma:8000",
}


@pytest.mark.parametrize("without", [None, *SHARED])
def test_processes_share_a_folder_once_all_that_lasts_is_elsewhere(
    without: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in SHARED.items():
        monkeypatch.setenv(name, "" if name == without else value)
    assert Settings().is_shared == (without is None)


def test_secrets_are_masked(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("API_KEY", "hunter2")
    monkeypatch.setenv("DATABASE_URL", "postgresql+asyncpg://u:hunter2@db/x")
    monkeypatch.setenv("OLLAMA_URLS", "http://u:hunter2@gpu1:11434,http://gpu2:11434")
    assert main(["config"]) == 0
    shown = capsys.readouterr().out
    assert "hunter2" not in shown
    assert "@gpu1:11434" in shown
    assert "http://gpu2:11434" in shown
