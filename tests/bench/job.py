"""Group `job`: from a request to a page, one more forward, lists with 500 VMs, memory at rest."""

from __future__ import annotations

import http.client
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.bench.measure import Figure, Goal
from tests.lab.host import LabHost
from tests.lab.lab import Lab
from tests.lab.panel import Client, Panel, built_image, panel_of
from tests.netns import Namespace

RUNS = 5
FORWARDS = 20
LISTS = 15
MANY = 500
DEADLINE = 120.0
PAUSE = 0.01
CONNECT = 0.1
ANSWER = 0.5


def figures() -> Iterator[Figure]:
    """Measure everything in one lab with one panel."""
    with Lab() as lab, panel_of(lab) as panel:
        olga = panel.add_operator("olga")
        yield first_page(lab, olga)
        yield one_more_forward(lab, olga)
        yield memory_at_rest(lab, panel)
        panel.run("tests.bench.rows", str(MANY))
        yield from lists(lab, panel, olga)


def first_page(lab: Lab, olga: Client) -> Figure:
    """Ours and QEMU by hand in turn, so that a noisy minute strikes both."""
    ours, floor = [], []
    for turn in range(RUNS):
        floor.append(_by_hand(lab.h1))
        ours.append(_by_request(lab, olga, f"bench-{turn}"))
    return Figure(
        group="job",
        name="request → first page through the forward; QEMU by hand → first page",
        unit="s",
        ours=ours,
        alternative=floor,
        goal=Goal(kind="ratio", limit=1.3),
    )


def _by_request(lab: Lab, olga: Client, name: str) -> float:
    begun = time.perf_counter()
    vm = olga.post(
        "vms/",
        {
            "name": name,
            "network": {"name": name},
            "image": "hello",
            "memory_mib": 96,
            "forwards": [{"protocol": "tcp", "target_port": 80}],
        },
    )
    endpoint = olga.get(f"forwards/?vm={vm['id']}")["results"][0]["public_endpoint"]
    address, _, port = endpoint.partition(":")
    lab.internet.call(lambda: _until_page(address, int(port)))
    taken = time.perf_counter() - begun
    olga.succeed(olga.delete(f"vms/{vm['id']}/")["job"])
    return taken


def _by_hand(host: LabHost) -> float:
    """The same image on the leanest machine; its overlay is made before the clock starts."""
    folder = host.folder / "floor"
    folder.mkdir(exist_ok=True)
    disk = folder / "disk.qcow2"
    image = str(built_image())
    host.run("qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", image, str(disk))
    port = 18080
    command = [
        *("qemu-system-x86_64", "-machine", "q35", "-accel", "tcg", "-m", "96"),
        *("-nodefaults", "-display", "none"),
        *("-drive", f"file={disk},if=virtio,format=qcow2"),
        *("-netdev", f"user,id=n,hostfwd=tcp:127.0.0.1:{port}-:80"),
        *("-device", "virtio-net-pci,netdev=n,romfile="),
    ]
    begun = time.perf_counter()
    host.start("floor", *command)
    host.namespace.call(lambda: _until_page("127.0.0.1", port))
    taken = time.perf_counter() - begun
    host.kill("floor")
    shutil.rmtree(folder)
    return taken


def _until_page(address: str, port: int) -> None:
    limit = time.monotonic() + DEADLINE
    while not _page(address, port):
        if time.monotonic() > limit:
            raise TimeoutError(f"no page at {address}:{port}")
        time.sleep(PAUSE)


def _page(address: str, port: int) -> bool:
    """A guest that is not there yet lets a SYN go unanswered, so connecting is given up soon."""
    connection = http.client.HTTPConnection(address, port, timeout=CONNECT)
    try:
        connection.connect()
        connection.sock.settimeout(ANSWER)
        connection.request("GET", "/")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def one_more_forward(lab: Lab, olga: Client) -> Figure:
    """From the request to the first connection through it, on a network with a running guest."""
    vm = olga.do(
        "vms/", {"name": "doors", "network": {"name": "doors"}, "image": "hello", "memory_mib": 96}
    )
    first = olga.do("forwards/", {"vm": vm["id"], "protocol": "tcp", "target_port": 80})
    address, _, port = first["public_endpoint"].partition(":")
    lab.internet.call(lambda: _until_page(address, int(port)))
    taken = [_open_door(lab.internet, olga, vm["id"]) for _ in range(FORWARDS)]
    olga.succeed(olga.delete(f"vms/{vm['id']}/")["job"])
    return Figure(
        group="job",
        name="request for one more forward → first packet through it",
        unit="ms",
        ours=taken,
        goal=Goal(kind="median", limit=150),
    )


def _open_door(internet: Namespace, olga: Client, vm: str) -> float:
    begun = time.perf_counter()
    forward = olga.post("forwards/", {"vm": vm, "protocol": "tcp", "target_port": 80})
    address, _, port = forward["public_endpoint"].partition(":")
    internet.call(lambda: _until_open(address, int(port)))
    taken = (time.perf_counter() - begun) * 1000
    olga.succeed(forward["job"])
    return taken


def _until_open(address: str, port: int) -> None:
    limit = time.monotonic() + DEADLINE
    while True:
        try:
            socket.create_connection((address, port), timeout=0.2).close()
        except OSError:
            if time.monotonic() > limit:
                raise
            time.sleep(0.002)
        else:
            return


def memory_at_rest(lab: Lab, panel: Panel) -> Figure:
    """PSS of web, control worker, one host's three programs, its DHCP server, and Redis."""
    pids = [process.pid for process in panel.processes.values()]
    total = sum(_pss(pid) for pid in [*pids, *_panel_pids_of(lab.h1), lab.broker.pid])
    return Figure(
        group="job",
        name="memory of all processes of the panel at rest (PSS)",
        unit="MB",
        ours=[total / 1000],
        goal=Goal(kind="median", limit=400),
    )


def _panel_pids_of(host: LabHost) -> list[int]:
    """Processes inside the host that are kvmweb's or its dnsmasq, not libvirt's or guests."""
    return [pid for pid in host.namespace.pids() if _is_ours(pid)]


def _is_ours(pid: int) -> bool:
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except FileNotFoundError:
        return False
    return b"kvmweb.host" in command or command.startswith(b"dnsmasq")


def _pss(pid: int) -> int:
    """Proportional set size in kB (proc(5), smaps_rollup)."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def lists(lab: Lab, panel: Panel, olga: Client) -> Iterator[Figure]:
    """The page and the endpoint with 500 VMs, while libvirtd answers and while it hangs."""
    page = panel.sign_in("olga")
    asks: list[tuple[str, Callable[[], object]]] = [
        ("list page", lambda: page("/vms/")),
        ("list endpoint", lambda: olga.get("vms/")),
    ]
    for name, ask in asks:
        yield _timed(f"{name} with {MANY} VMs", ask)
    with _hung_libvirtd(lab.h1):
        for name, ask in asks:
            yield _timed(f"{name} with {MANY} VMs, libvirtd hung", ask)


def _timed(name: str, ask: Callable[[], object]) -> Figure:
    ask()
    taken = []
    for _ in range(LISTS):
        begun = time.perf_counter()
        ask()
        taken.append((time.perf_counter() - begun) * 1000)
    goal = Goal(kind="median", limit=60)
    return Figure(group="job", name=name, unit="ms", ours=taken, goal=goal)


@contextmanager
def _hung_libvirtd(host: LabHost) -> Iterator[None]:
    host.hang_libvirtd(hung=True)
    try:
        yield
    finally:
        host.hang_libvirtd(hung=False)
