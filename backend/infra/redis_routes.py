"""Which server has which keys, and a client that asks the right one.

The library's own client of a cluster asks one server after the other for its table, each as long as it
likes, and refuses EVALSHA and PUBLISH in a pipeline.

Source: Redis cluster specification, "MOVED redirection" and "ASK redirection".
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, NamedTuple

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline, PubSub
from redis.commands.core import Script
from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot
from redis.exceptions import (
    AskError,
    ClusterError,
    MovedError,
    RedisError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from backend.infra.redis_node import BoundedPipeline, Node

_AWAY: Final = (RedisConnectionError, RedisTimeoutError, OSError)
_LEARN_EVERY_S: Final = 0.5
_HOPS: Final = 3
"""Redirections of one command: keys that move further meanwhile are somebody else's emergency."""
_BEHIND_A_COUNT: Final = frozenset({"EVAL", "EVALSHA", "EVAL_RO", "EVALSHA_RO", "FCALL"})
_BEHIND_A_WORD: Final = frozenset({"XREAD", "XREADGROUP"})
_OF_NO_KEY: Final = frozenset({"PING", "TIME", "INFO", "SCAN", "CLIENT", "SCRIPT"})
_EVERYWHERE: Final = frozenset({"SCRIPT LOAD", "SCRIPT FLUSH"})

Command = tuple[tuple[Any, ...], Mapping[str, Any]]
_ASKING: Final[Command] = (("ASKING",), {})


class Routes:
    """The servers that are known: those that were given, and once one of them tells, those of its cluster.

    Args:
        seeds: Of one cluster, if there are several.
    """

    def __init__(self, seeds: Sequence[Node]) -> None:
        self._seeds = {seed.address: seed for seed in seeds}
        self._nodes = dict(self._seeds)
        self._first = seeds[0]
        self._slots: list[Node] | None = None
        self._is_stale = len(self._seeds) > 1
        self._learn_at = 0.0
        self._learning = asyncio.Lock()

    @property
    def first(self) -> Node:
        """For what has no key."""
        return self._first

    @property
    def nodes(self) -> Sequence[Node]:
        """All of them."""
        return tuple(self._nodes.values())

    @property
    def is_stale(self) -> bool:
        """Whether who has what should be asked before the next command."""
        return self._is_stale

    def of(self, command: Sequence[Any]) -> Node:
        """Who has its key, as far as is known."""
        if self._slots is None or (key := _key(command)) is None:
            return self._first
        return self._slots[
            key_slot(key if isinstance(key, bytes) else key.encode("utf-8", "surrogateescape"))
        ]

    def told(self, said: AskError, by: Node) -> tuple[Node, bool]:
        """Where a server sends a command, and whether that one has to be told why it comes."""
        node = self._at((said.host or by.address[0], said.port))
        if not isinstance(said, MovedError):
            return node, True
        if self._slots is None:
            self._slots = [self._first] * REDIS_CLUSTER_HASH_SLOTS
        self._slots[said.slot_id] = node
        self._is_stale = True
        return node, False

    def doubt(self, node: Node) -> None:
        """It does not answer; in a cluster another may have its keys by now."""
        if len(self._nodes) > 1:
            self._is_stale = True
            if node is self._first:
                self._first = next(one for one in self._nodes.values() if one is not node)

    def _at(self, address: tuple[str, int]) -> Node:
        """The server there."""
        if address not in self._nodes:
            self._nodes[address] = self._first.beside(address)
        return self._nodes[address]

    async def learn(self) -> None:
        """Ask who has what, all at once, and believe the first that knows; not more often than needed.

        Raises:
            ClusterError: Several servers were given, and none says that it is one of a cluster.
        """
        loop = asyncio.get_running_loop()
        async with self._learning:
            if self._is_stale and loop.time() >= self._learn_at:
                self._learn_at = loop.time() + _LEARN_EVERY_S
                await self._ask()
        if self._slots is None and len(self._seeds) > 1:
            raise ClusterError("none of several addresses is of a cluster that answers")

    async def _ask(self) -> None:
        asked = [asyncio.ensure_future(_table(node)) for node in self._nodes.values()]
        try:
            for answer in asyncio.as_completed(asked):
                try:
                    table = await answer
                except (RedisError, OSError):
                    continue
                if table:
                    await self._take(table)
                    return
        finally:
            for one in asked:
                one.cancel()
            await asyncio.gather(*asked, return_exceptions=True)

    async def _take(self, table: Sequence[tuple[int, int, tuple[str, int]]]) -> None:
        before = self._nodes
        self._nodes = dict(self._seeds) | {at: before[at] for _, _, at in table if at in before}
        slots = [self._first] * REDIS_CLUSTER_HASH_SLOTS
        for start, end, address in table:
            slots[start : end + 1] = [self._at(address)] * (end + 1 - start)
        self._slots, self._is_stale = slots, False
        self._first = slots[0]
        for address in before.keys() - self._nodes.keys():
            await before[address].connection_pool.disconnect(inuse_connections=False)


async def _table(node: Node) -> list[tuple[int, int, tuple[str, int]]]:
    """First slot, last slot and the server that may write them."""
    rows = await node.execute_command("CLUSTER SLOTS")
    return [
        (int(start), int(end), (_text(host) or node.address[0], int(port)))
        for start, end, (host, port, *_), *_ in rows
    ]


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else value or ""


class RoutedRedis(Redis):
    """One server, or a cluster: a command goes to who has its key."""

    def __init__(self, routes: Routes) -> None:
        super().__init__(connection_pool=routes.first.connection_pool)
        self.routes = routes

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """As the library's, at the server that has the key."""
        routes = self.routes
        if routes.is_stale:
            await routes.learn()
        if args[0] in _EVERYWHERE:
            return await self._everywhere((args, options))
        node = routes.of(args)
        try:
            return await node.execute_command(*args, **options)
        except AskError as exc:
            return await self._redirected(exc, node, (args, options))
        except _AWAY:
            routes.doubt(node)
            raise

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Pipeline:
        """As the library's; in a cluster each server gets its part, and a transaction has to be of one slot.

        Where several servers have a part, the part of one that is away fails alone: with `raise_on_error` off
        its errors stand among the results.
        """
        return RoutedPipeline(self, transaction=transaction)

    def pubsub(self, **options: Any) -> PubSub:
        """As the library's, at a server that was not away: what is published to one is heard at each."""
        return self.routes.first.pubsub(**options)

    async def node_of(self, key: str) -> Node:
        """Who has the key: tells which keys share a server; the client itself follows no redirection."""
        if self.routes.is_stale:
            await self.routes.learn()
        return self.routes.of(("GET", key))

    async def aclose(self, close_connection_pool: bool | None = None) -> None:
        """Close every connection."""
        for node in self.routes.nodes:
            await node.aclose()

    async def _everywhere(self, command: Command) -> Any:
        """The first good answer of all servers."""
        args, options = command
        asked = [node.execute_command(*args, **options) for node in self.routes.nodes]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        failed = [answer for answer in answers if isinstance(answer, BaseException)]
        if len(failed) == len(answers):
            raise failed[0]
        return next(answer for answer in answers if not isinstance(answer, BaseException))

    async def _redirected(self, said: AskError, by: Node, command: Command) -> Any:
        node, asking = self.routes.told(said, by)
        (answer,) = await _sent(self.routes, [command], [_Sending(0, node, asking)])
        if isinstance(answer, Exception):
            raise answer
        return answer


class RoutedPipeline(Pipeline):
    """A pipeline of which each server gets its part."""

    def __init__(self, client: RoutedRedis, *, transaction: bool) -> None:
        super().__init__(client.connection_pool, client.response_callbacks, transaction, None)
        self._routes = client.routes

    async def execute(self, raise_on_error: bool = True) -> list[Any]:
        """See `RoutedRedis.pipeline`."""
        routes, commands = self._routes, self.command_stack
        if routes.is_stale:
            await routes.learn()
        sendings = [_Sending(n, routes.of(args), False) for n, (args, _) in enumerate(commands)]
        transaction = self.is_transaction or self.explicit_transaction
        if transaction and len({one.node for one in sendings}) > 1:
            raise ClusterError("a transaction has keys of several servers")
        try:
            answers = await _sent(routes, commands, sendings, transaction=transaction, scripts=self.scripts)
        finally:
            await self.reset()  # type: ignore[no-untyped-call]
        failed = [answer for answer in answers if isinstance(answer, Exception)]
        if failed and (raise_on_error or all(isinstance(answer, _AWAY) for answer in answers)):
            raise failed[0]
        return answers


class _Sending(NamedTuple):
    """A command by its number, and where it goes; `asking`: its slot is on the way there."""

    number: int
    node: Node
    asking: bool


async def _sent(
    routes: Routes,
    commands: Sequence[Command],
    sendings: Sequence[_Sending],
    *,
    transaction: bool = False,
    scripts: Collection[Script] = (),
) -> list[Any]:
    """What each command was answered, errors too; each server gets its commands in order, in one go."""
    answers: list[Any] = [None] * len(commands)

    async def part(node: Node, asking: bool, numbers: Sequence[int]) -> None:
        pipeline = BoundedPipeline(node, transaction=transaction)
        pipeline.scripts = set(scripts)
        mine = [commands[number] for number in numbers]
        pipeline.command_stack = [each for one in mine for each in ((_ASKING, one) if asking else (one,))]
        try:
            said = await pipeline.execute(raise_on_error=False)
        except (RedisError, OSError) as exc:
            if isinstance(exc, _AWAY):
                routes.doubt(node)
            said = [exc] * len(pipeline.command_stack or mine)
        for number, answer in zip(numbers, said[1::2] if asking else said, strict=True):
            answers[number] = answer

    for _ in range(_HOPS):
        parts: dict[tuple[Node, bool], list[int]] = {}
        for one in sendings:
            parts.setdefault((one.node, one.asking), []).append(one.number)
        if len(parts) == 1:  # nearly always; a task for it would cost a tenth of the whole
            ((to, numbers),) = parts.items()
            await part(*to, numbers)
        else:
            await asyncio.gather(*[part(*to, numbers) for to, numbers in parts.items()])
        sendings = [
            _Sending(one.number, *routes.told(said, one.node))
            for one in sendings
            if isinstance(said := answers[one.number], MovedError if transaction else AskError)
        ]
        if not sendings:
            break
    return answers


def _key(args: Sequence[Any]) -> str | bytes | None:
    """The first key of a command; None: it has none."""
    name = args[0]
    if name in _BEHIND_A_COUNT:
        place = 3 if int(args[2]) else 0
    elif name in _BEHIND_A_WORD:
        place = next(n for n, word in enumerate(args) if word in ("STREAMS", b"STREAMS")) + 1
    else:
        place = 1 if len(args) > 1 and name.partition(" ")[0] not in _OF_NO_KEY else 0
    key = args[place] if place else None
    return key if key is None or isinstance(key, bytes) else str(key)
