"""`libriassist models` as an operator runs it: real processes, and emulated model servers in their own."""

from __future__ import annotations

import asyncio
import socket
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from tests.support.console import environment_in, run
from tests.support.emulator import Emulator, emulator
from tests.support.live_app import live_app, settings_in
from tests.support.wire import refusal, wire_server

NEW = "gemma3:4b"


@pytest.fixture
async def pair() -> AsyncIterator[tuple[Emulator, Emulator]]:
    fast = {"time_scale": 0.01, "process": True}
    async with emulator(**fast) as one, emulator(**fast) as two:
        yield one, two


@pytest.fixture
def nobody() -> str:
    """An address at which nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


@pytest.fixture
def environment(tmp_path: Path, models_dir: Path) -> dict[str, str]:
    return environment_in(tmp_path / "data", models_dir, LLM_BACKEND="auto")


async def command(environment: dict[str, str], *words: str, urls: str) -> subprocess.CompletedProcess[str]:
    return await asyncio.to_thread(run, environment | {"OLLAMA_URLS": urls}, "models", *words)


async def names_on(server: Emulator) -> set[str]:
    async with httpx.AsyncClient() as client:
        return {model["name"] for model in (await client.get(f"{server.url}/api/tags")).json()["models"]}


async def test_a_list_shows_each_server_with_its_models_and_what_is_loaded_where(
    pair: tuple[Emulator, Emulator], nobody: str, environment: dict[str, str]
) -> None:
    one, two = pair
    async with httpx.AsyncClient(timeout=30) as client:
        load = {"model": "qwen3:8b", "keep_alive": -1, "options": {"num_ctx": 8192}}
        await client.post(f"{two.url}/api/generate", json=load)
    await two.fault("gpu_lost", variant="ps_honest")
    other = refusal(200, {"object": "list", "data": [{"id": "served", "max_model_len": 32_768}]})
    async with wire_server(other) as vllm:
        openai = {"LIBRI_ENGINE__OPENAI_URLS": vllm.url}
        done = await command(environment | openai, "list", urls=f"{one.url},{two.url},{nobody}")
    of_other, of_one, of_two, of_nobody = sections(done.stdout, vllm.url, one.url, two.url, nobody)
    assert ["llama3.1:8b", "4.9", "GB", "Q4_K_M", "131072", "no"] in [row[:6] for row in of_one]
    assert ["qwen3:8b", "4.9", "GB", "Q4_K_M", "40960", "no"] in [row[:6] for row in of_one]
    loaded = next(row for row in of_two if row[0] == "qwen3:8b")
    assert loaded[4:10] == ["8192", "of", "40960", "for", "good", "0%"]
    assert ["served", "32768", "for", "good"] in of_other
    assert " ".join(of_nobody[0]) == "the model server does not answer"
    assert done.returncode == 1, "one server does not answer"
    assert not Path(environment["LIBRI_DATA__DIR"]).exists(), "no data folder is needed"


def sections(printed: str, *addresses: str) -> list[list[list[str]]]:
    """The words of the lines below each address."""
    lines = printed.splitlines()
    at = [lines.index(address) for address in addresses]
    ends = {start: min((other for other in at if other > start), default=len(lines)) for start in at}
    return [[line.split() for line in lines[start + 1 : ends[start]] if line.strip()] for start in at]


async def test_one_model_is_shown_with_where_it_is(
    pair: tuple[Emulator, Emulator], environment: dict[str, str]
) -> None:
    one, two = pair
    async with httpx.AsyncClient() as client:
        await client.request("DELETE", f"{two.url}/api/delete", json={"model": "qwen3:8b"})
    shown = await command(environment, "show", "qwen3:8b", urls=f"{one.url},{two.url}")
    assert shown.returncode == 0
    lines = [" ".join(line.split()) for line in shown.stdout.splitlines()]
    assert {"model qwen3:8b", "context 40,960 tokens", "thinks yes", f"{one.url}: has it"} <= set(lines)
    assert any(line.startswith(f"{two.url}: there is no such model") for line in lines)
    nowhere = await command(environment, "show", "nobody", urls=one.url)
    assert nowhere.returncode == 1


async def test_a_pull_reaches_every_instance_that_lacks_the_model_and_names_those_where_it_fails(
    pair: tuple[Emulator, Emulator], nobody: str, environment: dict[str, str]
) -> None:
    one, two = pair
    await two.fault("pull_error", stage="verifying", message="no space left on device")
    first = await command(environment, "pull", NEW, urls=f"{one.url},{two.url},{nobody}")
    assert first.returncode == 1
    assert f"{one.url}: {NEW}: has it now" in first.stderr
    assert f"{two.url}: {NEW}: failed: the model server gave up: no space left on device" in first.stderr
    assert f"{nobody}: {NEW}: failed: the model server does not answer" in first.stderr
    assert NEW in await names_on(one)
    assert NEW not in await names_on(two)
    await two.clear()
    again = await command(environment, "pull", NEW, urls=f"{one.url},{two.url}")
    assert again.returncode == 0
    assert f"{one.url}: {NEW}: has it already" in again.stderr
    assert f"{two.url}: {NEW}: has it now" in again.stderr
    assert NEW in await names_on(two)


async def test_a_pull_may_name_one_instance_and_then_brings_it_up_to_date(
    pair: tuple[Emulator, Emulator], environment: dict[str, str]
) -> None:
    one, two = pair
    done = await command(environment, "pull", "llama3.1:8b", "--instance", f"{two.url}/", urls=one.url)
    assert done.returncode == 0
    assert f"{two.url}: llama3.1:8b: has it now" in done.stderr
    assert one.url not in done.stderr
    absent = await command(environment, "pull", "missing-one", urls=one.url)
    assert absent.returncode == 1
    assert "there is no such model: pull model manifest: file does not exist" in absent.stderr


async def test_without_an_ollama_instance_a_pull_says_what_to_do(environment: dict[str, str]) -> None:
    done = await command(environment | {"LLM_BACKEND": "extractive"}, "pull", NEW, urls="")
    assert done.returncode == 1
    assert "set OLLAMA_URLS" in done.stderr


async def test_what_is_pulled_beside_a_running_server_can_be_asked_for_soon_after(
    pair: tuple[Emulator, Emulator], environment: dict[str, str], tmp_path: Path, models_dir: Path
) -> None:
    one, _ = pair
    settings = settings_in(tmp_path / "data", models_dir, engine={"ollama_urls": [one.url]})
    async with live_app(settings, instances=None) as app:  # it holds the data folder
        assert NEW not in await offered(app.client)
        assert (await command(environment, "pull", NEW, urls=one.url)).returncode == 0
        async with asyncio.timeout(60):
            while NEW not in await offered(app.client):
                await asyncio.sleep(0.5)


async def offered(client: httpx.AsyncClient) -> set[str]:
    return {model["name"] for model in (await client.get("/api/v1/models")).json()["models"]}
