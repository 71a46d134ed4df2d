"""`libriassist`: reads arguments, calls one function of `backend.cli`, returns its exit status."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from backend import __version__
from backend.chat.runs import DEFAULT_CORPUS
from backend.cli import ask, configuration, doctor, ingest, keys, models, pool, pull, serve
from backend.config import Settings
from backend.core.errors import LibriError
from backend.core.types import Role


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; errors of ours are one line on stderr and exit status 1."""
    options = _parser().parse_args(arguments)
    try:
        return _run(options, Settings())
    except ValidationError as exc:
        for error in exc.errors(include_input=False, include_url=False):
            _complain(f"setting {'.'.join(map(str, error['loc']))}: {error['msg']}")
    except (LibriError, OSError) as exc:
        _complain(str(exc))
    except KeyboardInterrupt:
        _complain("stopped")
    return 1


def _run(options: argparse.Namespace, settings: Settings) -> int:
    match options.command:
        case "serve":
            return serve.serve(settings)
        case "config":
            return configuration.document() if options.markdown else configuration.show(settings)
        case _:
            return asyncio.run(_work(options, settings))


async def _work(options: argparse.Namespace, settings: Settings) -> int:
    match options.command, getattr(options, "action", None):
        case "ingest", _:
            return await ingest.ingest(settings, options.paths, corpus=options.corpus, sample=options.sample)
        case "reindex", _:
            return await ingest.reindex(settings)
        case "ask", _:
            return await ask.ask(settings, options.question, options.language)
        case "doctor", _:
            return await doctor.doctor(settings)
        case "models", action:
            return await _models(action, options, settings)
        case "pool", action:
            return await _pool(action, options, settings)
        case "keys", "create":
            roles = [Role(role) for role in options.role or ("reader",)]
            return await keys.create(settings, options.name, options.tenant, roles, options.corpus)
        case "keys", "revoke":
            return await keys.revoke(settings, options.id)
        case _:
            return await keys.show(settings)


async def _models(action: str | None, options: argparse.Namespace, settings: Settings) -> int:
    match action:
        case "pull":
            return await pull.pull(settings, options.name, options.instance)
        case "show":
            return await models.show(settings, options.name)
        case _:
            return await models.table(settings)


async def _pool(action: str | None, options: argparse.Namespace, settings: Settings) -> int:
    match action:
        case "drain":
            return await pool.drain(settings, options.id)
        case "resume":
            return await pool.resume(settings, options.id)
        case "add":
            return await pool.add(
                settings, options.id, options.url, engine=options.engine, slots=options.slots
            )
        case "remove":
            return await pool.remove(settings, options.id)
        case _:
            return await pool.status(settings)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="libriassist", description="Answers from your own documents.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("serve", help="serve the page and the API")
    add = commands.add_parser("ingest", help="read documents, or folders of them")
    add.add_argument("paths", nargs="*", type=Path, metavar="PATH")
    add.add_argument("--corpus", default=DEFAULT_CORPUS)
    add.add_argument("--sample", action="store_true", help="the sample documents of a bookshop and library")
    commands.add_parser("reindex", help="read again what an older parser, chunker or embedder made")
    question = commands.add_parser("ask", help="ask one question")
    question.add_argument("question")
    question.add_argument("--language", choices=("fr", "en"))
    commands.add_parser("doctor", help="what is configured, reachable, missing, and what to do about it")
    settings = commands.add_parser("config", help="the settings in force")
    settings.add_argument("--markdown", action="store_true", help="the documentation of all settings")
    _model_commands(commands.add_parser("models", help="list, show and fetch models of the model servers"))
    _pool_commands(commands.add_parser("pool", help="the model servers of the running assistant, as one"))
    _key_commands(commands.add_parser("keys", help="make, list and revoke API keys"))
    return parser


def _model_commands(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    actions.add_parser("list", help="every model of every server, and what is loaded where")
    actions.add_parser("show", help="all about one model").add_argument("name")
    fetch = actions.add_parser("pull", help="fetch a model onto every Ollama instance that lacks it")
    fetch.add_argument("name")
    fetch.add_argument("--instance", metavar="URL", help="onto this one only; again, if it has the model")


def _pool_commands(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    actions.add_parser("status", help="every instance, what is wrong with it, and who waits")
    actions.add_parser("drain", help="let an instance finish what runs and take no more").add_argument("id")
    actions.add_parser("resume", help="let a drained instance take requests again").add_argument("id")
    new = actions.add_parser("add", help="put an instance into service")
    new.add_argument("id", help="its name from now on")
    new.add_argument("url", help="its address, as in OLLAMA_URLS")
    new.add_argument("--engine", choices=("ollama", "openai"), default="ollama")
    new.add_argument("--slots", type=int, help="generations it serves at once; as configured if not given")
    actions.add_parser("remove", help="take an instance out; what runs is finished").add_argument("id")


def _key_commands(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    create = actions.add_parser("create", help="make a key; it is shown once")
    create.add_argument("name")
    create.add_argument("--tenant", default="local")
    create.add_argument("--role", action="append", choices=[role.value for role in Role])
    create.add_argument("--corpus", action="append", help="a corpus it may read; all if never given")
    actions.add_parser("list", help="all keys, without their secrets")
    actions.add_parser("revoke", help="make a key worthless").add_argument("id")


def _complain(message: str) -> None:
    sys.stderr.write(f"libriassist: {message}\n")


if __name__ == "__main__":
    sys.exit(main())
