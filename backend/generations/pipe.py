"""Commands to Redis, many in a round trip: while one pipeline is under way, the next one fills."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha1
from importlib.resources import files
from typing import Any, Final

from redis.exceptions import NoScriptError, RedisError, ResponseError

from backend.core.aio import Background
from backend.core.errors import LogUnavailable
from backend.infra.redis_routes import RoutedRedis

Argument = str | bytes | int
Done = Callable[[Any], None]
"""Told the answer of a command; a `ResponseError` where Redis refused it, `LogUnavailable` without answer."""

_MOST = 2000
"""Commands of one pipeline: what more there are come with the next."""


def scripts(*names: str) -> Mapping[str, str]:
    """Text of the scripts of this package, each with what all begin with."""
    folder = files("backend.generations") / "lua"
    begin = (folder / "log.lua").read_text("utf-8")
    return {name: begin + (folder / f"{name}.lua").read_text("utf-8") for name in names}


@dataclass(slots=True)
class _Sent:
    command: tuple[Argument, ...]
    done: Done


class Pipe:
    """One after the other, in the order they were sent.

    Where Redis does not answer at all the pipe is closed: what waits fails, and what comes fails at once,
    until `probe` finds it open again.

    Args:
        redis: Bounds its commands and pipelines itself.
        late: Called once for a pipeline that takes longer than `late_s`; its answers may still come.
    """

    def __init__(
        self,
        redis: RoutedRedis,
        *,
        late_s: float,
        late: Callable[[], None],
        scripts: Mapping[str, str],
    ) -> None:
        self._redis = redis
        self._late_s = late_s
        self._tell_late = late
        self._scripts = scripts
        self._hashes = {name: sha1(text.encode()).hexdigest() for name, text in scripts.items()}  # noqa: S324
        self._waiting: list[_Sent] = []
        self._asked: set[asyncio.Future[Any]] = set()
        self._work: Final = Background()
        self._flows = False
        self._watch: asyncio.TimerHandle | None = None
        self.is_open = True
        self.is_late = False

    def send(self, done: Done, *command: Argument) -> None:
        """Have a command carried out; `done` is told, always."""
        if not self.is_open:
            done(LogUnavailable("the shared log does not answer"))
            return
        self._waiting.append(_Sent(command, done))
        if not self._flows:
            self._flows = True
            self._work.start(self._flow(), name="log: commands")

    def run(self, script: str, done: Done, key: str, *arguments: Argument) -> None:
        """Have a script carried out."""
        self.send(done, "EVALSHA", self._hashes[script], 1, key, *arguments)

    async def ask(self, *command: Argument, waits: bool = False) -> Any:
        """The answer of a command.

        Args:
            command: Its name and arguments.
            waits: A late answer will do: whoever asks has nothing to go on with meanwhile.

        Raises:
            LogUnavailable: There is none in time, or Redis refuses it.
        """
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if not waits:
            self._asked.add(answer)
        self.send(lambda said: None if answer.done() else answer.set_result(said), *command)
        try:
            said = await answer
        finally:
            self._asked.discard(answer)
        if isinstance(said, LogUnavailable):
            raise LogUnavailable(said.message)
        if isinstance(said, Exception):
            raise LogUnavailable("the shared log refuses") from said
        return said

    async def call(self, script: str, key: str, *arguments: Argument, waits: bool = False) -> Any:
        """The answer of a script; `waits` and errors as of `ask`."""
        return await self.ask("EVALSHA", self._hashes[script], 1, key, *arguments, waits=waits)

    async def probe(self) -> bool:
        """Whether Redis answers; then the pipe is open."""
        if not self.is_open:
            with suppress(RedisError, OSError):
                await self._redis.execute_command("PING")
                self.is_open = True
        return self.is_open

    async def close(self) -> None:
        """Stop; what waits gets no answer."""
        self.is_open = False
        await self._work.close()
        self._fail([])

    async def _flow(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:_MOST], self._waiting[_MOST:]
                try:
                    answers = await self._carry(batch)
                except (RedisError, OSError):
                    self.is_open = False
                    self._fail(batch)
                    return
                for sent, answer in zip(batch, answers, strict=True):
                    sent.done(answer)
        finally:
            self._flows = False

    def _fail(self, batch: list[_Sent]) -> None:
        failed, self._waiting = batch + self._waiting, []
        for sent in failed:
            sent.done(LogUnavailable("the shared log does not answer"))

    async def _carry(self, batch: list[_Sent]) -> list[Any]:
        """The answers, in order.

        Late comes in halves, so that answers are read first where it was this process that stood still.
        """
        self._watch = asyncio.get_running_loop().call_later(self._late_s / 2, self._half_late)
        try:
            return await self._answers(batch)
        finally:
            self._watch.cancel()
            self.is_late = False

    def _half_late(self) -> None:
        self._watch = asyncio.get_running_loop().call_later(self._late_s / 2, self._late)

    def _late(self) -> None:
        self.is_late = True
        for answer in self._asked:
            if not answer.done():
                answer.set_result(LogUnavailable("the shared log answers late"))
        self._tell_late()

    async def _answers(self, batch: list[_Sent]) -> list[Any]:
        answers = await self._execute([sent.command for sent in batch])
        unknown = [n for n, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
        if unknown:  # Redis was restarted, or is another one
            for text in self._scripts.values():
                await self._redis.execute_command("SCRIPT LOAD", text)
            for n, answer in zip(
                unknown, await self._execute([batch[n].command for n in unknown]), strict=True
            ):
                answers[n] = answer
        return answers

    async def _execute(self, commands: list[tuple[Argument, ...]]) -> list[Any]:
        pipeline = self._redis.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)
        answers: list[Any] = await pipeline.execute(raise_on_error=False)
        return answers


def refused_as_old(answer: Any) -> bool:
    """Whether Redis refused an entry because a later one is there."""
    return isinstance(answer, ResponseError) and "equal or smaller" in str(answer)
