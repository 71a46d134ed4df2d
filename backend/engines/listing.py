"""Lists of models, as servers write them, read into `ModelInfo`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from backend.core.errors import EngineError
from backend.engines.base import ModelInfo


def of_tags(body: Any) -> tuple[ModelInfo, ...]:
    """Ollama's `/api/tags`, without models that only embed.

    Raises:
        EngineError: It is no such list.
    """
    with _readable():
        return tuple(_tag(model) for model in body["models"] if _chats(model))


def of_openai(body: Any) -> tuple[ModelInfo, ...]:
    """`/v1/models`: llama.cpp tells most in `meta`, vLLM says `max_model_len`, nobody says who thinks.

    Raises:
        EngineError: It is no such list.
    """
    with _readable():
        return tuple(_entry(model) for model in body["data"])


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
        context_tokens=_whole(details.get("context_length")),
        digest=str(model.get("digest") or ""),
    )


def _entry(model: dict[str, Any]) -> ModelInfo:
    meta = model.get("meta") or {}
    return ModelInfo(
        name=_called(model["id"]),
        parameters=_spoken(_whole(meta.get("n_params"))),
        size_bytes=_whole(meta.get("size")),
        context_tokens=_whole(model.get("max_model_len")) or _whole(meta.get("n_ctx_train")),
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
    except (KeyError, TypeError, AttributeError) as exc:
        raise EngineError("the model server's list of models cannot be read") from exc
