"""Which models all instances together offer: what each said, made one list."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from backend.pool.base import OfferedModel
from backend.pool.names import folded


def merged(answers: Iterable[Iterable[OfferedModel]]) -> tuple[OfferedModel, ...]:
    """Every name once, as the first who offers it tells it; loaded where any of them says so."""
    offers: dict[str, list[OfferedModel]] = {}
    for model in (model for answer in answers for model in answer):
        offers.setdefault(model.info.name, []).append(model)
    return tuple(_one(same) for same in offers.values())


def _one(offers: Sequence[OfferedModel]) -> OfferedModel:
    said = [one.loaded for one in offers if one.loaded is not None]
    return OfferedModel(
        offers[0].info,
        any(said) if said else None,
        any(one.loose_name for one in offers),
        tuple(sorted({one.info.digest for one in offers} - {""})),
    )


def named(wanted: str, models: Iterable[OfferedModel]) -> str | None:
    """The name of the model that is asked for as `wanted`; None if it is not among them."""
    models = list(models)
    if any(model.info.name == wanted for model in models):
        return wanted
    key = folded(wanted)
    return next((m.info.name for m in models if m.loose_name and folded(m.info.name) == key), None)
