"""A model server that says back what it is asked, and remembers every prompt."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

NAME = "echo"


@dataclass(slots=True)
class EchoModel:
    """Prompts as they arrived: lists of messages."""

    url: str = ""
    prompts: list[list[dict[str, str]]] = field(default_factory=list)
    say_next: list[str] = field(default_factory=list)

    async def models(self, _: web.Request) -> web.Response:
        """The one model."""
        return web.json_response({"object": "list", "data": [{"id": NAME, "object": "model"}]})

    async def complete(self, request: web.Request) -> web.StreamResponse:
        """The last message, in pieces; or what it was told to say."""
        messages = (await request.json())["messages"]
        self.prompts.append(messages)
        text = self.say_next.pop(0) if self.say_next else messages[-1]["content"][-400:]
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for start in range(0, len(text), 7):
            await _send(response, {"delta": {"content": text[start : start + 7]}, "finish_reason": None})
        await _send(response, {"delta": {}, "finish_reason": "stop"})
        await response.write(b"data: [DONE]\n\n")
        return response


async def _send(response: web.StreamResponse, choice: dict[str, Any]) -> None:
    chunk = {"id": "c", "object": "chat.completion.chunk", "model": NAME, "choices": [{"index": 0, **choice}]}
    await response.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")


@asynccontextmanager
async def echo_model() -> AsyncIterator[EchoModel]:
    """A running `EchoModel` on a free port."""
    model = EchoModel()
    app = web.Application(client_max_size=16 * 1024**2)
    app.add_routes([web.get("/v1/models", model.models), web.post("/v1/chat/completions", model.complete)])
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    model.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield model
    finally:
        await runner.cleanup()
