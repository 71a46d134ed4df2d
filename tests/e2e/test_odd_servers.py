# ruff: noqa: E501  what servers say, on one line
"""Model servers that are odd in ways that people have met, through the whole application."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from itertools import count
from pathlib import Path
from typing import Any, Literal

import pytest
import pytest_asyncio

from backend.core.instances import InstanceSpec
from backend.pool.base import InstanceStatus
from tests.support.live_app import HOURS, Event, LiveApp, live_app, settings_in
from tests.support.wire import DONE, LAST, NDJSON, OK, chunk, line, model_server, refusal

QUESTION = "When does the library open in the morning?"
ANSWER = "Three weeks [1]."
Said = Callable[[Any], list[Any]]
_NUMBERS = count(1)
pytestmark = pytest.mark.asyncio(loop_scope="module")


def openai(*contents: str, finish: str | None = "stop") -> list[Any]:
    return [OK, *(chunk(text) for text in contents), *([chunk(finish=finish)] if finish else []), DONE]


def ollama(*contents: str, last: bytes = LAST) -> list[Any]:
    return [NDJSON, *(line(text) for text in contents), last]


def shown(happened: list[Event]) -> tuple[str, str]:
    """Answer and reasoning on the reader's screen at the end."""
    answer = thinking = ""
    for event in happened:
        match event.name, event.data:
            case "delta", data:
                answer += data["text"]
            case "thinking", data:
                thinking += data["text"]
            case "replace", {"channel": "answer", "text": text}:
                answer = text
            case "replace", {"text": text}:
                thinking = text
    return answer, thinking


class Reader:
    """The application before one or more model servers, each made of the answers it gives."""

    def __init__(self, app: LiveApp) -> None:
        self._app = app
        self._stack = AsyncExitStack()
        self.servers: list[Any] = []
        self.ids: list[str] = []

    async def before(self, kind: Literal["openai", "ollama"], *says: Said) -> LiveApp:
        operator = self._app.services.operator
        for say in says:
            server = await self._stack.enter_async_context(model_server(say))
            id = f"odd-{next(_NUMBERS)}"
            await operator.add(InstanceSpec(id, kind, server.url, slots=4))
            self._stack.push_async_callback(operator.remove, id)
            self.servers.append(server)
            self.ids.append(id)
        return self._app

    async def states(self) -> dict[str, InstanceStatus]:
        state = await self._app.services.pool.status()
        return {one.id: one for one in state.instances if one.id in self.ids}

    async def close(self) -> None:
        await self._stack.aclose()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def application(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> AsyncIterator[LiveApp]:
    engine = {"ollama_urls": (), "breaker_open_s": 60}
    settings = settings_in(tmp_path_factory.mktemp("odd") / "data", models_dir, engine=engine)
    async with live_app(settings, instances=None) as app:
        await app.put(HOURS)
        yield app


@pytest_asyncio.fixture(loop_scope="module")
async def reader(application: LiveApp) -> AsyncIterator[Reader]:
    it = Reader(application)
    yield it
    await it.close()


SECRETS = {
    "tags of their own": ("<think>", "secret plan", "</think>", "\n\nThree weeks [1]."),
    "only the closing tag": ("secret ", "plan", "</think>", "\n\nThree weeks [1]."),
    "Harmony": ("<|channel|>analysis<|message|>secret plan", "<|end|><|start|>assistant<|channel|>final", "<|message|>", ANSWER),
}  # fmt: skip


@pytest.mark.parametrize("kind", ["ollama", "openai"])
@pytest.mark.parametrize("said", SECRETS.values(), ids=SECRETS)
async def test_reasoning_is_neither_in_the_answer_nor_in_what_the_model_is_told_next(
    reader: Reader, kind: Any, said: tuple[str, ...]
) -> None:
    say = ollama if kind == "ollama" else openai
    app = await reader.before(kind, lambda _: say(*said))
    happened = await app.ask(QUESTION)
    assert shown(happened) == (ANSWER, "secret plan")
    assert [event.name for event in happened][-1] == "done"
    assert happened[-1].data["citations"] == [1]
    whole = (await app.client.post("/api/v1/chat", json={"question": "When can a loan be renewed?"})).json()
    assert (whole["answer"], whole["thinking"]) == (ANSWER, "secret plan")
    conversation = happened[0].data["conversation_id"]
    kept = (await app.client.get(f"/api/v1/conversations/{conversation}")).text
    await app.ask("And on Sundays, when does it open?", conversation_id=conversation)
    told = str(reader.servers[0].chats[-1]["messages"])
    assert ANSWER in told
    assert all(mark not in told + kept for mark in ("secret", "think>", "channel|"))


EMPTY = {
    "nothing": (),
    "blanks": (" ", "\n\n"),
    "what nobody can see": ("\u200b\ufeff",),
    "reasoning alone": ("<think>secret plan</think>\n",),
    "reasoning that never ends": ("<think>secret plan",),
    "a citation of nothing": (" [9]",),
}


@pytest.mark.parametrize("kind", ["ollama", "openai"])
@pytest.mark.parametrize("said", EMPTY.values(), ids=EMPTY)
async def test_an_answer_of_nothing_is_quoted_and_said_to_be(
    reader: Reader, kind: Any, said: tuple[str, ...]
) -> None:
    say = ollama if kind == "ollama" else openai
    app = await reader.before(kind, lambda _: say(*said))
    happened = await app.ask(QUESTION)
    assert "nine in the morning" in shown(happened)[0]
    assert happened[-1].name == "done"
    assert happened[-1].data["degraded"] == ["model"]


@pytest.mark.parametrize("reason", ["content_filter", "eos_token", "tool_calls", "function_call", "COMPLETE"])
async def test_text_is_kept_whatever_the_reason_of_its_end(reader: Reader, reason: str) -> None:
    app = await reader.before("openai", lambda _: openai("Three ", "weeks [1].", finish=reason))
    happened = await app.ask(QUESTION)
    assert shown(happened)[0] == ANSWER
    assert happened[-1].data["finish_reason"] == "stop"


async def test_a_server_that_never_gives_a_reason_ends_well(reader: Reader) -> None:
    app = await reader.before("ollama", lambda _: ollama(ANSWER, last=line(done=True)))
    happened = await app.ask(QUESTION)
    assert shown(happened)[0] == ANSWER
    assert happened[-1].data["finish_reason"] == "stop"


BROKEN = {
    "a byte of no character": b"Three weeks\xff [1].",
    "half of a character": b"Three weeks\xf0\x9f [1].",
    "half of a pair": b"Three weeks\\ud83d [1].",
    "the other half": b"Three weeks\\ude00 [1].",
}


@pytest.mark.parametrize("kind", ["ollama", "openai"])
@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
async def test_a_broken_character_costs_one_character(reader: Reader, kind: Any, content: bytes) -> None:
    openai_said = [
        OK,
        b'data: {"choices":[{"delta":{"content":"' + content + b'"}}]}\n\n',
        chunk(finish="stop"),
        DONE,
    ]
    ollama_said = [NDJSON, b'{"message":{"content":"' + content + b'"},"done":false}\n', LAST]
    app = await reader.before(kind, lambda _: ollama_said if kind == "ollama" else openai_said)
    happened = await app.ask(QUESTION)
    assert shown(happened)[0] == "Three weeks\ufffd [1]."
    assert happened[-1].data["citations"] == [1]


async def test_what_was_said_in_the_same_read_as_a_bad_end_is_kept(reader: Reader) -> None:
    app = await reader.before("openai", lambda _: [OK + chunk("Three weeks") + b"data: {oops\n\n"])
    happened = await app.ask(QUESTION)
    assert shown(happened)[0] == "Three weeks"
    assert happened[-1].data["code"] == "engine_error"


REFUSALS = {
    "a wrong key": refusal(401, {"error": {"message": "Incorrect API key provided: sk-secret", "code": "invalid_api_key"}}),
    "no credit": refusal(402, {"error": "pay"}),
    "a quota": refusal(429, {"error": {"code": "insufficient_quota", "message": "You exceeded your quota"}}),
    "forbidden": refusal(403, {"detail": "Forbidden"}),
    "a host name that Ollama refuses": refusal(403, b""),
    "a path of nothing": refusal(404, b"404 page not found"),
    "a path of nothing, in JSON": refusal(404, {"detail": "Not Found"}),
    "another method": refusal(405, {"detail": "Method Not Allowed"}),
    "a proxy's password": refusal(407, b""),
    "a redirect": b"HTTP/1.1 307 X\r\nLocation: https://user:pw@other.example/v1/chat?token=t\r\nContent-Length: 0\r\n\r\n",
    "a redirect for good": b"HTTP/1.1 301 X\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n",
    "HTTP where HTTPS is spoken": refusal(400, b"Client sent an HTTP request to an HTTPS server.\n"),
    "a proxy's page": refusal(413, b"<html>Request Entity Too Large</html>"),
    "a login page": b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>",
}  # fmt: skip


@pytest.mark.parametrize("kind", ["ollama", "openai"])
@pytest.mark.parametrize("said", REFUSALS.values(), ids=REFUSALS)
async def test_a_server_that_refuses_us_takes_no_reader_with_it(
    reader: Reader, kind: Any, said: bytes
) -> None:
    say = ollama if kind == "ollama" else openai
    app = await reader.before(kind, lambda _: [said], lambda _: say(ANSWER))
    for _ in range(4):
        assert shown(await app.ask(QUESTION))[0] == ANSWER
    assert len(reader.servers[0].chats) <= 1, "set aside"
    state = await reader.states()
    assert all("secret" not in one.reason and "pw" not in one.reason for one in state.values())


@pytest.mark.parametrize("kind", ["ollama", "openai"])
async def test_alone_it_lets_the_documents_speak(reader: Reader, kind: Any) -> None:
    app = await reader.before(kind, lambda _: [refusal(401, {"error": "no"})])
    happened = await app.ask(QUESTION)
    assert "nine in the morning" in shown(happened)[0]
    assert happened[-1].data["degraded"] == ["model"]
    (instance,) = (await reader.states()).values()
    assert instance.health == "open"
    assert "401" in instance.reason
    assert "key" in instance.reason


def refusing(word: str, status: int, message: str) -> Said:
    """A server that knows nothing of one thing in a request."""

    def say(body: Any) -> list[Any]:
        if word in str(body):
            return [refusal(status, {"error": {"message": message, "code": status}})]
        return openai(ANSWER)

    return say


EXTRAS = {
    "chat templates": ("chat_template_kwargs", 400, "chat_template is not supported for Mistral tokenizers."),
    "counts": ("stream_options", 400, "Unrecognized request argument supplied: stream_options"),
    "counts, by a validator": ("stream_options", 422, "body.stream_options: Extra inputs are not permitted"),
    "something, and it does not say what": ("stream_options", 400, "bad request"),
    "the system role": ("'system'", 400, "System role not supported"),
    "the system role, as a template says it": ("'system'", 500, "Conversation roles must alternate user/assistant/user/assistant/..."),
    "the bound's old name": ("'max_tokens'", 400, "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."),
    "a temperature": ("temperature", 400, "Unsupported value: 'temperature' does not support 0.0 with this model."),
}  # fmt: skip


@pytest.mark.parametrize("case", EXTRAS.values(), ids=EXTRAS)
async def test_what_a_server_does_not_know_is_left_out_from_then_on(reader: Reader, case: Any) -> None:
    app = await reader.before("openai", refusing(*case))
    for question in (QUESTION, "When can a loan be renewed?"):
        assert shown(await app.ask(question))[0] == ANSWER
    assert len(reader.servers[0].chats) == 3, "refused once, remembered"
    assert "extracts" in str(reader.servers[0].chats[-1]), "the rules are still told"


async def test_a_server_that_knows_none_of_them_answers(reader: Reader) -> None:
    def say(body: Any) -> list[Any]:
        for name in ("stream_options", "chat_template_kwargs", "temperature"):
            if name in body:
                return [
                    refusal(422, {"detail": [{"loc": ["body", name], "msg": "extra fields not permitted"}]})
                ]
        return openai(ANSWER)

    app = await reader.before("openai", say)
    assert shown(await app.ask(QUESTION))[0] == ANSWER
    assert shown(await app.ask("When can a loan be renewed?"))[0] == ANSWER
    assert len(reader.servers[0].chats) == 5


async def test_a_request_that_is_wrong_anyway_is_refused(reader: Reader) -> None:
    app = await reader.before("openai", lambda _: [refusal(400, {"error": "nope"})])
    happened = await app.ask(QUESTION)
    assert happened[-1].data["code"] == "engine_rejected"
    assert len(reader.servers[0].chats) == 2


UNREACHABLE = {
    "a name that nobody knows": ("http://nobody.invalid:11434", b"", "host name is not known"),
    "HTTPS where HTTP is spoken": ("https://127.0.0.1", b"HTTP/1.1 400 Bad Request\r\n\r\n", "TLS fails"),
    "what speaks no HTTP": ("http://127.0.0.1", b"SSH-2.0-OpenSSH_9.9\r\n", "does not speak HTTP"),
}


@pytest.mark.parametrize(("url", "greeting", "reason"), UNREACHABLE.values(), ids=UNREACHABLE)
async def test_why_a_server_cannot_be_reached_is_told_in_words(
    reader: Reader, url: str, greeting: bytes, reason: str
) -> None:
    async with model_server(lambda _: [], greeting=greeting) as server:
        at = url + server.url.removeprefix("http://127.0.0.1") if greeting else url
        app = await reader.before("openai")
        await app.services.operator.add(InstanceSpec("far", "openai", at, slots=1))
        state = {one.id: one for one in (await app.services.pool.status()).instances}["far"]
        await app.services.operator.remove("far")
    assert state.health == "open"
    assert reason in state.reason
