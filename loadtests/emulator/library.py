"""What an instance has and holds: tags, ps, show, pull, create, copy, delete, blobs, version."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Any

from loadtests.emulator.call import Call, Refused
from loadtests.emulator.clock import sleep
from loadtests.emulator.models import Model, digest, model
from loadtests.emulator.wire import JSON, NDJSON, error_body, go_json

Status = dict[str, Any]


async def root(call: Call) -> None:
    call.whole(b"Ollama is running", "text/plain; charset=utf-8")


async def version(call: Call) -> None:
    changed = call.instance.faults.peek("version_change")
    own = call.instance.knobs.version
    call.json({"version": changed.text("version", "0.34.0") if changed else own})


async def tags(call: Call) -> None:
    call.json({"models": [_listed(call, m) for m in call.instance.table.all()]})


async def ps(call: Call) -> None:
    """The loaded models, longest-lived first; one that is loading is not there."""
    if stall := call.instance.faults.strike("ps_stall"):
        await sleep(call.instance.clock, stall.number("s", 5.0))
    instance = call.instance
    now = instance.clock.now()
    rows: list[tuple[float, Status]] = []
    for runner in instance.scheduler.loaded.values():
        expires_s = runner.expires_s if runner.expires_s is not None else now + runner.keep_alive_s
        vram = runner.place.vram_bytes
        lost = instance.faults.peek("gpu_lost", runner.model.name)
        if lost is not None and lost.text("variant", "ps_honest") == "ps_honest":
            vram = 0
        row = {
            "name": runner.model.name,
            "model": runner.model.name,
            "size": runner.place.bytes,
            "digest": runner.model.digest,
            "details": runner.model.details(),
            "expires_at": instance.stamps.at(expires_s),
            "size_vram": vram,
            "context_length": runner.place.num_ctx,
        }
        rows.append((expires_s, row))
    call.json({"models": [row for _, row in sorted(rows, key=lambda pair: -pair[0])]})


async def show(call: Call) -> None:
    body = call.body()
    shown = call.model(body.get("model") or body.get("name"))
    call.json(
        {
            "modelfile": f"# Modelfile of {shown.name}\nFROM {shown.blob}\n",
            "parameters": "\n".join(f"{name:<30} {value}" for name, value in shown.options.items()),
            "template": "{{ .Prompt }}",
            "details": shown.details(),
            "model_info": {
                "general.architecture": shown.family,
                "general.basename": shown.name.split(":")[0],
                f"{shown.family}.context_length": shown.train_ctx,
                f"{shown.family}.embedding_length": shown.embed_dim,
            },
            "capabilities": list(shown.capabilities),
            "modified_at": call.instance.stamps.at(shown.modified_s),
        }
    )


async def pull(call: Call) -> None:
    body = call.body()
    name = body.get("model") or body.get("name")
    if not isinstance(name, str) or not name:
        raise Refused(400, "invalid model name")
    await _progress(call, body, _pulling(call, name))


async def create(call: Call) -> None:
    body = call.body()
    if not (body.get("model") or body.get("name")):
        raise Refused(400, "model is required")
    await _progress(call, body, _creating(call, body))


async def copy(call: Call) -> None:
    body = call.body()
    source = call.instance.table.find(str(body.get("source", "")))
    if source is None:
        raise Refused(404, f'model "{body.get("source", "")}" not found')
    call.instance.table.copy(source, str(body.get("destination", "")))
    call.whole(b"", "")


async def delete(call: Call) -> None:
    body = call.body()
    gone = call.model(body.get("model") or body.get("name"))
    call.instance.scheduler.expire(gone)
    call.instance.table.remove(gone.name)
    call.whole(b"", "")


async def head_blob(call: Call) -> None:
    known = call.exchange.request.path.rsplit("/", 1)[-1] in call.instance.blobs
    call.whole(b"", "", 200 if known else 404)


async def post_blob(call: Call) -> None:
    named = call.exchange.request.path.rsplit("/", 1)[-1]
    real = f"sha256:{hashlib.sha256(call.exchange.request.body).hexdigest()}"
    if named != real:
        raise Refused(400, f'digest mismatch, expected "{named}", got "{real}"')
    call.instance.blobs.add(named)
    call.whole(b"", "", 201)


# -- pull and create, step by step ------------------------------------------------------------------------


async def _progress(call: Call, body: Mapping[str, Any], steps: AsyncIterator[Status]) -> None:
    """Each step a line; or, not streamed, only the last, with status 500 if it is an error."""
    last: Status = {}
    async for last in steps:
        if body.get("stream") is not False:
            if not call.exchange.begun:
                call.record.status = 200
                call.exchange.begin(200, NDJSON)
            call.exchange.chunk(go_json(last) + b"\n")
    if body.get("stream") is not False:
        call.exchange.end()
    elif "error" in last:
        call.whole(error_body(last["error"]), JSON, 500)
    else:
        call.json(last)


async def _pulling(call: Call, name: str) -> AsyncIterator[Status]:
    instance = call.instance
    pulled = instance.table.find(name)
    fresh = pulled is None
    pulled = pulled or replace(instance.template, **_identity(name), modified_s=instance.clock.now())
    fault = instance.faults.strike("pull_error", name, "/api/pull")
    stage = fault.text("stage", "pulling") if fault else ""
    failed = {"error": fault.text("message", "max retries exceeded: unexpected EOF")} if fault else {}
    yield {"status": "pulling manifest"}
    if stage == "manifest" or (fresh and pulled.name.startswith("missing")):
        yield failed or {"error": "pull model manifest: file does not exist"}
        return
    for part, total in (("weights", pulled.size), ("template", 1_481), ("config", 485)):
        async for line in _layer(call, digest(f"{part} {pulled.digest}"), total, fresh=fresh):
            yield line
        if stage == "pulling":
            yield failed
            return
    for status in ("verifying sha256 digest", "writing manifest"):
        yield {"status": status}
        if status.startswith(stage or "-"):
            yield failed
            return
    instance.table.add(pulled)
    yield {"status": "success"}


async def _layer(call: Call, name: str, total: int, *, fresh: bool) -> AsyncIterator[Status]:
    line: Status = {"status": f"pulling {name[:12]}", "digest": f"sha256:{name}", "total": total}
    if fresh:
        yield line
        for tenth in range(1, 10 if total > 1_000_000 else 1):
            await sleep(call.instance.clock, total / 10 / call.instance.knobs.pull_bytes_per_s)
            yield line | {"completed": total * tenth // 10}
    yield line | {"completed": total}


def _identity(name: str) -> dict[str, Any]:
    named = model(name)
    return {"name": named.name, "digest": named.digest, "blob": named.blob}


async def _creating(call: Call, body: Mapping[str, Any]) -> AsyncIterator[Status]:
    instance = call.instance
    adapters, files = body.get("adapters") or {}, body.get("files") or {}
    if len(adapters) > 1:
        yield {"error": "only one adapter is currently supported"}
        return
    parent = instance.table.find(str(body["from"])) if body.get("from") else None
    if body.get("from") and parent is None:
        yield {"error": f"pull model manifest: file does not exist: {body['from']}"}
        return
    if parent is None and not files:
        yield {"error": "neither 'from' or 'files' was specified"}
        return
    unknown = next((d for d in (*files.values(), *adapters.values()) if d not in instance.blobs), None)
    if unknown is not None:
        yield {"error": f"open {unknown}: no such file or directory"}
        return
    made = _made(call, body, parent)
    yield {"status": "parsing GGUF"} if parent is None else {"status": "reading model metadata"}
    for used in adapters.values():
        yield {"status": f"using existing layer {used}"}
    if wanted := body.get("quantize"):
        yield {
            "status": f"quantizing F16 model to {wanted}",
            "digest": "0",
            "total": made.size,
            "completed": 0,
        }
        await sleep(instance.clock, made.size / instance.knobs.pull_bytes_per_s)
        yield {"status": "verifying conversion"}
    yield {"status": f"using existing layer {made.blob.replace('-', ':', 1)}"}
    yield {"status": f"creating new layer sha256:{made.digest}"}
    yield {"status": "writing manifest"}
    instance.table.add(made)
    yield {"status": "success"}


def _made(call: Call, body: Mapping[str, Any], parent: Model | None) -> Model:
    identity = _identity(str(body.get("model") or body.get("name")))
    changes: dict[str, Any] = {**identity, "modified_s": call.instance.clock.now()}
    if parent is not None:
        changes["blob"] = parent.blob
        changes["options"] = {**parent.options, **(body.get("parameters") or {})}
    if adapters := body.get("adapters"):
        changes["adapters"] = tuple(adapters.values())
    if wanted := body.get("quantize"):
        changes |= {"quant": str(wanted).upper(), "blob": f"{identity['blob']}-{wanted}"}
    return replace(parent or call.instance.template, **changes)


def _listed(call: Call, listed: Model) -> Status:
    return {
        "name": listed.name,
        "model": listed.name,
        "modified_at": call.instance.stamps.at(listed.modified_s),
        "size": listed.size,
        "digest": listed.digest,
        "details": listed.details()
        | {"context_length": listed.train_ctx, "embedding_length": listed.embed_dim},
        "capabilities": list(listed.capabilities),
    }
