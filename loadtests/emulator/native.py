"""`/api/chat` and `/api/generate`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from loadtests.emulator.call import Call, Refused
from loadtests.emulator.dialogue import Chat, Text
from loadtests.emulator.durations import keep_alive
from loadtests.emulator.encoders import ChatEncoder, Encoder, GenerateEncoder
from loadtests.emulator.generate import Job, run
from loadtests.emulator.models import Model
from loadtests.emulator.options import BadOption, checked, runner_options
from loadtests.emulator.replies import Prompted
from loadtests.emulator.tokens import message_tokens, tokenise
from loadtests.emulator.truth import QUESTION_KEPT
from loadtests.emulator.wire import JSON, Outcome

LEVELS = ("low", "medium", "high", "max")
NO_SHIFT_FAMILIES = ("deepseek2",)


async def chat(call: Call) -> None:
    body = call.body()
    model = call.model(body.get("model"))
    encoder = ChatEncoder(body["model"], call.instance.stamps)
    messages = _messages(body.get("messages"))
    if not messages and _unload(call, model, body, encoder):
        return
    _require(model, body["model"], "completion", "chat")
    await run(call, chat_job(call, model, body, messages), encoder)


async def generate(call: Call) -> None:
    body = call.body()
    model = call.model(body.get("model"))
    encoder = GenerateEncoder(body["model"], call.instance.stamps)
    if body.get("raw") and any(body.get(name) for name in ("template", "system", "context")):
        raise Refused(400, "raw mode does not support template, system, or context")
    prompt = body.get("prompt") or ""
    if not isinstance(prompt, str):
        raise Refused(
            400, "json: cannot unmarshal value into Go struct field GenerateRequest.prompt of type string"
        )
    if not prompt and _unload(call, model, body, encoder):
        return
    _require(model, body["model"], "completion", "generate")
    if body.get("suffix") and "insert" not in model.capabilities:
        raise Refused(400, f"registry.ollama.ai/library/{model.name} does not support insert")
    await run(call, generate_job(call, model, body, prompt), encoder)


def chat_job(call: Call, model: Model, body: Mapping[str, Any], messages: Sequence[Mapping[str, Any]]) -> Job:
    """The job of a chat request, native or translated from OpenAI's dialect.

    Raises:
        Refused: The model cannot do it, or an option is wrong.
    """
    tools = body.get("tools") or []
    if tools and "tools" not in model.capabilities:
        raise Refused(400, f"registry.ollama.ai/library/{model.name} does not support tools")
    options = _options(call, body)
    last = messages[-1] if messages else {}
    prefill = str(last.get("content") or "") if last.get("role") == "assistant" else ""
    question = next((str(m.get("content") or "") for m in reversed(messages) if m.get("role") == "user"), "")
    call.record.question = question[:QUESTION_KEPT]
    told = messages[:-1] if prefill else messages
    asked = Prompted(
        model.name,
        question,
        "\n\n".join(str(m.get("content") or "") for m in told),
        prefill=prefill,
        thinks=_thinks(model, body),
        tools=() if last.get("role") == "tool" else _tool_names(tools),
        seed=options.get("seed"),
        json=bool(body.get("format")),
    )
    prompt = Chat(messages, model.native, tools, options.get("num_keep", 4), model.token_chars)
    return _job(model, body, options, prompt, asked, only_load=not messages)


def generate_job(call: Call, model: Model, body: Mapping[str, Any], prompt: str) -> Job:
    """The job of a generate request: system and prompt as two messages of the template, unless raw.

    Raises:
        Refused: The model cannot do it, or an option is wrong.
    """
    options = _options(call, body)
    vocabulary = call.instance.vocabulary
    if body.get("raw"):
        tokens = tokenise(prompt)
    else:
        system = body.get("system")
        tokens = vocabulary.tokens(body.get("context") or [])
        tokens += message_tokens({"role": "system", "content": system}) if system else []
        tokens += message_tokens({"role": "user", "content": prompt, "images": body.get("images")})
    asked = Prompted(
        model.name,
        prompt,
        prompt,
        thinks=_thinks(model, body),
        seed=options.get("seed"),
        json=bool(body.get("format")),
    )
    job = _job(model, body, options, Text(tokens, options.get("num_keep", 4)), asked, only_load=not prompt)
    job.rendered = True
    job.context_ids = None if body.get("raw") else vocabulary.ids
    return job


def _job(
    model: Model,
    body: Mapping[str, Any],
    options: dict[str, Any],
    prompt: Chat | Text,
    asked: Prompted,
    *,
    only_load: bool,
) -> Job:
    shift = body.get("shift")
    return Job(
        model,
        runner_options(
            model, options, shift=model.family not in NO_SHIFT_FAMILIES if shift is None else bool(shift)
        ),
        {**model.options, **options},
        prompt,
        asked,
        stream=body.get("stream") is not False,
        truncate=body.get("truncate") is not False,
        keep_alive_s=requested_keep_alive(body),
        only_load=only_load,
        rendered=not model.native,
    )


def requested_keep_alive(body: Mapping[str, Any]) -> float | None:
    """Seconds; None if not named.

    Raises:
        Refused: It is no duration.
    """
    try:
        return keep_alive(body.get("keep_alive"))
    except ValueError as exc:
        raise Refused(400, str(exc)) from exc


def _options(call: Call, body: Mapping[str, Any]) -> dict[str, Any]:
    try:
        options = call.record.options = checked(body.get("options") or {})
    except BadOption as exc:
        raise Refused(500, str(exc)) from exc
    return options


def _messages(value: Any) -> list[Mapping[str, Any]]:
    messages = value or []
    if not isinstance(messages, list) or not all(isinstance(m, dict) for m in messages):
        kind = "string" if isinstance(value, str) else "value"
        raise Refused(
            400,
            f"json: cannot unmarshal {kind} into Go struct field ChatRequest.messages of type []api.Message",
        )
    return messages


def _unload(call: Call, model: Model, body: Mapping[str, Any], encoder: Encoder) -> bool:
    """An empty request with keep_alive 0 unloads; never loads."""
    if requested_keep_alive(body) != 0:
        return False
    call.instance.scheduler.expire(model)
    call.whole(encoder.whole(Outcome(reason="unload")), JSON)
    return True


def _require(model: Model, name: str, capability: str, what: str) -> None:
    if capability not in model.capabilities:
        raise Refused(400, f'"{name}" does not support {what}')


def _thinks(model: Model, body: Mapping[str, Any]) -> bool:
    """Whether the answer is preceded by thinking.

    Raises:
        Refused: 400, no such level, or the model cannot.
    """
    think = body.get("think")
    if think is not None and not isinstance(think, bool) and think not in LEVELS:
        known = '(must be "high", "medium", "low", "max", true, or false)'
        raise Refused(400, f"invalid think value: {_go_quoted(think)} {known}")
    capable = "thinking" in model.capabilities
    if think and not capable:
        raise Refused(400, f'"{body.get("model")}" does not support thinking')
    return capable and think is not False


def _go_quoted(value: Any) -> str:
    return orjson.dumps(value).decode()


def _tool_names(tools: Sequence[Any]) -> tuple[str, ...]:
    return tuple(
        str((tool.get("function") or {}).get("name", "")) for tool in tools if isinstance(tool, dict)
    )
