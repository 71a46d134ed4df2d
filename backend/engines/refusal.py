"""What a status other than 200 says: that the request is wrong, or that the server serves nobody like us.

A request that is wrong is refused anywhere. A server that refuses for its own sake (a key, a path, a name, a
proxy before it) is left for another one, and its operator is told what to set.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from backend.core.errors import EngineError, EngineRefused, EngineRejected, EngineUnreachable, ModelMissing

NOT_FOUND = 404
_PASSING = (408, 409, 425, 429, 499)
_OF_THE_REQUEST = (400, 413, 422)
_A_MODEL = ("model", "repository")
_NO_MORE_CREDIT = ("insufficient_quota", "billing", "credit")
_CLIENT_ERROR, _SERVER_ERROR = 400, 500
_REASONS = {
    401: "401: it wants another key; check its key, or the name and password in its address",
    402: "402: it wants to be paid; look at the account there",
    403: "403: it forbids us to ask; check the key, and what it lets in",
    404: "404: nothing is served under this path; check its address",
    405: "405: it takes no such call under this path; check its address",
    407: "407: a proxy before it wants a password; reach it directly",
    421: "421: it does not serve this host name; check its address",
    426: "426: it wants another protocol; check whether its address is http or https",
}
UNKNOWN_HOST = "its host name is not known here; check its address"
UNTRUSTED = "its certificate is not trusted here; check its address, or SSL_CERT_FILE"
NO_TLS = "TLS fails; check whether its address is http or https"
NO_HTTP = "it does not speak HTTP; check its address"
_A_PAGE = "it answers with a web page: a proxy or a login stands before it; check its address"


@dataclass(frozen=True, slots=True)
class Refusal:
    """A whole answer with a status other than 200.

    Attributes:
        body: The JSON in it; None if it holds none.
        text: All of it, as text.
        location: Where a redirect leads to.
    """

    status: int
    body: object = None
    text: str = ""
    location: str = ""

    @classmethod
    def read(cls, status: int, data: bytes, location: str) -> Refusal:
        """The refusal that came with `data`."""
        text = data.decode("utf-8", "replace")
        try:
            body = json.loads(text)
        except (ValueError, RecursionError):
            body = None
        return cls(status, body, text, location)

    @property
    def said(self) -> str:
        """The server's own words, in small letters; never to be shown."""
        return self.text.lower()


Refused = Callable[[Refusal], EngineError]
"""The error that a status other than 200 means."""


def error_of(refusal: Refusal) -> EngineError:
    """The error that a refusal means, whatever protocol the server speaks."""
    status, said = refusal.status, refusal.said
    if status == NOT_FOUND and _is_json(refusal) and any(word in said for word in _A_MODEL):
        return ModelMissing("the model server does not have this model")
    if any(mark in said for mark in _NO_MORE_CREDIT) and _CLIENT_ERROR <= status < _SERVER_ERROR:
        return refused(_REASONS[402])
    if status >= _SERVER_ERROR or status in _PASSING:
        return EngineUnreachable("the model server cannot serve now", reason=f"{status}: it cannot serve now")
    if status in _OF_THE_REQUEST and _is_json(refusal):
        return EngineRejected(
            "the model server refused the request", reason=f"{status}: the request is wrong"
        )
    return refused(_reason(refusal))


def refused(reason: str) -> EngineRefused:
    """The error of a server that refuses for its own sake; `reason` is for its operator."""
    return EngineRefused("the model server refuses to serve us", reason=reason)


def a_page() -> EngineRefused:
    """The error of a server that sends a web page where an answer should be."""
    return refused(_A_PAGE)


def _reason(refusal: Refusal) -> str:
    status = refusal.status
    if 300 <= status < _CLIENT_ERROR:
        return f"{status}: it sends us to {_shown(refusal.location)}; set that address"
    if status in _REASONS:
        return _REASONS[status]
    if not _is_json(refusal):
        return f"{status}: {_A_PAGE}"
    return f"{status}: it refuses whatever we ask; look at its log"


def _shown(location: str) -> str:
    """Where a redirect leads to, without what may be secret in it."""
    try:
        parts = urlsplit(location)
    except ValueError:
        return "another address"
    host = parts.netloc.rpartition("@")[2]
    shown = f"{parts.scheme}://{host}{parts.path}" if host else parts.path
    return "".join(char for char in shown[:120] if char.isprintable()) or "another address"


def _is_json(refusal: Refusal) -> bool:
    return isinstance(refusal.body, dict | list)
