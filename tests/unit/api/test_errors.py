import pytest

from backend.api.errors import STATUS, status_of
from backend.core import errors
from backend.core.errors import LibriError


def tree(kind: type[LibriError]) -> list[type[LibriError]]:
    return [kind, *(below for child in kind.__subclasses__() for below in tree(child))]


def test_only_the_root_is_a_500():
    ours = [kind for kind in tree(LibriError) if kind.__module__ == errors.__name__]
    assert len(ours) > 15
    assert [kind for kind in ours if status_of(kind()) == 500] == [LibriError]


def test_the_nearest_ancestor_wins():
    class TooLong(errors.TooLarge):
        pass

    assert status_of(TooLong()) == STATUS[errors.TooLarge] == 413
    assert status_of(errors.PoolFull()) == STATUS[errors.Unavailable]


@pytest.mark.parametrize("kind", [errors.Unavailable, errors.QuotaExceeded, errors.EngineTimeout])
def test_what_may_be_tried_again_says_so(kind):
    assert kind().retryable
    assert status_of(kind()) in (429, 502, 503, 504)
