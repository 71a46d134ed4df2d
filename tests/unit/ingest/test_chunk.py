from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from backend.ingest.base import Block, Parsed
from backend.ingest.chunk import chunk


def words(text: str) -> int:
    return len(text.split())


def pieces(text: str) -> int:
    """Like a tokenizer: long words cost more, blanks nothing."""
    return sum((len(word) + 3) // 4 for word in text.split())


def cut(parsed, *, count=words, target=20, overlap=0, largest=40):
    return chunk(parsed, count_tokens=count, target_tokens=target, overlap_tokens=overlap, max_tokens=largest)


def parsed(*blocks: Block, title: str = "T") -> Parsed:
    return Parsed(title, "text/plain", "en", blocks)


def heading(level: int, text: str) -> Block:
    return Block("heading", text, level)


def paragraph(text: str, page: int | None = None) -> Block:
    return Block("paragraph", text, 0, page)


def sentence(n: int, word: str = "word") -> str:
    return " ".join([word] * (n - 1)).capitalize() + " end."


texts = st.text(st.sampled_from("aé bcdefgh.\n!?;-"), min_size=1, max_size=300).filter(str.strip)
blocks = st.lists(
    st.one_of(
        st.builds(paragraph, texts, st.integers(1, 9)),
        st.builds(heading, st.integers(1, 6), texts.map(lambda text: " ".join(text.split())[:40])),
    ),
    min_size=1,
    max_size=15,
)
sizes = st.tuples(st.integers(1, 30), st.integers(0, 10), st.integers(2, 60))


@given(blocks, sizes)
def test_offsets_are_exact_and_sizes_are_kept(found, size):
    target, overlap, largest = size
    document = parsed(*found)
    for piece in cut(document, count=pieces, target=target, overlap=overlap, largest=largest):
        assert piece.text == document.text[piece.start : piece.end]
        assert piece.text.strip() == piece.text
        assert 0 < pieces(piece.text) <= largest
        head = " > ".join(dict.fromkeys((document.title, *piece.headings)))
        assert pieces(f"{head}\n{piece.text}") <= max(largest, pieces(head) + largest // 2, pieces(head) + 1)


@given(blocks, sizes)
def test_every_character_of_the_body_is_in_some_passage(found, size):
    target, overlap, largest = size
    document = parsed(*found)
    covered = set()
    for piece in cut(document, count=pieces, target=target, overlap=overlap, largest=largest):
        covered.update(range(piece.start, piece.end))
    start = 0
    for block in document.blocks:
        if block.kind != "heading":
            assert all(start + i in covered for i, char in enumerate(block.text) if not char.isspace())
        start += len(block.text) + 2


@given(blocks, sizes)
def test_passages_come_in_order_and_always_the_same(found, size):
    target, _, largest = size
    document = parsed(*found)
    once = cut(document, count=pieces, target=target, largest=largest)
    assert once == cut(document, count=pieces, target=target, largest=largest)
    assert all(a.end <= b.start for a, b in pairwise(once))


def test_a_heading_that_a_passage_has_below_it_is_not_said_again_by_a_later_one():
    found = [heading(1, "A"), heading(3, "B"), paragraph("text", 1), heading(4, "C"), heading(2, "D")]
    once = cut(parsed(*found), target=4, largest=7)
    assert [piece.text for piece in once] == ["text", "C", "D"]


def test_small_paragraphs_of_a_section_share_a_passage_and_sections_do_not():
    document = parsed(
        heading(2, "A"), paragraph("one."), paragraph("two."), heading(2, "B"), paragraph("three.")
    )
    assert [(c.headings, c.text) for c in cut(document)] == [(("A",), "one.\n\ntwo."), (("B",), "three.")]


def test_small_subsections_share_a_passage_that_names_them():
    document = parsed(
        heading(1, "Top"),
        heading(3, "A"),
        paragraph("one."),
        heading(3, "B"),
        paragraph("two."),
        heading(2, "C"),
        paragraph("x."),
    )
    assert [(c.headings, c.text) for c in cut(document)] == [
        (("Top",), "A\n\none.\n\nB\n\ntwo."),
        (("Top", "C"), "x."),
    ]


def test_a_long_paragraph_is_cut_between_sentences():
    document = parsed(paragraph(" ".join([sentence(8)] * 5)))
    assert [words(c.text) for c in cut(document)] == [16, 16, 8]
    assert all(c.text.endswith("end.") for c in cut(document))


def test_a_short_lead_in_stays_with_its_list():
    document = parsed(paragraph("You need:"), Block("list", sentence(19)))
    assert len(cut(document)) == 1


def test_overlap_repeats_whole_sentences():
    document = parsed(paragraph(" ".join(sentence(5, word) for word in "abcdefgh")))
    first, second, *_ = cut(document, overlap=6)
    assert second.start < first.end
    assert second.text.startswith("D d d")


def test_headings_above_and_the_page_go_with_the_passage():
    document = parsed(
        heading(1, "A"), heading(2, "B"), paragraph("x.", 7), heading(2, "C"), paragraph("y.", 8)
    )
    assert [(c.headings, c.page) for c in cut(document)] == [(("A", "B"), 7), (("A", "C"), 8)]


def test_a_heading_with_nothing_below_it_is_not_lost():
    assert [c.text for c in cut(parsed(heading(2, "Alone"), heading(2, "B"), paragraph("x.")))] == [
        "Alone",
        "x.",
    ]
    assert [c.text for c in cut(parsed(heading(1, "Only a title")))] == ["Only a title"]


def test_long_headings_leave_room_for_the_text():
    document = parsed(heading(1, sentence(100)), paragraph(" ".join([sentence(10)] * 4)))
    assert all(words(c.text) <= 20 for c in cut(document, target=30))


def test_one_endless_word_is_cut():
    document = parsed(paragraph("x" * 5000))
    found = cut(document, count=pieces)
    assert "".join(c.text for c in found) == "x" * 5000


def test_the_text_of_a_book_is_counted_less_than_three_times_over():
    calls = 0

    def count(text: str) -> int:
        nonlocal calls
        calls += len(text)
        return words(text)

    book = parsed(*(paragraph(" ".join([sentence(12)] * 20)) for _ in range(350)))
    found = cut(book, count=count, target=180, largest=254)
    assert calls < 3 * len(book.text)
    assert len(found) < 600


def table(*lines: str, head_lines: int = 1) -> Block:
    return Block("table", "\n".join(lines), head_lines=head_lines)


def test_every_part_of_a_table_has_its_caption_and_the_names_of_its_columns():
    rows = [f"Town {n} | {n} | open" for n in range(12)]
    document = parsed(
        heading(2, "Hours"),
        paragraph("Table 1. Counters, in hours"),
        table("Name | Hours | State", *rows),
        paragraph("After."),
    )
    found = cut(document, target=24, largest=48)
    assert len(found) > 2
    assert found[0].text.startswith("Table 1. Counters, in hours\n\nName | Hours | State\nTown 0 |")
    assert {piece.lead for piece in found[1:]} == {"Table 1. Counters, in hours\nName | Hours | State"}
    lines = [line for piece in found for line in piece.text.split("\n")]
    assert [line for line in lines if line.startswith("Town")] == rows


def test_a_table_that_fits_is_one_passage_and_a_caption_left_behind_leads_it():
    document = parsed(
        paragraph(sentence(14)), paragraph("Fees, in euros"), table("Item | Fee", "Card | 3", "Bag | 2")
    )
    found = cut(document, target=18)
    assert [(piece.lead, piece.text.count("\n")) for piece in found][-1] == ("Fees, in euros", 2)


def test_units_and_captions_of_several_lines_above_or_below_stay_with_the_table():
    rows = [f"{n} | {n} {n} {n} {n}" for n in range(9)]
    found = [paragraph("Spending by year"), paragraph("(in thousands)"), table("Year | Sum", *rows)]
    assert cut(parsed(*found))[-1].lead == "Spending by year\n(in thousands)\nYear | Sum"
    found = [paragraph("A sentence. " * 20), table("Year | Sum", *rows), paragraph("Tableau 2 : dépenses")]
    assert any(piece.lead == "Tableau 2 : dépenses\nYear | Sum" for piece in cut(parsed(*found)))


def test_a_table_may_have_several_head_lines_or_none():
    rows = [f"{n} | {n} {n} {n} {n}" for n in range(9)]
    assert cut(parsed(table("Sum | in euros", "Year | Net", *rows, head_lines=2)))[-1].lead == (
        "Sum | in euros\nYear | Net"
    )
    assert cut(parsed(table(*rows, head_lines=0)))[-1].lead == ""


def test_a_row_wider_than_a_passage_is_cut_between_cells_below_the_names_of_its_columns():
    names, cells = [f"name{n}" for n in range(30)], ["Paris", *(f"v{n}" for n in range(1, 30))]
    found = cut(parsed(table(" | ".join(names), " | ".join(cells))), target=20, largest=40)
    leads = {piece.text: piece.lead.split("\n") for piece in found if piece.text.startswith("v")}
    assert leads
    for text, (key, columns) in leads.items():
        assert key == "name0: Paris"
        assert [f"name{cell[1:]}" for cell in text.split(" | ")] == columns.split(" | ")


cells = st.text(st.sampled_from("ab c."), max_size=12).map(lambda text: " ".join(text.split()))
lines = st.lists(cells, min_size=1, max_size=8).map(" | ".join).filter(lambda line: line.strip(" |"))
tables = st.builds(
    lambda found, head: table(*found, head_lines=head), st.lists(lines, min_size=1), st.integers(0, 3)
)


@given(st.lists(st.one_of(tables, st.builds(paragraph, texts)), min_size=1, max_size=4), sizes)
def test_tables_lose_no_character_and_their_passages_keep_the_size(found, size):
    target, overlap, largest = size
    document = parsed(*found)
    covered = set()
    for piece in cut(document, count=pieces, target=target, overlap=overlap, largest=largest):
        assert piece.text == document.text[piece.start : piece.end]
        room = max(largest - pieces("T"), largest // 2, 1)
        assert pieces(piece.lead) + pieces(piece.text) <= room
        covered.update(range(piece.start, piece.end))
    lost = {char for i, char in enumerate(document.text) if i not in covered}
    assert lost <= set(" \n|")
