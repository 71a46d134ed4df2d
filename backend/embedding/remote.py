"""An embedder that a service runs: ours, or another one's. Nothing of the model is in this process."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import aiohttp
import numpy as np
import orjson

from backend.core import errors
from backend.core.errors import EmbedderUnavailable, EngineError
from backend.embedding.base import Vectors
from backend.embedding.dialects import OUR_OWN, Dialect, is_among, names_in, vectors_in
from backend.embedding.estimate import estimated_tokens
from backend.embedding.link import Link
from backend.embedding.served import Served
from backend.embedding.wire import EMBEDDER_HEADER, Purpose, fingerprint
from backend.engines.base import Bounds, Endpoint
from backend.engines.call import Caller, whole
from backend.engines.patience import Patience
from backend.engines.refusal import Refusal, error_of

AT_ONCE: Final = 32
"""Texts of one request: as many as TEI takes by default."""
_RETRY_AFTER_S: Final = 1.0
_MOST_BYTES: Final = 32 * 1024**2
_SHARES: Final = (1.0, 0.5, 0.25)
"""Of the model's tokens: how long a text is at most, at each try at a service that finds it too long."""
_TOO_LONG: Final = ("too large", "too long", "context", "exceed", "maximum")
_SAID: Final[Sequence[tuple[type[EngineError], str]]] = (
    (errors.EngineTimeout, "was silent for too long"),
    (errors.EngineUnreachable, "does not answer"),
    (errors.EngineRefused, "refuses to serve us"),
    (
        errors.ModelMissing,
        "has no such model: EMBEDDING_MODEL, its precision or the kind of service is wrong",
    ),
    (errors.ContextOverflow, "finds a text too long"),
    (errors.EngineRejected, "refuses the texts"),
    (EngineError, "cannot serve now"),
)
_OTHER_MODEL: Final = (
    "the embedding service has another model than EMBEDDING_MODEL, and vectors of two never mix: write "
    "a name that its list of models shows, or start it with this one"
)


class RemoteEmbedder:
    """See `Embedder`. Token counts are estimates.

    A service that is silent is found out by the first who waits for it, within `timeout_s`; until it is back
    everybody else is told at once.

    Args:
        session: Has no time limit of its own, as `infra.http.open_session` makes it.
        timeout_s: Longest wait for questions, `passages_timeout_s` for passages: of one request each.
    """

    def __init__(
        self,
        model: Served,
        dialect: Dialect,
        endpoint: Endpoint,
        session: aiohttp.ClientSession,
        *,
        timeout_s: float,
        passages_timeout_s: float,
    ) -> None:
        self.id = model.id
        self.dimensions = model.dimensions
        self.max_tokens = model.max_tokens
        self._model = model
        self._dialect = dialect
        self._endpoint = endpoint
        self._caller = Caller(session, _refused)
        self._within_s: dict[Purpose, float] = {"query": timeout_s, "passage": passages_timeout_s}
        self._prefixes: dict[Purpose, str] = {
            "query": model.query_prefix,
            "passage": model.passage_prefix,
        }
        self._link = Link(self._look)

    async def embed_queries(self, texts: Sequence[str]) -> Vectors:
        """See `Embedder`."""
        return await self._embed(texts, "query")

    async def embed_passages(self, texts: Sequence[str]) -> Vectors:
        """See `Embedder`."""
        return await self._embed(texts, "passage")

    def count_tokens(self, text: str) -> int:
        """See `Embedder`; an estimate, for the tokenizer is the service's."""
        return estimated_tokens(text)

    async def close(self) -> None:
        """Look for the service no more."""
        await self._link.close()

    async def _embed(self, texts: Sequence[str], purpose: Purpose) -> Vectors:
        parts = [np.zeros((0, self.dimensions), np.float32)]
        for start in range(0, len(texts), AT_ONCE):
            parts.append(await self._bounded(texts[start : start + AT_ONCE], purpose))
        return np.concatenate(parts)

    async def _bounded(self, texts: Sequence[str], purpose: Purpose) -> Vectors:
        try:
            async with asyncio.timeout(self._within_s[purpose]):
                await self._link.ready()
                return await self._shorter_and_shorter(texts, purpose)
        except TimeoutError:
            late = _unavailable(errors.EngineTimeout())
            self._link.lost(late)
            raise late from None
        except (
            errors.EngineTimeout,
            errors.EngineUnreachable,
            errors.EngineRefused,
            errors.ModelMissing,
        ) as exc:
            gone = _unavailable(exc)
            self._link.lost(gone)
            raise gone from exc
        except EngineError as exc:
            raise _unavailable(exc) from exc

    async def _shorter_and_shorter(self, texts: Sequence[str], purpose: Purpose) -> Vectors:
        for share in _SHARES:
            try:
                return await self._ask([self._text(one, purpose, share) for one in texts], purpose)
            except errors.EngineRejected:
                if share == _SHARES[-1]:
                    raise
        raise AssertionError

    def _text(self, text: str, purpose: Purpose, share: float) -> str:
        clean = text.encode("utf-8", "replace").decode().replace("\0", "\ufffd")
        plain = self._prefixes[purpose] + clean or " "  # some take no empty text
        if self._dialect.cuts and share == 1.0:
            return plain
        tokens, most = estimated_tokens(plain), int(self.max_tokens * share)
        return plain if tokens <= most else plain[: max(1, len(plain) * most // tokens)]

    async def _look(self) -> None:
        """One text, embedded; and that it is by the right model, where the service does not see to it.

        Raises:
            EmbedderUnavailable
        """
        within_s = self._dialect.probe_s
        try:
            async with asyncio.timeout(within_s):
                if self._dialect.listing:
                    await self._check_listing(within_s)
                await self._ask(["ready?"], "query")
        except TimeoutError as exc:
            raise _unavailable(errors.EngineTimeout()) from exc
        except EngineError as exc:
            raise _unavailable(exc) from exc

    async def _check_listing(self, within_s: float) -> None:
        listed: list[str] = []
        with suppress(
            errors.EngineRefused, errors.EngineRejected
        ):  # it lists none, and may embed all the same
            data, _ = await self._call("GET", self._dialect.listing, None, within_s)
            listed = names_in(self._dialect, data)
        if listed and not is_among(self._model.name, listed):
            raise EmbedderUnavailable(_OTHER_MODEL)

    async def _ask(self, texts: Sequence[str], purpose: Purpose) -> Vectors:
        body = orjson.dumps(self._dialect.body(self._model, texts, purpose))
        within_s = max(self._dialect.probe_s, *self._within_s.values())  # whoever asks has a bound of its own
        try:
            data, by = await self._call("POST", self._dialect.path, body, within_s)
        except errors.EngineUnreachable:  # the connection may have been an idle one, dropped in this moment
            data, by = await self._call("POST", self._dialect.path, body, within_s)
        if self._dialect is OUR_OWN and by != fingerprint(self._model.id):
            raise EmbedderUnavailable(_OTHER_MODEL)
        return vectors_in(self._dialect, data, len(texts), self.dimensions)

    async def _call(self, method: str, path: str, body: bytes | None, within_s: float) -> tuple[bytes, str]:
        """A good answer, and by which embedder of ours it was made."""
        patience = Patience(within_s)
        async with self._caller.open(method, self._endpoint, path, Bounds(), patience, body) as response:
            data = await whole(response, patience, most_bytes=_MOST_BYTES)
            return data, response.headers.get(EMBEDDER_HEADER, "")


def _refused(refusal: Refusal) -> EngineError:
    """What a status other than 200 means. Who is busy, or fails at one text, is not away."""
    error = error_of(refusal)
    if refusal.status >= 400 and any(words in refusal.said for words in _TOO_LONG):
        return errors.ContextOverflow(reason=f"{refusal.status}: a text is too long")
    if isinstance(error, errors.EngineUnreachable):
        return EngineError(reason=error.reason)
    return error


def _unavailable(exc: EngineError) -> EmbedderUnavailable:
    said = next(said for kind, said in _SAID if isinstance(exc, kind))
    reason = f" ({exc.reason})" if exc.reason else ""
    is_settled = isinstance(exc, errors.EngineRefused | errors.ModelMissing | errors.EngineRejected)
    wait_s = None if is_settled else _RETRY_AFTER_S
    return EmbedderUnavailable(f"the embedding service {said}{reason}", retry_after_s=wait_s)
