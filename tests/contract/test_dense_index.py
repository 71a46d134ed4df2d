import asyncio
from contextlib import AsyncExitStack, asynccontextmanager

import numpy as np
import pytest

from backend.config import Settings
from backend.core.errors import RetrievalUnavailable, StorageFull
from backend.corpus.base import CorpusRef, LiveView
from backend.infra.http import open_session
from backend.retrieval.chroma import ChromaIndex
from backend.retrieval.chroma_rows import collection_name
from backend.retrieval.chroma_server import ChromaServerIndex
from backend.retrieval.memory import MemoryDenseIndex
from backend.wiring.indexes import open_indexes
from tests.support.chroma_server import chroma_server
from tests.support.shelf import LIBRARY, HashEmbedder, passage


@pytest.fixture(scope="module")
def server():
    with chroma_server() as running:
        yield running


@asynccontextmanager
async def on_server(url, embedder, **options):
    async with open_session() as session:
        yield ChromaServerIndex(session, url, embedder, **options)


@pytest.fixture(params=["memory", "chroma", "chroma server"])
async def index(request, tmp_path):
    if request.param == "chroma server":
        url = request.getfixturevalue("server").url
        async with on_server(url, f"hash/{tmp_path}") as made:  # every test has collections of its own
            yield made
        return
    made = MemoryDenseIndex() if request.param == "memory" else ChromaIndex(tmp_path / "chroma", "hash/1")
    yield made
    made.close()


def vectors(passages):
    return np.stack([HashEmbedder().vector(p.text) for p in passages])


async def put(index, *passages, corpus=LIBRARY):
    await index.add(corpus, passages, vectors(passages))


async def test_a_passage_comes_back_whole(index):
    one = passage(
        "Le prêt\n dure « 3 » semaines 🤖", title="Règles", headings=("A",), page=3, lead="Carte | Durée"
    )
    two = passage("unrelated words", language="en")
    await put(index, one, two)
    hits = await index.search(LIBRARY, vectors([one])[0], 2)
    assert [hit.passage for hit in hits] == [one, two]


async def test_the_score_is_the_cosine_best_first(index):
    some = [passage(text) for text in ("a b c d", "a b x y", "w x y z")]
    await put(index, *some)
    hits = await index.search(LIBRARY, vectors(some)[0], 3)
    assert [hit.passage for hit in hits] == some
    wanted = vectors(some) @ vectors(some)[0]
    assert [hit.score for hit in hits] == pytest.approx(wanted, abs=1e-4)


async def test_no_more_than_the_limit(index):
    await put(index, *(passage(f"word {i}") for i in range(5)))
    assert len(await index.search(LIBRARY, vectors([passage("word")])[0], 2)) == 2
    assert len(await index.search(LIBRARY, vectors([passage("word")])[0], 50)) == 5


async def test_vectors_come_back_as_they_were_written(index):
    some = [passage(f"word {i}") for i in range(3)]
    assert await index.vectors(LIBRARY, [some[0].id]) == {}
    await put(index, *some)
    found = await index.vectors(LIBRARY, [some[2].id, "nothing", some[0].id])
    assert found.keys() == {some[0].id, some[2].id}
    np.testing.assert_allclose(found[some[2].id], vectors(some)[2], atol=1e-6)
    assert await index.vectors(LIBRARY, []) == {}


async def test_the_same_id_replaces(index):
    await put(index, passage("old text", id="p"))
    await put(index, passage("new text", id="p", revision="r2"))
    hits = await index.search(LIBRARY, vectors([passage("new text")])[0], 5)
    assert [(h.passage.text, h.passage.revision) for h in hits] == [("new text", "r2")]
    assert await index.count(LIBRARY) == 1


async def test_a_removed_revision_is_gone_and_others_stay(index):
    await put(index, passage("a", revision="r1"), passage("b", revision="r1"), passage("c", revision="r2"))
    await index.remove(LIBRARY, ["r1", "never-seen"])
    assert await index.count(LIBRARY) == 1
    hits = await index.search(LIBRARY, vectors([passage("a")])[0], 5)
    assert [h.passage.revision for h in hits] == ["r2"]


async def test_any_number_of_revisions_is_removed_at_once(index):
    await put(index, passage("a", revision="r1"), passage("b", revision="r2"), passage("c", revision="r3"))
    await index.remove(LIBRARY, ["r1", *(f"gone-{n}" for n in range(70_000)), "r2"])
    hits = await index.search(LIBRARY, vectors([passage("a")])[0], 5)
    assert [h.passage.revision for h in hits] == ["r3"]


async def test_it_says_which_version_it_was_last_said_to_hold(index):
    assert await index.held(LIBRARY) == ""
    await put(index, passage("a"))
    assert await index.held(LIBRARY) == ""
    await index.hold(LIBRARY, "v1")
    await index.hold(LIBRARY, "v2")
    assert await index.held(LIBRARY) == "v2"
    assert await index.held(CorpusRef("city", "archive")) == ""
    assert await index.count(LIBRARY) == 1


async def test_it_covers_what_it_holds(index):
    view = LiveView("v1", frozenset({"r1"}))
    assert not await index.covers(LIBRARY, view)
    await put(index, passage("a", revision="r1"))
    await index.hold(LIBRARY, "v1")
    assert await index.covers(LIBRARY, view)


async def test_it_counts_the_passages_of_revisions(index):
    assert not any((await index.counts(LIBRARY, ["r1"])).values())
    await put(
        index,
        passage("a", revision="r1"),
        passage("b", revision="r1"),
        passage("c", revision="r2"),
        passage("d", revision="r3"),
    )
    await index.remove(LIBRARY, ["r3"])
    counts = await index.counts(LIBRARY, ["r1", "r3", *(f"gone-{n}" for n in range(500))])
    assert (counts.get("r1", 0), counts.get("r3", 0), counts.get("gone-1", 0)) == (2, 0, 0)


async def test_all_but_some_revisions_are_removed(index):
    await index.keep_only(LIBRARY, {"r1"})
    await put(
        index,
        passage("a", revision="r1"),
        passage("b", revision="r1"),
        passage("c", revision="r2"),
        passage("d", revision="r3"),
    )
    await index.keep_only(LIBRARY, {"r1", "never-seen"})
    assert await index.count(LIBRARY) == 2


async def test_tenants_and_corpora_do_not_share(index):
    await put(index, passage("a"))
    for other in (
        CorpusRef("village", "library"),
        CorpusRef("city", "archive"),
        CorpusRef("citylibrary", ""),
    ):
        assert await index.search(other, vectors([passage("a")])[0], 5) == ()
        assert await index.count(other) == 0


async def test_a_corpus_that_never_was_is_empty(index):
    nowhere = CorpusRef("nobody", "nothing")
    await index.remove(nowhere, ["r1"])
    assert await index.count(nowhere) == 0


async def test_nothing_to_write_is_no_error(index):
    await index.add(LIBRARY, (), np.zeros((0, 64), np.float32))
    await index.remove(LIBRARY, ())
    assert await index.count(LIBRARY) == 0


async def test_writers_and_readers_at_once_lose_nothing(index):
    await put(index, passage("w0"))  # Chroma's server answers 500 while a collection gets its first vectors
    batches = [[passage(f"w{i} w{j}") for j in range(5)] for i in range(8)]
    async with asyncio.TaskGroup() as group:
        for batch in batches:
            group.create_task(put(index, *batch))
            group.create_task(index.search(LIBRARY, vectors([passage("w1")])[0], 3))
    assert await index.count(LIBRARY) == 41


async def test_a_reopened_chroma_holds_what_was_acknowledged(tmp_path):
    one = passage("a b c")
    first = ChromaIndex(tmp_path, "hash/1")
    await put(first, one)
    await first.hold(LIBRARY, "v1")
    first.close()
    again = ChromaIndex(tmp_path, "hash/1")
    assert await again.held(LIBRARY) == "v1"
    assert [h.passage for h in await again.search(LIBRARY, vectors([one])[0], 5)] == [one]
    again.close()


async def test_vectors_of_another_embedder_never_meet(tmp_path):
    first = ChromaIndex(tmp_path, "hash/1")
    await put(first, passage("a"))
    other = ChromaIndex(tmp_path, "hash/2")
    assert await other.count(LIBRARY) == 0
    first.close()
    other.close()


async def test_many_processes_that_begin_at_once_write_to_one_collection(server, tmp_path):
    async with AsyncExitStack() as stack:
        several = [await stack.enter_async_context(on_server(server.url, str(tmp_path))) for _ in range(4)]
        batches = [[passage(f"w{i} w{j}") for j in range(5)] for i in range(len(several))]
        await asyncio.gather(*(put(one, *some) for one, some in zip(several, batches, strict=True)))
        assert [await one.count(LIBRARY) for one in several] == [20] * len(several)


async def test_a_collection_that_was_lost_is_not_believed_before_it_is_whole_again(server, tmp_path):
    one = passage("a")
    async with on_server(server.url, str(tmp_path)) as reader, on_server(server.url, str(tmp_path)) as writer:
        await put(writer, one)
        await writer.hold(LIBRARY, "v1")
        assert [h.passage for h in await reader.search(LIBRARY, vectors([one])[0], 5)] == [one]
        await lost(server.url, str(tmp_path))
        with pytest.raises(RetrievalUnavailable, match="lost"):
            await reader.search(LIBRARY, vectors([one])[0], 5)
        assert (await writer.held(LIBRARY), await writer.count(LIBRARY)) == ("", 0)
        await put(writer, one)
        assert not await reader.covers(LIBRARY, LiveView("v1", frozenset({"r1"})))
        await writer.hold(LIBRARY, "v1")
        assert await reader.covers(LIBRARY, LiveView("v1", frozenset({"r1"})))
        assert [h.passage for h in await reader.search(LIBRARY, vectors([one])[0], 5)] == [one]


async def lost(url, embedder):
    path = f"{url}/api/v2/tenants/default_tenant/databases/default_database/collections"
    async with open_session() as session:
        await session.delete(f"{path}/{collection_name(LIBRARY, embedder)}")


async def test_vectors_of_another_length_are_told(server, tmp_path):
    async with on_server(server.url, str(tmp_path)) as index:
        await put(index, passage("a"))
        with pytest.raises(RetrievalUnavailable, match="of another length"):
            await index.search(LIBRARY, np.ones(8, np.float32), 5)
        with pytest.raises(RetrievalUnavailable, match="of another length"):
            await index.add(LIBRARY, [passage("b")], np.ones((1, 8), np.float32))


async def test_a_server_that_hangs_costs_no_more_than_its_time(server, tmp_path):
    async with on_server(server.url, str(tmp_path), timeout_s=0.3) as index:
        await put(index, passage("a"))
        server.hang()
        try:
            async with asyncio.timeout(5):
                with pytest.raises(RetrievalUnavailable, match="does not answer"):
                    await index.search(LIBRARY, vectors([passage("a")])[0], 5)
        finally:
            server.go_on()
        assert len(await index.search(LIBRARY, vectors([passage("a")])[0], 5)) == 1


@pytest.mark.parametrize(
    ("answer", "error", "said"),
    [
        (b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n", RetrievalUnavailable, "LIBRI_DATA__CHROMA_TOKEN"),
        (b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n", RetrievalUnavailable, "answers 500"),
        (b"HTTP/1.1 500 No\r\nContent-Length: 23\r\n\r\nNo space left on device", StorageFull, "no space"),
        (b"HTTP/1.1 200 Ok\r\nContent-Length: 6\r\n\r\n<html>", RetrievalUnavailable, "no Chroma server"),
        (b"HTTP/1.1 200 Ok\r\nContent-Length: 2\r\n\r\n[]", RetrievalUnavailable, "no Chroma server"),
        (b"HTTP/1.1 302 Go\r\nLocation: /\r\nContent-Length: 0\r\n\r\n", RetrievalUnavailable, "answers 302"),
        (b"SSH-2.0-OpenSSH_9.9\r\n", RetrievalUnavailable, "does not answer"),
        (b"", RetrievalUnavailable, "does not answer"),
    ],
)
async def test_what_is_no_answer_of_chroma_is_an_index_that_is_away(answer, error, said):
    asked = []

    async def say(reader, writer):
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer)
        writer.close()

    stranger = await asyncio.start_server(say, "127.0.0.1", 0)
    async with stranger, open_session() as session:
        url = f"http://127.0.0.1:{stranger.sockets[0].getsockname()[1]}"
        index = ChromaServerIndex(session, url, "hash/1", headers={"X-Chroma-Token": "t"}, timeout_s=1)
        with pytest.raises(error, match=said):
            await index.search(LIBRARY, vectors([passage("a")])[0], 5)
    assert b"X-Chroma-Token: t" in asked[0]


async def test_credentials_of_the_settings_reach_the_server(tmp_path):
    asked = []

    async def refuse(reader, writer):
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    stranger = await asyncio.start_server(refuse, "127.0.0.1", 0)
    async with stranger, AsyncExitStack() as stack:
        place = f"127.0.0.1:{stranger.sockets[0].getsockname()[1]}"
        for address in (f"http://{place}", f"http://u:p%40ss@{place}/behind/"):
            data = {"dir": tmp_path, "chroma_url": address, "chroma_token": "hunter2"}
            dense, _ = await open_indexes(stack, Settings(data=data), HashEmbedder())
            with pytest.raises(RetrievalUnavailable, match="refuses the credential") as refused:
                await dense.count(LIBRARY)
            assert "hunter2" not in str(refused.value)
    assert b"Authorization: Bearer hunter2" in asked[0]
    assert b"X-Chroma-Token: hunter2" in asked[1]
    assert b"GET /behind/api/v2/" in asked[1]
    assert b"Authorization: Basic dTpwQHNz" in asked[1]
