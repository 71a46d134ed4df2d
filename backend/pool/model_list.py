"""Which models all instances together offer: what each said, made one list."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from backend.pool.base import OfferedModel
from backend.pool.names import folded


def merged(answers: Iterable[Iterable[OfferedModel]]) -> tuple[OfferedModel, ...]:
    """Every name once, as the first who offers it tells it; loaded where any of them says so."""
    found: dict[str, OfferedModel] = {}
    for model in (model for answer in answers for model in answer):
        first = found.setdefault(model.info.name, model)
        if model.loaded is not None and not first.loaded:
            found[model.info.name] = first = replace(first, loaded=model.loaded)
        if model.loose_name and not first.loose_name:
            found[model.info.name] = replace(first, loose_name=True)
    return tuple(found.values())


def named(wanted: str, models: Iterable[OfferedModel]) -> str | None:
    """The name of the model that is asked for as `wanted`; None if it is not among them."""
    models = list(models)
    if any(model.info.name == wanted for model in models):
        return wanted
    key = folded(wanted)
    return next((m.info.name for m in models if m.loose_name and folded(m.info.name) == key), None)
