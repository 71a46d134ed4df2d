import pytest

from backend.core import errors
from backend.core.errors import LibriError, revived


def tree(kind: type[LibriError] = LibriError) -> list[type[LibriError]]:
    found = [kind]
    for child in kind.__subclasses__():
        if child.__module__ == errors.__name__:
            found += tree(child)
    return found


def test_every_code_is_its_own() -> None:
    codes = [kind.code for kind in tree()]
    assert len(codes) == len(set(codes))


@pytest.mark.parametrize("kind", tree())
def test_an_error_can_be_told_by_its_code_and_made_again(kind: type[LibriError]) -> None:
    again = revived(kind.code, "why", retry_after_s=3)
    assert type(again) is kind
    assert (again.message, again.retry_after_s) == ("why", 3)


@pytest.mark.parametrize("kind", tree())
def test_the_tree_in_the_docstring_names_every_error(kind: type[LibriError]) -> None:
    assert f" {kind.__name__}" in (errors.__doc__ or "")


def test_an_unknown_code_is_the_root() -> None:
    assert type(revived("from the future", "x")) is LibriError
