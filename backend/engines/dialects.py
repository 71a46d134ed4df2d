"""How servers of the OpenAI protocol differ, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from backend.core.instances import Kind

Json = str | int | float | bool | None | Mapping[str, "Json"]
_OPEN_ENDED: Mapping[str, Json] = MappingProxyType(
    {"continue_final_message": True, "add_generation_prompt": False}
)
"""vLLM's, since 2026 llama.cpp's as well (it refuses the first without the second)."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """What one kind of server sends and understands.

    Attributes:
        reasoning: Fields of `delta` that hold reasoning, in order of preference.
        include_usage: Token counts must be asked for with `stream_options`.
        sends_done: A good stream ends with `[DONE]`. It proves nothing (vLLM sends it after an abort too):
            only a finish reason does; here it says whether to wait for it.
        thinking_switch: `chat_template_kwargs.enable_thinking` is understood, or ignored.
        extra: Further fields of every request.
        prefill: Fields with which the server goes on from a last message of the assistant; None: it closes
            that message and begins another.
    """

    name: Kind
    reasoning: tuple[str, ...] = ("reasoning_content", "reasoning", "thinking")
    include_usage: bool = True
    sends_done: bool = True
    thinking_switch: bool = True
    extra: Mapping[str, Json] = field(default_factory=lambda: MappingProxyType({}))
    prefill: Mapping[str, Json] | None = field(default_factory=lambda: _OPEN_ENDED)


LLAMA_CPP = Dialect(
    "llama.cpp",
    reasoning=("reasoning_content",),
    extra=MappingProxyType({"cache_prompt": True}),
)
VLLM = Dialect("vllm", reasoning=("reasoning", "reasoning_content"))
MLX = Dialect("mlx", reasoning=("reasoning",), prefill=None)
TRANSFORMERS = Dialect(
    "transformers", include_usage=False, sends_done=False, thinking_switch=False, prefill=None
)
COMMON = Dialect("openai")
"""What llama.cpp, vLLM and MLX all accept: for a server of which nothing is known."""
DIALECTS: Mapping[Kind, Dialect] = MappingProxyType(
    {dialect.name: dialect for dialect in (COMMON, LLAMA_CPP, VLLM, MLX, TRANSFORMERS)}
)
