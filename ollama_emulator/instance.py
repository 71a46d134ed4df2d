"""One emulated server: its port, which route answers what, and the faults that are more than a question."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson

from ollama_emulator import embed, library, native, openai
from ollama_emulator.call import Call, Refused
from ollama_emulator.clock import sleep
from ollama_emulator.faults import AT_ONCE, Fault
from ollama_emulator.hosts import is_served
from ollama_emulator.http import Exchange, HttpServer
from ollama_emulator.knobs import Knobs
from ollama_emulator.models import Model
from ollama_emulator.state import State
from ollama_emulator.truth import Record
from ollama_emulator.wire import BARE_JSON, JSON, error_body

logger = logging.getLogger(__name__)

Route = Callable[[Call], Awaitable[None]]

ROUTES: dict[str, dict[str, Route]] = {
    "/": {"GET": library.root, "HEAD": library.root},
    "/api/version": {"GET": library.version, "HEAD": library.version},
    "/api/tags": {"GET": library.tags, "HEAD": library.tags},
    "/api/ps": {"GET": library.ps},
    "/api/show": {"POST": library.show},
    "/api/pull": {"POST": library.pull},
    "/api/create": {"POST": library.create},
    "/api/copy": {"POST": library.copy},
    "/api/delete": {"DELETE": library.delete},
    "/api/chat": {"POST": native.chat},
    "/api/generate": {"POST": native.generate},
    "/api/embed": {"POST": embed.embed},
    "/api/embeddings": {"POST": embed.embeddings},
    "/v1/models": {"GET": openai.models},
    "/v1/chat/completions": {"POST": openai.chat},
    "/v1/completions": {"POST": openai.completions},
    "/v1/embeddings": {"POST": openai.embeddings},
}
PREFIXES: dict[str, dict[str, Route]] = {
    "/api/blobs/": {"HEAD": library.head_blob, "POST": library.post_blob},
    "/v1/models/": {"GET": openai.model},
}
GENERATING = frozenset(
    [
        "/api/chat",
        "/api/generate",
        "/api/embed",
        "/api/embeddings",
        "/v1/chat/completions",
        "/v1/completions",
        "/v1/embeddings",
    ]
)


class Instance(State):
    """A whole server. Start it inside a running event loop; `close` ends everything it began."""

    def __init__(
        self,
        knobs: Knobs,
        *,
        models: tuple[Model, ...] | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        super().__init__(knobs, models)
        self._down = 0
        self.server = HttpServer(self._handle, host, port, self._accept_delay_s)
        self._background: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Open its port."""
        await self.server.listen()

    async def close(self) -> None:
        """Cut every connection, drop every model, end every task."""
        for task in list(self._background):
            task.cancel()
        await self.server.close()
        self.scheduler.close()
        self.orphans.end()
        await asyncio.sleep(0)

    # -- faults that are more than a question ---------------------------------------------------------------

    async def add_fault(self, spec: Mapping[str, Any]) -> Fault | None:
        """Switch a fault on, or do at once what is done at once.

        Raises:
            ValueError: No such kind, or no such model.
        """
        if spec.get("kind") in AT_ONCE:
            await self._at_once(spec)
            return None
        fault = self.faults.add(spec)
        if fault.kind == "stuck_runner":
            self._stick()
        for moment in (fault.from_s, fault.until_s):
            if moment != float("inf"):
                self.clock.call_at(moment, lambda: self._spawn(self.refresh()))
        await self.refresh()
        return fault

    async def _at_once(self, spec: Mapping[str, Any]) -> None:
        match spec["kind"]:
            case "restart":
                self._spawn(self._restart(spec))
                await asyncio.sleep(0)
            case "evict_now":
                self._evict(str(spec.get("model", "")))
            case "kill_runner":
                self.scheduler.kill(self._known(str(spec.get("model", ""))))
            case "end_orphans":
                self.orphans.end()

    async def clear_faults(self, which: int | str = "all") -> int:
        """Switch faults off; what was stuck moves again."""
        cleared = self.faults.clear(which)
        await self.refresh()
        return cleared

    async def refresh(self) -> None:
        """Bring sockets, clock and runners in line with the faults now on."""
        skew = self.faults.peek("clock_skew")
        self.stamps.skew_s = skew.number("s", 3600.0) if skew else 0.0
        kinds = {fault.kind for fault in self.faults.on()}
        for runner in self.scheduler.loaded.values():
            runner.stuck = runner.stuck and "stuck_runner" in kinds
            runner.poke()
        self.server.stop(stopped=self.faults.peek("stop_server") is not None)
        if self.faults.peek("refuse") or self._down:
            self.server.refuse()
        else:
            await self.server.listen()

    async def reset(self) -> None:
        """As freshly started: no faults, no models in memory, no memory of what was."""
        self.faults.clear()
        await self.refresh()
        self.scheduler.close()
        self.orphans.end()
        self.scheduler = self.new_scheduler()
        self.truth.reset()

    def _stick(self) -> None:
        for runner in self.scheduler.loaded.values():
            runner.stuck = runner.stuck or self.faults.strike("stuck_runner", runner.model.name) is not None

    def _evict(self, name: str) -> None:
        if (found := self._known(name)) is None:
            self.scheduler.expire_all()
        else:
            self.scheduler.expire(found)

    def _known(self, name: str) -> Model | None:
        """The model of that name; None for "".

        Raises:
            ValueError: There is none.
        """
        found = self.table.find(name)
        if name and found is None:
            raise ValueError(f"no model {name!r}")
        return found

    async def _restart(self, spec: Mapping[str, Any]) -> None:
        """As killed and started again; `graceful`: as told to stop, `orphans`: its runners outlive it."""
        self.truth.event("restart")
        self._down += 1
        self.server.refuse()
        self.server.cut_all(reset=not spec.get("graceful", False))
        if spec.get("orphans", False):
            self.orphans.leave(self.scheduler.loaded.values())
        self.scheduler.close()
        await sleep(self.clock, float(spec.get("s", 1.0)))
        self._down -= 1
        self.scheduler = self.new_scheduler()
        await self.refresh()

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    def _accept_delay_s(self) -> float:
        slow = self.faults.strike("slow_accept")
        delay_s = slow.number("s", 1.0) if slow else 0.0
        return delay_s if delay_s == float("inf") else delay_s * self.knobs.time_scale

    # -- requests -------------------------------------------------------------------------------------------

    async def _handle(self, exchange: Exchange) -> None:
        record = self.truth.arrive(exchange.request.path)
        record.model = self._model_named(exchange)
        exchange.on_gone.append(lambda: self._gone(record))
        try:
            if not self._shut_out(exchange, record) and not await self._struck(exchange, record):
                await self._route(Call(self, exchange, record))
        finally:
            self._ended(record)

    async def _route(self, call: Call) -> None:
        method, path = call.exchange.request.method, call.exchange.request.path
        routes = ROUTES.get(path) or next((r for p, r in PREFIXES.items() if path.startswith(p)), None)
        if routes is None:
            call.whole(b"404 page not found", "text/plain", 404)
        elif method not in routes:
            call.record.status = 405
            allowed = f"Allow: {', '.join(routes)}\r\n"
            call.exchange.whole(405, "text/plain", b"405 method not allowed", allowed)
        else:
            await self._answer(call, routes[method], path)

    async def _answer(self, call: Call, route: Route, path: str) -> None:
        try:
            await route(call)
        except Refused as exc:
            call.record.outcome = "refused"
            is_v1 = path.startswith("/v1/")
            body = openai.error(exc) if is_v1 else error_body(exc.message)
            if exc.late:
                call.record.status = exc.status
                call.exchange.piped(exc.status, BARE_JSON, body)
            else:
                call.whole(body, BARE_JSON if is_v1 and not exc.early else JSON, exc.status)

    def _shut_out(self, exchange: Exchange, record: Record) -> bool:
        """Whether the `Host` asked for is refused: with nothing said."""
        if is_served(exchange.request.headers.get("host", ""), self.knobs.host or self.server.host):
            return False
        record.status, record.outcome = 403, "refused"
        exchange.whole(403, "", b"")
        return True

    async def _struck(self, exchange: Exchange, record: Record) -> bool:
        """Whether a fault answered in our place."""
        path = exchange.request.path
        if self.faults.strike("accept_then_hang", record.model, path):
            record.outcome = "accept_then_hang"
            await asyncio.Event().wait()
        if self.faults.strike("reset_before_headers", record.model, path):
            record.outcome = "reset_before_headers"
            exchange.reset()
            return True
        fault = self.faults.peek("status", record.model)
        if fault is None or not (fault.paths or path in GENERATING):
            return False
        fault = self.faults.strike("status", record.model, path)
        if fault is None:
            return False
        record.status, record.outcome = int(fault.number("code", 500)), "status"
        body = fault.params.get("body", {"error": "emulated failure"})
        raw = body.encode() if isinstance(body, str) else orjson.dumps(body)
        html = raw.lstrip().startswith(b"<")
        exchange.whole(record.status, "text/html" if html else JSON if raw else "", raw)
        return True

    def _model_named(self, exchange: Exchange) -> str:
        """The model a request is for, before anything is checked (faults are chosen by it)."""
        if not self.faults.on() or exchange.request.method != "POST":
            return ""
        try:
            body = orjson.loads(exchange.request.body)
        except orjson.JSONDecodeError:
            return ""
        found = self.table.find(str(body.get("model", ""))) if isinstance(body, dict) else None
        return found.name if found else ""

    def _gone(self, record: Record) -> None:
        record.gone_s = self.clock.now()
        record.outcome = "gone"
        record.status = record.status or 499
        self.truth.event("client_gone", record.id, model=record.model)

    def _ended(self, record: Record) -> None:
        record.ended_s = self.clock.now()
        if record.outcome == "open":
            record.outcome = "done"
        self.truth.event("done", record.id, outcome=record.outcome, tokens=record.tokens)
