"""Requests and asks with everything filled in."""

from backend.core.instances import InstanceSpec
from backend.core.types import Language, Message, Passage, Sampling, Scored
from backend.engines.base import Bounds, Endpoint, GenerationRequest
from backend.pool.base import Ask, Instance
from backend.pool.registry import Registry
from backend.pool.shared_notes.base import SharedNotes
from backend.pool.slots.base import Priority
from backend.security.seal import Seal


def a_passage(text: str, *, n: int = 1, title: str = "", language: Language = "en") -> Passage:
    return Passage(
        id=f"p{n}", document=f"d{n}", revision="r1", name=f"{n}.md", title=title, headings=(), text=text,
        page=None, start=0, end=len(text), language=language,
    )  # fmt: skip


def a_request(question: str = "Who wrote it?", *texts: str, **changes) -> GenerationRequest:
    language = changes.get("language", "en")
    passages = [Scored(a_passage(t, n=i, language=language), 1.0) for i, t in enumerate(texts, 1)]
    fields = {
        "model": "m",
        "messages": (Message("user", question),),
        "sampling": Sampling(temperature=0.0, max_tokens=64),
        "question": question,
        "passages": tuple(passages),
        "language": language,
        "bounds": Bounds(connect_s=1.0, first_token_s=5.0, gap_s=5.0),
    }
    return GenerationRequest(**{**fields, **changes})


def an_ask(
    generation: str = "g", *, deadline: float = 1e12, subject: str = "s", priority: Priority = "interactive"
) -> Ask:
    return Ask(generation=generation, tenant="t", subject=subject, deadline=deadline, priority=priority)


def an_instance(engine, name: str = "one", *, slots: int = 1, url: str = "", models=()) -> Instance:
    return Instance(
        id=name, endpoint=Endpoint(url), engine=engine, slots=slots, models=frozenset(models),
        loose_names=engine.name == "ollama",
    )  # fmt: skip


def a_registry(instances, notes: SharedNotes, secret: bytes = b"s" * 32) -> Registry:
    """The instances of one process; those over one notes are of one pool."""

    def make(spec: InstanceSpec) -> Instance:
        spec.check()
        return an_instance(instances[0].engine, spec.id, slots=spec.slots, url=spec.url.rstrip("/"))

    return Registry(instances, notes, make, Seal([secret]))
