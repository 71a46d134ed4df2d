"""A refusal that says the prompt is too long: what servers write, and the figures in it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import orjson

from backend.core.errors import ContextOverflow

MOST_TOKENS = 2**31 - 1
"""No context is longer: what claims to be is no figure."""
_DEPTH = 4
_ECHOES = frozenset({"input", "messages", "content", "prompt"})
"""Fields in which servers give a request back: what a document says of contexts is no refusal."""
_NUMBER = r"(\d[\d,]{0,14})"
_MARKS = re.compile(
    r"exceed_context_size|context_(?:length|window)_exceeded|maximum (?:context|model|prompt) length"
    r"|exceeds? (?:the |its )?(?:model's )?(?:maximum |available )?context"
    r"|longer than the (?:model's |maximum )*(?:context|model) length|context length is only"
    r"|longer than the context|too long to fit into the model|prompt is too long|context the overflows"
    r"|input token count|token count of \d+ exceeds"
    r"|inputs` tokens \+ `max_new_tokens`|inputs` must have less than"
    r"|exceed(?:s)? the (?:configured limit|maximum allowed (?:input )?length)|exceeds? limit of \d"
)
_CONTEXT = (
    r"available context size \(" + _NUMBER,
    r"context (?:length|window)(?: is| of)?(?: only)? \(?(?:context length )?" + _NUMBER,
    r"(?:model|prompt|allowed) length (?:is |of )?\(?" + _NUMBER,
    _NUMBER + r" (?:tokens )?maximum",
    r"(?:configured|the|exceeds) limit of " + _NUMBER,
    r"context limit: \d+ \+ \d+ > " + _NUMBER,
    r"tokens allowed \(" + _NUMBER,
    r"must be <= " + _NUMBER,
    r"must have less than " + _NUMBER,
)
_PROMPT = (
    _NUMBER + r" (?:tokens )?(?:in|from) the (?:input |messages|prompt)",
    _NUMBER + r" (?:input|prompt) tokens",
    r"resulted in " + _NUMBER,
    r"(?:request|input|prompt|input length|requested tokens|token count) \(" + _NUMBER,
    r"\((?:total )?length " + _NUMBER,
    r"(?:prompt|request) contains " + _NUMBER,
    r"too long: " + _NUMBER,
    r"first " + _NUMBER + " tokens",
    r"token count of " + _NUMBER,
    r"context limit: " + _NUMBER,
    r"input length " + _NUMBER,
    r"given: " + _NUMBER,
)


def overflow(body: object) -> ContextOverflow | None:
    """The error that a server's JSON tells, if it tells that the prompt does not fit.

    Understood are llama.cpp's fields, the same as a string inside Ollama's `error`, and the sentences of
    Ollama, vLLM, SGLang, TGI, LM Studio and hosted services. A figure that makes no sense is left out.
    """
    fields = list(_objects(body, _DEPTH))
    said = " ".join(_words(fields))
    if not said and isinstance(body, str):
        said = body.lower()
    if not _MARKS.search(said):
        return None
    return ContextOverflow(
        "the question does not fit the model's context",
        context_tokens=_field(fields, "n_ctx") or _first(_CONTEXT, said),
        prompt_tokens=_field(fields, "n_prompt_tokens") or _first(_PROMPT, said),
    )


def tokens(value: object) -> int | None:
    """A server's figure for a number of tokens: a whole number, or the digits of one; None for nonsense."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 12:
        value = int(value)
    whole = isinstance(value, int) and not isinstance(value, bool)
    return value if whole and isinstance(value, int) and 0 < value <= MOST_TOKENS else None


def _objects(value: object, depth: int) -> Iterator[dict[str, Any]]:
    """Every object in `value`, those written as a string too, the outermost first."""
    if depth == 0:
        return
    if isinstance(value, str) and value.lstrip().startswith("{"):
        try:
            value = orjson.loads(value)
        except orjson.JSONDecodeError:
            return
    if isinstance(value, dict):
        yield value
        for name, inner in value.items():
            if name not in _ECHOES:
                yield from _objects(inner, depth - 1)
    elif isinstance(value, list):
        for inner in value[:8]:
            yield from _objects(inner, depth - 1)


def _words(fields: Sequence[dict[str, Any]]) -> Iterator[str]:
    for one in fields:
        yield from (v.lower() for name, v in one.items() if isinstance(v, str) and name not in _ECHOES)


def _field(fields: Sequence[dict[str, Any]], name: str) -> int | None:
    return next((found for one in fields if (found := tokens(one.get(name)))), None)


def _first(patterns: Sequence[str], said: str) -> int | None:
    found = (re.search(pattern, said) for pattern in patterns)
    return next((tokens(match[1].replace(",", "")) for match in found if match), None)
