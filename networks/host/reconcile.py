"""Bring the networks of a host to their specs: observe, plan, apply, observe again.

Everything runs on the owner's thread; callers only wait. Running it twice is running it once, and
a crash anywhere is mended by running it again.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from kvmweb.core import names
from kvmweb.core.errors import HostError, KvmwebError, NotConverged
from kvmweb.host.config import HostPaths
from kvmweb.host.progress import Outcome, Report, Step, silent
from networks.host import preflight
from networks.host.contents import owned
from networks.host.drivers import attached, dhcp, haproxy, hostfacts
from networks.host.drivers.dhcp import Dhcp
from networks.host.drivers.haproxy import proxy_of
from networks.host.drivers.names import NameServer
from networks.host.drivers.netlink import ALREADY_THERE, Answer
from networks.host.drivers.routers import dhcp_of, namespace_of
from networks.host.elements import DOORS, Element
from networks.host.kernel import HostKernel
from networks.host.ops import ChangeElements, LoadSkeleton, Op
from networks.host.owner import Owner
from networks.host.panel import PanelNames
from networks.host.plan import gateway, gateway6, on_host, plan
from networks.host.preflight import Refusal
from networks.host.proxy_preflight import check_names, names_in_the_way
from networks.host.spec import NetworkSpec, PanelSpec
from networks.host.state import NetworkState

log = logging.getLogger(__name__)

_ROUNDS = 6

AfterOp = Callable[[Op], None]
Refusals = dict[str, Refusal]


@dataclass(frozen=True, slots=True)
class Drift:
    """A network that was found changed by others: what had to be done, and whether that worked.
    `only_told` says that nothing was tried, because the network is not to be repaired, and `again`
    that it differed at the last look already and was not applied since."""

    subject: str
    missing: tuple[str, ...]
    repaired: bool
    message: str = ""
    only_told: bool = False
    again: bool = False


class NetworkReconciler:
    """One per process. `uplinks` none means the interfaces of the default routes.

    `after_op` is called after every op, before the next one. `key` opens what is sealed for the
    host.
    """

    def __init__(
        self,
        paths: HostPaths,
        *,
        uplinks: tuple[str, ...] = (),
        resolv_files: tuple[Path, ...] = hostfacts.RESOLV_FILES,
        after_op: AfterOp | None = None,
        key: str = "",
    ) -> None:
        self._paths = paths
        self._key = key
        self._uplinks = uplinks
        self._resolv_files = resolv_files
        self._after_op = after_op
        self._owner = Owner()
        self._opened: HostKernel | None = None
        self._specs: dict[str, NetworkSpec] = {}
        self._refused: dict[str, frozenset[str]] = {}
        self._differing: set[str] = set()
        self._dhcp = Dhcp(paths.run / "dnsmasq")
        self._names = NameServer(paths.run / "names", resolv_files[0])
        self._proxy = proxy_of(paths)
        self._panel = PanelNames()

    def apply(self, spec: NetworkSpec, report: Report) -> Outcome:
        """Bring the network to `spec`. Expected failures are told by the outcome."""
        return self._owner.run(lambda: self._apply(spec, report))

    def check(self, spec: NetworkSpec) -> tuple[Op, ...]:
        """What `apply` would do; nothing is changed."""
        return self._owner.run(lambda: plan(spec, self._kernel().observe(spec)))

    def apply_panel(self, spec: PanelSpec, report: Report) -> Outcome:
        """Bring a name of the panel to `spec`, as `apply` does a network."""
        return self._owner.run(lambda: self._panel.apply(self._kernel(), spec, report))

    def check_panel(self, spec: PanelSpec) -> list[Op]:
        """What `apply_panel` would do; nothing is changed."""
        return self._owner.run(lambda: self._panel.check(self._kernel(), spec))

    def preview_panel(self, spec: PanelSpec) -> list[Op]:
        """What `apply_panel` would do. Raises `HostError` where the host could not."""
        return self._owner.run(lambda: self._panel.preview(self._kernel(), spec))

    def preview(self, spec: NetworkSpec) -> tuple[tuple[Op, ...], Refusals]:
        """What `apply` would do and what it would leave out; nothing is changed. Raises
        `HostError` where the network as a whole could not be."""
        return self._owner.run(lambda: self._preview(spec))

    def restore(self, specs: Iterable[NetworkSpec], report: Report) -> list[Outcome]:
        """Put back everything that is missing of many networks."""
        return [self.apply(spec, report) for spec in specs]

    def watch_only(self, spec: NetworkSpec) -> bool:
        """Look after a network without putting it right, if it is not to be repaired and is not
        gone altogether, as it is after a start of the machine."""
        return self._owner.run(lambda: self._watch_only(spec))

    def repair(self, interfaces: Collection[str] | None = None) -> list[Drift]:
        """Look at the networks with one of these interfaces, at all by default, and put right those
        that are not as they were last applied."""
        return self._owner.run(lambda: self._repair(interfaces))

    def servers(self) -> dict[str, int | None]:
        """The processes that should serve the guests, None where one does not run. Any thread may
        ask."""
        specs = [spec for spec in list(self._specs.values()) if spec.mode != "bridged"]
        shared = any(not spec.transit for spec in specs)
        wanted: dict[str, int | None] = {"dhcp": self._dhcp.pid()} if shared else {}
        for spec in specs:
            if spec.transit:
                server = dhcp_of(self._paths.routers, spec.bridge)
                wanted[f"dhcp of {spec.bridge}"] = server.pid()
        if any(spec.names is not None for spec in specs):
            wanted["names"] = self._names.pid()
        if self._serves_names(specs) or self._panel.are_served:
            wanted["proxy"] = self._proxy.pid()
        return wanted

    def namespaces(self) -> dict[str, Path]:
        """Those of networks with a router of their own, by bridge. Any thread may ask."""
        bridges = [spec.bridge for spec in list(self._specs.values()) if spec.transit]
        return {bridge: namespace_of(self._paths.routers, bridge) for bridge in bridges}

    def attachments(self) -> frozenset[str]:
        """The interfaces of the host that bridged networks are on. Any thread may ask."""
        return frozenset(spec.attach for spec in list(self._specs.values()) if spec.attach)

    def forget(self, subject: str) -> None:
        """Repair this network no longer. Nothing on the host changes."""
        self._owner.run(lambda: self._forget(subject))

    def remove_all(self) -> None:
        """Take every network of ours off the host and put its own settings back."""
        self._owner.run(self._remove_all)

    def release(self) -> None:
        """Close the sockets, and so give up the tables, until the next call opens new ones."""
        self._owner.run(self._close)

    def close(self) -> None:
        """Release and end the thread; networks and dnsmasq stay as they are."""
        self.release()
        self._owner.close()

    def _apply(
        self, spec: NetworkSpec, report: Report, state: NetworkState | None = None
    ) -> Outcome:
        """`state` is what was observed right before."""
        self._remember(spec)
        try:
            refused = self._converge(spec, report, state)
        except KvmwebError as error:
            log.info("network_failed subject=%s code=%s", spec.subject, error.code)
            return Outcome(
                ok=False,
                generation=spec.generation,
                code=error.code,
                message=error.message,
                remedy=error.remedy,
            )
        self._refused[spec.subject] = frozenset(refused)
        self._differing.discard(spec.subject)
        return Outcome(
            ok=True,
            generation=spec.generation,
            attention={of: refusal.reason for of, refusal in refused.items()},
            observed=_observed(spec, refused),
        )

    def _converge(self, spec: NetworkSpec, report: Report, state: NetworkState | None) -> Refusals:
        """Returns what the host refused, by id; the rest is as the spec says."""
        preflight.check_form(spec)
        check_names(spec.host_names)
        kernel = self._kernel()
        kernel.firewall.claim()
        state = state or kernel.observe(spec)
        refused = self._preflight(spec, state) if spec.present else {}
        whole = False
        for _ in range(_ROUNDS):
            reduced = preflight.without(spec, refused)
            ops = plan(reduced, state)
            if whole or not ops:
                break
            found, whole = self._round(spec, state, ops, report)
            refused |= found
            state = kernel.observe(spec)
        if ops:
            left = "; ".join(op.sentence for op in ops)
            raise NotConverged(f"The host did not keep what was set. Left to do: {left}.")
        return refused

    def _preview(self, spec: NetworkSpec) -> tuple[tuple[Op, ...], Refusals]:
        preflight.check_form(spec)
        check_names(spec.host_names)
        state = self._kernel().observe(spec)
        refused = self._preflight(spec, state) if spec.present else {}
        return plan(preflight.without(spec, refused), state), refused

    def _round(
        self, spec: NetworkSpec, state: NetworkState, ops: tuple[Op, ...], report: Report
    ) -> tuple[Refusals, bool]:
        """Perform a plan made for `state`. Returns what was refused, and whether nothing can be
        left to do: a new skeleton or a refusal asks for another plan, at once where the tables hold
        other elements since."""
        refused: Refusals = {}
        for op in ops:
            if isinstance(op, LoadSkeleton):
                self._kernel().firewall.expect(_added(ops))
            refused |= self._perform(spec, op, report)
            if isinstance(op, LoadSkeleton) and self._kernel().elements(spec) != state.elements:
                break
        return refused, not refused and LoadSkeleton() not in ops

    def _preflight(self, spec: NetworkSpec, state: NetworkState) -> Refusals:
        if spec.mode == "bridged":
            return {}
        around = self._kernel().surroundings
        addresses = around.addresses()
        outer, seen = on_host(spec, state)
        if seen.bridge is None or gateway(outer) not in seen.bridge.addresses:
            preflight.check_subnet(outer, addresses, around.routes(), state.resolvers)
        if spec.ipv6 != "off":
            self._preflight6(spec, state)
        if not state.dhcp_running and not dhcp.is_installed():
            raise dhcp.missing()
        listeners = hostfacts.listeners()
        refused = preflight.ports_in_use(spec, state, addresses, listeners)
        refused |= preflight.names_port_in_use(spec, listeners)
        return refused | names_in_the_way(
            outer.host_names,
            state.proxy,
            addresses,
            listeners,
            installed=haproxy.is_installed(),
            unusable=self._kernel().proxy.unusable(outer.bridge, outer.host_names),
        )

    def _preflight6(self, spec: NetworkSpec, state: NetworkState) -> None:
        if not self._kernel().sysctls.has_ipv6():
            raise HostError(
                "The kernel of the host has no IPv6.",
                field="ipv6",
                code="no_ipv6",
                remedy="Switch IPv6 off for this network, or start the kernel with it.",
            )
        if state.bridge is None or gateway6(spec) not in state.bridge.addresses:
            preflight.check_subnet6(spec, hostfacts.addresses6(), hostfacts.routes6())

    def _perform(self, spec: NetworkSpec, op: Op, report: Report) -> Refusals:
        sentence = op.sentence
        key = _key(spec, op, sentence)
        try:
            refused = self._change(spec, op) if isinstance(op, ChangeElements) else {}
            if not isinstance(op, ChangeElements):
                self._kernel().perform(op)
        except KvmwebError as error:
            report(Step(key=key, sentence=sentence, state="failed", detail=error.message))
            raise
        report(Step(key=key, sentence=sentence))
        if self._after_op is not None:
            self._after_op(op)
        return refused

    def _change(self, spec: NetworkSpec, op: ChangeElements) -> Refusals:
        """Leave out whole objects with an element the kernel refused, until it takes the rest."""
        blame = owned(spec)
        attention: Refusals = {}
        while answers := self._kernel().perform(op):
            for element, answer in answers.items():
                attention[_culprit(spec, blame, element, answer)] = _refusal(element, answer)
            add = frozenset(e for e in op.add if blame.get(e) not in attention)
            op = ChangeElements(add=add, remove=op.remove)
        return attention

    def _repair(self, interfaces: Collection[str] | None) -> list[Drift]:
        found: list[Drift] = []
        for spec in list(self._specs.values()):
            if interfaces is None or not _interfaces(spec).isdisjoint(interfaces):
                found += self._repaired(spec)
        if interfaces is None:
            self._panel.repair(self._kernel())
        return found

    def _repaired(self, spec: NetworkSpec) -> list[Drift]:
        known = self._refused.get(spec.subject, frozenset())
        try:
            state = self._kernel().observe(spec)
            ops = plan(preflight.without(spec, known), state)
        except KvmwebError as error:
            told = self._drift(spec, (), error.message)
            return [replace(told, only_told=error.code == attached.GONE)]
        if not ops:
            return []
        missing = tuple(op.sentence for op in ops)
        if not spec.repairs:
            return [replace(self._drift(spec, missing), only_told=True)]
        outcome = self._apply(spec, silent, state)
        if not outcome.ok:
            return [self._drift(spec, missing, outcome.message)]
        return [Drift(spec.subject, missing, repaired=True)]

    def _drift(self, spec: NetworkSpec, missing: tuple[str, ...], message: str = "") -> Drift:
        again = spec.subject in self._differing
        self._differing.add(spec.subject)
        return Drift(spec.subject, missing, repaired=False, message=message, again=again)

    def _watch_only(self, spec: NetworkSpec) -> bool:
        if spec.repairs or not self._is_there(spec):
            return False
        self._remember(spec)
        return True

    def _is_there(self, spec: NetworkSpec) -> bool:
        if spec.mode == "bridged":
            return self._kernel().firewall.observe().skeleton
        return self._kernel().links.observe(spec.bridge) is not None

    def _serves_names(self, specs: Iterable[NetworkSpec]) -> bool:
        """Whether there is a name that the host did not refuse."""
        return any(
            name.id not in self._refused.get(spec.subject, ())
            for spec in specs
            for name in spec.host_names
        )

    def _remember(self, spec: NetworkSpec) -> None:
        if spec.present:
            self._specs[spec.subject] = spec
        else:
            self._forget(spec.subject)

    def _forget(self, subject: str) -> None:
        self._specs.pop(subject, None)
        self._refused.pop(subject, None)
        self._differing.discard(subject)

    def _remove_all(self) -> None:
        self._specs.clear()
        self._panel = PanelNames()
        self._kernel().remove_all()

    def _kernel(self) -> HostKernel:
        if self._opened is None:
            self._opened = HostKernel(self._paths, self._uplinks, self._resolv_files, self._key)
        return self._opened

    def _close(self) -> None:
        if self._opened is not None:
            self._opened.close()
            self._opened = None


def _added(ops: Iterable[Op]) -> Iterator[Element]:
    for op in ops:
        if isinstance(op, ChangeElements):
            yield from op.add


def _key(spec: NetworkSpec, op: Op, sentence: str) -> str:
    """The same for the same work, so that doing it again shows no second line."""
    digest = hashlib.sha256(sentence.encode()).hexdigest()[:12]
    return f"{spec.bridge}:{type(op).__name__}:{digest}"


def _interfaces(spec: NetworkSpec) -> set[str]:
    ports = {names.router_port(spec.bridge), names.router_link(spec.bridge)}
    own = {spec.bridge, spec.attach, *(ports if spec.transit else ())}
    return own | {*(reservation.port for reservation in spec.reservations)}


def _culprit(
    spec: NetworkSpec, blame: Mapping[Element, str], element: Element, answer: Answer
) -> str:
    """The id of the forward or reservation at fault; of the network itself nothing is spared."""
    culprit = blame.get(element, spec.subject)
    if culprit == spec.subject:
        raise HostError(_refusal(element, answer).reason, code="kernel_refused")
    return culprit


def _refusal(element: Element, answer: Answer) -> Refusal:
    what = " ".join(str(part) for part in element.key)
    if answer.errno == ALREADY_THERE and element.name in DOORS:
        return Refusal("port_taken", f"Another network of this host already forwards {what}.")
    words = answer.reason or os.strerror(answer.errno)
    return Refusal("kernel_refused", f"The kernel refused {what} in {element.name}: {words}.")


def _observed(spec: NetworkSpec, refused: dict[str, Refusal]) -> dict[str, object]:
    if not spec.present:
        return {"present": False}
    return {
        "present": True,
        "bridge": spec.attach or spec.bridge,
        "address": "" if spec.mode == "bridged" else gateway(spec),
        "address6": "" if spec.ipv6 == "off" else gateway6(spec),
        "refused": {of: refusal.code for of, refusal in refused.items()},
    }
