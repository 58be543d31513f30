"""A person on the internet who comes to the panel by a name of its own."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Iterator
from itertools import chain
from typing import Any

from websockets.sync.client import connect
from websockets.typing import Origin

from tests.lab.lab import Lab
from tests.lab.panel import PASSWORD


class Visitor:
    """curl on the internet, with a jar of cookies and an authority that it trusts."""

    def __init__(self, lab: Lab, name: str, trusted: str) -> None:
        self.name = name
        self.home = f"https://{name}"
        self._lab = lab
        self._jar = lab.folder / "cookies"
        self.authority = lab.folder / "authority.pem"
        self.authority.write_text(trusted)

    def ask(self, path: str, *more: str, scheme: str = "https") -> str:
        """The answer with its head."""
        places = [f"{self.name}:{port}:{self._lab.h1.address}" for port in (80, 443)]
        return str(
            self._lab.internet.run(
                *("curl", "--silent", "--show-error", "--include", "--max-time", "30"),
                *("--cacert", str(self.authority), "--referer", f"{self.home}/login/"),
                *("--cookie", str(self._jar), "--cookie-jar", str(self._jar)),
                *("--resolve", places[0], "--resolve", places[1]),
                *(*more, f"{scheme}://{self.name}{path}"),
                check=False,
            )
        )

    def sign_in(self, name: str) -> str:
        self.ask("/login/")
        fields = {"username": name, "password": PASSWORD, "csrfmiddlewaretoken": self.token}
        pairs = (("--data-urlencode", f"{key}={value}") for key, value in fields.items())
        return self.ask("/login/", *chain.from_iterable(pairs))

    @property
    def token(self) -> str:
        return self.cookies["csrftoken"]

    @property
    def cookies(self) -> dict[str, str]:
        """Those that travel by TLS alone."""
        lines = (line.split("\t") for line in self._jar.read_text().splitlines())
        return {line[5]: line[6] for line in lines if len(line) > 6 and line[3] == "TRUE"}

    def listen(self, path: str) -> Iterator[Any]:
        """What the panel sends over a socket."""
        with self._lab.internet.entered():
            plain = socket.create_connection((self._lab.h1.address, 443), timeout=30)
        cookies = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        with connect(
            f"wss://{self.name}{path}",
            sock=plain,
            ssl=ssl.create_default_context(cafile=str(self.authority)),
            origin=Origin(self.home),
            additional_headers={"Cookie": cookies},
        ) as opened:
            for message in opened:
                yield json.loads(message)
