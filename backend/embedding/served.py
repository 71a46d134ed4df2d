"""A model that a service runs: what is known of it before the service is asked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from backend.embedding.models import KNOWN, Known, Precision, find

_ELSEWHERE: dict[str, Known] = {
    **KNOWN,
    "all-minilm": Known("", 384, 256),
    "bge-m3": Known("", 1024, 8192),
    "mxbai-embed-large": Known("", 1024, 512, "Represent this sentence for searching relevant passages: "),
    "nomic-embed-text": Known("", 768, 2048, "search_query: ", "search_document: "),
}
"""By name without owner and tag, as other services call them."""


@dataclass(frozen=True, slots=True)
class Served:
    """A model of a service.

    Attributes:
        id: As in `Embedder.id`.
        name: What the service calls it.
        query_prefix, passage_prefix: Put before a text here; empty where the service does it.
    """

    id: str
    name: str
    dimensions: int
    max_tokens: int
    query_prefix: str = ""
    passage_prefix: str = ""


def of_our_own(name: str, precision: Precision, dimensions: int | None, max_tokens: int) -> Served | None:
    """The model of a `libriassist serve-embeddings`: its id is that of the same model run here.

    A model that was made from a folder is named by its id, as `GET /v1/models` shows it. None: it is not
    known, and neither is its length.

    Raises:
        EmbedderUnavailable: A folder of that name holds no model.
    """
    if name.rsplit("/", 1)[-1] in KNOWN or Path(name).is_dir():
        model = find(name, precision)
        return Served(model.id, model.id, model.dimensions, model.max_tokens)
    return Served(name, name, dimensions, max_tokens) if dimensions is not None else None


def of_another(
    kind: str, name: str, dimensions: int | None, max_tokens: int, prefixes: tuple[str, str]
) -> Served | None:
    """The model of any other service. None: its length is not known.

    The id holds all that decides a vector, as far as it can be known here: two ids never share an index.
    """
    known = _ELSEWHERE.get(name.rsplit("/", 1)[-1].partition(":")[0])
    length = dimensions or (known.dimensions if known else None)
    if length is None:
        return None
    if known is not None:
        prefixes = prefixes if any(prefixes) else (known.query_prefix, known.passage_prefix)
        max_tokens = known.max_tokens
    id = "/".join((name, kind, str(length), *(["|".join(prefixes)] if any(prefixes) else [])))
    return Served(id, name, length, max_tokens, *prefixes)


def spaced(prefix: str) -> str:
    """A prefix as it is put before a text: settings lose the blank at their end."""
    return f"{prefix} " if prefix and not prefix.endswith(" ") else prefix
