from backend.ingest.parse.pages import pdf
from tests.support import files


def blocks(data: bytes) -> list[tuple[str, str]]:
    read = pdf.read(data, max_pages=100, max_chars=1_000_000)
    return [(block.kind, block.text) for block in read.blocks]


def placed(*rows: tuple[str, ...], top: float = 700) -> list[files.Run]:
    return [
        (60 + 140 * column, top - 14 * row, 11, cell)
        for row, cells in enumerate(rows)
        for column, cell in enumerate(cells)
        if cell
    ]


def test_an_empty_cell_keeps_its_place():
    data = files.ruled_table(("Card", "Price", "Years"), ("Young", "", "2"), ("Senior", "12 €", ""))
    assert blocks(data) == [("table", "Card | Price | Years\nYoung |  | 2\nSenior | 12 € | ")]


def test_a_table_without_lines_has_the_text_above_it_apart():
    rows = (
        ("Card", "Price", "Years"),
        ("Family", "30 €", "1"),
        ("Young", "5 €", "2"),
        ("Senior", "12 €", "3"),
    )
    assert blocks(files.pdf([*files.lines("Before the table.", top=740), *placed(*rows)])) == [
        ("paragraph", "Before the table."),
        ("table", "\n".join(" | ".join(row) for row in rows)),
    ]


def test_the_lines_of_a_cell_are_one_cell():
    long = (
        "Open to those who have lived in the town for more than a year and can show it by a bill of their own"
    )
    data = files.ruled_table(("Card", "For whom"), ("Town", long), ("Guest", "All"))
    assert blocks(data) == [("table", f"Card | For whom\nTown | {long}\nGuest | All")]


def test_justified_columns_are_no_table():
    text = "The reading room opens at nine and closes when the last reader has left the house. " * 12
    assert {kind for kind, _ in blocks(files.columns(3, text, text))} == {"paragraph"}


def test_a_table_does_not_bring_hidden_text_back():
    rows = placed(("Card", "Price", "Years"), ("Family", "30 €", "1"), ("Young", "10 €", "2"))
    hidden = [(60 + 140 * n, 700 - 14 * 3, 0.5, word) for n, word in enumerate(("All", "is", "free"))]
    text = "\n".join(text for _, text in blocks(files.pdf(rows + hidden)))
    assert "Young | 10 € | 2" in text
    assert "free" not in text
