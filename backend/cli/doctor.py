"""`libriassist doctor`: what is configured, reachable, missing, and what to do about it."""

from __future__ import annotations

import shutil
from argparse import Namespace
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Literal

from rich.console import Console
from rich.table import Table

from backend.chat.prompt import least_tokens
from backend.cli.client import running_server
from backend.cli.model_rows import plain
from backend.config import Server, Settings
from backend.core.addresses import masked
from backend.core.errors import LibriError
from backend.infra.folder_lock import FolderBusy, prepare
from backend.wiring.lazily import open_services

_LITTLE_DISK = 2 * 1024**3
ADVICE = {
    "sql": "check LIBRI_DATA__DATABASE_URL, and that the database runs and the data folder can be written",
    "retrieval": "check CHROMA_URL, if it is set, and that its server runs; what is in the data folder is "
    "made again by itself: stop the server, remove <data>/chroma and <data>/lexical, start it",
    "dense": "wait, with the server running: it is made in the background, as when EMBEDDING_MODEL changed",
    "embedder": "check EMBEDDING_MODEL: a known name, or a folder with a sentence-transformers model; with "
    "LIBRI_EMBEDDING__URL, that the service runs and has that model",
    "models": "start a model server and set OLLAMA_URLS or LIBRI_ENGINE__OPENAI_URLS; `libriassist models "
    "list` says what each has, `models pull NAME` fetches one; until then answers are quoted",
    "background": "it is begun again by itself: the log says why it fails (event loop_failed); report it",
}
"""By the name of the check that failed."""
_LONGER = (
    "answers are made from parts of passages: name another model in OLLAMA_MODEL, give this one a longer "
    "context (LIBRI_ENGINE__CONTEXT_TOKENS or OLLAMA_CONTEXT_LENGTH for Ollama, `-c` for llama.cpp, "
    "`--max-model-len` for vLLM), or lower LIBRI_CHAT__MAX_TOKENS"
)
_NAMED = 5
State = Literal["ok", "note", "bad"]
_MARKS: Mapping[State, str] = {
    "ok": "[green]ok[/green]",
    "note": "[yellow]note[/yellow]",
    "bad": "[red]bad[/red]",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at."""

    state: State
    what: str
    detail: str
    advice: str = ""


async def run(settings: Settings, options: Namespace) -> int:
    """The one action."""
    return await doctor(settings)


async def doctor(settings: Settings) -> int:
    """Print the findings; the exit status is 1 if something needed is broken."""
    findings = [*of_settings(settings), *_disk(settings)]
    try:
        findings += await _services(settings)
    except FolderBusy:
        findings += await _running(settings)
    except (LibriError, OSError, ValueError) as exc:
        findings.append(
            Finding("bad", "start", str(exc), "mend this first; nothing can be checked behind it")
        )
    _print(findings)
    return 1 if any(finding.state == "bad" for finding in findings) else 0


def of_settings(settings: Settings) -> Iterator[Finding]:
    """What the settings alone tell."""
    changed = settings.model_dump(mode="json", exclude_defaults=True)
    names = sorted(f"{section}.{field}" for section, fields in changed.items() for field in fields)
    yield Finding("ok", "settings", ", ".join(names) or "all defaults")
    yield _model_servers(settings)
    if not settings.auth.api_key.get_secret_value() and not _is_loopback(settings.server.host):
        yield Finding(
            "note",
            "access",
            f"listens on {settings.server.host}; without a key only this machine is served",
            "set API_KEY, or make keys with `libriassist keys create`",
        )
    if not _is_loopback(settings.server.host) and settings.server.allowed_hosts == Server().allowed_hosts:
        yield Finding(
            "note",
            "host names",
            f"listens on {settings.server.host}; only loopback names are served",
            "set LIBRI_SERVER__ALLOWED_HOSTS to the names that readers use, and 127.0.0.1",
        )


def _model_servers(settings: Settings) -> Finding:
    """Those that are asked; credentials in their addresses masked."""
    if settings.engine.backend == "extractive":
        return Finding("ok", "model servers", "none, by choice")
    if urls := [masked(spec.url) for _, spec in settings.engine.declared()]:
        return Finding("ok", "model servers", ", ".join(urls))
    return Finding("note", "model servers", "none is named", ADVICE["models"])


def of_contexts(settings: Settings, contexts: Iterable[Mapping[str, int]]) -> Iterator[Finding]:
    """Which models are too small for what is asked of them; `contexts` of each instance, per model."""
    needed = least_tokens(
        passage_tokens=settings.chunking.target_tokens, answer_tokens=settings.chat.max_tokens
    )
    smallest: dict[str, int] = {}
    for model, tokens in (pair for one in contexts for pair in one.items()):
        smallest[model] = min(tokens, smallest.get(model, tokens))
    small = [f"{plain(model)}: {tokens:,} tokens" for model, tokens in smallest.items() if tokens < needed]
    if small:
        named = ", ".join(small[:_NAMED]) + (", …" if len(small) > _NAMED else "")
        told = f"{named}; rules, a question, one passage and an answer take about {needed:,}"
        yield Finding("note", "small context", told, _LONGER)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _disk(settings: Settings) -> Iterator[Finding]:
    folder = settings.data.dir
    prepare(folder)
    free = shutil.disk_usage(folder).free
    detail = f"{folder}: {free / 1024**3:.1f} GiB free"
    if free < _LITTLE_DISK:
        yield Finding("note", "disk", detail, "make room: documents are refused when the disk is full")
    else:
        yield Finding("ok", "disk", detail)


async def _services(settings: Settings) -> list[Finding]:
    async with open_services(settings) as services:
        found = await services.checked()
        documents = await services.catalogue.corpora("local")
        instances = (await services.pool.status()).instances
    findings = [
        _health(name, ok=health.ok, needed=health.needed, detail=health.detail, latency_s=health.latency_s)
        for name, health in found.items()
    ]
    findings += of_contexts(settings, [one.contexts for one in instances])
    if not documents:
        findings.append(
            Finding("note", "documents", "none yet", "run `libriassist ingest PATH` (or `--sample`)")
        )
    return findings


async def _running(settings: Settings) -> list[Finding]:
    """What the running server says of itself."""
    try:
        async with running_server(settings) as server:
            checks = await server.health()
            pool = await server.json("GET", "/api/v1/admin/pool")
    except LibriError as exc:
        return [Finding("bad", "server", exc.message, "see its log; restart it")]
    findings = [Finding("ok", "server", "is running; these are its own checks")]
    findings += [_health(name, **health) for name, health in checks.items()]
    return findings + list(of_contexts(settings, [one["contexts"] for one in pool["instances"]]))


def _health(name: str, *, ok: bool, needed: bool, detail: str, latency_s: float) -> Finding:
    shown = f"{detail} ({latency_s * 1000:.1f} ms)".strip()
    if ok:
        return Finding("ok", name, shown)
    return Finding("bad" if needed else "note", name, shown, ADVICE.get(name, ""))


def _print(findings: list[Finding]) -> None:
    table = Table("", "what", "found", "what to do", box=None)
    for finding in findings:
        table.add_row(_MARKS[finding.state], finding.what, finding.detail, finding.advice)
    Console().print(table)
