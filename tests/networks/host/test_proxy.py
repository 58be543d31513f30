"""Host names to lines of the proxy's maps, and what is done in which order."""

from __future__ import annotations

from dataclasses import replace

import pytest

from networks.host.plan import plan
from networks.host.preview import detail
from networks.host.proxy import (
    ChangeNames,
    EndSessions,
    ProxyState,
    Route,
    StartProxy,
    StopProxy,
    StoreCertificates,
    WriteNames,
    is_name,
    proxy_plan,
    routes,
)
from networks.host.spec import HostNameSpec
from networks.host.state import NetworkState
from tests.networks.host.lab import PUBLIC, SECOND_PUBLIC, absent, network

pytestmark = pytest.mark.pure

NAME = HostNameSpec(
    id="name-1",
    number=1,
    public_address=PUBLIC,
    name="a.example.org",
    address="10.61.0.2",
    http_port=8080,
    tls="passthrough",
    tls_port=8443,
    proxy_protocol=True,
)
SPEC = replace(network(1), host_names=(NAME,))
ROUTES = frozenset(
    {
        Route("http", f"{PUBLIC}/a.example.org", "kw1/1/10.61.0.2/8080"),
        Route("tls", f"{PUBLIC}/a.example.org", "kw1/1/10.61.0.2/8443/proxied"),
    }
)
GOOD = ProxyState(
    running=True, current=True, bound=frozenset({PUBLIC}), written=ROUTES, live=ROUTES
)


def test_a_name_is_a_line_per_port_it_is_served_on() -> None:
    assert routes(SPEC) == ROUTES
    assert routes(absent(SPEC)) == frozenset()
    assert {route.target for route in ROUTES} == {("10.61.0.2", 8080), ("10.61.0.2", 8443)}


def test_nothing_is_done_where_all_is_well() -> None:
    assert list(proxy_plan(SPEC, GOOD)) == []
    assert list(proxy_plan(network(1), ProxyState())) == []


def test_the_file_is_written_before_a_start_and_after_connections_were_ended() -> None:
    assert list(proxy_plan(SPEC, ProxyState())) == [
        WriteNames("kw1", ROUTES),
        StartProxy(frozenset({PUBLIC})),
    ]
    moved = replace(SPEC, host_names=(replace(NAME, address="10.61.0.3"),))
    assert [type(op) for op in proxy_plan(moved, GOOD)] == [ChangeNames, EndSessions, WriteNames]
    assert [type(op) for op in proxy_plan(moved, replace(GOOD, live=routes(moved)))] == [
        EndSessions,
        WriteNames,
    ]


def test_the_proxy_stays_for_others_and_goes_with_the_last_name() -> None:
    gone = absent(SPEC)
    assert list(proxy_plan(gone, GOOD))[-1] == StopProxy()
    others = replace(GOOD, elsewhere=frozenset({PUBLIC}))
    assert isinstance(list(proxy_plan(gone, others))[-1], WriteNames)
    elsewhere = replace(GOOD, elsewhere=frozenset({SECOND_PUBLIC}))
    assert list(proxy_plan(gone, elsewhere))[-1] == StartProxy(frozenset({SECOND_PUBLIC}))


def test_another_version_of_the_configuration_is_replaced() -> None:
    old = replace(GOOD, current=False)
    assert list(proxy_plan(SPEC, old)) == [StartProxy(frozenset({PUBLIC}))]


def test_steps_say_what_became_of_the_names() -> None:
    said = [op.sentence for op in plan(SPEC, NetworkState())]
    assert f"Let the proxy of host names listen on ports 80 and 443 of {PUBLIC}" in said
    changed = ChangeNames(add=ROUTES, remove=frozenset())
    assert (
        changed.sentence == "Led a.example.org to 10.61.0.2:8080, a.example.org to 10.61.0.2:8443"
    )
    assert ChangeNames(frozenset(), ROUTES).sentence == "Closed a.example.org"


@pytest.mark.parametrize(
    "name", ["a.example.org", "*.example.org", "xn--bcher-kva.example", "_x.a.b2"]
)
def test_these_are_names(name: str) -> None:
    assert is_name(name)


NO_NAMES = [
    *("", "org", "*", "*.", "a.*.org", "A.example.org", "a..org", "-a.example.org", "a b.org"),
    *("a.org\n", "a.example.org/x", "a;b.org", "bücher.example"),
    *(f"{'a' * 64}.org", "a." * 130 + "org"),
]


@pytest.mark.parametrize("name", NO_NAMES)
def test_these_are_not(name: str) -> None:
    assert not is_name(name)


ENDED = replace(
    NAME,
    tls="terminate",
    proxy_protocol=False,
    certificate="ab12",
    sealed_pem="sealed",
    tls_port=80,
)


def test_a_certificate_is_stored_first_and_its_file_goes_last() -> None:
    spec = replace(SPEC, host_names=(ENDED,))
    file = "certificates/kw1.1.ab12.pem"
    ops = list(proxy_plan(spec, GOOD))
    assert ops[0] == StoreCertificates(frozenset({(file, "sealed")}))
    assert [type(op) for op in ops[1:]] == [ChangeNames, EndSessions, WriteNames]
    there = replace(GOOD, written=routes(spec), live=routes(spec), stored=frozenset({file}))
    assert list(proxy_plan(spec, there)) == []
    old = replace(there, stored=frozenset({file, "certificates/kw1.1.old.pem"}))
    assert list(proxy_plan(spec, old)) == [WriteNames("kw1", routes(spec))]
    renewed = replace(spec, host_names=(replace(ENDED, certificate="cd34"),))
    assert [op.sentence for op in proxy_plan(renewed, there)] == [
        "Stored 1 certificate",
        "Changed certificates of host names",
        "Wrote down 1 host name",
    ]


def test_what_a_plan_shows_of_a_certificate_is_no_secret() -> None:
    op = StoreCertificates(frozenset({("certificates/kw1.1.ab12.pem", "sealed")}))
    assert detail(op) == ()
    assert "sealed" not in repr(op)
