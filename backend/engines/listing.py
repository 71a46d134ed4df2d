"""Lists of models, as servers write them, read into `ModelInfo`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from backend.core.errors import EngineError
from backend.engines.base import LoadedModel, ModelInfo
from backend.engines.overflow import tokens

_TOLD = ("max_model_len", "loaded_context_length", "context_length", "context_window", "max_context_length")
"""Where servers of the OpenAI protocol say how long a prompt and its answer may be: vLLM and SGLang first."""


def of_tags(body: Any) -> tuple[ModelInfo, ...]:
    """Ollama's `/api/tags`, without models that only embed.

    Raises:
        EngineError: It is no such list.
    """
    with _readable():
        return tuple(_tag(model) for model in body["models"] if _chats(model))


def of_disk(body: Any) -> tuple[ModelInfo, ...]:
    """The same list, with those that only embed: they take room as well.

    Raises:
        EngineError: It is no such list.
    """
    with _readable():
        return tuple(_tag(model) for model in body["models"] or ())


def of_ps(body: Any) -> tuple[LoadedModel, ...]:
    """Ollama's `/api/ps`.

    Raises:
        EngineError: It is no such list.
    """
    with _readable():
        return tuple(_in_memory(model) for model in body["models"])


def of_openai(body: Any) -> tuple[ModelInfo, ...]:
    """`/v1/models`: llama.cpp tells most in `meta`, vLLM says `max_model_len`, nobody says who thinks.

    Where the context of a request is not told, it is what the model was made for.

    Raises:
        EngineError: It is no such list.
    """
    with _readable():
        return tuple(_entry(model) for model in body["data"])


def loaded_of_openai(body: Any) -> tuple[LoadedModel, ...]:
    """The same list as models in memory, each with the context that one request has there.

    Raises:
        EngineError: It is no such list.
    """
    with _readable():
        return tuple(LoadedModel(str(m["id"]), context_tokens=_context(m)) for m in body["data"])


def context_of_props(body: Any) -> int | None:
    """llama.cpp's `/props`: the context of one slot."""
    settings = body.get("default_generation_settings") if isinstance(body, dict) else None
    return tokens(settings.get("n_ctx")) if isinstance(settings, dict) else None


def _context(model: dict[str, Any]) -> int | None:
    told = (tokens(model.get(name)) for name in _TOLD)
    return next(filter(None, told), None) or tokens((model.get("meta") or {}).get("n_ctx"))


def _chats(model: dict[str, Any]) -> bool:
    can = model.get("capabilities")  # older servers leave it out
    return can is None or "completion" in can


def _tag(model: dict[str, Any]) -> ModelInfo:
    details, can = model.get("details") or {}, model.get("capabilities")
    return ModelInfo(
        name=_called(model["name"]),
        thinks=None if can is None else "thinking" in can,
        parameters=str(details.get("parameter_size") or ""),
        quantisation=str(details.get("quantization_level") or ""),
        size_bytes=_whole(model.get("size")),
        context_tokens=tokens(details.get("context_length")),
        digest=str(model.get("digest") or ""),
    )


def _in_memory(model: dict[str, Any]) -> LoadedModel:
    until = model.get("expires_at")
    return LoadedModel(
        name=_called(model.get("name") or model["model"]),
        digest=str(model.get("digest") or ""),
        size_bytes=_whole(model.get("size")),
        vram_bytes=_whole(model.get("size_vram")),
        context_tokens=tokens(model.get("context_length")),
        expires_at=datetime.fromisoformat(until).timestamp() if until else None,
    )


def _entry(model: dict[str, Any]) -> ModelInfo:
    meta = model.get("meta") or {}
    return ModelInfo(
        name=_called(model["id"]),
        parameters=_spoken(_whole(meta.get("n_params"))),
        size_bytes=_whole(meta.get("size")),
        context_tokens=_context(model) or tokens(meta.get("n_ctx_train")),
    )


def _called(name: object) -> str:
    return name if isinstance(name, str) else ""


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _spoken(parameters: int | None) -> str:
    if parameters is None:
        return ""
    return f"{parameters / 1e9:.1f}B" if parameters >= 1e9 else f"{parameters / 1e6:.0f}M"


@contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError) as exc:
        raise EngineError("the model server's list of models cannot be read") from exc
