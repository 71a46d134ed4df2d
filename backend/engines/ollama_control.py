"""Control of Ollama's models, through the `ollama` package. Tokens go another way: see `ollama.py`.

The package waits forever by default, lends itself 100 connections, follows redirects, and takes a proxy, a
certificate and a credential from the environment: each is set otherwise here.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from typing import TypeVar, cast

import httpx

from backend.core.errors import (
    EngineError,
    EngineTimeout,
    EngineTruncated,
    EngineUnreachable,
    ModelMissing,
)
from backend.engines.base import Endpoint, LoadedModel, ModelInfo
from backend.engines.call import Patience
from backend.engines.control import ModelDetails, Progress
from backend.engines.ollama_answers import Tally, details_of, info_of, loaded_of
from backend.engines.ollama_messages import refused
from backend.engines.ollama_package import AsyncClient, ProgressResponse, ResponseError
from backend.engines.refusal import NOT_FOUND, Refusal

T = TypeVar("T")
_IN_STREAM = -1
"""The package's status of an error that came as a line of a stream that had begun well."""
_MISSING = ("file does not exist", "not found")
_LONGEST_NOTE = 300


@dataclass(frozen=True, slots=True)
class ControlBounds:
    """How long the server may take, in seconds.

    Attributes:
        connect_s: Until the TCP connection stands.
        answer_s: For a short call as a whole; `ps` may stand still behind a lock of the scheduler.
        moving_s: While bytes are moved: until there are more of them. Lines alone are no progress: Ollama
            sends one each 60 ms, whether bytes come or not, and starts a part afresh after 30 s without.
        step_s: Any other step. The checksum of 40 GB takes minutes, and nothing is said meanwhile.
    """

    connect_s: float = 2.0
    answer_s: float = 10.0
    moving_s: float = 120.0
    step_s: float = 900.0


class OllamaControl:
    """Ollama's list, ps, show, pull and delete; a connection each."""

    def __init__(self, bounds: ControlBounds | None = None) -> None:
        self._bounds = bounds or ControlBounds()
        self._tls = ssl.create_default_context()  # 32 ms to make; a client that is given one takes 0.4 ms

    async def list(self, endpoint: Endpoint) -> tuple[ModelInfo, ...]:
        """Every model on disk. The package leaves out what each can do: only `show` tells."""
        found = await self._ask(endpoint, AsyncClient.list)
        return tuple(info_of(row) for row in found.models)

    async def ps(self, endpoint: Endpoint) -> tuple[LoadedModel, ...]:
        """Models in memory."""
        found = await self._ask(endpoint, AsyncClient.ps)
        return tuple(loaded_of(row) for row in found.models)

    async def show(self, endpoint: Endpoint, name: str) -> ModelDetails:
        """All about one model."""
        return details_of(name, await self._ask(endpoint, lambda client: client.show(name)))

    async def delete(self, endpoint: Endpoint, name: str) -> None:
        """Remove a model."""
        await self._ask(endpoint, lambda client: client.delete(name))

    def pull(self, endpoint: Endpoint, name: str) -> AsyncGenerator[Progress, None]:
        """Fetch a model from its registry."""
        return self._follow(endpoint, lambda client: client.pull(name, stream=True))

    async def _ask(self, endpoint: Endpoint, call: Callable[[AsyncClient], Awaitable[T]]) -> T:
        with _translated():
            async with asyncio.timeout(self._bounds.answer_s), self._client(endpoint) as client:
                return await call(client)

    async def _follow(
        self,
        endpoint: Endpoint,
        begin: Callable[[AsyncClient], Awaitable[AsyncIterator[ProgressResponse]]],
    ) -> AsyncGenerator[Progress, None]:
        tally, patience = Tally(), Patience(self._bounds.step_s)
        async with self._client(endpoint) as client:
            lines = cast(AsyncGenerator[ProgressResponse, None], await begin(client))
            async with aclosing(lines):
                while True:
                    with _translated(broken=EngineTruncated if tally.step else EngineUnreachable):
                        line = await patience.within(anext(lines, None))
                    if line is None:
                        raise EngineTruncated("the model server ended without saying that it worked")
                    if tally.add(line):
                        bounds = self._bounds
                        patience.renew(bounds.moving_s if tally.is_moving else bounds.step_s)
                    yield tally.progress()
                    if tally.step == "success":
                        return

    def _client(self, endpoint: Endpoint) -> AsyncClient:
        """A client of one endpoint. Silence is bounded by who uses it, as a whole and not read by read."""
        try:
            return AsyncClient(
                endpoint.address,
                timeout=httpx.Timeout(None, connect=self._bounds.connect_s),
                limits=httpx.Limits(max_keepalive_connections=0),
                follow_redirects=False,
                trust_env=False,
                verify=self._tls,
                auth=_authorised(endpoint),
            )
        except (httpx.InvalidURL, ValueError) as exc:
            raise EngineUnreachable("the model server's address cannot be read") from exc


def _authorised(endpoint: Endpoint) -> Callable[[httpx.Request], httpx.Request]:
    """Puts the endpoint's own credential on a request, or none: the package would send OLLAMA_API_KEY."""

    def put(request: httpx.Request) -> httpx.Request:
        request.headers.pop("Authorization", None)
        if endpoint.authorization:
            request.headers["Authorization"] = endpoint.authorization
        return request

    return put


@contextmanager
def _translated(*, broken: type[EngineError] = EngineUnreachable) -> Iterator[None]:
    """Errors of the package and of httpx, as ours; `broken` is what a cut connection means."""
    try:
        yield
    except ResponseError as exc:
        raise _refused(exc) from exc
    except (httpx.ConnectTimeout, httpx.ConnectError, ConnectionError) as exc:
        raise EngineUnreachable("the model server does not answer") from exc
    except (httpx.TimeoutException, TimeoutError) as exc:
        raise EngineTimeout("the model server did not answer in time") from exc
    except httpx.TransportError as exc:
        raise broken("the connection to the model server broke") from exc
    except (httpx.DecodingError, ValueError, TypeError, AttributeError) as exc:
        # The package takes JSON for what it expects: a list in place of an object is an AttributeError.
        raise EngineError("the model server's answer cannot be read") from exc


def _refused(exc: ResponseError) -> EngineError:
    said, status = str(exc.error), exc.status_code
    error: EngineError
    if status == _IN_STREAM:
        missing = any(mark in said for mark in _MISSING)
        error = ModelMissing("there is no such model") if missing else EngineError("the model server gave up")
    elif status == NOT_FOUND and not _is_page(said):
        error = ModelMissing("there is no such model")
    else:
        error = refused(Refusal(status, None if _is_page(said) else {"error": said}, said))
    error.add_note("".join(c if c.isprintable() else " " for c in said[:_LONGEST_NOTE]).strip())
    return error


def _is_page(said: str) -> bool:
    """Whether no Ollama says so: the package hands over the text of what is no JSON."""
    return said.lstrip().startswith("<") or said.strip() in ("", "404 page not found")
