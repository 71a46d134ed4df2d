"""Model servers, their slots and their queue: of this process alone, or shared through Redis."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial
from ipaddress import ip_address
from urllib.parse import urlsplit
from uuid import uuid4

import aiohttp

from backend.config import Settings
from backend.core.aio import Background
from backend.core.clock import Clock
from backend.core.errors import InvalidRequest
from backend.engines.base import Endpoint, Engine
from backend.engines.dialects import DIALECTS
from backend.engines.ollama import OllamaEngine
from backend.engines.ollama_control import ControlBounds, OllamaControl
from backend.engines.openai_compat import OpenAICompatEngine
from backend.infra.http import open_session
from backend.infra.redis import open_redis
from backend.pool.base import Instance, Pool
from backend.pool.board.base import Board
from backend.pool.board.memory import MemoryBoard
from backend.pool.board.redis import RedisBoard
from backend.pool.contexts import Contexts
from backend.pool.dispatch import Dispatcher
from backend.pool.eta import Waits
from backend.pool.keeper import Keeper, Pace
from backend.pool.link import Link, LinkedBoard, LinkedSlots
from backend.pool.operating import PoolOperator
from backend.pool.retries import Retried, RetryBudget
from backend.pool.roster import Roster
from backend.pool.slots.base import Slots
from backend.pool.slots.memory import MemorySlots
from backend.pool.slots.redis import RedisSlots

_DOTTED = re.compile(r"[\d.]+")
"""Names made of digits and dots are taken for IPv4 addresses by every HTTP client."""
LISTEN_S = 5.0
"""Longest silence of Redis that the connection for grants bears; it asks for at most one second."""


async def open_pool(
    stack: AsyncExitStack,
    settings: Settings,
    clock: Clock,
    instances: Sequence[Instance] | None,
    background: Background,
    retried: Retried = lambda _: None,
) -> tuple[Pool, PoolOperator]:
    """The pool, opened, and who may change it.

    `instances` take the place of those that the settings name; `background` owns the tasks of the pool.
    """
    section = settings.engine
    engines = _engines(settings, await stack.enter_async_context(open_session()))
    if instances is None:
        instances = _instances(settings, engines)
    slots, board = await _open_slots(stack, settings, clock, background)
    roster = Roster(instances, board, partial(_added, settings, engines))
    pace = Pace(quarantine_s=section.quarantine_s, load_s=section.load_s, least_gap_s=section.least_gap_s)
    contexts = Contexts(section.context_tokens)
    keeper = Keeper(roster, slots, board, clock, pace=pace, default_model=section.model, contexts=contexts)
    stack.push_async_callback(keeper.close)
    await keeper.open()
    background.start(keeper.run(), name="keeper of the pool")
    retries = RetryBudget(floor=60, window_s=60.0)  # what fails now was admitted up to a minute ago
    pool = Dispatcher(
        keeper, slots, clock,
        waits=Waits(), retries=retries, max_wait_s=section.max_wait_s, retried=retried,
    )  # fmt: skip
    return pool, PoolOperator(roster, keeper)


async def _open_slots(
    stack: AsyncExitStack, settings: Settings, clock: Clock, background: Background
) -> tuple[Slots, Board]:
    url, section = settings.redis.url.get_secret_value(), settings.redis
    if not url:
        return MemorySlots(clock, queue_limit=settings.engine.queue_limit), MemoryBoard()
    process = uuid4().hex
    redis = await stack.enter_async_context(open_redis(url, timeout_s=section.timeout_s))
    listener = await stack.enter_async_context(open_redis(url, timeout_s=LISTEN_S))
    shared = RedisSlots(
        redis, listener, clock,
        process=process, queue_limit=settings.engine.queue_limit, hold_s=section.hold_s,
    )  # fmt: skip
    link = Link()
    slots = LinkedSlots(shared, link, clock, queue_limit=settings.engine.queue_limit)
    await slots.beat()
    background.start(shared.listen(), name="slots: grants")
    background.start(slots.live(), name="slots: signs of life")
    return slots, LinkedBoard(RedisBoard(redis, process=process), link)


def _engines(settings: Settings, session: aiohttp.ClientSession) -> dict[str, Engine]:
    section = settings.engine
    return {
        "openai": OpenAICompatEngine(session, dialect=DIALECTS[section.openai_dialect]),
        "ollama": OllamaEngine(
            session,
            context_tokens=section.context_tokens,
            keep_alive=section.ollama_keep_alive,
            control=control(settings),
        ),
    }


def _instances(settings: Settings, engines: Mapping[str, Engine]) -> Sequence[Instance]:
    section = settings.engine
    urls = {"openai": section.openai_urls, "ollama": section.ollama_urls}
    served = [(kind, url) for kind in urls if section.backend in ("auto", kind) for url in urls[kind]]
    return [
        _added(settings, engines, f"{kind}-{number}", kind, url, section.slots)
        for number, (kind, url) in enumerate(served, 1)
    ]


def _added(
    settings: Settings, engines: Mapping[str, Engine], id: str, kind: str, url: str, slots: int
) -> Instance:
    """An instance of a kind at an address.

    Raises:
        InvalidRequest: There is no such kind of either.
    """
    if kind not in engines or not _is_http(url):
        raise InvalidRequest("an instance is ollama or openai, at an http address")
    url, key = url.rstrip("/"), ""
    if kind == "openai":
        url, key = url.removesuffix("/v1"), settings.engine.openai_api_key.get_secret_value()
    return Instance(
        id,
        Endpoint(url, key),
        engines[kind],
        slots,
        models_at_once=settings.engine.models_at_once,
        loose_names=kind == "ollama",
    )


def _is_http(url: str) -> bool:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
        if _DOTTED.fullmatch(host):
            ip_address(host)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(host) and port != 0


def configured(settings: Settings, session: aiohttp.ClientSession) -> Sequence[Instance]:
    """The instances that the settings name, in a stable order."""
    return _instances(settings, _engines(settings, session))


def control(settings: Settings) -> OllamaControl:
    """Control of the models of Ollama instances."""
    return OllamaControl(ControlBounds(connect_s=settings.engine.connect_s))
