"""What a request holds besides the plain question, and how a server says that it knows nothing of it.

One that refuses an extra answers well without: nobody shall get no answer for the sake of token counts.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Literal

from backend.core.errors import EngineRejected
from backend.core.types import Message
from backend.engines.refusal import Refusal

Extra = Literal[
    "thinking_switch", "usage", "prompt_cache", "prefill", "system_role", "max_tokens", "temperature"
]

_NAMED: Mapping[Extra, tuple[str, ...]] = MappingProxyType(
    {
        "thinking_switch": ("chat_template", "enable_thinking"),
        "usage": ("stream_options", "include_usage"),
        "prompt_cache": ("cache_prompt",),
        "prefill": ("continue_final_message", "add_generation_prompt", "assistant message at the end"),
        "system_role": (
            *(
                "system role",
                "system message",
                "system prompt",
                "role system",
                "'system'",
                '"system"',
                "`system`",
            ),
            *("roles must alternate", "only user and assistant", "only user, assistant"),
        ),
        "max_tokens": ("max_completion_tokens",),
        "temperature": ("temperature",),
    }
)
_OPTIONAL: frozenset[Extra] = frozenset({"thinking_switch", "usage", "prompt_cache"})
"""Left out together where a server refuses a request without saying why."""
_UNNAMED = (400, 422)


class ExtrasRefused(EngineRejected):
    """The server may answer the same request without these extras."""

    def __init__(self, extras: frozenset[Extra]) -> None:
        super().__init__("the model server refused a part of the request")
        self.extras = extras


def unwanted(refusal: Refusal, sent: Collection[Extra]) -> frozenset[Extra]:
    """Those of `sent` that the server refuses; empty: it refuses something else."""
    if not 400 <= refusal.status <= 500 or refusal.status in (401, 402, 403, 404, 429):
        return frozenset()
    said = refusal.said.replace('\\"', '"')
    named = frozenset(extra for extra in sent if any(mark in said for mark in _NAMED[extra]))
    if named or refusal.status not in _UNNAMED or refusal.body is None:
        return named
    return _OPTIONAL & frozenset(sent)


def without_system(messages: Sequence[Message]) -> tuple[Message, ...]:
    """The same prompt for a chat template that knows no system role: the rules begin the first question."""
    rules = "\n\n".join(message.content for message in messages if message.role == "system")
    others = [message for message in messages if message.role != "system"]
    first = next((n for n, message in enumerate(others) if message.role == "user"), None)
    if first is None:
        return (Message("user", rules), *others)
    asked = Message("user", f"{rules}\n\n{others[first].content}")
    return (*others[:first], asked, *others[first + 1 :])
