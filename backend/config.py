"""Every setting, in one frozen `Settings`: a section per package.

Environment variables are `LIBRI_<SECTION>__<FIELD>`; the names operators already know are accepted as well
(`KNOWN_NAMES`). `docs/configuration.md` is generated from this module.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from backend import environment
from backend.core.addresses import complaint, masked, several
from backend.core.durations import LONGEST_S, go_seconds
from backend.core.errors import InvalidRequest, Misconfigured
from backend.core.instances import MAX_SLOTS, OLLAMA, InstanceSpec, Kind
from backend.core.model_names import is_model_name
from backend.core.networks import Network, network

KNOWN_NAMES = {
    "API_KEY": ("auth", "api_key"),
    "CHROMA_URL": ("data", "chroma_url"),
    "DATABASE_URL": ("data", "database_url"),
    "EMBEDDING_MODEL": ("embedding", "model"),
    "LLM_BACKEND": ("engine", "backend"),
    "OLLAMA_URLS": ("engine", "ollama_urls"),
    "OLLAMA_MODEL": ("engine", "model"),
    "OLLAMA_KEEP_ALIVE": ("engine", "ollama_keep_alive"),
    "OLLAMA_NUM_PARALLEL": ("engine", "slots"),
    "OLLAMA_MAX_LOADED_MODELS": ("engine", "max_loaded_models"),
    "OPENAI_API_KEY": ("engine", "openai_api_key"),
    "REDIS_URL": ("redis", "url"),
    "LIBRI_ENGINE__MODELS_AT_ONCE": ("engine", "max_loaded_models"),
    "LIBRI_ENGINE__FIRST_TOKEN_S": ("engine", "first_token_timeout_s"),
    "LIBRI_ENGINE__GAP_S": ("engine", "inter_token_timeout_s"),
    "LIBRI_ENGINE__QUARANTINE_S": ("engine", "breaker_open_s"),
    "LIBRI_RETRIEVAL__DEADLINE_S": ("retrieval", "index_timeout_s"),
}
"""Other names of settings; those with the prefix are of earlier releases."""

Dialect = Literal["openai", "llama.cpp", "vllm", "mlx", "transformers"]
"""Every kind of instance but Ollama."""
EmbeddingKind = Literal["libriassist", "openai", "tei", "ollama"]

_SHOWN_CHARS = 100
_ADDRESS = "address"
_SECRET_CHARS = 16
_WHAT_SECRETS = "names no secret: write one, or several with commas between them or as a JSON list"
_WHOLE_NUMBER = re.compile("[+-]?[0-9]{1,12}")
_OLLAMA_PARALLEL, _OLLAMA_LOADED = 1, 3
"""What Ollama takes for 0: since 0.9.7 one request at once, and three models for each GPU."""
_PATH = re.compile(r"(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9._~-]+)+")
_OWN_PATHS = frozenset({"api", "assets", "config", "health", "metrics", "openapi.json"})


def _masked(urls: tuple[str, ...]) -> list[str]:
    return [masked(url) for url in urls]


Urls = Annotated[tuple[str, ...], PlainSerializer(_masked, when_used="json")]
"""Credentials in an address are for its server, not for who reads the settings."""


Url = Annotated[str, PlainSerializer(masked, when_used="json")]
Secrets = tuple[SecretStr, ...]
Networks = tuple[Network, ...]


def _split(value: Any) -> Any:
    if isinstance(value, str):
        value = environment.cleaned(value)
        value = json.loads(value) if value.startswith("[") else value.split(",")
        items = (environment.cleaned(str(item)).rstrip("/") for item in value)
        return tuple(item for item in items if item)
    return value


def _networks(value: Any) -> Any:
    """Networks from a list, JSON or text with commas."""
    try:
        return tuple(network(str(one)) for one in _split(value))
    except ValueError:
        raise ValueError(
            "is no list of networks: write 10.0.0.0/8 or fd00::/8, or single addresses"
        ) from None


def _secrets(value: Any) -> Any:
    """Secrets from a list, JSON or text with commas; empty ones are left out, but not all of several."""
    if isinstance(value, str):
        value = environment.cleaned(value)
        items = _listed(value) if value.startswith("[") else value.split(",") if value else []
    else:
        items = [one.get_secret_value() if isinstance(one, SecretStr) else one for one in value]
    found = [environment.cleaned(item) for item in items if isinstance(item, str)]
    if len(found) < len(items) or (items and not any(found)):
        raise ValueError(_WHAT_SECRETS)
    return tuple(SecretStr(_good_secret(one)) for one in dict.fromkeys(found) if one)


def _listed(text: str) -> list[Any]:
    try:
        return list(json.loads(text))
    except ValueError:
        raise ValueError(_WHAT_SECRETS) from None


def _good_secret(text: str) -> str:
    if not text.isprintable():
        raise ValueError("one holds a line end or another control character: write it without")
    if len(text) < _SECRET_CHARS:
        raise ValueError(
            f"one is shorter than {_SECRET_CHARS} characters: make it with `openssl rand -hex 32`"
        )
    return text


def _wrong_address(url: str, said: str) -> PydanticCustomError:
    """An error that shows the address itself, for it may be one of a list."""
    return PydanticCustomError(_ADDRESS, "{url} {said}", {"url": masked(url), "said": said})


class Section(BaseModel):
    """A frozen group of settings; unknown names are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _as_meant(cls, value: Any, info: ValidationInfo) -> Any:
        """Text without what surrounds it in a file; an empty one is the default, of a list an empty list."""
        if not isinstance(value, str):
            return value
        text = environment.cleaned(value)
        if not text.isprintable():
            raise ValueError("holds a line end or another control character: write it without")
        default = cls.model_fields[info.field_name or ""].get_default()
        return text if text or isinstance(default, tuple) else default


class Server(Section):
    """Where the API listens and what it lets in."""

    host: str = Field(
        "127.0.0.1", description="Address to listen on; anything but loopback needs a credential."
    )
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 picks a free one.")
    allowed_hosts: Urls = Field(
        ("localhost", "127.0.0.1", "[::1]"), description="Host header names that are served; `*` serves all."
    )
    allowed_origins: Urls = Field((), description="Origins of other sites whose pages may call the API.")
    trusted_proxies: Networks = Field(
        (), description="Addresses or networks of proxies whose `X-Forwarded-For` is believed."
    )
    root_path: str = Field(
        "",
        description="Path below which a proxy serves the assistant, such as `/assist`; empty: as "
        "`X-Forwarded-Prefix` says.",
    )
    max_body_bytes: int = Field(256 * 1024, gt=0, description="Largest JSON body.")
    max_upload_bytes: int = Field(64 * 1024**2, gt=0, description="Largest uploaded file.")
    body_timeout_s: float = Field(30.0, gt=0, description="Longest silence while a body arrives.")
    heartbeat_s: float = Field(10.0, gt=0, le=15, description="Longest silence on an event stream.")
    send_timeout_s: float = Field(
        30.0, gt=0, description="A reader that takes nothing for so long is dropped."
    )
    shutdown_grace_s: float = Field(20.0, ge=0, description="Time that running answers get at shutdown.")
    workers: int = Field(
        0,
        ge=0,
        le=256,
        description="Processes that serve, under one that watches them; 0: a single one, alone.",
    )
    worker_timeout_s: int = Field(
        30, ge=2, description="A worker whose event loop stands still for so long is killed and replaced."
    )

    _lists = field_validator("allowed_hosts", "allowed_origins", mode="before")(_split)
    _network_list = field_validator("trusted_proxies", mode="before")(_networks)

    @field_validator("root_path")
    @classmethod
    def _is_path(cls, path: str) -> str:
        path = path.strip().rstrip("/")
        if path and (not _PATH.fullmatch(path) or path.split("/")[1] in _OWN_PATHS):
            raise ValueError("write a path such as `/assist`, other than our own (`/api`, `/assets`, …)")
        return path


class Data(Section):
    """Where things are kept."""

    dir: Path = Field(Path("data"), description="Folder of the database, the indexes and the model files.")
    database_url: SecretStr = Field(
        SecretStr(""), description="Address of PostgreSQL or SQLite; empty: SQLite in the data folder."
    )
    sql_connections: int = Field(
        10, ge=1, description="Connections to PostgreSQL that a process keeps open; SQLite has its own."
    )
    sql_more_connections: int = Field(
        10, ge=0, description="Further ones under load, closed when it is over."
    )
    sql_wait_s: float = Field(5.0, gt=0, description="Longest wait for a free connection.")
    models_dir: Path | None = Field(None, description="Folder of exported models; empty: in the data folder.")
    chroma_url: SecretStr = Field(
        SecretStr(""), description="Address of a Chroma server; empty: the dense index is in the data folder."
    )
    chroma_token: SecretStr = Field(
        SecretStr(""), description="Bearer token of that server, or of a proxy before it."
    )

    @field_validator("chroma_url")
    @classmethod
    def _address(cls, url: SecretStr) -> SecretStr:
        given = url.get_secret_value().rstrip("/")
        if given and not set(given) & {":", "."} and given != "localhost":  # it might be the token
            raise ValueError("is no address: write http://HOST:PORT")
        if given and (said := complaint(given)):
            raise _wrong_address(given, said)
        return SecretStr(given)


class Auth(Section):
    """Who may ask."""

    api_key: SecretStr = Field(
        SecretStr(""), description="Bearer key with every role; empty: SQL keys, or loopback."
    )
    secret: Secrets = Field(
        (),
        description="Signs cookies, and seals credentials of model servers that were added; the same on all "
        "replicas. Several while it is changed: the first signs, all are believed. Empty: kept in the shared "
        "database, or else in the data folder.",
    )
    cookie_secret: SecretStr = Field(
        SecretStr(""), description="Former name of `secret`: one of any length, believed after those."
    )
    cookie_ttl_s: int = Field(30 * 86400, gt=0, description="Life of a browser's cookie.")
    metrics_token: SecretStr = Field(
        SecretStr(""),
        description="Bearer token that reads `/metrics` and nothing else; empty: operators only.",
    )
    metrics_networks: Networks = Field(
        (), description="Networks, such as `10.0.0.0/8,fd00::/8`, that read `/metrics` without a credential."
    )

    _secret_list = field_validator("secret", mode="before")(_secrets)
    _network_list = field_validator("metrics_networks", mode="before")(_networks)

    @property
    def secrets(self) -> tuple[bytes, ...]:
        """The secrets that are set, each once, the one that signs first."""
        given = (one.get_secret_value() for one in (*self.secret, self.cookie_secret))
        return tuple(dict.fromkeys(one.encode() for one in given if one))


class Embedding(Section):
    """The embedder."""

    model: str = Field(
        "multilingual-e5-small",
        description="Model name or folder; the default needs no network. `all-MiniLM-L6-v2` reads English "
        "only, in half the time; `intfloat/multilingual-e5-small` has the hub's weights, of twice the size.",
    )
    threads: int = Field(1, ge=1, description="Compute threads.")
    runtime: Literal["onnx", "torch"] = Field(
        "onnx", description="What runs the model; `torch` is an extra: `libriassist[torch]`."
    )
    precision: Literal["fp32", "int8"] = Field("int8", description="Of the weights; `int8` needs `onnx`.")
    batch_size: int = Field(8, ge=1, description="Passages embedded before other callers have a turn.")
    queue_limit: int = Field(2048, ge=1, description="Most questions waiting to be embedded.")
    cache_size: int = Field(4096, ge=0, description="Question vectors, and token counts, kept in memory.")
    url: Url = Field(
        "", description="Address of an embedding service; empty: the model runs in this process."
    )
    kind: EmbeddingKind = Field(
        "libriassist",
        description="What that service is: `libriassist serve-embeddings`, `tei`, `ollama`, or `openai` for "
        "whatever else has `/v1/embeddings` (vLLM, llama.cpp). Those of another kind never meet.",
    )
    key: SecretStr = Field(
        SecretStr(""), description="Bearer key of the service: sent to it, and wanted by `serve-embeddings`."
    )
    timeout_s: float = Field(
        1.0, gt=0, description="Longest wait for the vector of a question; then the search is by words alone."
    )
    passages_timeout_s: float = Field(60.0, gt=0, description="Longest wait for a batch of passages.")
    dimensions: int | None = Field(
        None, ge=1, le=16384, description="Length of a vector, for a model of the service not known here."
    )
    max_tokens: int = Field(
        512, ge=32, description="Tokens of one text that such a model sees; the rest is cut off."
    )
    query_prefix: str = Field(
        "", description="What such a model wants before a question; a blank follows it."
    )
    passage_prefix: str = Field("", description="What it wants before a passage, likewise.")
    host: str = Field(
        "127.0.0.1",
        description="Address that `serve-embeddings` listens on; anything but loopback needs a key.",
    )
    rerank_model: str = Field(
        "", description="Folder of a cross-encoder, for `/v1/rerank` of `serve-embeddings`; empty: none."
    )
    port: int = Field(8001, ge=0, le=65535, description="Port of `serve-embeddings`; 0 picks a free one.")

    @field_validator("url")
    @classmethod
    def _base(cls, url: str) -> str:
        if url and (said := complaint(url)):
            raise _wrong_address(url, said)
        return base_url(url)

    @field_validator("dimensions", mode="before")
    @classmethod
    def _unset(cls, value: Any) -> Any:
        return None if value == "" else value


class Chunking(Section):
    """How documents are cut, in the embedder's tokens."""

    target_tokens: int = Field(180, ge=32, description="Size aimed at.")
    overlap_tokens: int = Field(
        0, ge=0, description="Repeated from the passage before, when a section is cut."
    )


class Ingest(Section):
    """Limits of the write path."""

    parse_timeout_s: float = Field(
        300.0, gt=0, description="Longest time to read one file; a dense page of a PDF takes 0.05 s."
    )
    parse_memory_bytes: int = Field(
        1024**3, gt=0, description="Address space of the process that reads files."
    )
    parse_processes: int = Field(2, ge=1, description="Files read at once.")
    max_pages: int = Field(5000, gt=0, description="Most pages of a PDF.")
    max_text_chars: int = Field(20_000_000, gt=0, description="Most characters of extracted text.")
    lease_s: float = Field(30.0, gt=0, description="A job whose worker is silent that long is taken over.")
    poll_s: float = Field(2.0, gt=0, description="How often a worker looks for work of other processes.")
    retry_s: float = Field(5.0, gt=0, description="First wait after a full disk or a store that is down.")
    grace_s: float = Field(
        2.0, ge=1, description="Passages of a replaced revision stay that long for searches under way."
    )
    batch_passages: int = Field(128, ge=1, description="Small documents are written together up to this.")
    max_file_bytes: int = Field(256 * 1024**2, gt=0, description="Largest file read from a folder.")
    queued_items: int = Field(10_000, ge=1, description="Most files of a tenant that wait.")
    queued_bytes: int = Field(2 * 1024**3, ge=1, description="Most bytes of a tenant that wait.")
    keep_s: float = Field(7 * 86400.0, gt=0, description="How long an ended ingestion can be looked up.")


class Retrieval(Section):
    """Search."""

    candidates: int = Field(50, ge=1, description="Hits taken from each index.")
    index_timeout_s: float = Field(2.0, gt=0, description="Longest wait for one index.")
    catch_up_s: float = Field(
        1.0, ge=0, description="Longest wait for an index that is behind the documents; then it is left out."
    )
    concurrency: int = Field(8, ge=1, description="Questions searched at once; the others wait their turn.")
    rrf_k: float = Field(20.0, gt=0, description="Rank constant of the fusion; unset: as calibrated.")
    lexical_weight: float = Field(
        4.0, ge=0, description="Weight of the lexical index, the dense one has 1; unset: as calibrated."
    )
    per_document: int = Field(
        2, ge=1, description="Passages of one document before those of others; unset: as calibrated."
    )
    title_boost: float = Field(
        0.2, ge=0, description="Weight of a match in title or headings, over the text's."
    )
    limit: int = Field(6, ge=1, description="Most passages given to the model.")
    budget_tokens: int = Field(1800, ge=1, description="Most tokens of passages given to the model.")
    no_answer_threshold: float = Field(
        0.1,
        ge=0,
        le=1,
        description="When no passage is as likely as this to bear on the question, it is refused.",
    )
    doubt_threshold: float = Field(
        0.5,
        ge=0,
        le=1,
        description="When none is as likely as this, a model is told so; without one, nothing is quoted.",
    )


class Engine(Section):
    """Model servers."""

    backend: Literal["auto", "ollama", "openai", "extractive"] = Field(
        "auto",
        description="What answers; `auto`: any configured server that has the model, else quotes.",
    )
    ollama_urls: Urls = Field(("http://localhost:11434",), description="Ollama instances.")
    ollama_keep_alive: int | str = Field(
        "30m",
        description="How long Ollama keeps a model loaded: `30m`, seconds, `-1` for good, `0` not at all.",
    )
    openai_urls: Urls = Field(
        (), description="OpenAI-compatible servers (llama.cpp, vLLM, MLX), without `/v1`."
    )
    openai_dialect: Dialect = Field(
        "openai", description="What those servers are; `openai`: llama.cpp, vLLM and MLX in any mixture."
    )
    openai_api_key: SecretStr = Field(
        SecretStr(""), description="Bearer key of those servers, not for one whose address has credentials."
    )
    instances: SecretStr = Field(
        SecretStr(""),
        description="Further instances of any kind, as a JSON list: "
        '`[{"id": "gpu1", "kind": "vllm", "url": "http://gpu1:8000", "key": "...", "slots": 4}]`; '
        "also `models` (those it is meant to serve), `served_names` (by our name of a model, its own), and "
        "`models_at_once`.",
    )
    model: str = Field("", description="Model asked for by default; empty: the first one the server lists.")
    slots: int = Field(
        1, ge=1, le=MAX_SLOTS, description="Generations an instance serves at once; 0: as Ollama's own, 1."
    )
    max_loaded_models: int = Field(
        1, ge=1, description="Models an Ollama instance holds in memory at once; 0: as Ollama's own, 3."
    )
    load_s: float = Field(300.0, gt=0, description="Longest load of a model.")
    context_tokens: int | None = Field(
        None,
        ge=512,
        description="Most tokens of a prompt and its answer, asked of Ollama as `num_ctx`: it loads the "
        "model anew when another client asks otherwise; empty: what each server has.",
    )
    connect_s: float = Field(2.0, gt=0, description="Longest wait for a connection.")
    first_token_timeout_s: float = Field(120.0, gt=0, description="Longest wait for the first token.")
    inter_token_timeout_s: float = Field(
        30.0, gt=0, description="Longest gap between tokens; less once a server's own gaps are known."
    )
    least_gap_s: float = Field(
        5.0, gt=0, description="No stream is given up after a shorter gap, whatever a server's own are."
    )
    breaker_open_s: float = Field(30.0, gt=0, description="How long a failed instance is avoided.")
    queue_limit: int = Field(512, ge=0, description="Most requests waiting for a slot.")
    max_wait_s: float = Field(
        600.0, gt=0, description="Whoever might wait longer for a slot is told at once to come back later."
    )

    _lists = field_validator("ollama_urls", "openai_urls", mode="before")(_split)

    @field_validator("instances", mode="before")
    @classmethod
    def _on_one_line(cls, value: Any) -> Any:
        return " ".join(value.split()) if isinstance(value, str) else value

    @field_validator("instances")
    @classmethod
    def _are_readable(cls, value: SecretStr) -> SecretStr:
        _specs(value)
        return value

    def declared(self) -> Iterator[tuple[str, InstanceSpec]]:
        """Every instance, with the variable that names it; whether it can be one is not checked."""
        urls: dict[Kind, tuple[str, ...]] = {self.openai_dialect: self.openai_urls, OLLAMA: self.ollama_urls}
        for spec in _specs(self.instances, slots=self.slots, models_at_once=self.max_loaded_models):
            if self.backend in ("auto", OLLAMA if spec.kind == OLLAMA else "openai"):
                yield variable("engine", "instances"), spec
        number = 0
        for kind, prefix in ((self.openai_dialect, "openai"), (OLLAMA, "ollama")):
            for url in urls[kind] if self.backend in ("auto", prefix) else ():
                number += 1
                key = self.openai_api_key.get_secret_value() if prefix == "openai" else ""
                spec = InstanceSpec(f"{prefix}-{number}", kind, url, key)
                spec = replace(spec, slots=self.slots, models_at_once=self.max_loaded_models)
                yield variable("engine", f"{prefix}_urls"), spec

    @field_validator("context_tokens", mode="before")
    @classmethod
    def _unset(cls, value: Any) -> Any:
        return None if value == "" else value

    @field_validator("slots", "max_loaded_models", mode="before")
    @classmethod
    def _automatic(cls, value: Any, info: ValidationInfo) -> Any:
        automatic = _OLLAMA_PARALLEL if info.field_name == "slots" else _OLLAMA_LOADED
        return automatic if str(value).strip() == "0" else value

    @field_validator("ollama_keep_alive")
    @classmethod
    def _duration(cls, value: int | str) -> int | str:
        """Whole seconds as a number: Ollama refuses the text "-1"."""
        text = str(value)
        if _WHOLE_NUMBER.fullmatch(text) and int(text) <= LONGEST_S:
            return max(int(text), -1)
        if go_seconds(text) is None:
            raise ValueError("is no duration: write 30m, 1h30m, whole seconds, 0 or -1")
        return text

    @field_validator("model")
    @classmethod
    def _model_name(cls, name: str) -> str:
        name = name.strip()
        if name and not is_model_name(name):
            raise ValueError("no model can be called so: write a name as `libriassist models list` shows it")
        return name

    @field_validator("ollama_urls", "openai_urls")
    @classmethod
    def _bases(cls, urls: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        for url in urls:
            if said := complaint(url):
                raise _wrong_address(url, said)
        return tuple(base_url(url) for url in urls)


def _check_redis(url: str) -> None:
    """See that it is the address of one server.

    Raises:
        ValueError: What is wrong with it.
    """
    if not set(url) & {":", "."} and url != "localhost":  # it might be a password
        raise ValueError("is no address: write redis://HOST:PORT")
    if "," in url.partition("?")[0].rpartition("@")[2]:
        raise ValueError("has several hosts in one address: write redis://HOST:PORT,redis://HOST:PORT")
    if said := complaint(url.partition("?")[0], ("redis", "rediss")):
        raise _wrong_address(url, said)
    if not re.fullmatch("(/[0-9]*)?", urlsplit(url).path):
        raise ValueError("has no number for its database: write redis://HOST:PORT/0")


def _specs(text: SecretStr, **defaults: int) -> tuple[InstanceSpec, ...]:
    """The instances of a JSON list; `defaults` stand for what one leaves out.

    Raises:
        ValueError: It is no such list; holds nothing of it.
    """
    try:
        given = json.loads(text.get_secret_value() or "[]")
    except (ValueError, RecursionError):
        given = None
    if not isinstance(given, list) or not all(isinstance(one, dict) for one in given):
        raise ValueError(
            'is no JSON list of objects: write [{"id": "gpu1", "kind": "vllm", "url": "http://..."}]'
        )
    specs = []
    for number, one in enumerate(given, 1):
        try:
            specs.append(InstanceSpec.parse(one, **defaults))
        except InvalidRequest as exc:
            raise ValueError(f"its instance {number}: {exc.message}") from None
    return tuple(specs)


def base_url(url: str) -> str:
    """Where a model server's paths begin: `url` without the `/v1` or `/api` that clients are often given."""
    url = url.rstrip("/")
    for end in ("/v1", "/api"):
        if url.endswith(end):
            return url.removesuffix(end).rstrip("/")
    return url


class Redis(Section):
    """What processes share: slots, queue, health, answers. Without it a process stands alone."""

    url: SecretStr = Field(
        SecretStr(""),
        description="Redis URL, or several of one cluster, joined by commas; empty: all in this process.",
    )

    @field_validator("url")
    @classmethod
    def _address(cls, url: SecretStr) -> SecretStr:
        given = url.get_secret_value()
        if given and not given.startswith("unix:///"):
            addresses = several(given)
            for one in addresses:
                _check_redis(one)
            if len(addresses) > 1 and any(urlsplit(one).path.strip("/0") for one in addresses):
                raise ValueError("has the number of a database: a cluster has only redis://HOST:PORT/0")
        return url

    timeout_s: float = Field(
        1.0, gt=0, description="Longest answer of Redis; beyond it a process uses its own share."
    )
    ack_s: float = Field(
        0.05,
        gt=0,
        description="Text that Redis has not taken after that is shown; no other process has it yet.",
    )
    hold_s: float = Field(
        1.5, ge=0, description="After Redis came back empty, time for all processes to tell what they hold."
    )


class Chat(Section):
    """Questions and answers."""

    max_question_chars: int = Field(8000, gt=0, description="Longest question.")
    max_tokens: int = Field(512, ge=1, description="Longest answer, in tokens.")
    temperature: float = Field(0.0, ge=0, le=2, description="Sampling temperature by default.")
    deadline_s: float = Field(600.0, gt=0, description="Longest life of a run.")
    history_tokens: int = Field(
        800, ge=0, description="Earlier turns kept in the prompt; the oldest go first."
    )
    abandon_after_s: float = Field(
        15.0, gt=0, description="A generation nobody follows is stopped after this."
    )
    retention_s: float = Field(600.0, gt=0, description="How long an ended run can be replayed.")
    max_live: int = Field(2000, ge=1, description="Most generations at once in a process.")
    max_log_bytes: int = Field(8 * 1024**2, gt=0, description="Largest log of one generation.")
    max_logs_bytes: int = Field(
        128 * 1024**2,
        gt=0,
        description="Most memory of all logs of a process: the oldest ended ones go, running ones never.",
    )


class Logging(Section):
    """What is logged."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="Least severe level.")


class Settings(BaseModel):
    """All settings of one process; read once, in `wiring`. What is not given comes from the environment."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    server: Server = Server()
    data: Data = Data()
    auth: Auth = Auth()
    embedding: Embedding = Embedding()
    chunking: Chunking = Chunking()
    ingest: Ingest = Ingest()
    retrieval: Retrieval = Retrieval()
    engine: Engine = Engine()
    redis: Redis = Redis()
    chat: Chat = Chat()
    logging: Logging = Logging()

    @model_validator(mode="before")
    @classmethod
    def _with_environment(cls, given: dict[str, Any]) -> dict[str, Any]:
        """A given section stands as it is; of given fields and variables, the given ones win."""
        found: dict[str, Any] = dict(environment.sections(KNOWN_NAMES))
        for name, value in given.items():
            merges = isinstance(value, dict) and name in found
            found[name] = found[name] | value if merges else value
        return found

    @property
    def is_shared(self) -> bool:
        """Whether other processes may serve in the same data folder: all that lasts is elsewhere."""
        return all(
            one.get_secret_value() for one in (self.redis.url, self.data.database_url, self.data.chroma_url)
        )

    @property
    def models_dir(self) -> Path:
        """Where the embedder's exported files are kept; may be shared by several data folders."""
        return self.data.models_dir or self.data.dir / "models"

    @property
    def database(self) -> str | Path:
        """The database's address, or the file of SQLite in the data folder."""
        return self.data.database_url.get_secret_value() or self.data.dir / "libriassist.db"


def load(needed: frozenset[str] | None = None) -> Settings:
    """The settings of this process; wrong ones in sections that are not `needed` are left out.

    Raises:
        Misconfigured: Some are wrong; a line each, with the variable, its value and what to write.
    """
    try:
        return Settings()
    except ValidationError as exc:
        errors = exc.errors(include_input=False, include_url=False)
        wrong = {str(error["loc"][0]) for error in errors}
        if needed is not None and not wrong & needed and wrong <= Settings.model_fields.keys():
            return Settings(**{name: Settings.model_fields[name].get_default() for name in wrong})
        lines = dict.fromkeys(_line(error["loc"], error["msg"], error["type"]) for error in errors)
        raise Misconfigured("\n".join(lines)) from None


def variable(section: str, field: str) -> str:
    """The environment variable of a setting, as the operator spelt it if it is set."""
    return environment.variable_of(section, field, KNOWN_NAMES)


def named(section: str, field: str, url: SecretStr) -> str:
    """The variable of an address and, if it looks like one, what may be seen of it."""
    given = url.get_secret_value()
    return f"{variable(section, field)}{f'={masked(given)[:_SHOWN_CHARS]}' if '://' in given else ''}"


def _line(loc: tuple[int | str, ...], said: str, kind: str) -> str:
    section, field = (*map(str, loc), "")[:2]
    name = variable(section, field)
    if kind in ("extra_forbidden", "model_type"):
        near = get_close_matches(name.upper().replace("__", "_"), _variables(), n=1, cutoff=0.0)
        return f"{name}: there is no such setting; the nearest is {_variables()[near[0]]}"
    words = said.removeprefix("Value error, ")
    words = words[:1].lower() + words[1:]
    value = "" if kind == _ADDRESS else environment.value_of(name)
    return f"{name}{_shown(section, field, value)}: {words}"


def _shown(section: str, field: str, value: str) -> str:
    """The value as it may be seen; nothing of a secret."""
    annotation = Settings.model_fields[section].get_default().__class__.model_fields[field].annotation
    if annotation in (SecretStr, Secrets) or not value:
        return ""
    text = "".join(char if char.isprintable() else "?" for char in masked(value))
    return f"={text[:_SHOWN_CHARS]}{'…' if len(text) > _SHOWN_CHARS else ''}"


def _variables() -> Mapping[str, str]:
    """Every variable by its name with single underscores: those are what is mistyped most."""
    return {name.replace("__", "_"): name for name in _names()}


def _names() -> Iterator[str]:
    for section, field in Settings.model_fields.items():
        for name in field.get_default().__class__.model_fields:
            yield f"{environment.PREFIX}{section}{environment.DELIMITER}{name}".upper()
