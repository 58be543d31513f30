"""A broker of the test's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from kvmweb.host.config import HostConfig, HostPaths
from tests.lab.broker import Broker, Control

KEY = "0123456789abcdef" * 2


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    broker = Broker(tmp_path)
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def config(broker: Broker, tmp_path: Path) -> HostConfig:
    paths = HostPaths.under(tmp_path / "state", tmp_path / "run")
    return HostConfig(name="h1", broker=broker.url, key=KEY, paths=paths)


@pytest.fixture
def control(broker: Broker) -> Control:
    return Control(broker, {"h1": KEY})
