"""Every setting, in one frozen `Settings`: a section per package.

Environment variables are `LIBRI_<SECTION>__<FIELD>`; the names operators already know are accepted as well
(`KNOWN_NAMES`). `docs/configuration.md` is generated from this module.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

KNOWN_NAMES = {
    "API_KEY": ("auth", "api_key"),
    "DATABASE_URL": ("data", "database_url"),
    "EMBEDDING_MODEL": ("embedding", "model"),
    "LLM_BACKEND": ("engine", "backend"),
    "OLLAMA_URLS": ("engine", "ollama_urls"),
    "OLLAMA_MODEL": ("engine", "model"),
    "OLLAMA_NUM_PARALLEL": ("engine", "slots"),
    "OLLAMA_MAX_LOADED_MODELS": ("engine", "models_at_once"),
    "REDIS_URL": ("redis", "url"),
}

_PATH = re.compile(r"(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9._~-]+)+")
_OWN_PATHS = frozenset({"api", "assets", "config", "health", "metrics", "openapi.json"})
_CREDENTIALS = re.compile("(?<=://)[^/@]+(?=@)")


def _masked(urls: tuple[str, ...]) -> list[str]:
    return [_CREDENTIALS.sub("**********", url) for url in urls]


Urls = Annotated[tuple[str, ...], NoDecode, PlainSerializer(_masked, when_used="json")]
"""Credentials in an address are for its server, not for who reads the settings."""


def _split(value: Any) -> Any:
    if isinstance(value, str):
        value = json.loads(value) if value.lstrip().startswith("[") else value.split(",")
        return tuple(str(item).strip().rstrip("/") for item in value if str(item).strip())
    return value


class Section(BaseModel):
    """A frozen group of settings; unknown names are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


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

    _lists = field_validator("allowed_hosts", "allowed_origins", mode="before")(_split)

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
        SecretStr(""), description="SQLAlchemy URL; empty: SQLite in the data folder."
    )
    models_dir: Path | None = Field(None, description="Folder of exported models; empty: in the data folder.")


class Auth(Section):
    """Who may ask."""

    api_key: SecretStr = Field(
        SecretStr(""), description="Bearer key with every role; empty: SQL keys, or loopback."
    )
    cookie_secret: SecretStr = Field(
        SecretStr(""), description="Signs cookies; empty: kept in the data folder."
    )
    cookie_ttl_s: int = Field(30 * 86400, gt=0, description="Life of a browser's cookie.")


class Embedding(Section):
    """The embedder."""

    model: str = Field("all-MiniLM-L6-v2", description="Model name or folder; the default needs no network.")
    threads: int = Field(1, ge=1, description="Compute threads.")
    runtime: Literal["onnx", "torch"] = Field("onnx", description="What runs the model.")
    precision: Literal["fp32", "int8"] = Field("int8", description="Of the weights; `int8` needs `onnx`.")
    batch_size: int = Field(8, ge=1, description="Passages embedded before other callers have a turn.")
    queue_limit: int = Field(2048, ge=1, description="Most questions waiting to be embedded.")
    cache_size: int = Field(4096, ge=0, description="Question vectors, and token counts, kept in memory.")


class Chunking(Section):
    """How documents are cut, in the embedder's tokens."""

    target_tokens: int = Field(180, ge=32, description="Size aimed at.")
    overlap_tokens: int = Field(
        0, ge=0, description="Repeated from the passage before, when a section is cut."
    )


class Ingest(Section):
    """Limits of the write path."""

    parse_timeout_s: float = Field(60.0, gt=0, description="Longest time to read one file.")
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
    deadline_s: float = Field(2.0, gt=0, description="Longest wait for one index.")
    concurrency: int = Field(8, ge=1, description="Questions searched at once; the others wait their turn.")
    rrf_k: float = Field(20.0, gt=0, description="Rank constant of the fusion.")
    lexical_weight: float = Field(4.0, ge=0, description="Weight of the lexical index; the dense one has 1.")
    per_document: int = Field(2, ge=1, description="Passages of one document before those of others.")
    title_boost: float = Field(
        0.2, ge=0, description="Weight of a match in title or headings, over the text's."
    )
    limit: int = Field(6, ge=1, description="Most passages given to the model.")
    budget_tokens: int = Field(1800, ge=1, description="Most tokens of passages given to the model.")
    no_answer_threshold: float = Field(0.15, ge=0, le=1, description="Below it, the assistant does not know.")


class Engine(Section):
    """Model servers."""

    backend: Literal["auto", "ollama", "openai", "extractive"] = Field(
        "auto",
        description="What answers; `auto`: any configured server that has the model, else quotes.",
    )
    ollama_urls: Urls = Field(("http://localhost:11434",), description="Ollama instances.")
    ollama_keep_alive: str = Field("30m", description="How long Ollama keeps a model loaded.")
    openai_urls: Urls = Field(
        (), description="OpenAI-compatible servers (llama.cpp, vLLM, MLX), without `/v1`."
    )
    openai_dialect: Literal["openai", "llama.cpp", "vllm", "mlx", "transformers"] = Field(
        "openai", description="What those servers are; `openai`: llama.cpp, vLLM and MLX in any mixture."
    )
    openai_api_key: SecretStr = Field(SecretStr(""), description="Bearer key of those servers.")
    model: str = Field("", description="Model asked for by default; empty: the first one the server lists.")
    slots: int = Field(1, ge=1, description="Generations an instance serves at once.")
    models_at_once: int = Field(1, ge=1, description="Models an Ollama instance holds in memory at once.")
    load_s: float = Field(300.0, gt=0, description="Longest load of a model.")
    context_tokens: int = Field(
        4096, ge=512, description="Context of the model, constant so that nothing reloads."
    )
    connect_s: float = Field(2.0, gt=0, description="Longest wait for a connection.")
    first_token_s: float = Field(120.0, gt=0, description="Longest wait for the first token.")
    gap_s: float = Field(30.0, gt=0, description="Longest gap between tokens.")
    quarantine_s: float = Field(30.0, gt=0, description="How long a failed instance is avoided.")
    queue_limit: int = Field(512, ge=0, description="Most requests waiting for a slot.")
    max_wait_s: float = Field(
        600.0, gt=0, description="Whoever might wait longer for a slot is told at once to come back later."
    )

    _lists = field_validator("ollama_urls", "openai_urls", mode="before")(_split)

    @field_validator("openai_urls")
    @classmethod
    def _without_version(cls, urls: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(url.removesuffix("/v1") for url in urls)


class Redis(Section):
    """What processes share: slots, queue, health. Without it a process stands alone."""

    url: SecretStr = Field(SecretStr(""), description="Redis URL; empty: everything in this process.")
    timeout_s: float = Field(
        1.0, gt=0, description="Longest answer of Redis; beyond it a process uses its own share."
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


class Logging(Section):
    """What is logged."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="Least severe level.")


class KnownNames(PydanticBaseSettingsSource):
    """The variables operators know from before, put where they belong."""

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        """Unused: values are nested."""
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        """The sections that known names set."""
        import os  # noqa: PLC0415  the one reader of the environment besides pydantic-settings

        sections: dict[str, Any] = {}
        for name, (section, field) in KNOWN_NAMES.items():
            if value := os.environ.get(name):  # noqa: TID251
                sections.setdefault(section, {})[field] = value
        return sections


class Settings(BaseSettings):
    """All settings of one process; read once, in `wiring`."""

    model_config = SettingsConfigDict(
        env_prefix="LIBRI_",
        env_nested_delimiter="__",
        frozen=True,
        extra="forbid",
        nested_model_default_partial_update=True,
    )

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

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments first, then `LIBRI_…`, then the known names."""
        return init_settings, env_settings, KnownNames(settings_cls)

    @property
    def models_dir(self) -> Path:
        """Where the embedder's exported files are kept; may be shared by several data folders."""
        return self.data.models_dir or self.data.dir / "models"

    @property
    def database_url(self) -> str:
        """SQLAlchemy async URL; a plain `postgresql://` gets its driver."""
        given = self.data.database_url.get_secret_value()
        scheme, _, rest = given.partition("://")
        if scheme in ("postgresql", "postgres"):
            return f"postgresql+asyncpg://{rest}"
        return given or f"sqlite+aiosqlite:///{self.data.dir / 'libriassist.db'}"
