"""Which instances there are: those of the settings, and what operators changed since.

What an operator adds goes through the shared notes, which others than our processes may read: its credentials
are sealed there, together with the id and the address that they are for (docs/adr/0018).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

from backend.core.errors import Conflict, InvalidRequest, NotFound
from backend.core.instances import InstanceSpec
from backend.pool.base import Instance
from backend.pool.shared_notes.base import Note, SharedNotes

log = logging.getLogger(__name__)

ServiceState = Literal["active", "draining", "removed"]
KIND = "instances"
_PLAIN = ("id", "kind", "slots", "models", "served_names", "models_at_once")
"""What of a spec stands in a note as it is."""
_FORMER = {"engine": "kind"}
"""What earlier releases called a field."""

Make = Callable[[InstanceSpec], Instance]
"""The instance that a spec describes.

Raises:
    InvalidRequest: It describes none.
"""


class Sealer(Protocol):
    """Keeps a text from whoever reads the shared notes."""

    def seal(self, text: str) -> str:
        """`text`, for the notes."""

    def open(self, token: str) -> str:
        """The text that was sealed.

        Raises:
            ValueError: It cannot be opened here.
        """


@dataclass(slots=True)
class Registry:
    """The instances of all processes.

    Args:
        configured: Those of the settings, the same in every process.
        make: Makes those that operators add.
    """

    configured: Sequence[Instance]
    notes: SharedNotes
    make: Make
    sealer: Sealer
    instances: dict[str, Instance] = field(default_factory=dict)
    draining: frozenset[str] = frozenset()
    _left_out: frozenset[str] = frozenset()
    _added: dict[str, tuple[Note, Instance]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._take({})

    async def read(self) -> None:
        """Take in what has changed.

        Raises:
            SlotsUnavailable
        """
        self._take(await self.notes.read(KIND))

    async def add(self, spec: InstanceSpec) -> None:
        """See `Operator.add`."""
        await self.read()
        if spec.id in self.instances:
            raise Conflict("an instance of that name is there already")
        endpoint = self.make(spec).endpoint
        if any(one.endpoint.address == endpoint.address for one in self.instances.values()):
            raise Conflict("an instance at that address is there already")  # each would be given its slots
        note = _to_note(replace(spec, url=endpoint.url), self.sealer)
        await self.notes.change(KIND, spec.id, lambda _: note)
        await self.read()

    async def drain(self, id: str) -> None:
        """See `Operator.drain`."""
        await self._set(id, "draining")

    async def resume(self, id: str) -> None:
        """See `Operator.resume`."""
        await self._set(id, "active")

    async def remove(self, id: str) -> None:
        """See `Operator.remove`."""
        await self._set(id, "removed")

    async def _set(self, id: str, state: ServiceState) -> None:
        await self.read()
        if id not in self.instances:
            raise NotFound("no such instance")
        added = all(one.id != id for one in self.configured)
        gone = state == "removed" and added

        def changed(note: Note | None) -> Note | None:
            return None if gone else {**(note or {}), "state": state}

        await self.notes.change(KIND, id, changed)
        await self.read()

    def _take(self, notes: Mapping[str, Note]) -> None:
        specs = {id: note for id, note in sorted(notes.items()) if "url" in note}
        made = {id: self._made(id, note) for id, note in specs.items()}
        added = {id: one for id, one in made.items() if one is not None}
        self._left_out = frozenset(made.keys() - added.keys())
        self._added = {id: (specs[id], one) for id, one in added.items()}
        found = {one.id: one for one in self.configured} | added
        states = {id: note.get("state", "active") for id, note in notes.items()}
        self.instances = {id: one for id, one in found.items() if states.get(id) != "removed"}
        self.draining = frozenset(id for id in self.instances if states.get(id) == "draining")

    def _made(self, id: str, note: Note) -> Instance | None:
        """None where none can be made of it: another release may have noted it."""
        before, made = self._added.get(id, (None, None))
        if before is not None and {**before, "state": ""} == {**note, "state": ""}:
            return made
        try:
            return self.make(_from_note(id, note, self.sealer))
        except InvalidRequest as exc:
            if id not in self._left_out:
                event = {"event": "instance_left_out", "instance": id}
                log.error("an instance that was added is left out: %s", exc.message, extra=event)
            return None


def _to_note(spec: InstanceSpec, sealer: Sealer) -> Note:
    note: dict[str, Any] = {name: getattr(spec, name) for name in _PLAIN}
    note |= {"models": sorted(spec.models), "served_names": dict(spec.served_names)}
    note |= {"state": "active", "url": spec.address}
    if spec.key or spec.url != spec.address:
        note["sealed"] = sealer.seal(json.dumps({"id": spec.id, "url": spec.url, "key": spec.key}))
    return note


def _from_note(id: str, note: Note, sealer: Sealer) -> InstanceSpec:
    """The spec in a note, of this release or another.

    Raises:
        InvalidRequest: There is none, or its credentials cannot be read here.
    """
    known = {_FORMER.get(name, name): value for name, value in note.items()}
    spec = InstanceSpec.parse({name: known[name] for name in (*_PLAIN, "url") if name in known} | {"id": id})
    if "sealed" not in note:
        return spec
    url, key = _opened(spec, note["sealed"], sealer)
    return replace(spec, url=url, key=key)


def _opened(spec: InstanceSpec, sealed: object, sealer: Sealer) -> tuple[str, str]:
    """Address and key; only for whom they were sealed, so that nobody moves them to another address."""
    try:
        held = json.loads(sealer.open(str(sealed)))
        secret = InstanceSpec(spec.id, spec.kind, str(held["url"]), str(held["key"]))
        if held["id"] != spec.id or secret.address != spec.url:
            raise ValueError("sealed for another instance")
    except (ValueError, TypeError, KeyError) as exc:
        raise InvalidRequest(
            "its credentials cannot be read here: give all processes the same secret, and add it again"
        ) from exc
    return secret.url, secret.key
