"""TLS of host names ended by the host: a real HAProxy, told certificates while it runs."""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from kvmweb.core.secret import conceal
from kvmweb.host.progress import silent
from networks.host.case import explain
from networks.host.drivers.haproxy import HaProxy
from networks.host.explain.steps import Case, first_broken
from networks.host.facts import Looker
from networks.host.proxy import SEALED_FOR, ChangeNames, certificate_of
from networks.host.spec import HostNameSpec, NetworkSpec
from tests.certificates import certificate
from tests.networks.host.lab import KEY, OUTSIDE, PUBLIC, SECOND_PUBLIC, Lab, assert_converges
from tests.networks.host.test_crash import killed, stopped
from tests.networks.host.test_host_names import A, B, C, World, name, named, proxies, world
from tests.web import ask_http, ask_https, ask_on, client_context, make_certificate

pytestmark = pytest.mark.kernel
__all__ = ["world"]


def ended(spec: NetworkSpec, number: int, file: Path, host: str, **more: object) -> HostNameSpec:
    """A name whose TLS ends at the host, with the certificate of a file."""
    sealed = conceal(KEY, SEALED_FOR, file.read_bytes())
    told = {"tls": "terminate", "tls_port": 80, "sealed_pem": sealed}
    return name(spec, number, host, **told, certificate=digest(file), **more)  # type: ignore[arg-type]


def digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()[:32]


def fresh(lab: Lab, label: str, *names: str) -> Path:
    folder = lab.folder / label
    folder.mkdir()
    return make_certificate(folder, *names)


def served(world: World, host: str, file: Path, asked: str = "") -> tuple[int, str]:
    return ask_https(world.lab.internet, PUBLIC, host, client_context(file), asked)


def test_tls_ends_at_the_host_and_the_guest_learns_who_asked(world: World) -> None:
    file = fresh(world.lab, "own", A)
    spec = named(world.one, ended(world.one, 1, file, A), name(world.one, 2, B, guest=1))
    with world.lab.reconciler() as reconciler:
        assert_converges(reconciler, spec)
    with world.lab.internet.connect(PUBLIC, 443) as plain:
        tls = client_context(file).wrap_socket(plain, server_hostname=A)
        status, text = ask_on(tls, A, X_Forwarded_For="192.0.2.1", X_Forwarded_Proto="gopher")
        assert (status, text.splitlines()[0]) == (200, f"web of {A}")
        said = [line for line in text.lower().splitlines() if "forwarded" in line]
        assert said == ["x-forwarded-proto: https", f"x-forwarded-for: {OUTSIDE}"]
        assert ask_on(tls, B)[0] == 421
        tls.close()
    assert world.tls(B) == f"tls of {B}"  # the guest's own certificate: nobody decrypted it
    with pytest.raises(ssl.SSLError, match=r"(?i)unrecognized.name"):
        served(world, "d.example.org", file)


def test_only_modern_tls_is_spoken(world: World) -> None:
    file = fresh(world.lab, "own", A)
    world.lab.apply(named(world.one, ended(world.one, 1, file, A)))
    offered = client_context(file)
    offered.set_alpn_protocols(["h2", "http/1.1"])
    with world.lab.internet.connect(PUBLIC, 443) as plain:
        tls = offered.wrap_socket(plain, server_hostname=A)
        assert (tls.selected_alpn_protocol(), tls.version()) == ("h2", "TLSv1.3")
    old = client_context(file)
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    with world.lab.internet.connect(PUBLIC, 443) as plain, pytest.raises(ssl.SSLError):
        old.wrap_socket(plain, server_hostname=A)


def test_a_guest_may_be_asked_by_tls_again(world: World) -> None:
    file = fresh(world.lab, "own", A)
    again = ended(world.one, 1, file, A, reencrypt=True)
    world.lab.apply(named(world.one, replace(again, tls_port=443)))
    status, text = served(world, A, file)
    assert (status, text.splitlines()[0]) == (200, f"tls of {A}")


def test_port_80_sends_visitors_to_443_but_for_challenges(world: World) -> None:
    file = fresh(world.lab, "own", A)
    world.lab.apply(named(world.one, ended(world.one, 1, file, A, redirect=True)))
    with world.lab.internet.connect(PUBLIC, 80) as connection:
        for path in ("/page?q=1", "/.well-known/acme-challenge/x"):
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {A}:80\r\n\r\n".encode())
            answer = connection.recv(65536).decode()
            if "acme" in path:
                assert answer.startswith("HTTP/1.1 200")
            else:
                assert answer.startswith("HTTP/1.1 308")
                assert f"location: https://{A}/page?q=1\r\n" in answer.lower()
    without = ended(world.one, 1, file, A, redirect=True, http_port=0)
    world.lab.apply(named(world.one, without))
    assert ask_http(world.lab.internet, PUBLIC, A)[0] == 308


def test_a_certificate_is_replaced_while_connections_go_on(world: World) -> None:
    old, new, wide = (
        fresh(world.lab, "old", A),
        fresh(world.lab, "new", A),
        fresh(world.lab, "wide", "*.example.org"),
    )
    anyone = ended(world.one, 2, wide, "*.example.org", guest=1)
    with world.lab.reconciler() as reconciler:
        assert reconciler.apply(named(world.one, ended(world.one, 1, old, A), anyone), silent).ok
        pids = proxies(world.lab)
        with world.lab.internet.connect(PUBLIC, 443) as plain:
            tls = client_context(old).wrap_socket(plain, server_hostname=A)
            assert ask_on(tls, A)[0] == 200
            assert_converges(reconciler, named(world.one, ended(world.one, 1, new, A), anyone))
            assert served(world, A, new)[0] == 200
            assert served(world, "any.example.org", wide)[1].startswith(f"web of {B}")
            assert ask_on(tls, A)[0] == 200
            assert proxies(world.lab) == pids
            tls.close()
    assert len(files(world.lab)) == 2
    more = name(world.one, 9, B, public_address=SECOND_PUBLIC, guest=1)
    world.lab.apply(named(world.one, ended(world.one, 1, new, A), anyone, more))
    assert proxies(world.lab) != pids
    assert served(world, A, new)[0] == 200
    world.lab.apply(world.one)
    assert not files(world.lab)


def test_why_names_a_certificate_that_browsers_do_not_take(world: World) -> None:
    good, other = fresh(world.lab, "good", A), fresh(world.lab, "other", B)
    expired, mixed = world.lab.folder / "expired.pem", world.lab.folder / "mixed.pem"
    past = certificate(A, begins=-9, days=-1)
    expired.write_text(past.certificate + past.private_key)
    mixed.write_bytes(only(good, "CERTIFICATE") + only(other, "PRIVATE KEY"))
    foreign = replace(ended(world.one, 1, good, A), sealed_pem="bm90IHNlYWxlZCBmb3IgdGhpcyBob3N0")
    looker = Looker(paths=world.lab.paths, resolv_files=(world.lab.resolv,), key=KEY)

    def why(told: HostNameSpec) -> tuple[str, str]:
        spec = named(world.one, told)
        case = Case(network=spec.subject, host_name=told.id)
        steps = world.lab.host.call(lambda: explain(looker, lambda _: spec, case))
        found = first_broken(steps)
        return (found.key, found.found) if found else ("", "")

    for told, said in (
        (ended(world.one, 1, good, A), ""),
        (ended(world.one, 1, expired, A), "It expired on"),
        (ended(world.one, 1, other, A), f"It is for {B}, not for {A}."),
        (ended(world.one, 1, mixed, A), "The private key is that of another certificate."),
        (foreign, "A certificate cannot be read with this host's key."),
    ):
        world.lab.apply(named(world.one, told))
        key, found = why(told)
        assert key == ("certificate" if said else "")
        assert found.startswith(said)
    told = ended(world.one, 1, good, A)
    world.lab.apply(named(world.one, told))
    assert why(told) == ("", "")
    route = certificate_of(world.one.bridge, told)
    proxy = HaProxy(world.lab.paths.run / "haproxy")
    world.lab.host.call(lambda: proxy.change(ChangeNames(frozenset(), frozenset({route}))))
    assert why(told) == ("map", "It lacks certificate.")


def only(file: Path, kind: str) -> bytes:
    """The part of a PEM file that is of this kind."""
    text = file.read_text()
    begin, end = f"-----BEGIN {kind}-----", f"-----END {kind}-----\n"
    return (begin + text.split(begin)[1].split(end)[0] + end).encode()


def test_keys_are_for_root_alone(world: World) -> None:
    file = fresh(world.lab, "own", A)
    with world.lab.reconciler() as reconciler:
        spec = named(world.one, ended(world.one, 1, file, A))
        said = [repr(op) + op.sentence for op in reconciler.check(spec)]
        reconciler.apply(spec, silent)
    stored = files(world.lab)
    assert {path.stat().st_mode & 0o777 for path in stored} == {0o600}
    assert {path.parent.stat().st_mode & 0o777 for path in stored} == {0o700}
    key = file.read_text().splitlines()[2]
    assert key not in "".join(said)
    assert spec.host_names[0].sealed_pem not in repr(spec)
    everything = (path for path in world.lab.folder.rglob("*") if path.is_file())
    assert {path for path in everything if key in path.read_text(errors="replace")} == {
        file,
        *stored,
    }


def test_a_certificate_that_cannot_be_used_needs_attention_alone(world: World) -> None:
    file = fresh(world.lab, "own", A)
    foreign = conceal("another host's key", SEALED_FOR, file.read_bytes())
    nonsense = conceal(KEY, SEALED_FOR, b"no certificate")
    names = (
        ended(world.one, 1, file, A),
        replace(ended(world.one, 2, file, B), certificate="ab", sealed_pem=foreign),
        replace(ended(world.one, 3, file, C), certificate="cd", sealed_pem=nonsense),
    )
    outcome = world.lab.apply(named(world.one, *names))
    assert outcome.attention.keys() == {"name-2", "name-3"}
    assert "once more" in outcome.attention["name-2"]
    assert served(world, A, file)[0] == 200


def test_a_running_proxy_that_lost_a_certificate_is_told_again(world: World) -> None:
    file = fresh(world.lab, "own", A)
    spec = named(world.one, ended(world.one, 1, file, A))
    world.lab.apply(spec)
    proxy = HaProxy(world.lab.paths.run / "haproxy")
    for command in ("del ssl crt-list", "del ssl cert"):
        stored = f"certificates/{files(world.lab)[0].name}"
        place = f"{PUBLIC}.certificates " if "list" in command else ""
        assert "deleted" in proxy._ask(f"{command} {place}{stored}")
    world.lab.apply(spec)
    assert served(world, A, file)[0] == 200


@pytest.mark.parametrize("interrupt", [killed, stopped])
def test_certificates_survive_a_crash_after_any_op(
    world: World, interrupt: Callable[[Lab, NetworkSpec, int], bool]
) -> None:
    lab, one = world.lab, world.one
    old, new = fresh(lab, "old", A), fresh(lab, "new", A)
    lab.apply(one)
    before = named(one, ended(one, 1, old, A))
    after = named(one, ended(one, 1, new, A, guest=1))
    for spec in (before, after, one):
        at = 1
        while interrupt(lab, spec, at):
            lab.apply(spec)
            lab.apply(after if spec is one else one)
            at += 1
        assert at > 3
        lab.apply(spec)
        assert len(files(lab)) == len(spec.host_names)


def files(lab: Lab) -> list[Path]:
    return sorted((lab.paths.run / "haproxy/certificates").glob("*"))
