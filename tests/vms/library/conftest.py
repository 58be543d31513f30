"""A library of its own, a web server that sends what it is told to, and disks to import."""

from __future__ import annotations

import hashlib
import http.server
import os
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import pytest

from kvmweb.host.progress import Outcome, Step
from vms.library.layout import Library
from vms.library.reconcile import Librarian
from vms.library.spec import ImageSpec, Limits, Reach

MIB = 1 << 20
HERE = Reach(allowed=("127.0.0.1/32",))
LIMITS = Limits(file=64 * MIB, disk=256 * MIB, spare=0)


@dataclass
class Site:
    """What the web server answers by path: a body, or the address it redirects to."""

    url: str = ""
    bodies: dict[str, bytes] = field(default_factory=dict)
    redirects: dict[str, str] = field(default_factory=dict)
    claims: dict[str, int] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            site.asked.append(self.path)
            if target := site.redirects.get(self.path):
                self.send_response(302)
                self.send_header("Location", target)
                self.end_headers()
                return
            body = site.bodies.get(self.path)
            self.send_response(200 if body is not None else 404)
            self.send_header("Content-Length", str(site.claims.get(self.path, len(body or b""))))
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *_: object) -> None:
            """Quiet."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        site.url = f"http://127.0.0.1:{server.server_port}"
        yield site
        server.shutdown()
        thread.join()


@dataclass
class Desk:
    """A library, and the ways an image comes into it."""

    library: Library
    steps: list[Step] = field(default_factory=list)

    def apply(self, spec: ImageSpec) -> Outcome:
        return Librarian(self.library).apply(spec, self.steps.append)

    def upload(self, content: bytes, **changes: object) -> ImageSpec:
        """The spec of an image whose upload is complete."""
        self.library.make()
        spec = spec_of(upload_bytes=len(content), **changes)
        self.library.upload(spec.subject).write_bytes(content)
        return spec

    def files(self) -> list[str]:
        root = self.library.root
        return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(Library(tmp_path / "images"))


def spec_of(**changes: object) -> ImageSpec:
    values = {"subject": str(uuid4()), "epoch": 1, "generation": 1, "limits": LIMITS, "reach": HERE}
    return ImageSpec(**(values | {"name": "debian"} | changes))  # type: ignore[arg-type]


def sha256(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@pytest.fixture(scope="session")
def raw_disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A disk with a boot sector and a MiB that does not compress."""
    path = tmp_path_factory.mktemp("disks") / "raw"
    content = bytearray(4 * MIB)
    content[510:512] = b"\x55\xaa"
    content[MIB : 2 * MIB] = os.urandom(MIB)
    path.write_bytes(content)
    return path


@pytest.fixture(scope="session")
def disks(raw_disk: Path) -> dict[str, bytes]:
    """The same disk in every format that is taken."""
    made = {"raw": raw_disk.read_bytes()}
    for kind in ("qcow2", "vmdk", "vhdx"):
        path = raw_disk.with_name(kind)
        qemu_img("convert", "-f", "raw", "-O", kind, str(raw_disk), str(path))
        made[kind] = path.read_bytes()
    return made


def qemu_img(*words: str) -> str:
    done = subprocess.run(["qemu-img", *words], check=True, capture_output=True, text=True)
    return done.stdout
