"""Where nodes are drawn: right of what feeds them, and never over each other."""

from __future__ import annotations

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from libs.graph.placing import Box, Size, around, columns, placed

CHAIN = {"load": [], "text": ["load"], "blank": [], "sample": ["load", "text", "blank"]}


@st.composite
def graphs(draw) -> dict[str, list[str]]:
    """Draw a graph without cycles: each node may need any before it."""
    names = [str(number) for number in range(draw(st.integers(1, 12)))]
    return {
        name: draw(st.lists(st.sampled_from(names[:place]), unique=True, max_size=4))
        if place
        else []
        for place, name in enumerate(names)
    }


def test_a_node_stands_right_of_what_feeds_it_and_a_source_right_before_its_use():
    assert columns(CHAIN) == [["load"], ["text", "blank"], ["sample"]]
    assert columns(CHAIN, ["blank"]) == [["load", "blank"], ["text"], ["sample"]]


def test_on_a_cycle_every_node_still_has_a_place():
    found = columns({"a": ["b"], "b": ["a"], "c": []})
    assert sorted(name for column in found for name in column) == ["a", "b", "c"]


@given(graphs(), st.data())
def test_no_two_nodes_overlap_and_every_wire_leads_right(sources, data):
    sizes = {
        name: Size(data.draw(st.integers(50, 500)), data.draw(st.integers(20, 700)))
        for name in sources
    }
    boxes = {name: box for column in placed(sizes, sources) for name, box in column.items()}
    assert {name: (box.width, box.height) for name, box in boxes.items()} == {
        name: (size.width, size.height) for name, size in sizes.items()
    }
    assert not any(one.overlaps(other) for one, other in combinations(boxes.values(), 2))
    for name, needs in sources.items():
        assert all(boxes[need].x + boxes[need].width < boxes[name].x for need in needs)


class Counted(dict[str, Size]):
    """Sizes that count how often they are looked at."""

    looks = 0

    def __getitem__(self, name: str) -> Size:
        self.looks += 1
        return super().__getitem__(name)


def test_twice_as_many_nodes_are_twice_the_work_and_no_more():
    def looks(count: int) -> int:
        sizes = Counted({str(number): Size(100, 100) for number in range(count)})
        chain = {str(number): [str(number - 1)][:number] for number in range(count)}
        assert len(placed(sizes, chain)) == count
        return sizes.looks

    assert looks(400) == 2 * looks(200)


def test_a_frame_holds_what_it_is_drawn_around():
    frame = around([Box(0, 0, 10, 10), Box(20, 30, 10, 10)], margin=5, head=7)
    assert frame == Box(-5, -12, 40, 57)
