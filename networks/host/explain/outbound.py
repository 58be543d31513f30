"""The way of a guest's packet to the outside and back."""

from __future__ import annotations

from networks.host.explain.between import routing, rules
from networks.host.explain.guest import guest_steps
from networks.host.explain.lists import Asked, egress, rule_words
from networks.host.explain.seen import GuestFacts, HostFacts, Outbound
from networks.host.explain.steps import Step, broken, listed, ok, unknown
from networks.host.ruleset import CONNECTIONS_PER_GUEST
from networks.host.spec import NetworkSpec, ReservationSpec, own_sources


def explain_outbound(
    spec: NetworkSpec,
    reservation: ReservationSpec,
    asked: Asked,
    facts: tuple[HostFacts, Outbound, GuestFacts],
) -> tuple[Step, ...]:
    """The way of a guest's packet to the outside and back."""
    host, out, guest = facts
    aimed = asked.address or spec.egress is not None
    return (
        _mode(spec),
        *([egress(spec, asked)] if aimed and spec.mode != "isolated" else []),
        *guest_steps(spec, reservation, guest),
        rules(host),
        _share(out),
        _nat(spec, reservation, host),
        *routing(spec, host),
        _uplink(host),
        _source_address(spec, reservation, host),
        _resolvers(out),
        _answers(out),
    )


def _mode(spec: NetworkSpec) -> Step:
    title = "The network leads outside"
    if spec.mode == "isolated":
        return broken(
            "mode",
            title,
            "The network is isolated: its guests reach each other only.",
            wanted="A network with a way out.",
            remedy="Use a NAT network for this VM. Isolation is what this network is for.",
        )
    if spec.egress is not None:
        return ok(
            "mode", title, f"Guests may go where the network lists: {rule_words(spec.egress)}."
        )
    return ok("mode", title, "The network has a way out.")


def _share(out: Outbound) -> Step:
    title = "The guest has room for new connections"
    most = f"of the {CONNECTIONS_PER_GUEST:,} that a guest may have begun at the same time"
    if out.begun < CONNECTIONS_PER_GUEST:
        return ok("share", title, f"It has begun {out.begun:,} {most}.")
    return broken(
        "share",
        title,
        f"It has begun {out.begun:,} {most}: new ones are refused.",
        wanted="Fewer connections.",
        remedy="See in Flows what the guest connects to, and end what it does not need.",
    )


def _nat(spec: NetworkSpec, guest: ReservationSpec, host: HostFacts) -> Step:
    title = "The network may go out, and as whom"
    if host.missing:
        return broken(
            "nat",
            title,
            f"Rules of the network are not in the kernel: {listed(host.missing)}.",
            wanted="The network's way out among the rules.",
            remedy="Press Repair.",
            mend="repair",
        )
    if spec.mode == "routed":
        return ok("nat", title, "Guests go out as themselves.")
    sources = ", ".join(_sources_of(spec, guest)) or "the host"
    return ok("nat", title, f"Guests go out as {sources}.")


def _sources_of(spec: NetworkSpec, guest: ReservationSpec) -> tuple[str, ...]:
    """The public addresses guests are seen with; none where that is the host's own or theirs."""
    if spec.mode != "nat":
        return ()
    if own := own_sources(spec).get(guest.address):
        return (own,)
    return spec.source_pool or ((spec.source_address,) if spec.source_address else ())


def _uplink(host: HostFacts) -> Step:
    title = "The host itself leads outside"
    links = [link for link in host.uplinks if link.name in host.gateways]
    if not links:
        return broken(
            "uplink",
            title,
            "The host has no default route through an uplink.",
            wanted="A default route.",
            remedy="Set the host's default route.",
        )
    if not any(link.connected for link in links):
        names = ", ".join(link.name for link in links)
        found = f"{names} is not connected."
        wanted = "An uplink that is on and plugged in."
        return broken("uplink", title, found, wanted=wanted, remedy="Switch the uplink on.")
    return ok("uplink", title, f"The default route leads through {links[0].name}.")


def _source_address(spec: NetworkSpec, guest: ReservationSpec, host: HostFacts) -> Step:
    title = "The network's public address is on the host"
    sources = _sources_of(spec, guest)
    if not sources:
        own = "addresses of their own" if spec.mode == "routed" else "the address of the host"
        return ok("address", title, f"Guests go out with {own}.")
    held = {address for _, address in host.holds}
    address = next((source for source in sources if source not in held), "")
    if not address:
        return ok("address", title, f"The host has {', '.join(sources)}.")
    return broken(
        "address",
        title,
        f"Guests go out as {address}, which no interface of the host has: answers are lost.",
        wanted=f"{address} on an uplink.",
        remedy=f"Give it back: ip address add {address}/{128 if ':' in address else 32} dev"
        f" {next((link.name for link in host.uplinks), 'UPLINK')}.",
    )


def _resolvers(out: Outbound) -> Step:
    title = "Guests are told a name server"
    if out.resolvers:
        return ok("dns", title, f"Guests are told {', '.join(out.resolvers)}.")
    return unknown(
        "dns",
        title,
        "The host knows no name server that guests could use: names do not resolve in guests.",
        wanted="A name server in the host's resolv.conf that is not on the host itself.",
    )


def _answers(out: Outbound) -> Step:
    title = "The outside answers"
    if out.replied:
        found = f"{out.replied} of {out.open_now} connections of the guest have had an answer."
        return ok("answers", title, found)
    if out.open_now:
        return broken(
            "answers",
            title,
            f"None of the {out.open_now} connections the guest opened has had an answer.",
            wanted="Answers to what the guest sends.",
            remedy="The packets leave this host: see the provider's firewall, and whether the"
            " outside leads answers to this host's address back here.",
        )
    found = "The guest has no connection to the outside now. Let it try, then ask again."
    return unknown("answers", title, found)
