"""A stand-in for the API, small and obedient: it serves the real page and plays scripted answers to it.

`Script.answers` maps a question to the list of its steps; the log, resuming and stopping are as in the API.
"""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.datastructures import UploadFile

from backend.api.page_markdown import to_html
from backend.api.web import POLICY

PAGE = Path(__file__).parents[2] / "backend" / "api" / "page"
TEXT = "\n".join(
    [
        "# Reader's guide \U0001f4da",
        *(f"Line {n} of the rules, which says nothing about hours." for n in range(60)),
        "The library opens at nine and closes at six.",
        *(f"Line {n} of the annex, which says nothing about hours either." for n in range(400)),
    ]
)
PASSAGE = "The library opens at nine and closes at six."


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happens in an answer.

    Attributes:
        cut: Drops every connection that has just received it, once.
        gate: It waits until the test has opened this gate.
    """

    event: str
    data: dict[str, Any]
    after_s: float = 0.0
    cut: bool = False
    gate: str = ""


def source(n: int, **changes: Any) -> dict[str, Any]:
    """A source that points at `PASSAGE` in `TEXT`."""
    start = TEXT.index(PASSAGE)
    given = {
        "n": n, "document": "d1", "title": "Reader's guide", "page": 2, "score": 0.8, "revision": "r1",
        "passage": f"p{n}", "name": "guide.md", "heading": "Opening hours",
        "start": start, "end": start + len(PASSAGE),
    }  # fmt: skip
    return given | changes


def sources(*items: dict[str, Any], degraded: tuple[str, ...] = ()) -> Step:
    return Step("sources", {"sources": list(items), "degraded": list(degraded)})


def delta(text: str, after_s: float = 0.0, *, cut: bool = False, gate: str = "") -> Step:
    return Step("delta", {"text": text}, after_s, cut, gate)


def done(reason: str = "stop", *, citations: tuple[int, ...] = (1,), degraded: tuple[str, ...] = ()) -> Step:
    usage = {"prompt_tokens": 9, "completion_tokens": 9}
    return Step(
        "done",
        {
            "finish_reason": reason,
            "usage": usage,
            "timings": {},
            "citations": citations,
            "degraded": degraded,
        },
    )


def failed(code: str, *, retryable: bool = True, retry_after_s: float | None = None) -> Step:
    return Step(
        "error", {"code": code, "message": "broke", "retryable": retryable, "retry_after_s": retry_after_s}
    )


ANSWER = [sources(source(1)), delta("From **nine** to six [1]."), done()]


@dataclass(slots=True)
class Run:
    """One run: its log grows while its task plays the steps."""

    id: str
    conversation: str
    question: str
    gates: set[str]
    log: list[tuple[str, Step]] = field(default_factory=list)
    grown: asyncio.Event = field(default_factory=asyncio.Event)
    stopped: bool = False
    was_cut: set[str] = field(default_factory=set)
    created: float = field(default_factory=time.time)

    @property
    def ended(self) -> bool:
        return bool(self.log) and self.log[-1][1].event in {"done", "error"}

    def add(self, step: Step) -> None:
        self.log.append((f"1-{len(self.log) + 1}", step))
        self.grown.set()
        self.grown = asyncio.Event()

    async def play(self, steps: list[Step]) -> None:
        for step in steps:
            until = time.monotonic() + step.after_s
            while not self.stopped and (time.monotonic() < until or not {step.gate} <= self.gates):
                await asyncio.sleep(0.01)
            if self.stopped:
                self.add(done("stopped", citations=()))
                return
            self.add(step)

    def turn(self) -> dict[str, Any]:
        steps = [step for _, step in self.log]
        end = steps[-1] if self.ended else None
        state = "running" if end is None else "failed" if end.event == "error" else "done"
        if end and end.data.get("finish_reason") == "stopped":
            state = "stopped"
        found: list[dict[str, Any]] = next((s.data["sources"] for s in steps if s.event == "sources"), [])
        return {
            "run": self.id, "question": self.question, "created": self.created,
            "state": state, "sources": found,
            "answer": "".join(s.data["text"] for s in steps if s.event == "delta") if end else "",
            "citations": list(end.data.get("citations", ())) if end else [],
            "degraded": list(end.data.get("degraded", ())) if end else [],
        }  # fmt: skip


@dataclass(slots=True)
class Script:
    """What the server answers, and what it was asked.

    Attributes:
        overlap: Events that a resumed stream says again, as a careless server might.
        asked: Bodies of the questions, in order.
        gates: Those that are open; see `Step.gate`.
    """

    answers: dict[str, list[Step]] = field(default_factory=dict)
    refusals: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    refuse_events: int = 0
    overlap: int = 0
    gates: set[str] = field(default_factory=lambda: {""})
    key: str = ""
    roles: tuple[str, ...] = ("reader", "writer")
    documents: list[dict[str, Any]] = field(default_factory=list)
    runs: dict[str, Run] = field(default_factory=dict)
    by_key: dict[str, str] = field(default_factory=dict)
    titles: dict[str, str] = field(default_factory=dict)
    calls: Counter[str] = field(default_factory=Counter)
    resumed_from: list[str] = field(default_factory=list)
    ratings: list[dict[str, Any]] = field(default_factory=list)
    uploads: dict[str, dict[str, Any]] = field(default_factory=dict)
    models: list[dict[str, Any]] = field(default_factory=list)
    default: str = "plain:8b"
    asked: list[dict[str, Any]] = field(default_factory=list)
    ids: Iterator[int] = field(default_factory=lambda: count(1))
    tasks: set[asyncio.Task[None]] = field(default_factory=set)


def problem(status: int, code: str, **more: Any) -> JSONResponse:
    body = {
        "type": "about:blank",
        "title": code,
        "status": status,
        "code": code,
        "detail": code,
        "retryable": False,
    }
    return JSONResponse(body | more, status, media_type="application/problem+json")


def frame(step_id: str, event: str, data: dict[str, Any]) -> str:
    head = f"id: {step_id}\n" if step_id else ""
    return f"{head}event: {event}\ndata: {json.dumps(data)}\n\n"


async def stream(run: Run, after: str, overlap: int) -> AsyncIterator[str]:
    """The run's events after `after`; ends early where the script cuts the connection."""
    yield ": ping\n\nretry: 100\n"
    yield frame(
        "",
        "started",
        {
            "run_id": run.id,
            "conversation_id": run.conversation,
            "model": "m",
            "variant": "v",
            "cache": "miss",
        },
    )
    at = max(0, int(after.split("-")[1]) - overlap) if after else 0
    while True:
        while at < len(run.log):
            step_id, step = run.log[at]
            at += 1
            yield frame(step_id, step.event, step.data)
            if step.event in {"done", "error"}:
                return
            if step.cut and step_id not in run.was_cut:
                run.was_cut.add(step_id)
                raise ConnectionResetError
        await run.grown.wait()


@dataclass(slots=True)
class Stage:
    """What plays at the moment: one server serves many scripts, one after the other."""

    script: Script


def create(stage: Stage) -> FastAPI:  # noqa: C901  a list of endpoints
    app = FastAPI()

    @app.middleware("http")
    async def check(request: Request, proceed: Any) -> Response:
        path = request.url.path.removeprefix("/api/v1")
        stage.script.calls[f"{request.method} {path}"] += 1
        open_paths = (
            request.url.path == "/"
            or path.startswith("/assets")
            or (path == "/session" and request.method == "POST")
        )
        if stage.script.key and not open_paths and request.cookies.get("libri_session") != stage.script.key:
            return problem(401, "unauthenticated")
        return await proceed(request)

    @app.get("/")
    async def index() -> Response:
        return FileResponse(PAGE / "index.html", headers={"Content-Security-Policy": POLICY})

    @app.get("/assets/{name}")
    async def asset(name: str) -> Response:
        return FileResponse(PAGE / name, headers={"Cache-Control": "no-cache"})

    @app.get("/api/v1/session")
    async def session() -> dict[str, Any]:
        return {
            "tenant": "t",
            "subject": "s",
            "roles": stage.script.roles,
            "corpora": ["*"],
            "sign_in": bool(stage.script.key),
        }

    @app.post("/api/v1/session")
    async def sign_in(request: Request) -> Response:
        key = (await request.json())["key"]
        if key != stage.script.key:
            return problem(401, "unauthenticated")
        response = Response(status_code=204)
        response.set_cookie("libri_session", key, httponly=True, samesite="strict")
        return response

    @app.delete("/api/v1/session")
    async def sign_out() -> Response:
        response = Response(status_code=204)
        response.delete_cookie("libri_session")
        return response

    @app.get("/api/v1/models")
    async def models() -> dict[str, Any]:
        options = {"temperature": 0.0, "max_tokens": 512}
        return {"models": stage.script.models, "default": stage.script.default, "options": options}

    @app.post("/api/v1/chat/stream")
    async def ask(request: Request) -> Response:
        body = await request.json()
        if stage.script.refusals:
            status, said = stage.script.refusals.pop(0)
            return problem(status, **said)
        stage.script.asked.append(body)
        if body.get("model") and body["model"] not in [one["name"] for one in stage.script.models]:
            return problem(404, "model_not_offered")
        key = request.headers.get("Idempotency-Key", "")
        if key not in stage.script.by_key:
            number = next(stage.script.ids)
            conversation = body.get("conversation_id") or f"c{number}"
            run = Run(f"run{number}", conversation, body["question"], stage.script.gates)
            stage.script.runs[run.id] = run
            stage.script.by_key[key] = run.id
            stage.script.titles.setdefault(conversation, body["question"])
            task = asyncio.get_running_loop().create_task(
                run.play(stage.script.answers.get(body["question"], ANSWER))
            )
            stage.script.tasks.add(task)
        return events_of(stage.script.runs[stage.script.by_key[key]], "")

    def events_of(run: Run, after: str) -> Response:
        return StreamingResponse(stream(run, after, stage.script.overlap), media_type="text/event-stream")

    @app.get("/api/v1/runs/{run}/events")
    async def events(run: str, request: Request) -> Response:
        after = request.headers.get("Last-Event-ID", "")
        if stage.script.refuse_events:
            stage.script.refuse_events -= 1
            return problem(503, "log_unavailable", retryable=True)
        if run not in stage.script.runs:
            return problem(404, "not_found")
        stage.script.resumed_from.append(after)
        return events_of(stage.script.runs[run], after)

    @app.delete("/api/v1/runs/{run}")
    async def stop(run: str) -> Response:
        stage.script.runs[run].stopped = True
        return Response(status_code=204)

    @app.post("/api/v1/runs/{run}/feedback")
    async def feedback(run: str, request: Request) -> Response:
        stage.script.ratings.append(await request.json() | {"run": run})
        return Response(status_code=204)

    @app.get("/api/v1/conversations")
    async def conversations() -> dict[str, Any]:
        items = []
        for conversation, title in stage.script.titles.items():
            times = [run.created for run in stage.script.runs.values() if run.conversation == conversation]
            items.append({"id": conversation, "title": title, "created": min(times), "updated": max(times)})
        return {"conversations": sorted(items, key=lambda one: -one["updated"])}

    @app.get("/api/v1/conversations/{conversation}")
    async def conversation(conversation: str) -> Response:
        turns = [run.turn() for run in stage.script.runs.values() if run.conversation == conversation]
        return JSONResponse({"id": conversation, "turns": turns}) if turns else problem(404, "not_found")

    @app.delete("/api/v1/conversations/{conversation}")
    async def forget(conversation: str) -> Response:
        stage.script.titles.pop(conversation)
        stage.script.runs = {
            key: run for key, run in stage.script.runs.items() if run.conversation != conversation
        }
        return Response(status_code=204)

    @app.get("/api/v1/documents")
    async def documents() -> dict[str, Any]:
        return {"documents": stage.script.documents}

    @app.post("/api/v1/documents")
    async def upload(request: Request) -> Response:
        async with request.form() as form:
            names = [file.filename for file in form.getlist("file") if isinstance(file, UploadFile)]
        items = [
            {"name": name, "state": "waiting", "reason": "", "document": None, "passages": 0}
            for name in names
        ]
        job = {"id": "i1", "state": "running", "total": len(names), "finished": 0, "items": items}
        stage.script.uploads["i1"] = job
        return JSONResponse(job, 202)

    @app.get("/api/v1/ingestions/{job}")
    async def ingestion(job: str) -> dict[str, Any]:
        now = stage.script.uploads[job]
        item = now["items"][now["finished"]]
        bad = item["name"].endswith(".bin")
        item |= (
            {"state": "failed", "reason": "unsupported_document"} if bad else {"state": "done", "passages": 3}
        )
        if not bad:
            stage.script.documents.append(document(item["name"]))
        now["finished"] += 1
        if now["finished"] == now["total"]:
            now["state"] = "done"
        return now

    @app.delete("/api/v1/documents/{document_id}")
    async def delete_document(document_id: str) -> Response:
        stage.script.documents = [one for one in stage.script.documents if one["id"] != document_id]
        return Response(status_code=204)

    @app.get("/api/v1/documents/{document_id}/text")
    async def text(document_id: str, revision: str = "") -> Response:
        if revision == "gone":
            return problem(404, "not_found")
        return JSONResponse(
            {"document": document_id, "revision": revision, "title": "t", "name": "n", "text": TEXT}
        )

    @app.post("/api/v1/markdown")
    async def markdown(request: Request) -> dict[str, str]:
        return {"html": to_html((await request.json())["text"])}

    return app


def model(name: str, **changes: Any) -> dict[str, Any]:
    given = {
        "name": name, "thinks": False, "parameters": "8.0B", "quantisation": "Q4_K_M",
        "size_bytes": 4_920_000_000, "context_tokens": 131_072, "loaded": True,
    }  # fmt: skip
    return given | changes


def document(name: str, title: str = "") -> dict[str, Any]:
    return {
        "id": f"id-{name}", "name": name, "title": title or name, "media_type": "text/markdown",
        "language": "en",
        "revision": "r1", "size_bytes": 4321, "passages": 3, "created": 1.7e9, "updated": 1.7e9,
        "date": "", "description": "", "notes": [],
    }  # fmt: skip


@contextmanager
def serving(app: Any) -> Iterator[str]:
    """The address of `app`, served by uvicorn in a thread for the length of the block."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        config = uvicorn.Config(app, log_level="critical", timeout_graceful_shutdown=0, lifespan="auto")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            while not server.started:
                if not thread.is_alive():
                    raise RuntimeError("the server did not start")
                time.sleep(0.01)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()
