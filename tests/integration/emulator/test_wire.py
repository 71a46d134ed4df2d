"""Sections B and C: the bytes, the order of keys, and every error before the first object."""

import asyncio
import hashlib
import json
import re
import socket

import pytest

from ollama_emulator.models import model
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


LEVELS = '"high", "medium", "low", "max", true, or false'
INTO = "json: cannot unmarshal {} into Go struct field {} of type {}"
PLAIN = "llama3.1:8b"
REFUSALS = {
    "an empty body": ("/api/chat", b"", 400, "missing request body"),
    "half a body": ("/api/chat", b'{"model":', 400, "unexpected EOF"),
    "no model": ("/api/chat", {"messages": []}, 400, "model is required"),
    "an unknown model": ("/api/chat", chat(model="x"), 404, "model 'x' not found"),
    "an unknown model to show": ("/api/show", {"model": "x"}, 404, "model 'x:latest' not found"),
    "an unknown embedder": (
        *("/api/embed", {"model": "x", "input": "a"}, 404),
        'model "x" not found, try pulling it first',
    ),
    "an embedding without a model": (
        *("/api/embed", {"input": "a"}, 404),
        "model '' not found",
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
        f'invalid think value: "deep" (must be {LEVELS})',
    ),
    "a think that is a number": (
        *("/api/chat", chat(think=3), 400),
        f"think must be a boolean or string ({LEVELS})",
    ),
    "a think that is a list": (
        *("/api/generate", {"model": PLAIN, "prompt": "x", "think": [True]}, 400),
        f"think must be a boolean or string ({LEVELS})",
    ),
    "a wrong think and a wrong option": (
        *("/api/chat", chat(think=True, options={"num_ctx": "x"}), 400),
        '"llama3.1:8b" does not support thinking',
    ),
    "a model that only embeds and a wrong option": (
        *("/api/chat", chat(model="nomic-embed-text", options={"num_ctx": "x"}), 400),
        '"nomic-embed-text" does not support chat',
    ),
    "null": ("/api/chat", b"null", 400, "model is required"),
    "a word": (
        *("/api/chat", b'"hello"', 400),
        "json: cannot unmarshal string into Go value of type api.ChatRequest",
    ),
    "a list": (
        *("/api/generate", b"[1]", 400),
        "json: cannot unmarshal array into Go value of type api.GenerateRequest",
    ),
    "messages that are a word": (
        *("/api/chat", chat(messages="hello"), 400),
        INTO.format("string", "ChatRequest.messages", "[]api.Message"),
    ),
    "a message that is a word": (
        *("/api/chat", chat(messages=["hello"]), 400),
        INTO.format("string", "ChatRequest.messages", "api.Message"),
    ),
    "content that is a list": (
        *("/api/chat", chat([{"type": "text", "text": "x"}]), 400),
        INTO.format("array", "ChatRequest.messages.content", "string"),
    ),
    "content that is a number": (
        *("/api/chat", chat(3), 400),
        INTO.format("number", "ChatRequest.messages.content", "string"),
    ),
    "a model that is a number": (
        *("/api/chat", chat(model=3), 400),
        INTO.format("number", "ChatRequest.model", "string"),
    ),
    "a stream that is a word": (
        *("/api/chat", chat(stream="yes"), 400),
        INTO.format("string", "ChatRequest.stream", "bool"),
    ),
    "options that are a list": (
        *("/api/chat", chat(options=[]), 400),
        INTO.format("array", "ChatRequest.options", "map[string]interface {}"),
    ),
    "a prompt that is an object": (
        *("/api/generate", {"model": PLAIN, "prompt": {}}, 400),
        INTO.format("object", "GenerateRequest.prompt", "string"),
    ),
    "a tool whose function is a word": (
        *("/api/chat", chat(tools=[{"function": "find"}]), 400),
        INTO.format("string", "Tool.tools.function", "api.ToolFunction"),
    ),
    "two of a wrong kind: the first is told": (
        *("/api/chat", b'{"stream":1,"model":2}', 400),
        INTO.format("number", "ChatRequest.stream", "bool"),
    ),
    "a blank inside the name": ("/api/chat", chat(model="a b"), 400, "invalid model name"),
    "a blank before the name": ("/api/generate", {"model": " x", "prompt": "x"}, 400, "invalid model name"),
    "bad UTF-8 inside the name": ("/api/chat", b'{"model":"a\xff","messages":[]}', 400, "invalid model name"),
    "half a character inside the name": ("/api/chat", b'{"model":"\\ud800"}', 400, "invalid model name"),
    "a name to embed with that is none": (
        *("/api/embed", {"model": "a b", "input": "x"}, 400),
        "invalid model name",
    ),
    "a name to show that is none": ("/api/show", {"model": "a b"}, 400, "invalid model name"),
    "a name to pull that is none": ("/api/pull", {"model": "a b"}, 400, "invalid model name"),
    "vectors of a chat model": (
        *("/api/embed", {"model": PLAIN, "input": "x"}, 501),
        "This server does not support embeddings. Start it with `--embeddings`",
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


async def test_tools_are_refused_with_the_whole_name_of_the_model():
    theirs = model("their/plain:1b", capabilities=("completion",))
    async with emulator(time_scale=0, models=(theirs,)) as server:
        asked = chat(model="their/plain:1b", tools=[{"type": "function"}])
        _, _, body = await answer(server.url, "/api/chat", asked)
    assert json.loads(body)["error"] == "registry.ollama.ai/their/plain:1b does not support tools"


@pytest.mark.parametrize("name", [PLAIN, "qwen3:8b"])
async def test_a_message_that_can_not_fit_is_cut_in_silence(server, name):
    whole = json.loads(
        (await answer(server.url, "/api/chat", chat("word " * 9000, model=name, stream=False)))[2]
    )
    assert (whole["done_reason"], whole["prompt_eval_count"]) == ("stop", 4096 - (4096 - 4) // 2)


async def test_what_is_left_of_it_is_its_beginning_and_its_end():
    first, last = [f"first{i}" for i in range(9)], [f"last{i}" for i in range(9)]
    async with emulator(time_scale=0, reply="x") as server:
        text = " ".join([*first, *["middle"] * 900, *last])
        await answer(server.url, "/api/chat", chat(text, stream=False, options={"num_ctx": 40}))
        (runner,) = server.instance.scheduler.loaded.values()
        held = runner.slots.all[0].tokens
    assert [t.strip() for t in held[:4]] == first[:4]
    assert [t.strip() for t in held[-14:-5]] == last


@pytest.mark.parametrize("more", [{}, {"shift": False}])
async def test_truncate_false_is_refused_with_the_engines_own_json(server, more):
    asked = chat("word " * 9000, truncate=False, **more)
    status, headers, body = await answer(server.url, "/api/chat", asked)
    error = json.loads(json.loads(body)["error"])["error"]
    assert (status, error["type"], error["n_ctx"]) == (400, "exceed_context_size_error", 4096)
    assert error["n_prompt_tokens"] > 9000
    assert (headers["content-type"], headers["transfer-encoding"]) == ("application/json", "chunked")
    status, headers, again = await answer(server.url, "/api/chat", {**asked, "stream": False})
    assert (status, headers["content-type"], again) == (400, "application/json; charset=utf-8", body)


async def test_shift_false_alone_is_refused_in_the_servers_own_words(server):
    status, headers, body = await answer(server.url, "/api/chat", chat("word " * 9000, shift=False))
    assert (status, headers["content-type"]) == (400, "application/json")
    assert json.loads(body)["error"].startswith(
        "the prompt is longer than the context length currently available to the model; shorten the prompt, "
    )


async def test_what_does_not_fit_is_cut_for_openais_dialect_too(server):
    asked = chat("word " * 9000)
    whole = json.loads((await answer(server.url, "/v1/chat/completions", asked))[2])
    assert whole["usage"]["prompt_tokens"] < 4096


@pytest.mark.parametrize("num_ctx", [-5, 0, 1.5, 3])
async def test_an_odd_context_is_no_error(server, num_ctx):
    asked = chat("a few words", stream=False, options={"num_ctx": num_ctx})
    assert (await answer(server.url, "/api/chat", asked))[0] == 200


@pytest.mark.parametrize("value", ["xml", 3, ["json"], True])
async def test_a_format_that_is_none_is_an_error_of_the_server(server, value):
    status, headers, body = await answer(server.url, "/api/chat", chat(format=value))
    quoted = json.dumps(json.dumps(value))
    assert (status, headers["content-type"]) == (500, "application/json")
    assert json.loads(body)["error"] == (
        f'invalid format: {quoted}; expected "json" or a valid JSON Schema object'
    )


@pytest.mark.parametrize("value", [None, "", "json", {"type": "object"}])
async def test_a_format_that_is_one(server, value):
    assert (await answer(server.url, "/api/chat", chat(format=value, stream=False)))[0] == 200


@pytest.mark.parametrize("tail", [b" and more", b"{}", b"\n\xff", b"]"])
async def test_what_follows_the_first_object_is_not_looked_at(server, tail):
    body = json.dumps(chat(stream=False)).encode() + tail
    assert (await answer(server.url, "/api/chat", body))[0] == 200


async def test_fields_are_known_by_any_case(server):
    body = {"Model": PLAIN, "MESSAGES": [{"Role": "user", "Content": "x"}], "Stream": False}
    assert (await answer(server.url, "/api/chat", body))[0] == 200


async def test_names_have_their_tag_where_models_are_listed_and_are_echoed_where_they_are_asked():
    async with emulator(time_scale=0, models=(model("prose"),), reply="x") as server:
        whole = json.loads((await answer(server.url, "/api/chat", chat(model="prose", stream=False)))[2])
        listed = [
            json.loads((await answer(server.url, f"/api/{path}"))[2])["models"] for path in ("ps", "tags")
        ]
        shown = json.loads((await answer(server.url, "/api/show", {"model": "prose"}))[2])
    assert whole["model"] == "prose"
    assert [(m["name"], m["model"]) for rows in listed for m in rows] == [
        ("prose:latest", "prose:latest")
    ] * 2
    assert "prose:latest" in shown["modelfile"]


async def test_tags_tell_the_sizes_that_a_client_must_know(server):
    listed = json.loads((await answer(server.url, "/api/tags"))[2])["models"]
    details = {m["name"]: m["details"] for m in listed}
    assert details["nomic-embed-text:latest"]["context_length"] == 2048
    assert details["nomic-embed-text:latest"]["embedding_length"] == 768
    assert details[PLAIN]["context_length"] == 131_072


async def test_the_context_in_force_is_told_and_never_beyond_what_the_model_was_trained_for():
    async with emulator(time_scale=0, models=(model("small", train_ctx=1024),), reply="x") as server:
        for options, told in (({}, 1024), ({"num_ctx": 8192}, 1024), ({"num_ctx": 512}, 512)):
            await answer(server.url, "/api/chat", chat(model="small", stream=False, options=options))
            (row,) = json.loads((await answer(server.url, "/api/ps"))[2])["models"]
            assert row["context_length"] == told


async def test_durations_are_always_told(server):
    for _ in range(2):
        whole = json.loads((await answer(server.url, "/api/chat", chat(stream=False)))[2])
        assert all(whole[name] >= 1_000_000 for name in ("load_duration", "prompt_eval_duration"))
        parts = ("load_duration", "prompt_eval_duration", "eval_duration")
        assert whole["total_duration"] >= sum(whole[name] for name in parts)
    body = {"model": "nomic-embed-text", "input": "x"}
    for _ in range(2):
        whole = json.loads((await answer(server.url, "/api/embed", body))[2])
        assert whole["total_duration"] >= whole["load_duration"] >= 1_000_000


async def test_a_head_has_no_body_and_does_not_promise_chunks():
    many = tuple(model(f"m{number}") for number in range(20))
    async with emulator(time_scale=0, models=many) as server:
        assert (await answer(server.url, "/api/tags"))[1]["transfer-encoding"] == "chunked"
        status, headers, body = await answer(server.url, "/api/tags", method="HEAD")
    assert (status, body) == (200, b"")
    assert not {"transfer-encoding", "content-length"} & headers.keys()


async def test_nothing_to_embed_gives_nothing(server):
    _, _, body = await answer(server.url, "/api/embed", {"model": PLAIN})
    assert json.loads(body) == {"model": PLAIN, "embeddings": []}


SERVED = ["localhost", "LOCALHOST:1", "127.0.0.1:9", "127.8.8.8", "[::1]:11434", "10.0.0.7", "0.0.0.0:1", ""]
SERVED += ["box.local", "ollama.internal:11434", "a.b.localhost", socket.gethostname()]
SHUT_OUT = [
    "gpu1",
    "gpu1:11434",
    "ollama",
    "example.com",
    "8.8.8.8",
    "[::1]",
    "localhost.example.com",
    "local",
]


@pytest.mark.parametrize("path", ["/", "/api/tags", "/api/nothing"])
@pytest.mark.parametrize("host", SHUT_OUT)
async def test_a_server_on_loopback_refuses_other_hosts_without_a_word(server, host, path):
    status, headers, body = await answer(server.url, path, host=host)
    assert (status, headers["content-length"], body) == (403, "0", b"")
    assert "content-type" not in headers


@pytest.mark.parametrize("host", SERVED)
async def test_a_server_on_loopback_answers_hosts_that_are_its_own(server, host):
    assert (await answer(server.url, "/api/tags", host=host))[0] == 200


@pytest.mark.parametrize("bound", ["0.0.0.0", "http://0.0.0.0:11434", "[::]:11434", "192.0.2.7"])
async def test_a_server_bound_elsewhere_answers_every_host(bound):
    async with emulator(time_scale=0, host=bound) as server:
        for host in SHUT_OUT:
            assert (await answer(server.url, "/api/tags", host=host))[0] == 200


async def test_a_request_without_a_host_is_no_request(server):
    async with raw(server.url, "/", host="x\r\nX-A: b") as it:
        await it.read_head()
    assert it.status == 403
    reader, writer = await asyncio.open_connection("127.0.0.1", int(server.url.rsplit(":", 1)[1]))
    writer.write(b"GET / HTTP/1.1\r\n\r\n")
    said = await reader.read()
    writer.close()
    assert said.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert said.endswith(b"400 Bad Request: missing required Host header")


async def test_truncate_false_refuses_what_would_be_dropped(server):
    turns = [{"role": "user", "content": "word " * 5000}, {"role": "user", "content": "so?"}]
    assert (await answer(server.url, "/api/chat", chat(messages=turns, stream=False)))[0] == 200
    assert (await answer(server.url, "/api/chat", chat(messages=turns, truncate=False)))[0] == 400


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
        it.writer.write(b"GET /api/version HTTP/1.1\r\nHost: localhost\r\n\r\n")
        it.status = 0
        assert json.loads(await it.body()) == {"version": "0.33.0"}
