"""How long a prompt and its answer may be together, by instance and model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from backend.pool.report import Report

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

    def of(self, id: str, model: str, report: Report, now: float) -> int | None:
        """The context there; None if nothing tells.

        A refusal counts beside what the latest look saw until the next one, for somebody may have loaded the
        model anew; and for minutes where looks do not tell.
        """
        told = _told(report, model)
        tokens = _context(told, self.asked)
        refused, at = self._refused.get((id, model), (0, 0.0))
        if refused and now - at < (_UNTOLD_S if told.loaded is None else _FRESH_S):
            return refused if tokens is None else min(refused, tokens)
        return tokens


@dataclass(frozen=True, slots=True)
class _Told:
    """What a report tells of one model; `loaded`: its context in memory, `made_for`: what it was trained on.

    Attributes:
        in_memory: It is; None: the server did not say what is.
    """

    in_memory: bool | None
    loaded: int | None
    made_for: int | None


def with_others(report: Report, asked: int | None, now: float) -> Report:
    """A report just renewed at `now`, with the models whose contexts are not what we ask for."""
    if asked is None:
        return report
    others = dict(report.others)
    for model, tokens in (report.contexts or {}).items():
        made_for = _told(report, model).made_for
        if tokens is not None and made_for is not None and tokens != min(asked, made_for):
            others[model] = tokens, now
    return replace(report, others={model: seen for model, seen in others.items() if now - seen[1] < _ODD_S})


def reloaded(report: Report, asked: int | None) -> str:
    """That somebody else makes a model reload, for an operator to read; empty when nobody was seen to."""
    if asked is None:
        return ""
    for model, (tokens, _) in report.others.items():
        return (
            f"another client loads {model[:60]} with a context of {tokens}, we ask for {asked}: "
            "each change loads it anew; unset LIBRI_ENGINE__CONTEXT_TOKENS, or let the others ask for as much"
        )
    return ""


def _context(told: _Told, asked: int | None) -> int | None:
    bounds = [bound for bound in (told.loaded, asked, told.made_for) if bound is not None]
    if told.loaded is None and asked is None:
        if not told.in_memory:
            bounds.append(USUAL_TOKENS)
        elif not bounds or bounds[0] > USUAL_TOKENS:  # made for more than it may be served with
            return None
    return min(bounds)


def _told(report: Report, model: str) -> _Told:
    loaded = report.contexts or {}
    name = _named(loaded, model)
    listed = {one.name: one.context_tokens for one in report.models or ()}
    return _Told(
        in_memory=None if report.contexts is None else name is not None,
        loaded=loaded.get(name) if name is not None else None,
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
