"""How long a prompt and its answer may be together, by instance and model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from backend.pool.board.base import Note

LATEST = ":latest"
USUAL_TOKENS = 4096
"""What Ollama loads a model with when nobody says otherwise, unless its GPU has much room."""
_FRESH_S, _UNTOLD_S = 15.0, 600.0
_ODD_S = 600.0
"""How long another client's context stays worth telling: it is gone from `/api/ps` with our next request."""


@dataclass(slots=True)
class Contexts:
    """The contexts of one process's instances; times are seconds of the wall clock.

    Args:
        asked: What the operator set: asked for where the server can be asked, and never exceeded elsewhere.
    """

    asked: int | None = None
    _refused: dict[tuple[str, str], tuple[int, float]] = field(default_factory=dict)

    def refused(self, id: str, model: str, tokens: int, now: float) -> None:
        """A server refused a prompt of `model`, and told its context."""
        self._refused[id, model] = tokens, now

    def of(self, id: str, model: str, note: Note | None, now: float) -> int | None:
        """The context there; None if nothing tells.

        A refusal counts beside what the latest look saw until the next one, for somebody may have loaded the
        model anew; and for minutes where looks do not tell.
        """
        seen = _seen(note, model)
        tokens = _context(seen, self.asked)
        told, at = self._refused.get((id, model), (0, 0.0))
        if told and now - at < (_UNTOLD_S if seen.loaded is None else _FRESH_S):
            return told if tokens is None else min(told, tokens)
        return tokens


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a look told of one model; `loaded`: its context in memory, `made_for`: what it was trained on.

    Attributes:
        in_memory: It is; None: the server did not say what is.
    """

    in_memory: bool | None
    loaded: int | None
    made_for: int | None


def noted_contexts(note: Note, contexts: Mapping[str, int | None], asked: int | None, now: float) -> Note:
    """A note with the contexts that models are loaded with; where one is not what we ask for, since when."""
    changed = {**note, "contexts": dict(contexts)}
    if asked is None:
        return changed
    others = dict(note.get("others", {}))
    for model, tokens in contexts.items():
        made_for = _seen(changed, model).made_for
        if tokens is not None and made_for is not None and tokens != min(asked, made_for):
            others[model] = [tokens, now]
    others = {model: seen for model, seen in others.items() if now - seen[1] < _ODD_S}
    return {**changed, "others": others}


def reloaded(note: Note | None, asked: int | None) -> str:
    """That somebody else makes a model reload, for an operator to read; empty when nobody was seen to."""
    if asked is None:
        return ""
    for model, (tokens, _) in (note or {}).get("others", {}).items():
        return (
            f"another client loads {model[:60]} with a context of {tokens}, we ask for {asked}: "
            "each change loads it anew; unset LIBRI_ENGINE__CONTEXT_TOKENS, or let the others ask for as much"
        )
    return ""


def _context(seen: _Seen, asked: int | None) -> int | None:
    bounds = [bound for bound in (seen.loaded, asked, seen.made_for) if bound is not None]
    if seen.loaded is None and asked is None:
        if not seen.in_memory:
            bounds.append(USUAL_TOKENS)
        elif not bounds or bounds[0] > USUAL_TOKENS:  # made for more than it may be served with
            return None
    return min(bounds)


def _seen(note: Note | None, model: str) -> _Seen:
    known = note or {}
    loaded: Mapping[str, int | None] | None = known.get("contexts")
    name = _named(loaded or {}, model)
    listed = {one["name"]: one.get("context_tokens") for one in known.get("models") or ()}
    return _Seen(
        in_memory=None if loaded is None else name is not None,
        loaded=(loaded or {}).get(name) if name is not None else None,
        made_for=listed.get(_named(listed, model) or ""),
    )


def _named(names: Mapping[str, Any], model: str) -> str | None:
    """The one of `names` that means `model`: Ollama lists a tag that may be left out, in any case."""
    if model in names:
        return model
    plain = _plain(model)
    return next((name for name in names if _plain(name) == plain), None)


def _plain(name: str) -> str:
    return name.casefold().removesuffix(LATEST)
