"""What an instance has and holds: tags, ps, show, pull, create, copy, delete, blobs, version."""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Any

from ollama_emulator.call import INVALID_NAME, Call, Refused
from ollama_emulator.clock import sleep
from ollama_emulator.gojson import quoted
from ollama_emulator.models import Model, digest, is_valid_name, model, tagged
from ollama_emulator.requests import COPY, CREATE, DELETE, PULL, SHOW
from ollama_emulator.templates import CHECKS_LAST, IMPORTED
from ollama_emulator.wire import NDJSON, go_json

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
    body = call.body(SHOW)
    shown = _shown(call, body)
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


def _shown(call: Call, body: Mapping[str, Any]) -> Model:
    """The model to show; one that is not there is told with its tag."""
    name = str(body.get("model") or body.get("name") or "")
    return call.model(tagged(name) if is_valid_name(name) else name)


async def pull(call: Call) -> None:
    body = call.body(PULL)
    await _progress(call, body, _pulling(call, _named(body)))


async def create(call: Call) -> None:
    body = call.body(CREATE)
    _named(body)
    await _progress(call, body, _creating(call, body))


def _named(body: Mapping[str, Any]) -> str:
    """The name of what is to be made.

    Raises:
        Refused: 400, no model can have it.
    """
    name = str(body.get("model") or body.get("name") or "")
    if not is_valid_name(name):
        raise Refused(400, INVALID_NAME)
    return name


async def copy(call: Call) -> None:
    body = call.body(COPY)
    for role in ("source", "destination"):
        if not is_valid_name(body.get(role) or ""):
            raise Refused(400, f"{role} {quoted(body.get(role) or '')} is invalid")
    source = call.instance.table.find(body["source"])
    if source is None:
        raise Refused(404, f"model {quoted(body['source'])} not found")
    call.instance.table.copy(source, body["destination"])
    call.whole(b"", "")


async def delete(call: Call) -> None:
    body = call.body(DELETE)
    name = str(body.get("model") or body.get("name") or "")
    if name and not is_valid_name(name):
        raise Refused(400, f"name {quoted(name)} is invalid")
    gone = call.model(name)
    call.instance.scheduler.expire(gone)
    call.instance.table.remove(gone.name)
    call.whole(b"", "")


async def head_blob(call: Call) -> None:
    if (named := _digest(call)) not in call.instance.blobs:
        raise Refused(404, f"blob {quoted(named)} not found")
    call.whole(b"", "")


async def post_blob(call: Call) -> None:
    named = _digest(call)
    real = f"sha256:{hashlib.sha256(call.exchange.request.body).hexdigest()}"
    if named != real:
        raise Refused(400, f'digest mismatch, expected "{named}", got "{real}"')
    call.instance.blobs.add(named)
    call.whole(b"", "", 201)


def _digest(call: Call) -> str:
    named = call.exchange.request.path.rsplit("/", 1)[-1]
    if not re.fullmatch(r"sha256[:-][0-9a-fA-F]{64}", named):
        raise Refused(400, "invalid digest format")
    return named


# -- pull and create, step by step ------------------------------------------------------------------------


async def _progress(call: Call, body: Mapping[str, Any], steps: AsyncIterator[Status]) -> None:
    """Each step a line; or, not streamed, only the last. An error that comes first has a status."""
    last: Status = {}
    async for last in steps:
        status = last.pop("status_code", 500) if "error" in last else 200
        if body.get("stream") is not False:
            if "error" in last and not call.exchange.begun:
                raise Refused(status, last["error"], late=True)
            if not call.exchange.begun:
                call.record.status = 200
                call.exchange.begin(200, NDJSON)
            call.exchange.chunk(go_json(last) + b"\n")
    if body.get("stream") is not False:
        call.exchange.end()
    elif "error" in last:
        raise Refused(status, last["error"])
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
        yield {"error": "only one adapter is currently supported", "status_code": 400}
        return
    parent = instance.table.find(body["from"]) if body.get("from") else None
    if body.get("from") and parent is None:
        yield {"status": "pulling manifest"}
        yield {"error": f"pull model manifest: file does not exist: {body['from']}"}
        return
    if parent is None and not files:
        yield {"error": "neither 'from' or 'files' was specified", "status_code": 400}
        return
    unknown = next((d for d in (*files.values(), *adapters.values()) if d not in instance.blobs), None)
    if unknown is not None:
        yield {"error": f"open {unknown}: no such file or directory"}
        return
    made = _made(call, body, parent)
    if parent is None:
        yield {"status": "parsing GGUF"}
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
    if parent is None:
        changes["template"] = CHECKS_LAST if body.get("template") else IMPORTED
    else:
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
