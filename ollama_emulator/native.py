"""`/api/chat` and `/api/generate`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ollama_emulator.call import Call, Refused
from ollama_emulator.dialogue import Chat, Text
from ollama_emulator.durations import keep_alive
from ollama_emulator.encoders import ChatEncoder, Encoder, GenerateEncoder
from ollama_emulator.generate import Job, run
from ollama_emulator.gojson import quoted
from ollama_emulator.models import Model, qualified
from ollama_emulator.options import BadOption, checked, runner_options
from ollama_emulator.replies import Prompted, Reasoning
from ollama_emulator.requests import CHAT, GENERATE
from ollama_emulator.tokens import message_tokens, tokenise
from ollama_emulator.truth import shortened
from ollama_emulator.wire import JSON, Outcome

NO_SHIFT_FAMILIES = ("deepseek2",)


async def chat(call: Call) -> None:
    body = call.body(CHAT)
    model = call.model(body.get("model"))
    encoder = ChatEncoder(body["model"], call.instance.stamps)
    messages = [message or {} for message in body.get("messages") or ()]
    if not messages and _unload(call, model, body, encoder):
        return
    await run(call, chat_job(call, model, body, messages), encoder)


async def generate(call: Call) -> None:
    body = call.body(GENERATE)
    model = call.model(body.get("model"), (404, "model '' not found"))
    encoder = GenerateEncoder(body["model"], call.instance.stamps)
    prompt = body.get("prompt") or ""
    if not prompt and _unload(call, model, body, encoder):
        return
    if body.get("raw") and any(body.get(name) for name in ("template", "system", "context")):
        raise Refused(400, "raw mode does not support template, system, or context")
    await run(call, generate_job(call, model, body, prompt), encoder)


def chat_job(call: Call, model: Model, body: Mapping[str, Any], messages: Sequence[Mapping[str, Any]]) -> Job:
    """The job of a chat request, native or translated from OpenAI's dialect.

    Raises:
        Refused: The model cannot do it, or an option is wrong.
    """
    tools = body.get("tools") or []
    reasoning = _reasoning(model, body)
    _require(model, body, "chat", "tools" if tools else "")
    options = _options(call, body)
    last = messages[-1] if messages else {}
    prefill = str(last.get("content") or "") if last.get("role") == "assistant" else ""
    question = next((str(m.get("content") or "") for m in reversed(messages) if m.get("role") == "user"), "")
    call.record.question, call.record.begun = shortened(question), len(prefill)
    told = messages[:-1] if prefill else messages
    asked = Prompted(
        model.name,
        question,
        "\n\n".join(str(m.get("content") or "") for m in told),
        prefill=prefill,
        reasoning=reasoning,
        think_tags=model.think_tags,
        letters=model.word_letters,
        tools=() if last.get("role") == "tool" else _tool_names(tools),
        seed=options.get("seed"),
        json=bool(body.get("format")),
    )
    prompt = Chat(messages, tools, options.get("num_keep", 4), model.word_letters)
    return _job(model, body, options, prompt, asked, only_load=not messages)


def generate_job(call: Call, model: Model, body: Mapping[str, Any], prompt: str) -> Job:
    """The job of a generate request: system and prompt as two messages of the template, unless raw.

    Raises:
        Refused: The model cannot do it, or an option is wrong.
    """
    reasoning = _reasoning(model, body)
    _require(model, body, "generate", "insert" if body.get("suffix") else "")
    options = _options(call, body)
    vocabulary, letters = call.instance.vocabulary, model.word_letters
    if body.get("raw"):
        tokens = tokenise(prompt, letters)
    else:
        system = body.get("system")
        tokens = vocabulary.tokens(body.get("context") or [])
        turns = [{"role": "system", "content": system}] if system else []
        turns.append({"role": "user", "content": prompt, "images": body.get("images")})
        tokens += [token for turn in turns for token in message_tokens(turn, letters=letters)]
    asked = Prompted(
        model.name,
        prompt,
        prompt,
        reasoning=reasoning,
        think_tags=model.think_tags,
        letters=model.word_letters,
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
        keep_alive_s=keep_alive(body.get("keep_alive")),
        format=body.get("format"),
        only_load=only_load,
        rendered=not model.native,
    )


def _options(call: Call, body: Mapping[str, Any]) -> dict[str, Any]:
    try:
        options = call.record.options = checked(body.get("options") or {})
    except BadOption as exc:
        raise Refused(500, str(exc)) from exc
    return options


def _unload(call: Call, model: Model, body: Mapping[str, Any], encoder: Encoder) -> bool:
    """An empty request with keep_alive 0 unloads; never loads."""
    if keep_alive(body.get("keep_alive")) != 0:
        return False
    call.instance.scheduler.expire(model)
    call.whole(encoder.whole(Outcome(reason="unload")), JSON)
    return True


def _require(model: Model, body: Mapping[str, Any], what: str, capability: str) -> None:
    """The model completes, for a request to `what`, and has `capability` if one is named.

    Raises:
        Refused: 400.
    """
    if "completion" not in model.capabilities:
        raise Refused(400, f"{quoted(body['model'])} does not support {what}")
    if capability and capability not in model.capabilities:
        raise Refused(400, f"{qualified(model.name)} does not support {capability}")


def _reasoning(model: Model, body: Mapping[str, Any]) -> Reasoning:
    """Whether the model reasons before it answers, and where that is told.

    A template that knows of thinking has it separated, unless the request says no; what it can not recognise,
    for want of an opening tag, it never separates.

    Raises:
        Refused: 400, the model cannot.
    """
    think = body.get("think")
    capable = "thinking" in model.capabilities
    if think and not capable:
        raise Refused(400, f"{quoted(body['model'])} does not support thinking")
    if capable and think is not False:
        return "apart" if model.think_tags[0] else "inside"
    return "inside" if model.reasons_anyway else "none"


def _tool_names(tools: Sequence[Any]) -> tuple[str, ...]:
    return tuple(
        str((tool.get("function") or {}).get("name", "")) for tool in tools if isinstance(tool, dict)
    )
