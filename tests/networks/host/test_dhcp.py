"""Addresses by DHCP, asked for by a real client on a real bridge."""

from __future__ import annotations

import os
import signal
import socket
import struct
import time
from dataclasses import replace

import pytest

from networks.host.ops import StartDhcp
from networks.host.spec import NetworkSpec, ReservationSpec
from tests.netns import Namespace, eventually
from tests.networks.host.lab import OUTSIDE, Lab, absent, assert_converges, network

pytestmark = pytest.mark.kernel

_SCRIPT = """#!/bin/sh
[ "$1" = bound ] || exit 0
echo "ip=$ip mask=$mask router=$router dns=$dns broadcast=$broadcast hostname=$hostname mtu=$mtu" \
  "domain=$domain search=$search lease=$lease"
"""


def lease(lab: Lab, guest: Namespace, seconds: int = 3) -> dict[str, str]:
    """What udhcpc is given on eth0; empty when nobody answers."""
    script = lab.folder / "udhcpc.sh"
    script.write_text(_SCRIPT)
    script.chmod(0o755)
    out = guest.run(
        *("busybox", "udhcpc", "-i", "eth0", "-n", "-q", "-f", "-T", "1", "-t", str(seconds)),
        *("-O", "hostname", "-O", "mtu", "-O", "search", "-s", str(script)),
        check=False,
    )
    line = next((line for line in out.splitlines() if line.startswith("ip=")), "")
    return dict(word.partition("=")[::2] for word in line.split(" ") if "=" in word)


def pid(lab: Lab) -> int:
    (found,) = lab.host.pids()
    return found


def test_guests_are_told_everything_they_need(lab: Lab) -> None:
    first, second = network(1), replace(network(2), mtu=1400, mode="isolated")
    guests = [lab.cable(spec.reservations[0]) for spec in (first, second)]
    lab.apply(first)
    lab.apply(second)
    assert lease(lab, guests[0]) == {
        "ip": "10.61.0.2",
        "mask": "24",
        "router": "10.61.0.1",
        "dns": OUTSIDE,
        "broadcast": "10.61.0.255",
        "hostname": "guest12",
        "mtu": "",
        "domain": "",
        "search": "",
        "lease": "3600",
    }
    told = lease(lab, guests[1])
    assert (told["ip"], told["router"], told["dns"], told["mtu"]) == ("10.62.0.2", "", "", "1400")


def test_two_tenants_may_use_the_same_host_name(lab: Lab) -> None:
    specs = [_named(network(number, guests=1), "web") for number in (1, 2)]
    for spec in specs:
        guest = lab.cable(spec.reservations[0])
        lab.apply(spec)
        assert lease(lab, guest)["hostname"] == "web"


def test_an_unknown_mac_gets_nothing_and_a_new_reservation_works_at_once(lab: Lab) -> None:
    spec = network(guests=2)
    first, second = spec.reservations
    guest = lab.cable(second)
    lab.apply(replace(spec, reservations=(first,)))
    server = pid(lab)
    assert lease(lab, guest, 1) == {}
    lab.apply(spec)
    assert lease(lab, guest)["ip"] == second.address
    assert pid(lab) == server


def test_a_reservation_that_changes_hands_is_given_to_the_new_one(lab: Lab) -> None:
    spec = network(guests=2)
    first, second = spec.reservations
    guests = {of.id: lab.cable(of) for of in spec.reservations}
    lab.apply(replace(spec, reservations=(first,)))
    assert lease(lab, guests[first.id])["ip"] == first.address
    heir = replace(second, address=first.address)
    lab.apply(replace(spec, reservations=(heir,)))
    assert eventually(lambda: lease(lab, guests[second.id], 1)).get("ip") == first.address
    assert lease(lab, guests[first.id], 1) == {}


def test_dnsmasq_outlives_the_worker_and_is_adopted(lab: Lab) -> None:
    spec = network()
    lab.apply(spec)
    server = pid(lab)
    with lab.reconciler() as reconciler:
        assert reconciler.check(spec) == ()
        assert_converges(reconciler, network(2))
    assert pid(lab) == server


def test_a_dead_dnsmasq_is_started_again(lab: Lab) -> None:
    spec = network()
    lab.apply(spec)
    os.kill(pid(lab), signal.SIGKILL)
    eventually(lambda: not lab.host.pids())
    with lab.reconciler() as reconciler:
        assert reconciler.check(spec) == (StartDhcp(),)
        assert_converges(reconciler, spec)
    assert pid(lab)


def test_another_process_with_its_number_is_left_alone(lab: Lab) -> None:
    spec = network()
    other = lab.host.start("sleep", "60")
    folder = lab.paths.run / "dnsmasq"
    folder.mkdir(parents=True)
    (folder / "dnsmasq.pid").write_text(str(other.pid))
    lab.apply(spec)
    lab.apply(absent(spec))
    with lab.reconciler() as reconciler:
        reconciler.remove_all()
    assert other.poll() is None
    other.kill()
    other.communicate()


def test_a_reload_that_a_crash_prevented_is_made_up_for(lab: Lab) -> None:
    spec = network(guests=1)
    guest = lab.cable(spec.reservations[0])
    lab.apply(spec)
    folder = lab.paths.run / "dnsmasq"
    (folder / "reload-due").touch()
    (folder / "hosts" / "kw1.520000000102").unlink()
    lab.apply(replace(spec, reservations=()))
    assert not (folder / "reload-due").exists()
    assert lease(lab, guest, 1) == {}


def test_a_guest_gets_its_new_address_and_the_time_it_may_keep_it(lab: Lab) -> None:
    spec = network(guests=1)
    (first,) = spec.reservations
    guest = lab.cable(first)
    lab.apply(spec)
    server = pid(lab)
    assert lease(lab, guest)["ip"] == first.address
    moved = replace(first, address="10.61.0.77", hostname="moved")
    lab.apply(replace(spec, reservations=(moved,), lease_seconds=600))
    told = lease(lab, guest)
    assert (told["ip"], told["hostname"], told["lease"]) == ("10.61.0.77", "moved", "600")
    assert pid(lab) == server


def test_dnsmasq_survives_a_removal_after_a_guest_asked(lab: Lab) -> None:
    spec = network(guests=2)
    guest = lab.cable(spec.reservations[0])
    lab.apply(spec)
    server = pid(lab)
    for reservations in (spec.reservations[:1], spec.reservations, spec.reservations[:1]):
        assert lease(lab, guest)["ip"] == spec.reservations[0].address
        lab.apply(replace(spec, reservations=reservations))
    assert lease(lab, guest)["ip"] == spec.reservations[0].address
    assert pid(lab) == server


def test_a_changed_resolver_reaches_the_guests(lab: Lab) -> None:
    spec = network(guests=1)
    guest = lab.cable(spec.reservations[0])
    lab.apply(spec)
    lab.resolv.write_text("nameserver 9.9.9.9\nnameserver 198.51.100.10\n")
    lab.apply(spec)
    assert eventually(lambda: lease(lab, guest).get("dns") == "9.9.9.9")


@pytest.mark.parametrize("hostname", ["ignore", "infinite", "5", "1h"])
def test_no_name_is_taken_for_an_order(lab: Lab, hostname: str) -> None:
    spec = _named(network(guests=1), hostname)
    guest = lab.cable(spec.reservations[0])
    lab.apply(spec)
    assert lease(lab, guest)["ip"] == spec.reservations[0].address


def test_a_guest_asks_in_nobody_elses_name(lab: Lab) -> None:
    """Neither what another tenant's guest is called is told, nor is its address taken away."""
    victim, attacker = network(1, guests=1), network(2, guests=1)
    theirs, mine = victim.reservations[0], attacker.reservations[0]
    guest, hostile = lab.cable(theirs), lab.guest(mine, attacker)
    for spec in (victim, attacker):
        lab.apply(spec)
    assert lease(lab, guest)["ip"] == theirs.address
    forged = [
        _dhcp(mine.mac, _DISCOVER, chaddr=theirs.mac),
        _dhcp(mine.mac, _DISCOVER, chaddr=theirs.mac, giaddr=mine.address),
        _dhcp(mine.mac, _INFORM, chaddr=theirs.mac, ciaddr=theirs.address),
        _dhcp(mine.mac, _INFORM, ciaddr=theirs.address, source=mine.address),
        _dhcp(mine.mac, _DECLINE, _option(50, theirs.address), chaddr=theirs.mac),
        _dhcp(mine.mac, _RELEASE, chaddr=theirs.mac, ciaddr=theirs.address, source=mine.address),
    ]
    with hostile.packets("eth0") as wire:
        for frame in forged:
            wire.send(frame)
        wire.send(_dhcp(mine.mac, _DISCOVER, xid=7))
        told = _answers(wire, last=7)
    assert any(socket.inet_aton(mine.address) in answer for answer in told)
    assert not any(
        socket.inet_aton(theirs.address) in answer or theirs.hostname.encode() in answer
        for answer in told
    )
    assert lease(lab, guest)["ip"] == theirs.address


def test_a_fragmented_request_never_arrives(lab: Lab) -> None:
    spec = network(guests=2)
    mine, theirs = spec.reservations
    hostile = lab.guest(mine, spec)
    lab.apply(spec)
    whole = _dhcp(mine.mac, _DISCOVER, chaddr=theirs.mac, source=mine.address, xid=5)
    with hostile.packets("eth0") as wire:
        for fragment in _fragments(whole, 24):
            wire.send(fragment)
        wire.send(_dhcp(mine.mac, _DISCOVER, xid=7))
        told = _answers(wire, last=7)
    assert {answer[46:50] for answer in told} == {struct.pack(">I", 7)}


def test_a_flood_of_one_guest_leaves_dhcp_to_the_others(lab: Lab) -> None:
    flooding, quiet = network(1, guests=1), network(2, guests=1)
    guest = lab.cable(quiet.reservations[0])
    hostile = lab.guest(flooding.reservations[0], flooding)
    for spec in (flooding, quiet):
        lab.apply(spec)
    request = _dhcp(flooding.reservations[0].mac, _REQUEST, _option(50, "10.61.0.77"))
    with hostile.packets("eth0") as wire:
        for _ in range(5000):
            wire.send(request)
        wire.settimeout(1)
        told = len(_answers(wire, last=0))
    assert told < 1000
    assert lease(lab, guest)["ip"] == quiet.reservations[0].address


_DISCOVER, _REQUEST, _DECLINE, _RELEASE, _INFORM = 1, 3, 4, 7, 8
_NOBODY, _EVERYBODY = "0.0.0.0", "255.255.255.255"  # noqa: S104  in packets, never bound to


def _dhcp(
    source_mac: str,
    kind: int,
    options: bytes = b"",
    *,
    chaddr: str = "",
    ciaddr: str = _NOBODY,
    giaddr: str = _NOBODY,
    source: str = _NOBODY,
    xid: int = 1,
) -> bytes:
    """A DHCP message (RFC 2131) without checksum of UDP, to everybody, to be answered likewise."""
    address = socket.inet_aton
    bootp = struct.pack(">BBBBIHH", 1, 1, 6, 0, xid, 0, 0x8000)
    bootp += address(ciaddr) + bytes(8) + address(giaddr)
    bootp += _mac(chaddr or source_mac).ljust(16, b"\0") + bytes(192) + b"\x63\x82\x53\x63"
    server = _option(54, "10.62.0.1") if kind in (_DECLINE, _RELEASE) else b""
    bootp += bytes([53, 1, kind]) + options + server + b"\xff"
    udp = struct.pack(">HHHH", 68, 67, 8 + len(bootp), 0) + bootp
    packet = _ip(udp, address(source) + address(_EVERYBODY))
    return b"\xff" * 6 + _mac(source_mac) + b"\x08\x00" + packet


def _ip(content: bytes, ends: bytes, fragment: int = 0) -> bytes:
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(content), 9, fragment, 64, 17, 0)
    total = sum(struct.unpack(">10H", head + ends))
    total = (total & 0xFFFF) + (total >> 16)
    return head[:10] + struct.pack(">H", ~total & 0xFFFF) + ends + content


def _fragments(frame: bytes, first: int) -> list[bytes]:
    """The frame's packet in two pieces, the first with `first` bytes behind the IP header."""
    content, ends = frame[34:], frame[26:34]
    pieces = (_ip(content[:first], ends, 0x2000), _ip(content[first:], ends, first // 8))
    return [frame[:14] + piece for piece in pieces]


def _option(number: int, address: str) -> bytes:
    return bytes([number, 4]) + socket.inet_aton(address)


def _mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def _answers(wire: socket.socket, last: int) -> list[bytes]:
    """The server's messages up to the one with the number `last`, or until it is silent."""
    answers: list[bytes] = []
    limit = time.monotonic() + 10
    while time.monotonic() < limit:
        try:
            frame = wire.recv(2000)
        except TimeoutError:
            break
        if frame[23] == socket.IPPROTO_UDP and frame[34:36] == b"\0\x43":
            answers.append(frame)
            if frame[46:50] == struct.pack(">I", last):
                break
    return answers


def _named(spec: NetworkSpec, hostname: str) -> NetworkSpec:
    renamed: tuple[ReservationSpec, ...] = tuple(
        replace(reservation, hostname=hostname) for reservation in spec.reservations
    )
    return replace(spec, reservations=renamed)
