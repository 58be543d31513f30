"""What forwards and networks carried is counted by the kernel and told once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from networks.host.drivers import counters
from networks.host.usage import Usage
from tests.netns import eventually
from tests.networks.host.lab import (
    OUTSIDE,
    PUBLIC,
    Lab,
    assert_converges,
    forward,
    network,
    with_forwards,
)

pytestmark = pytest.mark.kernel

NUMBER = 101


@pytest.fixture
def spec(lab: Lab) -> Any:
    made = network(1, source=None)
    guest = lab.guest(made.reservations[0], made)
    guest.tcp_server(80)
    guest.udp_server(7)
    wanted = with_forwards(
        made,
        forward(1, 1, made.reservations[0]),
        forward(1, 2, made.reservations[0], protocol="udp", public_port=8007, port=7),
    )
    lab.apply(wanted)
    return wanted


def listed(lab: Lab, name: str, number: int = NUMBER) -> tuple[int, int]:
    """Packets and bytes, by the program nft."""
    found = lab.host.nft(f"list set inet kvmweb {name}")
    for entry in next(each["set"]["elem"] for each in found if "set" in each):
        if entry["elem"]["val"] == number:
            return entry["elem"]["counter"]["packets"], entry["elem"]["counter"]["bytes"]
    raise AssertionError(f"{number} is not in {name}")


def test_the_numbers_are_those_that_nft_shows(lab: Lab, spec: Any) -> None:
    for _ in range(3):
        assert lab.internet.ask_tcp(PUBLIC, 8080) == OUTSIDE

    def ours() -> list[tuple[int, int]]:
        counted = lab.host.call(counters.forwards)[NUMBER]
        return [each[1:] for each in (counted.inward, counted.outward)]

    assert eventually(lambda: ours() == [listed(lab, "acct_in"), listed(lab, "acct_out")])
    found = lab.host.call(counters.forwards)
    assert set(found) == {101, 102}
    some = lab.host.call(lambda: counters.some_forwards([NUMBER, 999]))
    assert some == {NUMBER: found[NUMBER]}
    assert found[NUMBER].inward[1] >= 9
    assert found[NUMBER].inward[0] > 0
    assert found[NUMBER].new[1] == 3
    assert found[102].new[1] == 0


def test_a_connection_is_counted_once_however_long_it_stays_one_sided(lab: Lab, spec: Any) -> None:
    """Datagrams that nobody answers are all of state `new`."""
    with lab.internet.udp_socket() as client:
        for _ in range(20):
            client.sendto(b"", (PUBLIC, 8017))
            client.sendto(b"x", (PUBLIC, 8007))
    assert lab.host.call(counters.forwards)[102].new[1] == 1


def test_counting_goes_on_through_a_reload_of_the_rules(lab: Lab, spec: Any) -> None:
    assert lab.internet.ask_tcp(PUBLIC, 8080) == OUTSIDE
    before = lab.host.call(counters.forwards)[NUMBER]
    with lab.reconciler() as reconciler:
        reconciler.release()
        lab.host.run("nft", "flush", "chain", "inet", "kvmweb", "forwarded")
        assert_converges(reconciler, spec)
    after = lab.host.call(counters.forwards)[NUMBER]
    assert (after.inward[0], after.new) == (before.inward[0], before.new)
    assert after.inward[2] >= before.inward[2] > 0
    assert lab.internet.ask_tcp(PUBLIC, 8080) == OUTSIDE
    assert lab.host.call(counters.forwards)[NUMBER].new[1] == 2


def test_what_begins_anew_has_another_stamp(lab: Lab, spec: Any) -> None:
    before = lab.host.call(counters.forwards)[NUMBER]
    bridge = lab.host.call(counters.bridges)["kw1"]
    lab.host.ip("link delete kw1")
    lab.host.run("nft", "delete", "table", "inet", "kvmweb")
    lab.apply(spec)
    after = lab.host.call(counters.forwards)[NUMBER]
    assert after.inward[0] != before.inward[0]
    assert after.new[0] != before.new[0]
    assert lab.host.call(counters.bridges)["kw1"].inward[0] != bridge.inward[0]


def test_a_network_counts_what_crosses_its_bridge(lab: Lab, spec: Any) -> None:
    assert lab.internet.ask_tcp(PUBLIC, 8080) == OUTSIDE

    def shown() -> list[int]:
        (link,) = lab.host.ip("-s link show dev kw1")
        return [link["stats64"][way][what] for way in ("tx", "rx") for what in ("packets", "bytes")]

    def ours() -> list[int]:
        counted = lab.host.call(counters.bridges)["kw1"]
        return [*counted.inward[1:], *counted.outward[1:]]

    assert eventually(lambda: ours() == shown())
    assert min(ours()) > 0


class Hasty(Usage):
    """Reads whenever it is asked."""

    def news(self) -> Iterator[dict[str, Any]]:
        self._due = 0.0
        return super().news()


def told(lab: Lab, usage: Usage) -> list[int]:
    found: Callable[[], list[dict[str, Any]]] = lambda: list(usage.news())  # noqa: E731
    return [entry[0] for payload in lab.host.call(found) for entry in payload["forwards"]]


def test_only_what_moved_is_told_and_what_was_not_sent_is_told_again(lab: Lab, spec: Any) -> None:
    usage = Hasty()
    assert sorted(told(lab, usage)) == [101, 102]
    assert told(lab, usage) == []
    assert lab.internet.ask_udp(PUBLIC, 8007) == OUTSIDE
    with lab.host.entered():
        assert next(usage.news())  # and the sender fails, so the next is never asked for
    assert told(lab, usage) == [102]
    assert told(lab, usage) == []
    assert lab.internet.ask_tcp(PUBLIC, 8080) == OUTSIDE
    (payload,) = lab.host.call(lambda: list(usage.news()))
    assert payload["seconds"] > 0
    (anew,) = lab.host.call(lambda: list(Hasty().news()))
    assert anew["seconds"] is None
