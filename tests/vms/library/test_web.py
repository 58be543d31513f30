"""What may be fetched, and from where: never from what only the panel can reach."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from tests.vms.library.conftest import HERE, Site
from vms.library.checksums import checksum_in, parse_checksum
from vms.library.failures import CannotFetch, Unreachable
from vms.library.reach import refusal
from vms.library.spec import Reach
from vms.library.web import opened, text_at

pytestmark = pytest.mark.kernel


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "0.0.0.0",  # noqa: S104
        "10.1.2.3",
        "172.16.0.1",
        "192.168.122.1",
        "100.64.0.1",
        "169.254.169.254",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1",
        "fd00::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::7f00:1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "2001:0:7f00:1::1",
    ],
)
def test_addresses_that_are_not_public(address: str) -> None:
    assert "not a public one" in refusal(address, Reach(), name="x")


def test_public_addresses_but_not_the_panels_own() -> None:
    ours = Reach(forbidden=("9.9.9.0/24", "2620:fe::/48"))
    assert refusal("9.9.9.9", Reach(), name="x") == ""
    assert "own networks" in refusal("9.9.9.9", ours, name="x")
    assert "own networks" in refusal("2620:fe::9", ours, name="x")
    assert refusal("8.8.8.8", ours, name="x") == ""
    assert refusal("10.0.0.1", Reach(allowed=("10.0.0.0/24",)), name="mirror") == ""


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "http://localhost/",
        "http://2130706433/",
        "http://0x7f.1/",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://169.254.169.254/latest/meta-data/",
    ],
)
def test_nothing_of_the_panels_machine_is_asked(url: str) -> None:
    with pytest.raises(CannotFetch, match="not a public one"), opened(url, Reach()):
        pass


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.org/x",
        "file:///etc/shadow",
        "gopher://example.org",
        "http://",
        "http://user:word@example.org/",
        "http://example.org:0/",
        "http://example.org:99999/",
        "http://exa mple.org/",
        "http://example.org/a\r\nHost: evil",
        "//example.org/x",
    ],
)
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(CannotFetch), opened(url, HERE):
        pass


@pytest.mark.parametrize(
    "target",
    ["http://127.0.0.2:1/", "http://[::1]/", "file:///etc/shadow", "http://169.254.169.254/"],
)
def test_redirects_are_judged_like_the_first_address(target: str, site: Site) -> None:
    site.redirects["/x"] = target
    with pytest.raises(CannotFetch), opened(f"{site.url}/x", HERE):
        pass
    assert site.asked == ["/x"]


def test_redirects_end(site: Site) -> None:
    site.redirects["/x"] = "/x"
    with pytest.raises(CannotFetch, match="more than 5 times"), opened(f"{site.url}/x", HERE):
        pass


def test_a_name_is_resolved_once_and_that_address_is_asked(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name server that answers otherwise the second time (DNS rebinding) gains nothing."""
    answers = ["127.0.0.1", "127.0.0.2"]
    real = socket.getaddrinfo

    def rebinding(name: Any, *args: Any, **options: Any) -> Any:
        if name == "rebind.example":
            name = answers.pop(0)
        return real(name, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    port = site.url.rpartition(":")[2]
    site.bodies["/x"] = b"hello"
    assert text_at(f"http://rebind.example:{port}/x", HERE) == "hello"
    assert answers == ["127.0.0.2"]
    with pytest.raises(CannotFetch), opened(f"http://rebind.example:{port}/x", HERE):
        pass


def test_a_name_with_one_bad_address_among_good_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    both = [(socket.AF_INET, 1, 6, "", (address, 80)) for address in ("9.9.9.9", "10.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_a, **_o: both)
    with pytest.raises(CannotFetch, match="has the address"), opened("http://x.example/", Reach()):
        pass


def test_nobody_there_is_tried_again_later() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    with pytest.raises(Unreachable), opened(f"http://127.0.0.1:{port}/", HERE):
        pass


def test_checksum_lists_of_all_publishers() -> None:
    one, other = "a" * 64, "b" * 128
    assert checksum_in(f"{one} *x.img\n{'c' * 64} *y.img", "x.img") == f"sha256:{one}"
    assert checksum_in(f"# x: 5\nSHA512 (x.img) = {other}\n", "x.img") == f"sha512:{other}"
    assert checksum_in(f"{one}  build-7.img\n", "latest.img") == f"sha256:{one}"
    assert checksum_in(f"{one}  p\n{'c' * 64}  q\n", "latest.img") == ""
    assert parse_checksum(f" SHA256:{one.upper()} ") == f"sha256:{one}"
