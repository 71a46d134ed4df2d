"""Every error the system raises on purpose.

    LibriError
    ├── InvalidRequest            bad input from the caller
    │   ├── TooLarge
    │   └── UnsupportedDocument   a file we cannot read
    │       └── UnreadableDocument
    ├── Unauthenticated           no credential, or a wrong one
    ├── Forbidden                 a known caller, not allowed
    ├── NotFound                  no such thing, or another subject's
    │   └── ModelNotOffered       no model server offers the model asked for
    ├── Conflict                  the same key, another body
    │   └── Superseded            another writer has taken the generation over
    ├── QuotaExceeded
    ├── DeadlineExceeded          the request's time is over
    ├── Unavailable               something we need is down
    │   ├── StorageUnavailable    SQL
    │   ├── StorageFull           no space left
    │   ├── RetrievalUnavailable  both indexes
    │   ├── EmbedderUnavailable
    │   ├── LogUnavailable        the generation log
    │   ├── SlotsUnavailable      the store that processes share
    │   ├── Misconfigured         a setting, or what it names, stands in the way of the start
    │   ├── PoolFull              the queue holds its bound
    │   └── NoInstance            no model server left to try
    └── EngineError               a model server failed
        ├── EngineUnreachable     refused, reset before the first byte, 5xx
        ├── EngineTimeout         no first token, or a gap, beyond its bound
        ├── EngineTruncated       the stream ended without saying so
        ├── EngineSilent          it ended well and said nothing
        ├── EngineRefused         this server serves nobody like us: credential, path, host name, redirect
        ├── ModelMissing          this server does not have the model
        ├── EngineRejected        4xx: the same request will fail again
        └── ContextOverflow       the prompt does not fit the model

`code` is public and stable. `retryable` says whether the same request may succeed later.
The message is shown to the caller: it never holds input, secrets or addresses.
"""

from __future__ import annotations

from typing import ClassVar


class LibriError(Exception):
    """Root of the tree; itself means a defect of ours."""

    code: ClassVar[str] = "internal"
    retryable: ClassVar[bool] = False

    def __init__(self, message: str = "", *, retry_after_s: float | None = None) -> None:
        super().__init__(message or self.code.replace("_", " "))
        self.message = message or self.code.replace("_", " ")
        self.retry_after_s = retry_after_s


class InvalidRequest(LibriError):
    """The caller sent something that cannot be served as it is."""

    code = "invalid_request"


class TooLarge(InvalidRequest):
    """A body, a file or a question over its limit."""

    code = "too_large"


class UnsupportedDocument(InvalidRequest):
    """A file of a kind that we do not read."""

    code = "unsupported_document"


class UnreadableDocument(UnsupportedDocument):
    """A file of a known kind that cannot be read: damaged, encrypted, empty, over a limit."""

    code = "unreadable_document"


class Unauthenticated(LibriError):
    """No credential, or one that is not known."""

    code = "unauthenticated"


class Forbidden(LibriError):
    """The caller is known and not allowed."""

    code = "forbidden"


class NotFound(LibriError):
    """No such thing; another subject's thing answers the same."""

    code = "not_found"


class ModelNotOffered(NotFound):
    """No model server that answers offers the model that was asked for."""

    code = "model_not_offered"


class Conflict(LibriError):
    """The request contradicts an earlier one."""

    code = "conflict"


class Superseded(Conflict):
    """The generation is another writer's by now: whoever learns it goes away without a word."""

    code = "superseded"


class QuotaExceeded(LibriError):
    """The caller has used its share for now."""

    code = "quota_exceeded"
    retryable = True


class DeadlineExceeded(LibriError):
    """The request's time is over."""

    code = "deadline_exceeded"
    retryable = True


class Unavailable(LibriError):
    """Something the request needs is down."""

    code = "unavailable"
    retryable = True


class StorageUnavailable(Unavailable):
    """The database does not answer."""

    code = "storage_unavailable"


class StorageFull(Unavailable):
    """No space is left where documents are kept."""

    code = "storage_full"


class RetrievalUnavailable(Unavailable):
    """No index answers, so no grounded answer can be given."""

    code = "retrieval_unavailable"


class EmbedderUnavailable(Unavailable):
    """The embedder does not answer."""

    code = "embedder_unavailable"


class LogUnavailable(Unavailable):
    """The generation log does not answer."""

    code = "log_unavailable"


class SlotsUnavailable(Unavailable):
    """The slots that all processes share do not answer."""

    code = "slots_unavailable"


class Misconfigured(Unavailable):
    """A setting, or what it names, cannot be used; the message is for the operator, a line each."""

    code = "misconfigured"
    retryable = False


class PoolFull(Unavailable):
    """The queue for a model holds as many as it may."""

    code = "pool_full"


class NoInstance(Unavailable):
    """No model server is left to try."""

    code = "no_instance"


class EngineError(LibriError):
    """A model server failed this request.

    Args:
        reason: What an operator has to know, in words; may name a status and what to set, never a secret.
    """

    code = "engine_error"
    retryable = True

    def __init__(self, message: str = "", *, retry_after_s: float | None = None, reason: str = "") -> None:
        super().__init__(message, retry_after_s=retry_after_s)
        self.reason = reason


class EngineUnreachable(EngineError):
    """Refused, reset before the first byte, or answered 5xx."""

    code = "engine_unreachable"


class EngineTimeout(EngineError):
    """No first token, or a gap between tokens, beyond its bound."""

    code = "engine_timeout"


class EngineTruncated(EngineError):
    """The stream ended without its final object."""

    code = "engine_truncated"


class EngineSilent(EngineError):
    """The model ended without an answer: nothing, blanks, or reasoning alone."""

    code = "engine_silent"


class EngineRefused(EngineError):
    """This model server refuses whatever we ask: another may serve the same request."""

    code = "engine_refused"


class ModelMissing(EngineError):
    """This model server does not have the model; another may."""

    code = "model_missing"


class EngineRejected(EngineError):
    """The model server refused the request itself."""

    code = "engine_rejected"
    retryable = False


class ContextOverflow(EngineRejected):
    """The prompt does not fit the model's context.

    Args:
        context_tokens, prompt_tokens: As the server counted, in the model's tokens; None: it did not say.
    """

    code = "context_overflow"

    def __init__(
        self,
        message: str = "",
        *,
        retry_after_s: float | None = None,
        reason: str = "",
        context_tokens: int | None = None,
        prompt_tokens: int | None = None,
    ) -> None:
        super().__init__(message, retry_after_s=retry_after_s, reason=reason)
        self.context_tokens = context_tokens
        self.prompt_tokens = prompt_tokens


def revived(code: str, message: str, *, retry_after_s: float | None = None) -> LibriError:
    """The error that an `error` event tells of; the root for a code that is not in the tree."""
    kinds = [LibriError]
    for kind in kinds:
        if kind.code == code:
            return kind(message, retry_after_s=retry_after_s)
        kinds.extend(kind.__subclasses__())
    return LibriError(message, retry_after_s=retry_after_s)
