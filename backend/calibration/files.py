"""Calibrations as files: those of the package, and before them those that an operator made.

A file is one JSON object: `embedder` (its id), `also` (ids of the same weights in other forms), `fitted` (by
what), `fusion` (`rrf_k`, `lexical_weight`, `per_document`), `gate` (by language, `*` for all that are not
named, and by which index answered: `words`, `dense`, `both`; each `bias`, `cosine`, `covers`, `matched`,
`lead`, `usual_lead`) and `extractive` (`bias`, a weight for each sign, `thresholds` by language). What a file
leaves out is as in our `words.json`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from backend.calibration.base import Calibration, Fusion
from backend.core.errors import Misconfigured
from backend.core.languages import PATTERN
from backend.core.types import Language
from backend.engines.ranking import Weights
from backend.retrieval.gate import ANY, Fit, Gate

CALIBRATIONS: Final = "calibrations"
"""The operator's, in the data folder."""
_SHIPPED: Final = Path(str(files("backend"))) / "calibration" / "data"
_WORDS: Final = _SHIPPED / "words.json"


_LanguageOrAny = Annotated[Language, StringConstraints(pattern=PATTERN.replace("(", r"(\*|", 1))]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class _Fit(_Strict):
    bias: float
    cosine: float = Field(0.0, ge=0)
    covers: float = Field(0.0, ge=0)
    matched: float = Field(0.0, ge=0)
    lead: float = Field(0.0, ge=0)
    usual_lead: float = Field(0.0, ge=0)


class _Fits(_Strict):
    words: _Fit | None = None
    dense: _Fit | None = None
    both: _Fit | None = None


class _Weights(_Strict):
    thresholds: dict[_LanguageOrAny, float]
    bias: float
    covers: float = Field(0.0, ge=0)
    before: float = Field(0.0, ge=0)
    title: float = Field(0.0, ge=0)
    rank: float = Field(0.0, ge=0)
    meaning: float = Field(0.0, ge=0)


class _Fusion(_Strict):
    rrf_k: float = Field(gt=0)
    lexical_weight: float = Field(ge=0)
    per_document: int = Field(ge=1)


class _File(_Strict):
    embedder: str
    also: tuple[str, ...] = ()
    fitted: str = ""
    fusion: _Fusion | None = None
    gate: dict[_LanguageOrAny, _Fits] = {}
    extractive: _Weights | None = None


def calibration_for(embedder: str, folder: Path) -> Calibration:
    """What holds for an embedder: the file in `folder`, else ours, else words alone.

    Raises:
        Misconfigured: A file in `folder` cannot be used; names it.
    """
    words = _read(_WORDS)
    for path in (*_jsons(folder), *_jsons(_SHIPPED)):
        found = _read(path)
        if embedder in (found.embedder, *found.also) and path != _WORDS:
            return _calibration(found, words)
    return _calibration(words, words)


def save(
    folder: Path,
    embedder: str,
    gate: Mapping[Language, Mapping[str, Fit]],
    quoting: Weights | None,
    fusion: Fusion | None = None,
) -> Path:
    """Write what was fitted for an embedder; the file, which takes the place of an earlier one.

    Raises:
        OSError
    """
    made: dict[str, Any] = {
        "embedder": embedder,
        "fitted": "libriassist calibrate",
        "gate": {
            language: {name: asdict(fit) for name, fit in fits.items()} for language, fits in gate.items()
        },
    }
    if fusion is not None:
        made["fusion"] = asdict(fusion)
    if quoting is not None:
        made["extractive"] = asdict(quoting)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{hashlib.sha256(embedder.encode()).hexdigest()[:16]}.json"
    draft = path.with_suffix(".new")
    draft.write_text(_File.model_validate(made).model_dump_json(indent=1, exclude_none=True) + "\n", "utf-8")
    draft.replace(path)
    return path


def _jsons(folder: Path) -> Iterator[Path]:
    return iter(sorted(folder.glob("*.json")))


def _read(path: Path) -> _File:
    try:
        return _File.model_validate_json(path.read_bytes())
    except ValidationError as exc:
        first = exc.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise Misconfigured(
            f"{path}: {where or 'the file'}: {first['msg'][:200]}: remove it, or put it right"
        ) from exc
    except OSError as exc:
        raise Misconfigured(f"{path} cannot be read: {exc.strerror}") from exc


def _calibration(found: _File, words: _File) -> Calibration:
    gate = Gate(
        words={language: _fit(found, words, language) for language in words.gate | found.gate},
        dense={name: Fit(**fits.dense.model_dump()) for name, fits in found.gate.items() if fits.dense},
        both={name: Fit(**fits.both.model_dump()) for name, fits in found.gate.items() if fits.both},
    )
    by_words, fusion = _weights(words), found.fusion or words.fusion
    assert by_words is not None
    assert fusion is not None
    return Calibration(
        found.embedder,
        Fusion(**fusion.model_dump()),
        gate,
        by_words,
        _weights(found) if found.embedder else None,
    )


def _fit(found: _File, words: _File, language: Language) -> Fit:
    fits = found.gate.get(language)
    own = fits.words if fits is not None else None
    made = own or words.gate.get(language, words.gate[ANY]).words
    assert made is not None
    return Fit(**made.model_dump())


def _weights(found: _File) -> Weights | None:
    return Weights(**found.extractive.model_dump()) if found.extractive is not None else None
