"""How much can pass from those who ask to those who serve, when not everybody can serve everybody."""

from __future__ import annotations

from collections.abc import Callable, Mapping

_NOTHING = 1e-12


def most_served(
    asked: Mapping[str, float], room: Mapping[str, float], may: Callable[[str, str], bool]
) -> float:
    """The most of `asked` (by kind) that fits `room` (by server), `may(kind, server)` saying who can whom.

    A maximum flow by augmenting paths; meant for a handful of kinds and servers. With rates it is the fluid
    optimum of throughput, with counts the most free slots that waiting requests could take.
    """
    left, free = dict(asked), dict(room)
    given = {(kind, server): 0.0 for kind in left for server in free if may(kind, server)}
    for kind in left:
        while left[kind] > _NOTHING and _augment(kind, left, free, given):
            pass
    return sum(asked.values()) - sum(left.values())


def _augment(
    kind: str, left: dict[str, float], free: dict[str, float], given: dict[tuple[str, str], float]
) -> bool:
    """Place some more of `kind`, moving others aside if that makes room."""
    came_from: dict[str, tuple[str, str]] = {}  # server -> (the kind that would go there, from which server)
    seen, queue = {kind}, [(kind, "")]
    for current, source in queue:
        for (k, server), _ in given.items():
            if k != current or server in came_from:
                continue
            came_from[server] = (current, source)
            if free[server] > _NOTHING:
                _move(kind, server, came_from, left, free, given)
                return True
            for (other, at), amount in given.items():
                if at == server and amount > _NOTHING and other not in seen:
                    seen.add(other)
                    queue.append((other, server))
    return False


def _move(
    kind: str,
    last: str,
    came_from: Mapping[str, tuple[str, str]],
    left: dict[str, float],
    free: dict[str, float],
    given: dict[tuple[str, str], float],
) -> None:
    """Shift as much as fits along the path that ends at `last`."""
    path: list[tuple[str, str, str]] = []
    server = last
    while server:
        mover, source = came_from[server]
        path.append((mover, source, server))
        server = source
    amount = min(left[kind], free[last], *(given[m, source] for m, source, _ in path if source))
    for mover, source, target in path:
        given[mover, target] += amount
        if source:
            given[mover, source] -= amount
    free[last] -= amount
    left[kind] -= amount
