from __future__ import annotations

from ipaddress import IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from networks.subnet_map import MOST_CELLS, Taken, draw

pytestmark = pytest.mark.pure


def test_a_map_shows_what_is_used_reserved_and_free() -> None:
    taken = [Taken("10.60.0.2", "used", "web-1"), Taken("10.60.0.9", "reserved", "printer")]
    drawn = draw(IPv4Network("10.60.0.0/28"), taken)
    kinds = [cell.kind for cell in drawn.cells]
    assert kinds[:4] == ["own", "own", "used", "free"]
    assert (kinds[9], kinds[15]) == ("reserved", "own")
    assert (drawn.used, drawn.reserved, drawn.free) == (1, 1, 11)
    assert drawn.cells[2].title == "10.60.0.2 web-1"


@given(prefix=st.integers(16, 29), offset=st.integers(2, 5))
def test_a_map_of_any_subnet_stays_small_and_counts_right(prefix: int, offset: int) -> None:
    subnet = IPv4Network(("10.60.0.0", prefix))
    drawn = draw(subnet, [Taken(str(subnet.network_address + offset), "used", "web-1")])
    assert len(drawn.cells) * drawn.per_cell == subnet.num_addresses
    assert len(drawn.cells) <= MOST_CELLS
    assert drawn.total == subnet.num_addresses - 3
    assert any(cell.kind == "used" for cell in drawn.cells)
