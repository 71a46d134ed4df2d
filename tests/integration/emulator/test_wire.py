"""Sections B and C: the bytes, the order of keys, and every error before the first object."""

import hashlib
import json
import re

import pytest

from loadtests.emulator.models import model
from tests.support.emulator import emulator
from tests.support.raw_http import answer, chat, raw


@pytest.fixture
async def server():
    async with emulator(time_scale=0, reply="One <b> & two.") as it:
        yield it


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_the_root_says_it_is_running(server, method):
    status, headers, body = await answer(server.url, "/", method=method)
    assert (status, headers["content-type"]) == (200, "text/plain; charset=utf-8")
    assert body == (b"Ollama is running" if method == "GET" else b"")


async def test_an_unknown_path_and_a_wrong_method(server):
    assert (await answer(server.url, "/api/nothing"))[::2] == (404, b"404 page not found")
    status, headers, body = await answer(server.url, "/api/chat")
    assert (status, headers["allow"], body) == (405, "POST", b"405 method not allowed")


async def test_head_is_allowed_where_the_server_allows_it(server):
    for path, status in (("/api/version", 200), ("/api/tags", 200), ("/api/ps", 405)):
        assert (await answer(server.url, path, method="HEAD"))[0] == status


async def test_the_head_of_a_stream_is_gos(server):
    async with raw(server.url, "/api/chat", chat()) as it:
        await it.read_head()
        lines = it.head.decode().split("\r\n")
    assert lines[0] == "HTTP/1.1 200 OK"
    assert lines[1] == "Content-Type: application/x-ndjson"
    assert [line.split(":")[0] for line in lines[1:4]] == ["Content-Type", "Date", "Transfer-Encoding"]
    assert lines[4:] == ["", ""]


async def test_each_chunk_is_one_object_and_a_newline(server):
    async with raw(server.url, "/api/chat", chat()) as it:
        chunks = [data async for _, data in it.chunks()]
    assert all(data.endswith(b"}\n") and data.count(b"\n") == 1 for data in chunks)
    assert b"\\u003cb\\u003e" not in chunks[0]
    assert b"".join(chunks).count(b"\\u003c") == 1
    assert b"".join(chunks).count(b"\\u0026") == 1


async def test_the_keys_of_a_chat_stand_in_their_order(server):
    async with raw(server.url, "/api/chat", chat()) as it:
        first, *_, last = await it.objects()
    assert list(first) == ["model", "created_at", "message", "done"]
    assert list(last) == [
        *("model", "created_at", "message", "done", "done_reason", "total_duration", "load_duration"),
        *("prompt_eval_count", "prompt_eval_duration", "eval_count", "eval_duration"),
    ]
    assert last["message"] == {"role": "assistant", "content": ""}


async def test_the_keys_of_a_generate_stand_in_their_order(server):
    async with raw(server.url, "/api/generate", {"model": "qwen3:8b", "prompt": "x"}) as it:
        first, *_, last = await it.objects()
    assert list(first) == ["model", "created_at", "response", "thinking", "done"]
    assert list(last)[:6] == ["model", "created_at", "response", "done", "done_reason", "context"]
    async with raw(server.url, "/api/generate", {"model": "qwen3:8b", "prompt": "x", "raw": True}) as it:
        assert "context" not in (await it.objects())[-1]


async def test_created_at_is_utc_with_at_most_nine_digits(server):
    async with raw(server.url, "/api/chat", chat()) as it:
        stamps = [o["created_at"] for o in await it.objects()]
    assert all(s.endswith("Z") and len(s) <= 30 and s[10] == "T" for s in stamps)


async def test_a_whole_answer_has_its_own_type(server):
    status, headers, body = await answer(server.url, "/api/chat", chat(stream=False))
    assert (status, headers["content-type"]) == (200, "application/json; charset=utf-8")
    assert json.loads(body)["message"]["content"] == "One <b> & two."


async def test_a_long_whole_answer_is_chunked_as_go_does(server):
    await server.knobs(reply="long " * 1000)
    _, headers, body = await answer(server.url, "/api/chat", chat(stream=False))
    assert headers["transfer-encoding"] == "chunked"
    assert len(body) > 5000


async def test_an_empty_chat_loads_and_with_keep_alive_nought_unloads(server):
    status, headers, body = await answer(server.url, "/api/chat", chat(messages=[]))
    assert (status, headers["content-type"]) == (200, "application/json; charset=utf-8")
    assert list(json.loads(body)) == ["model", "created_at", "message", "done", "done_reason"]
    assert json.loads(body)["done_reason"] == "load"
    assert (await server.state())["loaded"]
    status, headers, body = await answer(server.url, "/api/generate", {"model": "llama3.1:8b"})
    assert (status, headers["content-type"]) == (200, "application/json; charset=utf-8")
    assert json.loads(body)["done_reason"] == "load"
    _, _, body = await answer(server.url, "/api/generate", {"model": "llama3.1:8b", "keep_alive": 0})
    assert list(json.loads(body)) == ["model", "created_at", "response", "done", "done_reason"]
    assert json.loads(body)["done_reason"] == "unload"
    assert not (await server.state())["loaded"]


async def test_unloading_what_is_not_loaded_does_not_load_it(server):
    _, _, body = await answer(server.url, "/api/chat", chat(messages=[], keep_alive=0))
    assert json.loads(body)["done_reason"] == "unload"
    assert not await server.events(kind="load_begin")


LEVELS = '(must be "high", "medium", "low", "max", true, or false)'
REFUSALS = {
    "an empty body": ("/api/chat", b"", 400, "missing request body"),
    "half a body": ("/api/chat", b'{"model":', 400, "unexpected EOF"),
    "no model": ("/api/chat", {"messages": []}, 400, "model is required"),
    "an unknown model": ("/api/chat", chat(model="x"), 404, "model 'x' not found"),
    "an unknown model to show": ("/api/show", {"model": "x"}, 404, "model 'x' not found"),
    "an unknown embedder": (
        *("/api/embed", {"model": "x", "input": "a"}, 404),
        'model "x" not found, try pulling it first',
    ),
    "an embedding without a model": (
        *("/api/embed", {"input": "a"}, 404),
        'model "" not found, try pulling it first',
    ),
    "chat with an embedder": (
        *("/api/chat", chat(model="nomic-embed-text"), 400),
        '"nomic-embed-text" does not support chat',
    ),
    "generate with an embedder": (
        *("/api/generate", {"model": "nomic-embed-text", "prompt": "x"}, 400),
        '"nomic-embed-text" does not support generate',
    ),
    "thinking without the capability": (
        *("/api/chat", chat(think=True), 400),
        '"llama3.1:8b" does not support thinking',
    ),
    "a level without the capability": (
        *("/api/chat", chat(think="low"), 400),
        '"llama3.1:8b" does not support thinking',
    ),
    "no such level": (
        *("/api/chat", chat(model="qwen3:8b", think="deep"), 400),
        f'invalid think value: "deep" {LEVELS}',
    ),
    "an option of the wrong type": (
        *("/api/chat", chat(options={"num_ctx": "4096"}), 500),
        'option "num_ctx" must be of type integer',
    ),
    "an embedding of a number": (
        *("/api/embed", {"model": "nomic-embed-text", "input": 3}, 400),
        "invalid input type",
    ),
    "too much to embed": (
        *("/api/embed", {"model": "nomic-embed-text", "input": "a " * 5000, "truncate": False}, 400),
        "the input length exceeds the context length",
    ),
    "a duration that is none": (
        *("/api/chat", chat(keep_alive="soon"), 400),
        'time: invalid duration "soon"',
    ),
    "an infill without the capability": (
        *("/api/generate", {"model": "llama3.1:8b", "prompt": "x", "suffix": "y"}, 400),
        "registry.ollama.ai/library/llama3.1:8b does not support insert",
    ),
    "raw with a system": (
        *("/api/generate", {"model": "llama3.1:8b", "prompt": "x", "raw": True, "system": "y"}, 400),
        "raw mode does not support template, system, or context",
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
async def test_the_server_refuses(server, case):
    path, body, status, message = REFUSALS[case]
    got, headers, data = await answer(server.url, path, body, method="POST")
    assert (got, json.loads(data)) == (status, {"error": message})
    assert headers["content-type"] == "application/json; charset=utf-8"


async def test_tools_need_the_capability():
    plain = model("plain", capabilities=("completion",))
    async with emulator(time_scale=0, models=(plain,)) as server:
        status, _, body = await answer(
            server.url, "/api/chat", chat(model="plain", tools=[{"type": "function"}])
        )
    assert status == 400
    assert json.loads(body)["error"] == "registry.ollama.ai/library/plain:latest does not support tools"


async def test_an_unknown_option_is_ignored(server):
    assert (await answer(server.url, "/api/chat", chat(options={"warp": 9}, stream=False)))[0] == 200


async def test_a_message_that_can_not_fit_is_400_with_the_engines_own_json(server):
    status, _, body = await answer(server.url, "/api/chat", chat("word " * 9000))
    error = json.loads(json.loads(body)["error"])["error"]
    assert (status, error["type"], error["n_ctx"]) == (400, "exceed_context_size_error", 4096)


async def test_truncate_false_refuses_what_would_be_dropped(server):
    turns = [{"role": "user", "content": "word " * 5000}, {"role": "user", "content": "so?"}]
    assert (await answer(server.url, "/api/chat", chat(messages=turns, stream=False)))[0] == 200
    assert (await answer(server.url, "/api/chat", chat(messages=turns, truncate=False)))[0] == 400


async def test_a_rendered_prompt_is_cut_in_the_middle(server):
    body = chat("word " * 9000, model="qwen3:8b", stream=False)
    _, _, data = await answer(server.url, "/api/chat", body)
    assert json.loads(data)["prompt_eval_count"] == 4096 - (4096 - 4) // 2


async def test_more_than_thirty_equal_tokens_end_a_rendered_stream_without_a_word(server):
    await server.knobs(reply=" ha" * 100)
    async with raw(server.url, "/api/chat", chat(model="qwen3:8b", think=False)) as it:
        assert not any(o["done"] for o in await it.objects())
    status, _, body = await answer(server.url, "/api/chat", chat(model="qwen3:8b", stream=False))
    assert (status, json.loads(body)["done"]) == (200, False)
    async with raw(server.url, "/api/chat", chat(model="llama3.1:8b")) as it:
        assert (await it.objects())[-1]["done"]


async def test_stop_strings_and_num_predict(server):
    await server.knobs(reply="alpha beta gamma delta")
    _, _, body = await answer(server.url, "/api/chat", chat(stream=False, options={"stop": ["a gam"]}))
    whole = json.loads(body)
    assert (whole["message"]["content"], whole["done_reason"]) == ("alpha bet", "stop")
    _, _, body = await answer(server.url, "/api/chat", chat(stream=False, options={"num_predict": 2}))
    whole = json.loads(body)
    assert (whole["eval_count"], whole["done_reason"]) == (2, "length")


async def test_a_scripted_reply_can_be_cut_by_eos(server):
    await server.knobs(reply={"scripts": ["alpha beta gamma delta"], "eos_after": 2})
    whole = json.loads((await answer(server.url, "/api/chat", chat(stream=False)))[2])
    assert (whole["eval_count"], whole["done_reason"]) == (2, "stop")


async def test_a_tool_call_has_an_id_of_eight_characters(server):
    await server.knobs(reply={"scripts": [{"tool_calls": [{"name": "find", "arguments": {"q": 1}}]}]})
    body = chat(stream=False, tools=[{"type": "function", "function": {"name": "find"}}])
    message = json.loads((await answer(server.url, "/api/chat", body))[2])["message"]
    (call,) = message["tool_calls"]
    assert re.fullmatch(r"call_\w{8}", call["id"])
    assert (message["content"], call["function"]) == ("", {"index": 0, "name": "find", "arguments": {"q": 1}})


async def test_a_context_that_may_not_shift_ends_with_length(server):
    await server.knobs(reply={"mode": "endless"})
    body = chat(stream=False, shift=False, options={"num_ctx": 64})
    whole = json.loads((await answer(server.url, "/api/chat", body))[2])
    assert whole["done_reason"] == "length"
    assert whole["prompt_eval_count"] + whole["eval_count"] == 64


async def test_an_endless_answer_stops_at_ten_contexts(server):
    await server.knobs(reply={"mode": "endless"})
    whole = json.loads(
        (await answer(server.url, "/api/chat", chat(stream=False, options={"num_ctx": 32})))[2]
    )
    assert (whole["eval_count"], whole["done_reason"]) == (320, "length")


PREFILL = [{"role": "user", "content": "say it"}, {"role": "assistant", "content": "alpha beta"}]


@pytest.mark.parametrize(
    ("behaviour", "said"),
    [
        ("continue", " gamma delta"),
        ("restart", "alpha beta gamma delta"),
        ("repeat", "alpha beta gamma delta"),
        ("trim_space", "gamma delta"),
    ],
)
async def test_a_model_goes_on_from_the_assistants_text(behaviour, said):
    one = model("m", prefill=behaviour)
    async with emulator(time_scale=0, models=(one,), reply="alpha beta gamma delta") as server:
        _, _, body = await answer(server.url, "/api/chat", chat(model="m", messages=PREFILL, stream=False))
    assert json.loads(body)["message"]["content"] == said


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("checks_last", " gamma delta"),
        ("chatml", "alpha beta gamma delta"),
        ("llama3-instruct", "alpha beta gamma delta"),
    ],
)
async def test_the_kind_of_template_decides_what_follows_the_assistants_text(template, said):
    one = model("m", template=template)
    async with emulator(time_scale=0, models=(one,), reply="alpha beta gamma delta") as server:
        _, _, body = await answer(server.url, "/api/chat", chat(model="m", messages=PREFILL, stream=False))
    assert json.loads(body)["message"]["content"] == said


@pytest.mark.parametrize("template", ["llama2-chat", "mistral-instruct", "codellama-70b-instruct"])
async def test_a_template_that_opens_a_users_turn_gives_what_a_user_might_say(template):
    one = model("m", template=template)
    async with emulator(time_scale=0, models=(one,), reply="alpha beta gamma delta") as server:
        asked = chat(model="m", messages=PREFILL, stream=False)
        first, second = [json.loads((await answer(server.url, "/api/chat", asked))[2]) for _ in range(2)]
    said = first["message"]["content"]
    assert (first["done_reason"], said) == ("stop", second["message"]["content"])
    assert len(said.split()) > 3
    assert not {"alpha", "beta", "gamma", "delta"} & set(said.split())


async def test_an_imported_file_begins_anew_unless_it_brings_a_template(server):
    digest = f"sha256:{hashlib.sha256(b'GGUF').hexdigest()}"
    await answer(server.url, f"/api/blobs/{digest}", b"GGUF", method="POST")
    made = {"files": {"m.gguf": digest}, "stream": False}
    for name, more in (("bare", {}), ("own", {"template": "{{ .Prompt }}"})):
        assert (await answer(server.url, "/api/create", {"model": name, **made, **more}))[0] == 200
    table = server.instance.table
    assert (table.find("bare").after_assistant, table.find("own").after_assistant) == ("restart", "continue")


async def test_two_requests_share_a_connection(server):
    async with raw(server.url, "/api/chat", chat()) as it:
        assert (await it.objects())[-1]["done"]
        it.writer.write(b"GET /api/version HTTP/1.1\r\nHost: x\r\n\r\n")
        it.status = 0
        assert json.loads(await it.body()) == {"version": "0.33.0"}
