"""What a round of faults is judged by, on records made by hand."""

from dataclasses import dataclass

from loadtests.pool.arrivals import Arrival
from loadtests.pool.machines import MODEL, Machine
from loadtests.pool.records import DONE, Record, Told
from loadtests.pool.rounds import COLUMNS, judged


@dataclass
class Up:
    machine: Machine


RUNNING = [Up(Machine("a", slots=2)), Up(Machine("b", slots=2))]


def record(number, *assigned, told=(), outcome=DONE, **more) -> Record:
    return Record(
        number, 0, MODEL, "s", 0.0, assigned=list(assigned), told=[Told(at_s, 1, 0.0, 1.0) for at_s in told],
        ended_s=9.0, outcome=outcome, **more,
    )  # fmt: skip


def verdict(*records, bad="a", trips_at=1):
    asked = [Arrival(n, 0.0, 60, 10, MODEL, "s") for n in range(1, 6)]
    return judged(records, [], asked, RUNNING, (4.0, 8.0), bad, trips_at)


def test_a_request_that_moved_was_noticed_when_it_stood_in_line_again():
    found = verdict(record(1, (1.0, "a"), (6.0, "b"), told=[0.5, 4.5]), record(2, (1.0, "b")))
    assert found.noticed_s == (0.5, 0.5)
    assert found.reroute_s == (2.0, 2.0)
    assert found.attempts == 1.5
    assert found.gone == 3


def test_who_is_sent_to_the_bad_instance_after_it_was_given_up_is_counted():
    moved = [record(n, (1.0, "a"), (4.0 + n, "b")) for n in (1, 2)]
    late = record(3, (6.5, "a"))
    assert verdict(*moved, late).after_ejection == 1
    assert verdict(*moved, late, trips_at=2).after_ejection == 1
    assert verdict(moved[0], late, trips_at=2).after_ejection == 0, "it was not given up yet"
    assert verdict(*moved, record(3, (8.5, "a"))).after_ejection == 0, "it was well again"


def test_errors_are_counted_by_code_and_those_without_a_time_to_return():
    failed = [record(1, outcome="no_instance", retry_after_s=3.0), record(2, outcome="engine_unreachable")]
    found = verdict(*failed, record(3, (1.0, "b"), lost=1, twice=2))
    assert found.errors == {"no_instance": 1, "engine_unreachable": 1}
    assert (found.unannounced, found.lost, found.twice) == (1, 1, 2)
    assert len(found.row()) == len(COLUMNS)
