from __future__ import annotations

import pytest

from networks.models import Forward
from vms.doors import doors_of
from vms.models import Vm

pytestmark = pytest.mark.db


@pytest.mark.parametrize(
    ("target", "public", "protocol", "text"),
    [
        (22, 20022, "tcp", "ssh -p 20022 root@198.51.100.11"),
        (22, 22, "tcp", "ssh root@198.51.100.11"),
        (80, 20080, "tcp", "http://198.51.100.11:20080/"),
        (80, 80, "tcp", "http://198.51.100.11/"),
        (8443, 20443, "tcp", "https://198.51.100.11:20443/"),
        (443, 443, "tcp+udp", "https://198.51.100.11/"),
        (53, 20053, "udp", "198.51.100.11:20053"),
        (5432, 25432, "tcp", "198.51.100.11:25432"),
    ],
)
def test_a_forward_is_told_as_one_would_use_it(
    target: int, public: int, protocol: str, text: str, vm: Vm, forward: Forward
) -> None:
    Forward.objects.update(target_port=target, public_port=public, protocol=protocol)
    [door] = doors_of(Vm.objects.for_display().get(pk=vm.pk))
    assert door.text == text
    assert door.is_link == text.startswith("http")
