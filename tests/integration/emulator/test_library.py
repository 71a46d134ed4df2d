"""Rules 15 to 17: what `/api/ps`, pull, create, copy, delete and blobs do and say, step by step."""

import hashlib
import json

import pytest

from tests.support.emulator import emulator
from tests.support.raw_http import answer, chat, raw


@pytest.fixture
async def server():
    async with emulator(time_scale=0, reply="Nine.") as it:
        yield it


async def steps(server, path, body) -> list[dict]:
    async with raw(server.url, path, body) as it:
        return await it.objects()


async def blob(server, data: bytes) -> str:
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    assert (await answer(server.url, f"/api/blobs/{digest}", data, method="POST"))[0] == 201
    return digest


async def resident(server) -> list[str]:
    return [m["name"] for m in json.loads((await answer(server.url, "/api/ps"))[2])["models"]]


async def test_a_model_that_is_loading_is_not_listed():
    async with emulator(time_scale=1, reply="Nine.") as server, raw(server.url, "/api/chat", chat()):
        await server.until(lambda s: s["loading"] == "llama3.1:8b")
        assert await resident(server) == []


async def test_the_size_in_memory_is_the_file_and_the_context_of_every_slot():
    async with emulator(time_scale=0, num_parallel=4, reply="Nine.") as server:
        await answer(server.url, "/api/chat", chat(stream=False, options={"num_ctx": 8192}))
        (row,) = json.loads((await answer(server.url, "/api/ps"))[2])["models"]
    assert row["size"] == row["size_vram"] == 4_920_000_000 + 131_072 * 8192 * 4


@pytest.mark.parametrize(
    ("stage", "last"),
    [
        ("manifest", "pulling manifest"),
        ("pulling", "pulling "),
        ("verifying", "verifying sha256 digest"),
        ("writing", "writing manifest"),
    ],
)
async def test_a_pull_can_fail_at_any_stage(server, stage, last):
    await server.fault("pull_error", stage=stage, message="gone")
    *before, failed = await steps(server, "/api/pull", {"model": "gemma3"})
    assert before[-1]["status"].startswith(last)
    assert failed == {"error": "gone"}
    assert server.instance.table.find("gemma3") is None


async def test_a_pull_names_each_layer_by_twelve_digits_and_counts_up(server):
    got = await steps(server, "/api/pull", {"model": "gemma3"})
    layer = [s for s in got if s["status"] == got[1]["status"]]
    assert layer[0]["status"] == f"pulling {layer[0]['digest'].removeprefix('sha256:')[:12]}"
    done = [s.get("completed", 0) for s in layer]
    assert done == sorted(done)
    assert done[-1] == layer[0]["total"]


async def test_a_pull_takes_the_time_that_its_rate_says(server):
    await server.knobs(pull_bytes_per_s=4_920_000_000 / 60)
    before = (await server.state())["now_s"]
    await steps(server, "/api/pull", {"model": "gemma3"})
    assert (await server.state())["now_s"] - before == pytest.approx(60, rel=0.15)


async def test_copy_and_delete_answer_with_nothing(server):
    status, headers, body = await answer(
        server.url, "/api/copy", {"source": "llama3.1:8b", "destination": "mine"}
    )
    assert (status, body, headers.get("content-length")) == (200, b"", "0")
    status, headers, body = await answer(server.url, "/api/delete", {"model": "mine"}, method="DELETE")
    assert (status, body, headers.get("content-length")) == (200, b"", "0")
    assert (await answer(server.url, "/api/show", {"model": "mine"}))[0] == 404


async def test_a_blob_must_be_what_its_digest_says(server):
    digest = await blob(server, b"GGUF")
    assert (await answer(server.url, f"/api/blobs/{digest}", method="HEAD"))[0] == 200
    other = f"sha256:{'0' * 64}"
    assert (await answer(server.url, f"/api/blobs/{other}", b"GGUF", method="POST"))[0] == 400
    status, headers, body = await answer(server.url, f"/api/blobs/{other}", method="HEAD")
    assert (status, headers["content-type"], body) == (404, "application/json; charset=utf-8", b"")
    assert int(headers["content-length"]) == len(json.dumps({"error": f'blob "{other}" not found'})) - 1
    status, _, body = await answer(server.url, "/api/blobs/sha256:0", b"GGUF", method="POST")
    assert (status, json.loads(body)) == (400, {"error": "invalid digest format"})


async def test_a_created_lora_shares_its_parents_file_and_so_takes_its_place(server):
    adapters = {"a.gguf": await blob(server, b"adapter")}
    got = await steps(server, "/api/create", {"model": "tuned", "from": "llama3.1:8b", "adapters": adapters})
    assert got[-1] == {"status": "success"}
    assert not any("reading model metadata" in s["status"] for s in got)
    for name in ("llama3.1:8b", "tuned:latest", "llama3.1:8b"):
        await answer(server.url, "/api/chat", chat(model=name, stream=False))
        assert await resident(server) == [name]
    assert len(await server.events(kind="load_end")) == 3


async def test_a_created_model_with_a_context_of_its_own_reloads_its_parent(server):
    await steps(
        server, "/api/create", {"model": "wide", "from": "llama3.1:8b", "parameters": {"num_ctx": 8192}}
    )
    for name in ("llama3.1:8b", "wide"):
        await answer(server.url, "/api/chat", chat(model=name, stream=False))
    assert [e["num_ctx"] for e in await server.events(kind="load_end")] == [4096, 8192]


async def test_create_from_files_and_quantize(server):
    files = {"m.gguf": await blob(server, b"weights")}
    got = await steps(server, "/api/create", {"model": "own", "files": files, "quantize": "q4_K_M"})
    statuses = [s["status"] for s in got]
    assert statuses[0] == "parsing GGUF"
    assert "quantizing F16 model to q4_K_M" in statuses
    assert statuses[-2:] == ["writing manifest", "success"]
    shown = json.loads((await answer(server.url, "/api/show", {"model": "own"}))[2])
    assert shown["details"]["quantization_level"] == "Q4_K_M"


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({"from": "nobody"}, 500, "file does not exist"),
        ({}, 400, "neither 'from' or 'files' was specified"),
        ({"from": "llama3.1:8b", "adapters": {"a": "sha256:0"}}, 500, "no such file"),
        ({"from": "llama3.1:8b", "adapters": {"a": "x", "b": "y"}}, 400, "only one adapter is currently"),
    ],
)
async def test_what_can_not_be_created_is_an_error_object(server, body, status, message):
    got = await steps(server, "/api/create", {"model": "x", **body})
    assert message in got[-1]["error"]
    whole, _, data = await answer(server.url, "/api/create", {"model": "x", "stream": False, **body})
    assert (whole, message in json.loads(data)["error"]) == (status, True)


async def test_an_error_that_is_the_first_thing_to_say_has_a_status(server):
    status, headers, data = await answer(server.url, "/api/create", {"model": "x"})
    assert (status, headers["content-type"]) == (400, "application/json")
    assert json.loads(data) == {"error": "neither 'from' or 'files' was specified"}
