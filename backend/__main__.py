"""`libriassist`: reads arguments, runs one module of `backend.cli`, returns its exit status.

Nothing else is imported before it is known what is asked: `--help` needs no more, and most commands little.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Coroutine, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from backend import __version__, environment
from backend.core.errors import LibriError
from backend.core.instances import KINDS, OLLAMA
from backend.core.languages import SNOWBALL
from backend.core.terminal import close_output, plain_output, sever_output
from backend.core.types import DEFAULT_CORPUS, Role

STOPPED = 130
"""Exit status of a command that was stopped with Ctrl+C."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; errors of ours are one line each on stderr and exit status 1."""
    plain_output()
    try:
        status = _main(arguments)
        close_output()
    except BrokenPipeError:
        sever_output()
    except LibriError as exc:
        _complain(exc.message)
    except OSError as exc:
        _complain(f"{exc.filename}: {exc.strerror}" if exc.filename and exc.strerror else str(exc))
        sever_output()
    except KeyboardInterrupt:
        _complain("stopped")
        return STOPPED
    else:
        return status
    return 1


def _main(arguments: Sequence[str] | None) -> int:
    given = [environment.readable(one) for one in (sys.argv[1:] if arguments is None else arguments)]
    options = _parser().parse_args(given)
    if dropped := environment.drop_unusable():
        _complain(f"{dropped} names a file that cannot be written: it is not used")
    needs = frozenset[str]() if "markdown" in options and options.markdown else options.needs
    settings = import_module("backend.config").load(needs)
    work = import_module(f"backend.cli.{options.module}").run(settings, options)
    return int(import_module("asyncio").run(work) if isinstance(work, Coroutine) else work)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="libriassist", description="Answers from your own documents.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    serve = _command(commands, "serve", module="start", help="serve the page and the API")
    serve.add_argument(
        "--workers", type=int, metavar="N", help="processes that serve; as configured if not given"
    )
    _command(
        commands,
        "serve-embeddings",
        module="serve_embeddings",
        needs="embedding data auth server logging",
        help="serve the embedding model alone, to replicas and other programs",
    )
    add = _command(commands, "ingest", help="read documents, or folders of them")
    add.add_argument("paths", nargs="*", type=Path, metavar="PATH")
    _reading(add)
    add.add_argument("--prune", action="store_true", help="remove documents whose files are gone from there")
    add.add_argument("--sample", action="store_true", help="the sample documents of a bookshop and library")
    same = _command(commands, "sync", module="ingest", help="make the documents what a folder holds")
    same.add_argument("paths", nargs="+", type=Path, metavar="FOLDER")
    _reading(same)
    _command(
        commands, "reindex", module="ingest", help="read again what an older parser, chunker or embedder made"
    )
    _document_commands(_command(commands, "documents", help="list, show and remove documents"))
    fit = _command(commands, "calibrate", help="fit what is known of the embedder to questions of your own")
    fit.add_argument(
        "questions", type=Path, metavar="FILE", help="JSON lines: question, language, document, answer"
    )
    fit.add_argument("--corpus", default=DEFAULT_CORPUS)
    question = _command(commands, "ask", help="ask one question")
    question.add_argument("question")
    question.add_argument("--language", choices=tuple(SNOWBALL), metavar="LANGUAGE")
    _command(commands, "doctor", help="what is configured, reachable, missing, and what to do about it")
    settings = _command(commands, "config", module="configuration", help="the settings in force")
    settings.add_argument("--markdown", action="store_true", help="the documentation of all settings")
    about_models = _command(
        commands, "models", needs="engine", help="list, show and fetch models of the model servers"
    )
    _model_commands(about_models)
    about_pool = _command(
        commands, "pool", needs="data engine", help="the model servers of the running assistant, as one"
    )
    _pool_commands(about_pool)
    _key_commands(_command(commands, "keys", needs="data auth", help="make, list and revoke API keys"))
    return parser


def _command(
    commands: Any, name: str, *, help: str, module: str = "", needs: str = ""
) -> argparse.ArgumentParser:
    """The parser of a command; `needs`: the only sections of the settings that it looks at."""
    parser: argparse.ArgumentParser = commands.add_parser(name, help=help)
    parser.set_defaults(module=module or name, needs=frozenset(needs.split()) or None)
    return parser


def _reading(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--corpus", default=DEFAULT_CORPUS)
    parser.add_argument("--watch", action="store_true", help="go on, and do it again after each change")
    parser.add_argument("--yes", action="store_true", help="even if more than half of the documents go")


def _document_commands(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    actions.add_parser("list", help="every document")
    actions.add_parser("show", help="all about one, and what was left out of it").add_argument("name")
    actions.add_parser("remove", help="no answer is built on them any more").add_argument("names", nargs="+")
    actions.add_parser("failed", help="files that could not be read, and why")
    for action in actions.choices.values():
        action.add_argument("--corpus", default=DEFAULT_CORPUS)


def _model_commands(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    actions.add_parser("list", help="every model of every server, and what is loaded where")
    actions.add_parser("show", help="all about one model").add_argument("name")
    fetch = actions.add_parser("pull", help="fetch a model onto every Ollama instance that lacks it")
    fetch.set_defaults(module="pull")
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
    new.add_argument("--kind", "--engine", choices=KINDS, default=OLLAMA)
    new.add_argument("--key-from", metavar="VARIABLE", help="environment variable that holds its key")
    new.add_argument("--model", action="append", help="a model it is meant to serve; any if never given")
    new.add_argument("--slots", type=int, help="generations it serves at once; as configured if not given")
    actions.add_parser("remove", help="take an instance out; what runs is finished").add_argument("id")


def _key_commands(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    create = actions.add_parser("create", help="make a key; it is shown once")
    create.add_argument("name")
    create.add_argument("--tenant", default="local")
    create.add_argument("--role", action="append", type=str.lower, choices=[role.value for role in Role])
    create.add_argument("--corpus", action="append", help="a corpus it may read; all if never given")
    actions.add_parser("list", help="all keys, without their secrets")
    actions.add_parser("revoke", help="make a key worthless").add_argument("id")


def _complain(message: str) -> None:
    for line in message.splitlines():
        sys.stderr.write(f"libriassist: {line}\n")


if __name__ == "__main__":
    sys.exit(main())
