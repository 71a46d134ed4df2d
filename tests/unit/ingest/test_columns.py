import pytest

from backend.ingest.parse.pages import pdf
from tests.support import files

FIRST = (
    "The reading room opens at nine every day but Monday, and nobody is asked for a card at its door. " * 4
)
SECOND = (
    "Whoever borrows a book for the first time brings a bill with an address, and leaves with a card. " * 5
)
THIRD = (
    "A book that comes back late costs nothing; a book that does not come back costs what it was worth. " * 4
)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_paragraphs_in_justified_columns_come_out_whole(count):
    document = pdf.read(files.columns(count, FIRST, SECOND, THIRD), max_pages=9, max_chars=100_000)
    assert [b.text for b in document.blocks] == [FIRST.strip(), SECOND.strip(), THIRD.strip()]
