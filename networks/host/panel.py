"""The panel as one of the names on a shared 443: what the host is told, and what it does about it.

It belongs to no network, so that it stays while networks come and go; to the proxy it is one more
owner of lines. TLS ends at the host, and requests go on to the panel's web server.
"""

from __future__ import annotations

from collections.abc import Iterator

from kvmweb.core.errors import HostError, KvmwebError, NotConverged
from kvmweb.host.progress import Outcome, Report, Step, silent
from networks.host.contents import PROXIED, host_elements
from networks.host.drivers import haproxy, hostfacts
from networks.host.elements import Element
from networks.host.kernel import HostKernel
from networks.host.ops import ChangeElements, Op
from networks.host.proxy import (
    ProxyState,
    Route,
    lines,
    names_plan,
    sealed_of,
)
from networks.host.proxy_preflight import check_names, names_in_the_way
from networks.host.spec import HostNameSpec, PanelSpec

_ROUNDS = 3


def names_of(spec: PanelSpec) -> tuple[HostNameSpec, ...]:
    """The spec as a host name; its number is nobody's, so nothing counts it."""
    if not spec.present:
        return ()
    return (
        HostNameSpec(
            id=spec.subject,
            number=0,
            public_address=spec.public_address,
            name=spec.name,
            address=spec.address,
            tls="terminate",
            tls_port=spec.port,
            redirect=True,
            certificate=spec.certificate,
            sealed_pem=spec.sealed_pem,
        ),
    )


def panel_plan(spec: PanelSpec, state: ProxyState, known: frozenset[Element] | None) -> list[Op]:
    """What brings the host to `spec`. `known` are the elements of addresses that names share; None
    while there is no firewall of ours, which the first network brings."""
    return list(_plan(spec, state, known))


def _plan(spec: PanelSpec, state: ProxyState, known: frozenset[Element] | None) -> Iterator[Op]:
    names = names_of(spec)
    wanted = _routes(spec)
    if known is not None:
        places = frozenset(route.public_address for route in wanted) | state.elsewhere
        shared = host_elements((), (), places)
        if shared != known:
            yield ChangeElements(add=shared - known, remove=known - shared)
    yield from names_plan(spec.owner, wanted, sealed_of(spec.owner, names), state)


def _routes(spec: PanelSpec) -> frozenset[Route]:
    return lines(spec.owner, names_of(spec))


class PanelNames:
    """The panel's names on this host, for the owner's thread."""

    def __init__(self) -> None:
        self._specs: dict[str, PanelSpec] = {}

    @property
    def are_served(self) -> bool:
        """Whether the proxy has to run for them."""
        return bool(self._specs)

    def check(self, kernel: HostKernel, spec: PanelSpec) -> list[Op]:
        """What `apply` would do; nothing is changed."""
        tables = kernel.firewall.observe()
        state = kernel.proxy.observe(spec.owner, {route.key for route in _routes(spec)})
        elements = frozenset(e for e in tables.of("", spec.owner) if e.name in PROXIED)
        return panel_plan(spec, state, elements if tables.skeleton else None)

    def preview(self, kernel: HostKernel, spec: PanelSpec) -> list[Op]:
        """The same, or the reason why it could not be."""
        if spec.present:
            _refuse(kernel, spec)
        return self.check(kernel, spec)

    def apply(self, kernel: HostKernel, spec: PanelSpec, report: Report) -> Outcome:
        """Bring the host to `spec`. Expected failures are told by the outcome."""
        self._specs.pop(spec.subject, None)
        try:
            self._converge(kernel, spec, report)
        except KvmwebError as error:
            return Outcome(
                ok=False,
                generation=spec.generation,
                code=error.code,
                message=error.message,
                remedy=error.remedy,
            )
        if spec.present:
            self._specs[spec.subject] = spec
        return Outcome(ok=True, generation=spec.generation)

    def repair(self, kernel: HostKernel) -> None:
        """Put right what others changed."""
        for spec in list(self._specs.values()):
            if self.check(kernel, spec):
                self.apply(kernel, spec, silent)
                self._specs[spec.subject] = spec

    def _converge(self, kernel: HostKernel, spec: PanelSpec, report: Report) -> None:
        kernel.firewall.claim()
        if spec.present:
            _refuse(kernel, spec)
        for _ in range(_ROUNDS):
            ops = self.check(kernel, spec)
            if not ops:
                return
            for op in ops:
                kernel.perform(op)
                report(Step(key=f"{spec.owner}:{type(op).__name__}", sentence=op.sentence))
        raise NotConverged("The host did not keep what was set for the panel's name.")


def _refuse(kernel: HostKernel, spec: PanelSpec) -> None:
    names = names_of(spec)
    check_names(names)
    found = names_in_the_way(
        names,
        kernel.proxy.observe(spec.owner, {route.key for route in _routes(spec)}),
        kernel.surroundings.addresses(),
        hostfacts.listeners(),
        installed=haproxy.is_installed(),
        unusable=kernel.proxy.unusable(spec.owner, names),
    )
    for refusal in found.values():
        raise HostError(refusal.reason, code=refusal.code)
