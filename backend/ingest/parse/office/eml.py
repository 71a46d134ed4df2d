"""Messages (.eml): who wrote what to whom, the text, and the attachments that can be read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from email.utils import parsedate_to_datetime

from backend.core.errors import InvalidRequest, UnreadableDocument
from backend.ingest.base import About, Block, Note
from backend.ingest.parse import plain
from backend.ingest.parse.detect import media_type
from backend.ingest.parse.document import Document, sane_title, summed
from backend.ingest.parse.readers import read as read_kind
from backend.ingest.parse.text import clean, decode, squeeze
from backend.ingest.parse.web.markup import from_markup

_SHOWN = ("From", "To", "Cc", "Date")
_TELLING = (*_SHOWN, "Subject", "Received", "Message-ID", "MIME-Version")
_MAX_ATTACHMENTS = 100
_ATTACHMENT_LEVEL = 2
_DEEPEST = 6


def read(data: bytes, *, max_pages: int, max_chars: int) -> Document:
    """The document in a message; its attachments are sections, but for those of a kind that is not read.

    Raises:
        UnreadableDocument: It is no message.
    """
    message = BytesParser(policy=policy.default).parsebytes(data)
    if not any(message.get_all(name) for name in _TELLING):
        raise UnreadableDocument("it is not a message")
    subject = _header(message, "Subject")
    head = "\n".join(f"{name}: {value}" for name in _SHOWN if (value := _header(message, name)))
    own = [Block("heading", subject, 1)] if subject else []
    own += [Block("paragraph", head)] if head else []
    parts = [_part(part, max_pages, max_chars) for part in _parts(message)]
    blocks = (*own, *(block for part in parts for block in part.blocks))
    notes = summed(note for part in parts for note in part.notes)
    return Document(sane_title(subject), blocks, notes, About(_day(message)))


def _header(message: EmailMessage, name: str) -> str:
    try:
        return squeeze(clean(str(message.get(name, ""))))
    except (ValueError, IndexError, AttributeError, TypeError):  # the library's, on malformed headers
        return ""


def _day(message: EmailMessage) -> str:
    try:
        return parsedate_to_datetime(_header(message, "Date")).date().isoformat()
    except (ValueError, TypeError, IndexError):
        return ""


def _parts(message: EmailMessage) -> Iterator[EmailMessage]:
    """The text, as HTML where it is there, and what is attached."""
    body = message.get_body(("html", "plain"))
    if isinstance(body, EmailMessage):
        yield body
    yield from list(_others(message, body))[:_MAX_ATTACHMENTS]


def _others(message: EmailMessage, body: object) -> Iterator[EmailMessage]:
    """What is neither the body nor another form of it."""
    if message is body or not message.is_multipart():
        if message is not body:
            yield message
    elif message.get_content_type() == "multipart/alternative":
        yield from (one for one in _leaves(message) if one is not body and not _is_text(one))
    elif message.get_content_type() == "message/rfc822":
        yield message
    else:
        for part in message.iter_parts():
            if isinstance(part, EmailMessage):
                yield from _others(part, body)


def _leaves(message: EmailMessage) -> Iterable[EmailMessage]:
    return (part for part in message.walk() if isinstance(part, EmailMessage) and not part.is_multipart())


def _is_text(part: EmailMessage) -> bool:
    return part.get_content_maintype() == "text" and not part.get_filename()


def _part(part: EmailMessage, max_pages: int, max_chars: int) -> Document:
    """What one part holds; under its name, if it has one."""
    name = squeeze(clean(part.get_filename() or ""))
    if not name and part.get_content_type() in ("text/html", "text/plain"):
        return _text(part)
    if part.get_content_maintype() == "image":
        return Document("", (), (Note("images_skipped"),))
    try:
        data = _data(part)
        kind = "message/rfc822" if part.get_content_type() == "message/rfc822" else media_type(name, data)
        found = read_kind(kind, data, max_pages=max_pages, max_chars=max_chars)
    except InvalidRequest:
        return Document("", (), (Note("attachments_skipped"),))
    return replace(found, blocks=tuple(_below(name or found.title, found.blocks)))


def _data(part: EmailMessage) -> bytes:
    if part.get_content_type() == "message/rfc822":
        return b"".join(bytes(inner) for inner in part.iter_parts())
    data = part.get_payload(decode=True)
    return data if isinstance(data, bytes) else b""


def _text(part: EmailMessage) -> Document:
    data = _data(part)
    try:
        text = data.decode(part.get_content_charset() or "ascii")
    except (LookupError, UnicodeDecodeError):
        text = decode(data)
    if part.get_content_type() == "text/html":
        return from_markup(text)
    return Document("", plain.read(text.encode()).blocks)


def _below(name: str, blocks: Iterable[Block]) -> Iterator[Block]:
    """An attachment's blocks below its name."""
    blocks = tuple(blocks)
    if name and not (blocks and blocks[0].kind == "heading" and blocks[0].text == name):
        yield Block("heading", name, _ATTACHMENT_LEVEL)
    for block in blocks:
        deeper = min(block.level + _ATTACHMENT_LEVEL, _DEEPEST) if block.kind == "heading" else 0
        yield replace(block, level=deeper)
