"""Who may use a forward, and how much of it: what people type -> what is kept."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_network

from kvmweb.core.errors import Invalid
from networks.limits import MOST_ALLOWED

LARGEST_LIMIT = 1_000_000


def parse_sources(texts: Iterable[str], version: int | None = 4) -> list[str]:
    """Addresses and networks of one family, or of both, as networks in CIDR notation, each once."""
    found = dict.fromkeys(_parse_source(text.strip(), version) for text in texts if text.strip())
    if len(found) > MOST_ALLOWED:
        raise Invalid(
            f"A forward has at most {MOST_ALLOWED} allowed sources.",
            field="sources",
            remedy="Join neighbouring addresses into networks, such as 198.51.100.0/24.",
        )
    return list(found)


def _parse_source(text: str, version: int | None) -> str:
    try:
        network = ip_network(text, strict=False)
    except ValueError as error:
        raise Invalid(
            f"“{text[:50]}” is no address and no network.",
            field="sources",
            remedy="Write them like 198.51.100.7 or 198.51.100.0/24.",
        ) from error
    if version is not None and network.version != version:
        raise Invalid(
            f"{text} is an IPv{network.version} source, and this forward listens on an"
            f" IPv{version} address.",
            field="sources",
            remedy=f"Name the IPv{version} addresses people come from.",
        )
    if network.prefixlen == 0:
        raise Invalid(f"{text} is everyone.", field="sources", remedy="Leave the list empty.")
    return str(network)


def parse_limit(value: int | None, field: str) -> int | None:
    """A limit, or None for no limit."""
    if value is not None and not 1 <= value <= LARGEST_LIMIT:
        raise Invalid(f"A limit is a number from 1 to {LARGEST_LIMIT}.", field=field)
    return value


def refuse_lone_burst(max_rate: int | None, max_burst: int | None) -> None:
    """Raise for a burst without the rate it goes beyond."""
    if max_burst is not None and max_rate is None:
        raise Invalid(
            "A burst is how far a limit of new connections per second may be exceeded at once.",
            field="max_burst",
            remedy="Set that limit too, or leave the burst empty.",
        )
