"""The bodies that each route takes, as the Go types they are read into."""

from __future__ import annotations

from typing import Any

from ollama_emulator.durations import keep_alive
from ollama_emulator.gojson import Shape, quoted

LEVELS = ("low", "medium", "high", "max")
_LEVELS = '"high", "medium", "low", "max", true, or false'


def _think(value: Any) -> None:
    if isinstance(value, str) and value not in LEVELS:
        raise ValueError(f"invalid think value: {quoted(value)} (must be {_LEVELS})")
    if not isinstance(value, (str, bool)):
        raise ValueError(f"think must be a boolean or string ({_LEVELS})")


STRING = Shape("string", "string")
BOOL = Shape("bool", "bool")
INT = Shape("int", "number", whole=True)
FLOAT = Shape("float64", "number")
ANY = Shape("interface {}", "any")
DURATION = Shape("api.Duration", "any", check=keep_alive)
THINK = Shape("api.ThinkValue", "any", check=_think)
NAMED_STRINGS = Shape("map[string]string", "object", items=STRING)
MAP = Shape("map[string]interface {}", "object")

IMAGES = Shape("[]api.ImageData", "array", items=Shape("api.ImageData", "string"))
CALLED = Shape(
    "api.ToolCallFunction",
    "object",
    {"index": INT, "name": STRING, "arguments": Shape("api.ToolCallFunctionArguments", "object")},
)
TOOL_CALLS = Shape(
    "[]api.ToolCall",
    "array",
    items=Shape("api.ToolCall", "object", {"id": STRING, "function": CALLED}),
)
MESSAGE = Shape(
    "api.Message",
    "object",
    {
        "role": STRING,
        "content": STRING,
        "thinking": STRING,
        "images": IMAGES,
        "tool_calls": TOOL_CALLS,
        "tool_name": STRING,
        "tool_call_id": STRING,
    },
    opaque=True,
)
MESSAGES = Shape("[]api.Message", "array", items=MESSAGE)
FUNCTION = Shape("api.ToolFunction", "object", {"name": STRING, "description": STRING})
TOOL = Shape("api.Tool", "object", {"type": STRING, "function": FUNCTION})
_GENERAL = {
    "model": STRING,
    "stream": BOOL,
    "format": ANY,
    "keep_alive": DURATION,
    "options": MAP,
    "think": THINK,
    "truncate": BOOL,
    "shift": BOOL,
}

CHAT = Shape(
    "api.ChatRequest",
    "object",
    {**_GENERAL, "messages": MESSAGES, "tools": Shape("api.Tools", "array", items=TOOL)},
)
GENERATE = Shape(
    "api.GenerateRequest",
    "object",
    {
        **_GENERAL,
        "prompt": STRING,
        "suffix": STRING,
        "system": STRING,
        "template": STRING,
        "context": Shape("[]int", "array", items=INT),
        "raw": BOOL,
        "images": IMAGES,
    },
)
EMBED = Shape(
    "api.EmbedRequest",
    "object",
    {
        "model": STRING,
        "input": ANY,
        "keep_alive": DURATION,
        "truncate": BOOL,
        "dimensions": INT,
        "options": MAP,
    },
)
EMBEDDINGS = Shape(
    "api.EmbeddingRequest",
    "object",
    {"model": STRING, "prompt": STRING, "keep_alive": DURATION, "options": MAP},
)
SHOW = Shape(
    "api.ShowRequest",
    "object",
    {"model": STRING, "name": STRING, "system": STRING, "verbose": BOOL, "options": MAP},
)
PULL = Shape("api.PullRequest", "object", {"model": STRING, "name": STRING, "stream": BOOL, "insecure": BOOL})
CREATE = Shape(
    "api.CreateRequest",
    "object",
    {
        "model": STRING,
        "name": STRING,
        "stream": BOOL,
        "quantize": STRING,
        "from": STRING,
        "files": NAMED_STRINGS,
        "adapters": NAMED_STRINGS,
        "template": STRING,
        "system": STRING,
        "parameters": MAP,
        "messages": MESSAGES,
    },
)
COPY = Shape("api.CopyRequest", "object", {"source": STRING, "destination": STRING})
DELETE = Shape("api.DeleteRequest", "object", {"model": STRING, "name": STRING})

OPENAI_MESSAGE = Shape("openai.Message", "object", {"role": STRING, "content": ANY, "reasoning": STRING})
STREAM_OPTIONS = Shape("openai.StreamOptions", "object", {"include_usage": BOOL})
_OPENAI = {
    "model": STRING,
    "stream": BOOL,
    "stream_options": STREAM_OPTIONS,
    "max_tokens": INT,
    "seed": INT,
    "stop": ANY,
    "temperature": FLOAT,
    "top_p": FLOAT,
    "frequency_penalty": FLOAT,
    "presence_penalty": FLOAT,
}
OPENAI_CHAT = Shape(
    "openai.ChatCompletionRequest",
    "object",
    {
        **_OPENAI,
        "messages": Shape("[]openai.Message", "array", items=OPENAI_MESSAGE),
        "tools": Shape("[]api.Tool", "array", items=TOOL),
        "response_format": Shape("openai.ResponseFormat", "object", {"type": STRING}),
        "reasoning": Shape("openai.Reasoning", "object", {"effort": STRING}),
        "reasoning_effort": STRING,
    },
)
OPENAI_COMPLETION = Shape(
    "openai.CompletionRequest", "object", {**_OPENAI, "prompt": STRING, "suffix": STRING}
)
OPENAI_EMBED = Shape(
    "openai.EmbedRequest",
    "object",
    {"model": STRING, "input": ANY, "dimensions": INT, "encoding_format": STRING},
)
