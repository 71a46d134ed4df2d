"""Both indexes: files in the data folder, or a Chroma server beside a lexical index for each host."""

from __future__ import annotations

from base64 import b64encode
from contextlib import AsyncExitStack
from importlib import import_module

from backend.config import Settings
from backend.core.addresses import credentials, without_credentials
from backend.embedding.base import Embedder
from backend.infra.http import open_session
from backend.retrieval.base import DenseIndex, LexicalIndex
from backend.retrieval.chroma_server import ChromaServerIndex
from backend.retrieval.lexical_tantivy import TantivyIndex

LEXICAL = "lexical"
_CONNECTIONS = 32


async def open_indexes(
    stack: AsyncExitStack, settings: Settings, embedder: Embedder
) -> tuple[DenseIndex, LexicalIndex]:
    """Both, closed with `stack`; nothing is asked yet."""
    lexical = TantivyIndex(settings.data.dir / LEXICAL, title_boost=settings.retrieval.title_boost)
    stack.callback(lexical.close)
    return await _open_dense(stack, settings, embedder), lexical


async def _open_dense(stack: AsyncExitStack, settings: Settings, embedder: Embedder) -> DenseIndex:
    if url := settings.data.chroma_url.get_secret_value():
        return ChromaServerIndex(
            await stack.enter_async_context(open_session(connections=_CONNECTIONS)),
            without_credentials(url),
            embedder.id,
            headers=_headers(url, settings.data.chroma_token.get_secret_value()),
            timeout_s=settings.retrieval.index_timeout_s,
        )
    chroma = import_module("backend.retrieval.chroma")  # 0.8 s of CPU, 31 MB
    local = chroma.ChromaIndex(settings.data.dir / "chroma", embedder.id)
    stack.callback(local.close)
    dense: DenseIndex = local
    return dense


def _headers(url: str, token: str) -> dict[str, str]:
    """Credentials: user and password of the address for a proxy, the token as Chroma and proxies take it."""
    headers = {"X-Chroma-Token": token, "Authorization": f"Bearer {token}"} if token else {}
    if (known := credentials(url)) is not None:
        headers["Authorization"] = "Basic " + b64encode(":".join(known).encode()).decode()
    return headers
