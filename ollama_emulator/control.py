"""The control port: faults, state, events; for tests and load tests, never behind a proxy."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import Any
from urllib.parse import parse_qs

import orjson

from ollama_emulator.clock import VirtualClock
from ollama_emulator.http import Exchange, HttpServer
from ollama_emulator.instance import Instance
from ollama_emulator.runner import Runner
from ollama_emulator.wire import JSON, go_json


class Control:
    """One instance, and the port that serves its `/__emu/…`."""

    def __init__(self, instance: Instance, port: int = 0) -> None:
        self._instance = instance
        self.server = HttpServer(self._handle, instance.server.host, port)

    async def start(self) -> None:
        """Open both ports."""
        await self._instance.start()
        await self.server.listen()

    async def close(self) -> None:
        """End both."""
        await self._instance.close()
        await self.server.close()

    async def _handle(self, exchange: Exchange) -> None:
        request = exchange.request
        name = f"{request.method} {request.path.removeprefix('/__emu/')}"
        try:
            body = orjson.loads(request.body) if request.body.strip() else {}
            answer = await self._answer(name, body, parse_qs(request.query))
        except ValueError as exc:
            exchange.whole(400, JSON, go_json({"error": str(exc)}))
            return
        if answer is None:
            exchange.whole(404, JSON, go_json({"error": f"no such control: {name}"}))
        else:
            exchange.whole(200, JSON, go_json(answer))

    async def _answer(self, name: str, body: dict[str, Any], query: dict[str, list[str]]) -> Any:
        instance = self._instance
        since = int(query.get("since", ["0"])[0])
        match name:
            case "GET state":
                return self.state()
            case "GET events":
                return {"events": instance.truth.since(since)}
            case "GET requests":
                return {"requests": [asdict(r) for r in instance.truth.records.values() if r.id > since]}
            case "POST fault":
                if "clear" in body:
                    return {"cleared": await instance.clear_faults(body["clear"])}
                fault = await instance.add_fault(body)
                return {"id": fault.id if fault else None}
            case "POST reset":
                await instance.reset()
                return {}
            case "POST knobs":
                instance.change_knobs(body)
                return {}
            case "POST advance":
                if not isinstance(instance.clock, VirtualClock):
                    raise ValueError("time passes by itself unless time_scale is 0")
                await instance.clock.advance(float(body.get("s", 0.0)))
                return {"now_s": instance.clock.now()}
        return None

    def state(self) -> dict[str, Any]:
        """Everything inside, at this moment."""
        instance = self._instance
        scheduler = instance.scheduler
        loaded = [self._runner(runner) for runner in scheduler.loaded.values()]
        return {
            "pid": os.getpid(),
            "url": instance.server.url,
            "now_s": instance.clock.now(),
            "listening": instance.server.listening,
            "connections": len(instance.server.connections),
            "loaded": loaded,
            "loading": scheduler.loading,
            "pending": scheduler.pending,
            "orphans": instance.orphans.state(),
            "leaks": sum(slot["client_gone"] for runner in loaded for slot in runner["slots"]),
            "totals": instance.truth.totals(),
            "faults": [asdict(fault) | {"until_s": None} for fault in instance.faults.on()],
        }

    def _runner(self, runner: Runner) -> dict[str, Any]:
        by_slot = {g.slot.id: g for g in runner.active if g.slot is not None}
        slots = []
        for slot in runner.slots.all:
            work = by_slot.get(slot.id)
            slots.append(
                {
                    "id": slot.id,
                    "busy": slot.busy,
                    "request": work.record.id if work else None,
                    "read": work.read if work else 0,
                    "cached": work.cached if work else 0,
                    "generated": len(work.output) if work else 0,
                    "client_gone": work is not None and work.record.gone_s is not None,
                    "remembers": len(slot.tokens),
                }
            )
        return {
            "model": runner.model.name,
            "num_ctx": runner.place.num_ctx,
            "parallel": runner.place.parallel,
            "refs": runner.refs,
            "waiting": runner.waiting,
            "keep_alive_s": runner.keep_alive_s,
            "expires_s": runner.expires_s,
            "bytes": runner.place.bytes,
            "vram_bytes": runner.place.vram_bytes,
            "stuck": runner.stuck,
            "slots": slots,
        }
