"""Client processes, emulated machines and contenders together, as bench_pool runs them."""

import pytest

from devstack import nginx, redis
from loadtests.pool.arrivals import Arrival
from loadtests.pool.attempts import over_admitted
from loadtests.pool.crew import crew
from loadtests.pool.fleet import fleet
from loadtests.pool.job import Job, addresses
from loadtests.pool.machines import MODEL, Machine, slots_of
from loadtests.pool.nginx import balanced

MACHINES = (Machine("a", slots=2, speed=10.0), Machine("b", slots=1, speed=10.0))
ARRIVALS = [Arrival(n, 0.02 * n, 60, 40, MODEL, f"s-{n % 3}") for n in range(1, 13)]


@pytest.fixture(scope="module")
def running():
    with fleet(MACHINES) as it:
        yield it


def played(running, contender, *, processes=2, front_url="", redis_url="", within_s=60.0):
    for instance in running:
        instance.begin_anew()
    factory = f"loadtests.pool.contenders:{contender}"
    job = Job(factory, 0, addresses(running), (), "", front_url=front_url, redis_url=redis_url)
    with crew(job, ARRIVALS, processes) as clients:
        start_s = clients.begin()
        records = clients.finish(within_s)
    return start_s, records, [attempt for instance in running for attempt in instance.attempts()]


@pytest.mark.parametrize(("contender", "processes"), [("naive", 2), ("round_robin", 2), ("ours", 1)])
def test_every_request_is_answered_whole_and_known_to_both_sides(running, contender, processes):
    start_s, records, attempts = played(running, contender, processes=processes)
    assert sorted(r.id for r in records) == [a.id for a in ARRIVALS]
    assert {r.outcome for r in records} == {"done"}
    assert [(r.lost, r.twice) for r in records] == [(0, 0)] * 12
    assert {r.process for r in records} == set(range(processes))
    assert sum(instance.cached_tokens() for instance in running) < 2 * len(ARRIVALS)
    where = {a.arrival: a for a in attempts}
    assert len(attempts) == len(where) == 12
    for r in records:
        assert r.assigned[0][1] == where[r.id].instance
        assert start_s < r.arrived_s <= where[r.id].arrive_s <= where[r.id].slot_s < r.ended_s
        assert where[r.id].slot_s < r.first_s


@pytest.mark.skipif(redis.program() is None, reason="redis-server is not installed")
def test_our_pool_in_two_processes_shares_its_slots_through_a_redis_of_its_own(running):
    with redis.redis_server() as server:
        _, records, attempts = played(running, "ours", redis_url=server.url)
    assert [(r.outcome, r.lost, r.twice) for r in records] == [("done", 0, 0)] * 12
    assert over_admitted(attempts, slots_of(MACHINES)) == 0


@pytest.mark.skipif(nginx.program() is None, reason="nginx is not installed")
def test_a_real_nginx_stands_before_the_instances(running):
    with balanced([instance.url for instance in running]) as url:
        _, records, attempts = played(running, "nginx", front_url=url)
    assert {r.outcome for r in records} == {"done"}
    assert {a.instance for a in attempts} == {"a", "b"}


def test_a_client_process_that_is_killed_takes_only_its_own_readers_along(running):
    job = Job("loadtests.pool.contenders:naive", 0, addresses(running), (), "")
    with crew(job, ARRIVALS, 2) as clients:
        clients.begin()
        clients.processes[1].kill()
        records = clients.finish(60.0)
    assert {r.outcome for r in records if r.process == 0} == {"done"}
    assert len([r for r in records if r.process == 0]) == 6


def test_a_client_process_that_can_not_begin_is_named(running):
    job = Job("loadtests.pool.contenders:nobody", 0, addresses(running), (), "")
    with crew(job, ARRIVALS, 1) as clients, pytest.raises(RuntimeError, match="did not get ready"):
        clients.begin()
