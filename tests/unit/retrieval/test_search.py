import asyncio
import time

import numpy as np
import pytest

from backend.config import Retrieval
from backend.core.errors import EmbedderUnavailable, RetrievalUnavailable
from backend.corpus.base import CorpusRef, LiveView
from backend.retrieval.lexical_tantivy import TantivyIndex
from backend.retrieval.memory import MemoryDenseIndex
from backend.retrieval.search import HybridRetriever
from tests.support.calibrations import MINILM
from tests.support.manual_clock import ManualClock
from tests.support.shelf import LIBRARY, HashEmbedder, passage

ARCHIVE = CorpusRef("city", "archive")


class Catalogue:
    """Live views that a test sets."""

    def __init__(self) -> None:
        self.views = {LIBRARY: LiveView("v1", frozenset({"r1"}))}

    async def live(self, corpus):
        return self.views.get(corpus, LiveView("", frozenset()))


class Faulty:
    """An index whose searches do what a test says first."""

    def __init__(self, inner) -> None:
        self.inner = inner
        self.error: Exception | None = None
        self.hangs = False
        self.before = None
        self.limits: list[int] = []

    async def covers(self, *args):
        return await self.inner.covers(*args)

    async def search(self, *args):
        self.limits.append(args[-1])
        if self.hangs:
            await asyncio.Event().wait()
        if self.error is not None:
            raise self.error
        if self.before is not None:
            await self.before()
        return await self.inner.search(*args)


class Bench:
    """A retriever over real in-memory indexes."""

    def __init__(self, *, clock=None, **changes) -> None:
        self.embedder = HashEmbedder()
        self.dense, self.lexical = Faulty(MemoryDenseIndex()), Faulty(TantivyIndex(None))
        self.catalogue = Catalogue()
        settings = Retrieval(**({"index_timeout_s": 20, "no_answer_threshold": 0.0} | changes))
        self.retriever = HybridRetriever(
            gate=MINILM.gate,
            embedder=self.embedder,
            dense=self.dense,
            lexical=self.lexical,
            catalogue=self.catalogue,
            settings=settings,
            clock=clock,
        )

    async def put(self, *passages, corpus=LIBRARY):
        vectors = await self.embedder.embed_passages([p.indexed_text for p in passages])
        await self.dense.inner.add(corpus, passages, vectors)
        await self.lexical.inner.add(corpus, passages)

    async def ask(self, question, *, corpora=(LIBRARY,), budget=1000):
        return await self.retriever.retrieve(corpora, question, "fr", budget_tokens=budget)


def texts(result):
    return [scored.passage.text for scored in result.passages]


@pytest.fixture
def bench(request):
    made = Bench(**getattr(request, "param", {}))
    yield made
    made.lexical.inner.close()


HASTY = pytest.mark.parametrize("bench", [{"index_timeout_s": 0.3}], indirect=True, ids=["hasty"])


async def test_the_best_comes_first_with_a_score_and_the_version(bench):
    await bench.put(passage("prêt livre durée"), passage("horaires ouverture"), passage("prêt revue"))
    result = await bench.ask("durée du prêt d'un livre")
    assert texts(result)[0] == "prêt livre durée"
    assert result.versions == (("library", "v1"),)
    assert result.degraded == ()
    assert all(0 <= scored.score <= 1 for scored in result.passages)


async def test_only_live_revisions_are_found(bench):
    await bench.put(passage("prêt ancien", revision="r0"), passage("prêt nouveau", revision="r1"))
    assert texts(await bench.ask("prêt")) == ["prêt nouveau"]


@pytest.mark.parametrize("bench", [{"candidates": 2}], indirect=True)
async def test_dead_passages_do_not_crowd_out_live_ones(bench):
    await bench.put(*(passage("prêt prêt prêt", revision="dead") for _ in range(20)))
    await bench.put(passage("prêt parmi beaucoup d'autres mots", revision="r1"))
    assert texts(await bench.ask("prêt")) == ["prêt parmi beaucoup d'autres mots"]
    assert max(bench.dense.limits) > 2


async def test_a_flip_during_the_search_is_noticed(bench):
    await bench.put(passage("prêt ancien", revision="r1"))

    async def flip():
        if bench.catalogue.views[LIBRARY].version == "v1":
            await bench.put(passage("prêt nouveau", revision="r2"))
            bench.catalogue.views[LIBRARY] = LiveView("v2", frozenset({"r2"}))
            await bench.dense.inner.remove(LIBRARY, ["r1"])
            await bench.lexical.inner.remove(LIBRARY, ["r1"])

    bench.dense.before = flip
    result = await bench.ask("prêt")
    assert texts(result) == ["prêt nouveau"]
    assert result.versions == (("library", "v2"),)


@HASTY
@pytest.mark.parametrize("fault", ["error", "hangs"])
async def test_without_the_dense_index_the_lexical_one_answers(bench, fault):
    await bench.put(passage("prêt"))
    setattr(bench.dense, fault, RetrievalUnavailable("down") if fault == "error" else True)
    result = await bench.ask("prêt")
    assert (texts(result), result.degraded) == (["prêt"], ("dense",))


async def test_without_the_embedder_the_lexical_index_answers(bench):
    await bench.put(passage("prêt"))
    bench.embedder.down = EmbedderUnavailable("down")
    result = await bench.ask("prêt")
    assert (texts(result), result.degraded) == (["prêt"], ("dense",))


@HASTY
@pytest.mark.parametrize("fault", ["error", "hangs"])
async def test_without_the_lexical_index_the_dense_one_answers(bench, fault):
    await bench.put(passage("prêt"))
    setattr(bench.lexical, fault, RetrievalUnavailable("down") if fault == "error" else True)
    result = await bench.ask("prêt")
    assert (texts(result), result.degraded) == (["prêt"], ("lexical",))


@HASTY
async def test_without_both_nothing_is_pretended(bench):
    await bench.put(passage("prêt"))
    bench.embedder.down = EmbedderUnavailable("down")
    bench.lexical.hangs = True
    with pytest.raises(RetrievalUnavailable):
        await bench.ask("prêt")


async def test_a_defect_is_not_taken_for_an_outage(bench):
    await bench.put(passage("prêt"))
    bench.dense.error = KeyError("bug")
    with pytest.raises(KeyError):
        await bench.ask("prêt")


async def test_one_text_in_two_files_is_returned_once(bench):
    await bench.put(passage("Le  prêt\ndure."), passage("le prêt dure."), passage("prêt autre"))
    found = texts(await bench.ask("prêt dure"))
    assert len(found) == 2
    assert "prêt autre" in found


async def test_the_budget_is_kept_and_a_long_passage_does_not_block_short_ones(bench):
    await bench.put(passage("prêt prêt " + "mot " * 50), passage("prêt court"), passage("prêt bref"))
    result = await bench.ask("prêt", budget=4)
    assert sorted(texts(result)) == ["prêt bref", "prêt court"]


@pytest.mark.parametrize("bench", [{"limit": 3}], indirect=True)
async def test_no_more_passages_than_the_limit(bench):
    await bench.put(*(passage(f"prêt {i}") for i in range(9)))
    assert len((await bench.ask("prêt")).passages) == 3


@pytest.mark.parametrize("bench", [{"no_answer_threshold": 0.15}], indirect=True)
async def test_below_the_threshold_nothing_is_returned(bench):
    await bench.put(passage("Le prêt d'un livre dure trois semaines."), passage("Horaires d'ouverture"))
    assert texts(await bench.ask("Combien de semaines dure le prêt d'un livre ?"))
    result = await bench.ask("Quelle est la recette de la ratatouille niçoise ?")
    assert result.passages == ()
    assert result.versions == (("library", "v1"),)


async def test_several_corpora_are_searched_and_others_are_not(bench):
    secret = CorpusRef("city", "secret")
    for corpus in (ARCHIVE, secret):
        bench.catalogue.views[corpus] = LiveView("w1", frozenset({"r1"}))
    await bench.put(passage("prêt ici"))
    await bench.put(passage("prêt archive"), corpus=ARCHIVE)
    await bench.put(passage("prêt secret"), corpus=secret)
    result = await bench.ask("prêt", corpora=(LIBRARY, ARCHIVE))
    assert sorted(texts(result)) == ["prêt archive", "prêt ici"]
    assert result.versions == (("library", "v1"), ("archive", "w1"))


async def test_an_empty_corpus_has_no_answer_and_asks_no_index(bench):
    bench.dense.hangs = bench.lexical.hangs = True
    result = await bench.ask("prêt", corpora=(ARCHIVE,))
    assert (result.passages, result.versions, result.degraded) == ((), (("archive", ""),), ())


async def test_a_question_of_stop_words_is_no_error(bench):
    await bench.put(passage("prêt"))
    assert isinstance((await bench.ask("est-ce que ?")).passages, tuple)


async def test_many_questions_at_once_wait_their_turn_and_none_is_late():
    bench = Bench(index_timeout_s=2.0, concurrency=2)
    await bench.put(passage("prêt livre durée"))
    running = most = 0

    async def count():
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.15)
        running -= 1

    bench.dense.before = count
    answers = await asyncio.gather(*(bench.ask("durée du prêt") for _ in range(30)))
    assert most <= 2
    assert all(result.degraded == () for result in answers)
    bench.lexical.inner.close()


async def test_an_index_that_is_late_again_and_again_is_left_alone_for_a_while():
    clock = ManualClock()
    bench = Bench(clock=clock, index_timeout_s=0.3)
    await bench.put(passage("prêt livre durée"))
    bench.dense.hangs = True
    for _ in range(5):
        assert (await bench.ask("durée du prêt")).degraded == ("dense",)
    assert len(bench.dense.limits) == 3
    bench.dense.hangs = False
    clock.advance(6)
    assert (await bench.ask("durée du prêt")).degraded == ()
    bench.lexical.inner.close()


def live(bench, version, *revisions):
    bench.catalogue.views[LIBRARY] = LiveView(version, frozenset(revisions))


@pytest.mark.parametrize("bench", [{"catch_up_s": 0.3}], indirect=True)
async def test_an_index_that_lacks_a_live_document_is_left_out_and_soon_not_waited_for(bench):
    await bench.put(passage("prêt", revision="r1"))
    await bench.dense.inner.add(LIBRARY, [two := passage("prêt nouveau", revision="r2")], vectors_of(two))
    live(bench, "v2", "r1", "r2")
    began = time.monotonic()
    first = await bench.ask("prêt")
    assert time.monotonic() - began >= 0.3
    bench.lexical.limits.clear()
    second = await bench.ask("prêt")
    assert [first.degraded, second.degraded] == [("lexical",)] * 2
    assert "prêt nouveau" in texts(second)
    assert bench.lexical.limits == [], "half of what is live is not searched"
    await bench.lexical.inner.add(LIBRARY, [two])
    assert (await bench.ask("prêt")).degraded == ()


@pytest.mark.parametrize("bench", [{"catch_up_s": 10}], indirect=True)
async def test_an_index_that_catches_up_in_a_moment_is_waited_for(bench):
    await bench.dense.inner.add(LIBRARY, [one := passage("prêt", revision="r1")], vectors_of(one))
    asking = asyncio.ensure_future(bench.ask("prêt"))
    await asyncio.sleep(0.1)
    await bench.lexical.inner.add(LIBRARY, [one])
    assert (await asking).degraded == ()


@pytest.mark.parametrize("bench", [{"catch_up_s": 10}], indirect=True)
async def test_an_index_that_is_ahead_is_searched_at_the_version_that_it_holds(bench):
    await bench.put(passage("prêt nouveau", revision="r2"))
    asking = asyncio.ensure_future(bench.ask("prêt"))
    await asyncio.sleep(0.1)
    live(bench, "v2", "r2")
    found = await asking
    assert (texts(found), found.degraded, found.versions) == (["prêt nouveau"], (), (("library", "v2"),))


@pytest.mark.parametrize("bench", [{"catch_up_s": 0}], indirect=True)
async def test_two_indexes_of_which_neither_is_whole_answer_nothing(bench):
    await bench.put(passage("prêt", revision="r1"))
    live(bench, "v2", "r1", "r2")
    with pytest.raises(RetrievalUnavailable):
        await bench.ask("prêt")


def vectors_of(*passages):
    return np.stack([HashEmbedder().vector(p.indexed_text) for p in passages])
