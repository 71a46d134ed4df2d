"""Documents: upload, list, read, remove."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Form, Query, Response, UploadFile
from pydantic import StringConstraints

from backend.api.deps import PrincipalDep, ReaderDep, ServicesDep, WriterDep
from backend.api.strict import Body
from backend.core.errors import Forbidden, InvalidRequest, TooLarge
from backend.core.types import DEFAULT_CORPUS, Role
from backend.corpus.base import CorpusRef, Document
from backend.ingest.jobs import IngestionStatus

router = APIRouter(prefix="/api/v1", tags=["documents"])
CorpusName = Annotated[
    str, Query(alias="corpus"), StringConstraints(min_length=1, max_length=64, pattern=r"^[\w.-]+$")
]
Origin = Annotated[str, StringConstraints(max_length=16_384, pattern=r"^file:///[!-~]*$")]
MAX_FILES = 100


class Renaming(Body):
    """Another name for a document, and where its file lies now."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=512)]
    origin: Origin | Literal[""] = ""


@router.get("/documents")
async def documents(
    services: ServicesDep,
    who: ReaderDep,
    corpus: CorpusName = DEFAULT_CORPUS,
    after: Annotated[str, Query(max_length=512)] = "",
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> Response:
    """Documents by name; the next page is those after the last name of this."""
    found = await services.catalogue.documents(_ref(who, corpus), after=after, limit=limit)
    return _json({"documents": [_shown(document, who) for document in found]})


@router.post("/documents", status_code=202)
async def upload(
    services: ServicesDep,
    who: WriterDep,
    file: list[UploadFile],
    origin: Annotated[list[Origin], Form()] = [],  # noqa: B006  FastAPI copies it
    corpus: CorpusName = DEFAULT_CORPUS,
) -> Response:
    """Hand in files; they are read in the background. A file of the same name is replaced.

    `origin`, one for each file or none at all: where it lies.
    """
    ref = _ref(who, corpus)
    if len(file) > MAX_FILES:
        raise TooLarge(f"at most {MAX_FILES} files at once")
    files = [(part.filename or "", await part.read()) for part in file]
    if not files:
        raise InvalidRequest("no file was sent")
    return _json(_progress(await services.ingestion.submit(ref, files, origin)), status=202)


@router.get("/documents/{document_id}")
async def document(
    services: ServicesDep, who: ReaderDep, document_id: str, corpus: CorpusName = DEFAULT_CORPUS
) -> Response:
    """One document."""
    return _json(_shown(await services.catalogue.get(_ref(who, corpus), document_id), who))


@router.get("/documents/{document_id}/text")
async def text(
    services: ServicesDep,
    who: ReaderDep,
    document_id: str,
    corpus: CorpusName = DEFAULT_CORPUS,
    revision: Annotated[str | None, Query(max_length=64)] = None,
) -> Response:
    """Extracted text of a revision; `start` and `end` of a source point into it."""
    ref = _ref(who, corpus)
    found = await services.catalogue.get(ref, document_id)
    content, shown = await services.catalogue.text(ref, document_id, revision)
    of = {"document": found.id, "revision": shown, "title": found.title, "name": found.name}
    return _json(of | {"date": found.about.date, "text": content})


@router.patch("/documents/{document_id}")
async def rename(
    services: ServicesDep,
    who: WriterDep,
    document_id: str,
    renaming: Renaming,
    corpus: CorpusName = DEFAULT_CORPUS,
) -> Response:
    """Give a document another name; it stays the same document, and is read again in the background."""
    ref = _ref(who, corpus)
    known = await services.catalogue.get(ref, document_id)
    await services.ingestion.rename(ref, known, renaming.name, renaming.origin)
    return _json(_shown(await services.catalogue.get(ref, document_id), who))


@router.delete("/documents/{document_id}", status_code=204)
async def delete(
    services: ServicesDep, who: WriterDep, document_id: str, corpus: CorpusName = DEFAULT_CORPUS
) -> None:
    """Remove a document; no answer is built on it from now on."""
    await services.ingestion.delete(_ref(who, corpus), document_id)


@router.get("/ingestions/failed", tags=["documents"])
async def failed(services: ServicesDep, who: WriterDep, corpus: CorpusName = DEFAULT_CORPUS) -> Response:
    """Files that could not be read when they were last handed in, within the last days."""
    return _json({"items": list(await services.ingestion.jobs.failed(_ref(who, corpus)))})


@router.get("/ingestions/{ingestion_id}", tags=["documents"])
async def ingestion(services: ServicesDep, who: WriterDep, ingestion_id: str) -> Response:
    """How far a hand-in is, file by file."""
    status = await services.ingestion.status(who.tenant, ingestion_id)
    _ref(who, status.corpus.name)
    return _json(_progress(status))


def _ref(who: PrincipalDep, corpus: str) -> CorpusRef:
    if not who.may_read(corpus):
        raise Forbidden("a corpus is not granted")
    return CorpusRef(who.tenant, corpus)


def _json(body: dict[str, Any], status: int = 200) -> Response:
    return Response(orjson.dumps(body), status_code=status, media_type="application/json")


def _shown(found: Document, who: PrincipalDep) -> dict[str, Any]:
    """A document; where its file lies is for those alone who may replace it."""
    placed = {"origin": found.origin} if Role.WRITER in who.roles else {}
    return placed | {
        "id": found.id,
        "corpus": found.corpus.name,
        "name": found.name,
        "title": found.title,
        "media_type": found.media_type,
        "language": found.language,
        "revision": found.revision,
        "date": found.about.date,
        "description": found.about.description,
        "content_sha256": found.content_sha256,
        "size_bytes": found.size_bytes,
        "passages": found.passages,
        "created": found.created,
        "updated": found.updated,
        "notes": list(found.notes),
    }


def _progress(status: IngestionStatus) -> dict[str, Any]:
    return {
        "id": status.id,
        "state": status.state,
        "reason": status.reason,
        "total": status.total,
        "finished": status.finished,
        "items": list(status.items),
    }
