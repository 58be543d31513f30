"""Names that would mean more than a name in a file or a command are refused on the host too."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kvmweb.core.errors import HostError
from networks.host.preflight import check_form
from networks.host.spec import NamesSpec, NetworkSpec
from tests.networks.host.lab import network

pytestmark = pytest.mark.pure

GOOD = replace(network(1, guests=1), names=NamesSpec(domain="office.internal"))
GUEST = GOOD.reservations[0]
WRONG = [
    replace(GOOD, bridge="../kw1"),
    replace(GOOD, names=NamesSpec(domain="office\noption:router,10.0.0.1")),
    replace(GOOD, names=NamesSpec(domain="office,internal")),
    replace(GOOD, names=NamesSpec(domain="")),
    replace(GOOD, reservations=(replace(GUEST, hostname="a,ignore"),)),
    replace(GOOD, reservations=(replace(GUEST, mac="52:54:00:00:00:01,x"),)),
    replace(GOOD, reservations=(replace(GUEST, port="eth0"),)),
]


def test_names_are_names() -> None:
    check_form(GOOD)


@pytest.mark.parametrize("spec", WRONG)
def test_what_could_mean_more_is_refused(spec: NetworkSpec) -> None:
    with pytest.raises(HostError) as caught:
        check_form(spec)
    assert caught.value.code == "bad_spec"
