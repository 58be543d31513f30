from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path

import pytest

from kvmweb.core.choices import State
from kvmweb.jobs.models import Status
from kvmweb.ui.pages.picture import MOST_VMS, WIDTH, Box, DoorRow, NetworkRow, VmRow, draw

pytestmark = pytest.mark.pure
ROOT = Path(__file__).parent.parent.parent.parent


def door(port: int) -> DoorRow:
    return DoorRow("/f/", f"198.51.100.11:{port}", port, 22, "TCP", "198.51.100.11", State.ACTIVE)


def network(vms: int, doors: int = 1, **changes: object) -> NetworkRow:
    rows = [
        VmRow(
            "/v/",
            f"web-{n}",
            f"10.60.0.{n}",
            State.RUNNING,
            [door(20000 + d) for d in range(doors)],
        )
        for n in range(vms)
    ]
    fields = {
        "url": "/n/",
        "name": "home",
        "subnet": "10.60.0.0/24",
        "way": "out as 198.51.100.11",
        "host": "h1",
        "sources": ["198.51.100.11"],
        "state": State.ACTIVE,
        "vms": rows,
    }
    return NetworkRow(**{**fields, **changes})  # type: ignore[arg-type]


def inside(inner: Box, outer: Box) -> bool:
    below = outer.y <= inner.y and inner.y + inner.height <= outer.y + outer.height
    return below and outer.x <= inner.x and inner.right <= outer.right


@pytest.mark.parametrize(("vms", "doors"), [(0, 0), (1, 0), (1, 1), (3, 4), (40, 9)])
def test_everything_lies_inside_the_picture_and_nothing_on_another(vms: int, doors: int) -> None:
    picture = draw([network(vms, doors), network(1)], ["198.51.100.11"])
    whole = Box(0, 0, WIDTH, picture.height)
    parts = [*picture.networks, *picture.vms, *picture.doors, *picture.addresses]
    assert all(inside(box, whole) for box in parts)
    assert all(any(inside(box, frame) for frame in picture.networks) for box in picture.vms)
    for group in (picture.networks, picture.vms, picture.doors):
        assert all(a.y + a.height <= b.y for a, b in pairwise(group))


def test_a_crowded_network_shows_some_and_counts_the_rest() -> None:
    picture = draw([network(MOST_VMS + 5)], ["198.51.100.11"])
    assert len(picture.vms) == MOST_VMS
    assert picture.networks[0].more == 5


def test_an_isolated_network_has_no_way_out() -> None:
    picture = draw([network(1, 0, way="isolated", sources=[])], [])
    assert [line.kind for line in picture.lines] == []


def test_every_icon_in_use_is_in_the_sprite() -> None:
    known = set(json.loads((ROOT / "static" / "icons.json").read_text()))
    used = {state.icon for state in State} | {status.icon for status in Status}
    for folder in ("kvmweb", "networks", "vms"):
        for template in (ROOT / folder).rglob("templates/**/*.html"):
            used |= set(re.findall(r'(?:icon |icon_name=)"([a-z0-9-]+)"', template.read_text()))
        for module in (ROOT / folder).rglob("context.py"):
            used |= set(re.findall(r'Place\([^)]*?, "[^"]*", "([a-z0-9-]+)"', module.read_text()))
    assert used <= known
