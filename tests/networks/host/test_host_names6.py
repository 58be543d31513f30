"""Host names on IPv6 addresses, to guests that have IPv6 and to those that have not."""

from __future__ import annotations

import socket
from dataclasses import replace

import pytest

from networks.host.case import explain
from networks.host.explain.steps import Case, first_broken
from networks.host.facts import Looker
from networks.host.spec import EgressSpec
from tests.networks.host.lab import KEY, Lab, absent, network
from tests.networks.host.lab6 import OUTSIDE6, PUBLIC6, boot, connect6, network6, settled
from tests.networks.host.test_certificates import ended, fresh
from tests.networks.host.test_host_names import A, B, C, name, named, proxied, proxies
from tests.web import ask_http, ask_on, client_context, serve_http, server_context

pytestmark = pytest.mark.kernel


def test_names_on_ipv6_lead_to_guests_of_either_family(lab: Lab) -> None:
    connect6(lab)
    six, four = network6(1, guests=2), network(2, guests=1)
    first, second = six.reservations
    a, b = lab.guest(first, six), lab.guest(second, six)
    c = lab.guest(four.reservations[0], four)
    file = fresh(lab, "own", A)
    to_a, to_b = ({"public_address": PUBLIC6, "address": r.address6} for r in six.reservations)
    spec = named(six, ended(six, 1, file, A, **to_a))
    other = named(four, name(four, 3, C, public_address=PUBLIC6))
    lab.apply(spec)
    lab.apply(other)
    boot(a, b)
    assert settled(a, first)
    assert settled(b, second)
    looker = Looker(paths=lab.paths, resolv_files=(lab.resolv,), key=KEY)

    def why(where: str) -> str:
        case = Case(network=spec.subject, host_name=spec.host_names[0].id)
        steps = lab.host.call(lambda: explain(looker, lambda _: spec, case))
        assert {step.key for step in steps} >= {"address", "certificate", "slaac", "nd"}, where
        found = first_broken(steps)
        return found.key if found else ""

    assert why("before it listens") == "service"
    closers = [
        serve_http(guest, f"web of {host}", family=socket.AF_INET6)
        for guest, host in ((a, A), (b, B))
    ]
    closers.append(serve_http(c, f"web of {C}"))
    its = fresh(lab, "its", B)
    own = server_context(its)
    closers.append(serve_http(b, f"tls of {B}", 443, own, family=socket.AF_INET6))
    try:
        with lab.internet.connect(PUBLIC6, 80) as web:
            status, text = ask_on(web, A)
            assert (status, text.splitlines()[0]) == (200, f"web of {A}")
            assert f"x-forwarded-for: {OUTSIDE6}" in text.lower()
            assert ask_on(web, C)[1].startswith(f"web of {C}")
        with lab.internet.connect(PUBLIC6, 443) as plain:
            tls = client_context(file).wrap_socket(plain, server_hostname=A)
            assert ask_on(tls, A)[1].startswith(f"web of {A}")
            passed = name(six, 2, B, public_address=PUBLIC6, address=second.address6)
            lab.apply(named(six, ended(six, 1, file, A, **to_b), passed))
            assert ask_on(tls, A)[1].startswith(f"web of {B}")
            with lab.internet.connect(PUBLIC6, 443) as plain:
                tls_b = client_context(its).wrap_socket(plain, server_hostname=B)
                assert ask_on(tls_b, B)[1].startswith(f"tls of {B}")
                lab.apply(named(six, ended(six, 1, file, A, **to_b)))
                with pytest.raises((OSError, ValueError)):
                    ask_on(tls_b, B)
        assert ask_http(b, PUBLIC6, A)[1].startswith(f"web of {B}")
        assert proxied(lab, "proxied6") == {(PUBLIC6, 80), (PUBLIC6, 443)}
        assert why("as it was") == "map"
        lab.apply(replace(spec, generation=9))
        assert why("as it is") == ""
        closed = replace(spec, generation=10, egress=(EgressSpec(cidr="2001:db8:1::/48"),))
        lab.apply(closed)
        with pytest.raises(OSError, match=r"route|refused|timed|denied|prohibited"):
            b.connect(PUBLIC6, 80, 1)
        lab.apply(absent(closed))
        lab.apply(absent(other))
        assert proxies(lab) == []
        assert proxied(lab, "proxied6") == set()
    finally:
        for close in closers:
            close()
