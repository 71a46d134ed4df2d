"""H50: the unmodified `ollama` package works against the emulator, and fails as against the real server."""

import httpx
import ollama
import pytest

from tests.support.emulator import emulator


@pytest.fixture
async def server():
    async with emulator(time_scale=0, reply="The hall opens at nine [1].") as it:
        yield it


@pytest.fixture
async def client(server):
    it = ollama.AsyncClient(host=server.url)
    yield it
    await it._client.aclose()


MESSAGES = [{"role": "user", "content": "When does it open?"}]


async def test_list_shows_the_default_table(client):
    names = {m.model for m in (await client.list()).models}
    assert {"llama3.1:8b", "qwen3:8b", "nomic-embed-text:latest"} <= names


async def test_ps_is_empty_until_a_model_is_loaded(client):
    assert not (await client.ps()).models
    await client.chat("llama3.1:8b", MESSAGES)
    (row,) = (await client.ps()).models
    assert (row.name, row.context_length) == ("llama3.1:8b", 4096)
    assert row.size_vram == row.size


async def test_show_tells_capabilities_and_context(client):
    shown = await client.show("qwen3:8b")
    assert shown.capabilities == ["completion", "tools", "thinking"]
    assert shown.modelinfo["qwen3.context_length"] == 40_960


async def test_a_streamed_chat_ends_with_counts(client):
    parts = [part async for part in await client.chat("llama3.1:8b", MESSAGES, stream=True)]
    assert "".join(part.message.content for part in parts) == "The hall opens at nine [1]."
    assert [part.done for part in parts] == [False] * (len(parts) - 1) + [True]
    assert parts[-1].done_reason == "stop"
    assert parts[-1].eval_count == len(parts) - 1
    assert parts[-1].load_duration == 3_000_000_000


async def test_a_whole_chat_is_one_object(client):
    answer = await client.chat("LLAMA3.1:8B", MESSAGES)
    assert answer.model == "LLAMA3.1:8B"
    assert answer.message.content == "The hall opens at nine [1]."
    assert answer.done


async def test_generate_hands_out_a_context(client):
    first = await client.generate("llama3.1:8b", "When?")
    assert first.response == "The hall opens at nine [1]."
    second = await client.generate("llama3.1:8b", "And then?", context=first.context)
    assert second.prompt_eval_count > first.prompt_eval_count


async def test_embed_gives_unit_vectors_that_depend_on_the_text_only(client):
    one = (await client.embed("nomic-embed-text", ["a", "b"])).embeddings
    two = (await client.embed("nomic-embed-text", "a")).embeddings
    assert len(one[0]) == 768
    assert one[0] == two[0]
    assert one[0] != one[1]
    assert sum(x * x for x in one[1]) == pytest.approx(1.0, abs=1e-5)


async def test_embed_cuts_dimensions_and_renormalises(client):
    (vector,) = (await client.embed("nomic-embed-text", "a", dimensions=64)).embeddings
    assert len(vector) == 64
    assert sum(x * x for x in vector) == pytest.approx(1.0, abs=1e-5)


async def test_the_older_embeddings_give_one_vector(client):
    assert len((await client.embeddings("nomic-embed-text", "a")).embedding) == 768


async def test_a_pull_goes_through_its_stages(client):
    stages = [step async for step in await client.pull("gemma3:4b", stream=True)]
    statuses = list(dict.fromkeys(s.status for s in stages))
    assert statuses[0] == "pulling manifest"
    assert statuses[-3:] == ["verifying sha256 digest", "writing manifest", "success"]
    layers = [s for s in stages if s.digest]
    assert layers[-1].completed == layers[-1].total
    assert "gemma3:4b" in {m.model for m in (await client.list()).models}


async def test_a_pull_of_nothing_is_an_error_object(client):
    with pytest.raises(ollama.ResponseError, match="file does not exist"):
        [step async for step in await client.pull("missing-model", stream=True)]


async def test_copy_and_delete(client):
    await client.copy("llama3.1:8b", "mine")
    assert "mine:latest" in {m.model for m in (await client.list()).models}
    await client.delete("mine")
    assert "mine:latest" not in {m.model for m in (await client.list()).models}


async def test_create_from_a_model_shares_its_file(client, server):
    steps = [s.status async for s in await client.create("tuned", from_="llama3.1:8b", stream=True)]
    assert steps[-2:] == ["writing manifest", "success"]
    table = server.instance.table
    assert table.find("tuned").blob == table.find("llama3.1:8b").blob


async def test_create_takes_one_adapter_only(client):
    two = {"a": "sha256:1", "b": "sha256:2"}
    with pytest.raises(ollama.ResponseError, match="only one adapter is currently supported"):
        await client.create("tuned", from_="llama3.1:8b", adapters=two, stream=False)


async def test_a_blob_is_known_once_it_was_sent(client, tmp_path):
    file = tmp_path / "adapter.gguf"
    file.write_bytes(b"GGUF" * 10)
    digest = await client.create_blob(file)
    done = await client.create("tuned", from_="llama3.1:8b", adapters={"a": digest})
    assert done.status == "success"


async def test_an_unknown_model_is_404(client):
    with pytest.raises(ollama.ResponseError) as caught:
        await client.chat("nobody", MESSAGES)
    assert caught.value.status_code == 404
    assert caught.value.error == "model 'nobody' not found"


async def test_an_unknown_embedding_model_says_to_pull_it(client):
    with pytest.raises(ollama.ResponseError, match='model "nobody" not found, try pulling it first'):
        await client.embed("nobody", "a")


async def test_an_error_in_the_middle_has_no_status(client, server):
    await server.fault("error_mid", k=2)
    stream = await client.chat("llama3.1:8b", MESSAGES, stream=True)
    with pytest.raises(ollama.ResponseError) as caught:
        [part async for part in stream]
    assert caught.value.status_code == -1
    assert caught.value.error == "an error was encountered while running the model: unexpected EOF"
    assert (await server.requests())[-1]["objects"] == 2


async def test_a_reset_in_the_middle_is_a_protocol_error(client, server):
    await server.fault("reset_mid", k=2)
    with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
        [part async for part in await client.chat("llama3.1:8b", MESSAGES, stream=True)]


async def test_a_clean_end_without_a_last_object_looks_like_success(client, server):
    await server.fault("eof_mid", k=2)
    parts = [part async for part in await client.chat("llama3.1:8b", MESSAGES, stream=True)]
    assert [part.done for part in parts] == [False, False]


async def test_a_refused_connection_is_a_connection_error(client, server):
    await server.fault("refuse")
    with pytest.raises(ConnectionError):
        await client.list()
    await server.clear("refuse")
    assert (await client.list()).models


async def test_thinking_comes_first_and_can_be_switched_off(client, server):
    parts = [p async for p in await client.chat("qwen3:8b", MESSAGES, stream=True)]
    kinds = ["thinking" if p.message.thinking else "content" for p in parts[:-1]]
    assert kinds == sorted(kinds, reverse=True)
    assert kinds[0] == "thinking"
    assert all(p.message.content == "" for p in parts if p.message.thinking)
    answer = await client.chat("qwen3:8b", MESSAGES, think=False)
    assert answer.message.thinking is None


async def test_tool_calls_come_with_the_last_object_of_a_native_model(client, server):
    await server.knobs(reply={"scripts": [{"tool_calls": [{"name": "find", "arguments": {"q": "hall"}}]}]})
    tool = {
        "type": "function",
        "function": {"name": "find", "parameters": {"type": "object", "properties": {}}},
    }
    parts = [p async for p in await client.chat("llama3.1:8b", MESSAGES, tools=[tool], stream=True)]
    (call,) = parts[-1].message.tool_calls
    assert (call.function.name, call.function.arguments) == ("find", {"q": "hall"})
    parts = [p async for p in await client.chat("qwen3:8b", MESSAGES, tools=[tool], stream=True)]
    assert parts[-1].message.tool_calls is None
    assert parts[-2].message.tool_calls
    assert parts[-1].done_reason == "stop"
