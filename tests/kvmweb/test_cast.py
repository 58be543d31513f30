from __future__ import annotations

import pytest
from django.contrib.auth.models import User

from networks.models import Forward, Network
from vms.models import Vm

pytestmark = pytest.mark.db


def test_the_world_of_the_cast_is_at_rest(vm: Vm, forward: Forward, network: Network) -> None:
    network.refresh_from_db()
    assert vm.state.value == "running"
    assert network.state.value == "active"
    assert forward.public_endpoint == "198.51.100.11:20022"


def test_the_cast_sees_what_each_should(vm: Vm, bob: User, mallory: User, olga: User) -> None:
    assert Vm.objects.visible_to(bob).exists()
    assert not Vm.objects.writable_by(bob).exists()
    assert not Vm.objects.visible_to(mallory).exists()
    assert Vm.objects.writable_by(olga).exists()
