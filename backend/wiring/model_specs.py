"""Which model servers the settings name, whoever speaks to them."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from backend.config import Settings, base_url
from backend.core.addresses import masked
from backend.core.errors import InvalidRequest
from backend.core.instances import InstanceSpec
from backend.engines.base import Endpoint

log = logging.getLogger(__name__)


def declared(settings: Settings) -> Sequence[InstanceSpec]:
    """Their specs, in a stable order; what cannot be an instance is left out and logged."""
    found: dict[str, InstanceSpec] = {}
    for name, spec in settings.engine.declared():
        try:
            spec.check()
            if spec.id in found:
                raise InvalidRequest("another instance has that id")
            if any(endpoint_of(spec).address == endpoint_of(other).address for other in found.values()):
                raise InvalidRequest("another instance has that address")
            found[spec.id] = spec
        except InvalidRequest as exc:
            event = {"event": "instance_left_out", "instance": spec.id[:80]}
            log.error("%s: %s is left out: %s", name, masked(spec.url)[:200], exc.message, extra=event)
    return tuple(found.values())


def endpoint_of(spec: InstanceSpec) -> Endpoint:
    """Where it is reached."""
    return Endpoint(base_url(spec.url), spec.key)
