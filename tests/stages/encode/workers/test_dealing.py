from hypothesis import given
from hypothesis import strategies as st

from stages.encode.units import WorkUnit, units_of
from stages.encode.workers.dealing import AHEAD, Dealing

UNITS = units_of("texts", 400, 1)  # 50


def deal(dealing: Dealing, *workers: str) -> dict[str, list[WorkUnit]]:
    """One each in turn, until everybody has enough."""
    found: dict[str, list[WorkUnit]] = {name: [] for name in workers}
    given = True
    while given:
        given = False
        for name in workers:
            unit = dealing.next_for(name)
            if unit is not None:
                found[name].append(unit)
                given = True
    return found


def test_units_are_dealt_in_their_order_and_no_worker_has_more_than_enough():
    dealing = Dealing(UNITS)
    found = deal(dealing, "a", "b")
    assert found == {"a": UNITS[0 : 2 * AHEAD : 2], "b": UNITS[1 : 2 * AHEAD : 2]}
    assert dealing.next_for("a") is None
    assert dealing.done(UNITS[0])
    assert dealing.next_for("a") == UNITS[2 * AHEAD]


def test_what_a_worker_had_is_dealt_again_before_all_else():
    dealing = Dealing(UNITS)
    had = deal(dealing, "a", "b")["a"]
    dealing.done(had[0])
    dealing.lost("a")
    assert dealing.held("a") == []
    assert deal(dealing, "c")["c"] == [*had[1:], UNITS[2 * AHEAD]]
    assert dealing.copies == 0


def test_who_has_nothing_left_gets_a_copy_of_what_was_dealt_last():
    dealing = Dealing(UNITS[:3])
    assert deal(dealing, "a")["a"] == UNITS[:3]
    assert dealing.next_for("b") == UNITS[2]
    assert dealing.next_for("b") is None  # one at a time
    assert dealing.next_for("c") == UNITS[1]
    assert dealing.copies == 2
    assert dealing.done(UNITS[2])
    assert not dealing.done(UNITS[2])  # by the other one
    assert dealing.held("a") == UNITS[:2]
    dealing.lost("a")
    assert dealing.next_for("b") == UNITS[0]  # the other two are in hand


def test_no_unit_is_in_more_than_two_hands():
    dealing = Dealing(UNITS[:1])
    found = deal(dealing, "a", "b", "c", "d")
    assert [len(units) for units in found.values()] == [1, 1, 0, 0]


@given(st.data())
def test_whatever_happens_every_unit_is_done(data: st.DataObject):
    """Workers end units in whatever order, are lost and replaced; one is there at the end."""
    units = UNITS[: data.draw(st.integers(1, 50))]
    dealing, workers, names, news = Dealing(units), ["0"], 1, 0
    for _ in range(data.draw(st.integers(0, 200))):
        deal(dealing, *workers)
        assert all(len(dealing.held(name)) <= AHEAD for name in workers)
        event = data.draw(st.sampled_from(["join", "leave", "done", "done", "done"]))
        if event == "join" and len(workers) < 5:
            workers.append(str(names))
            names += 1
        elif event == "leave" and len(workers) > 1:
            dealing.lost(workers.pop(data.draw(st.integers(0, len(workers) - 1))))
        else:
            held = dealing.held(data.draw(st.sampled_from(workers)))
            if held:
                news += dealing.done(held[0])
    for name in workers[1:]:
        dealing.lost(name)
    while not dealing.is_over:
        deal(dealing, workers[0])
        news += dealing.done(dealing.held(workers[0])[0])
    assert news == len(units)
