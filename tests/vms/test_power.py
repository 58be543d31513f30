"""Switching VMs: what should be, fresh starts that are counted, and what is taken for granted."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client

from kvmweb.core.errors import Conflict, Forbidden, NotFound
from kvmweb.projects.actions import Actor
from kvmweb.projects.models import AuditEvent
from tests.cast import fail_job, finish_job
from tests.refusals import refused
from vms.actions import change_vm, restart_vm, resume_vm, set_power
from vms.models import Vm
from vms.spec_from_rows import build_spec

pytestmark = [pytest.mark.db, pytest.mark.django_db]


def seen(vm: Vm, state: str) -> None:
    Vm.objects.filter(pk=vm.pk).update(power_state=state)


@pytest.mark.parametrize(("force", "verb"), [(False, "reboot"), (True, "reset")])
def test_a_fresh_start_is_one_more_than_the_guest_has(
    actor: Actor, vm: Vm, *, force: bool, verb: str
) -> None:
    asked = restart_vm(actor, vm.uuid, force=force)
    assert asked.state.value == "restarting"
    spec = build_spec(asked)
    assert (spec["power"], spec["boots"], spec["force"]) == ("on", 1, force)
    assert AuditEvent.objects.filter(action=f"vm.{verb}").exists()
    assert build_spec(restart_vm(actor, vm.uuid, force=force))["boots"] == 1, "still the one"
    finish_job(asked.job, state="running", boots=1)
    vm.refresh_from_db()
    assert vm.state.value == "running"
    assert build_spec(restart_vm(actor, vm.uuid))["boots"] == 2


def test_a_reboot_that_was_not_followed_is_taken_back_by_keeping_it(actor: Actor, vm: Vm) -> None:
    fail_job(restart_vm(actor, vm.uuid).job, "It did not shut down.", code="did_not_stop")
    kept = set_power(actor, vm.uuid, Vm.Power.ON)
    assert (kept.boots, build_spec(kept)["boots"]) == (0, 0)


def test_a_guest_that_did_not_stop_is_offered_to_be_forced_or_kept(
    actor: Actor, vm: Vm, alice: User, client: Client
) -> None:
    fail_job(set_power(actor, vm.uuid, "off").job, "It did not.", code="did_not_stop")
    client.force_login(alice)
    page = client.get(f"/vms/{vm.uuid}/").content.decode()
    assert "Keep it running" in page
    assert page.index("Keep it running") < page.rindex('value="force"')


def test_what_only_a_running_guest_can_do_is_refused_otherwise(actor: Actor, vm: Vm) -> None:
    with refused(Conflict, code="not_paused"):
        resume_vm(actor, vm.uuid)
    seen(vm, "off")
    for power in (Vm.Power.PAUSED, Vm.Power.SAVED):
        with refused(Conflict, code="not_running"):
            set_power(actor, vm.uuid, power)
    with refused(Conflict, code="not_running"):
        restart_vm(actor, vm.uuid)
    seen(vm, "saved")
    with refused(Conflict, code="saved"):
        set_power(actor, vm.uuid, Vm.Power.OFF)
    assert set_power(actor, vm.uuid, Vm.Power.OFF, force=True).force


@pytest.mark.parametrize(
    ("state", "power"),
    [("off", "off"), ("crashed", "off"), ("saved", "saved"), ("paused", "paused")],
)
def test_another_change_does_not_switch_what_switched_itself(
    actor: Actor, vm: Vm, state: str, power: str
) -> None:
    seen(vm, state)
    assert build_spec(change_vm(actor, vm.uuid, vcpus=2))["power"] == power


def test_another_change_does_not_take_back_a_stop_that_is_under_way(actor: Actor, vm: Vm) -> None:
    set_power(actor, vm.uuid, "off")
    assert build_spec(change_vm(actor, vm.uuid, vcpus=2))["power"] == "off"


def test_autostart_is_a_setting(actor: Actor, vm: Vm) -> None:
    assert build_spec(vm)["autostart"] is True
    assert build_spec(change_vm(actor, vm.uuid, autostart=False))["autostart"] is False


def test_readers_and_strangers_switch_nothing(bob: User, mallory: User, vm: Vm) -> None:
    for ask in (restart_vm, resume_vm):
        with refused(Forbidden):
            ask(Actor(bob), vm.uuid)
        with refused(NotFound):
            ask(Actor(mallory), vm.uuid)


@pytest.mark.parametrize(
    ("power", "state", "shown"),
    [("saved", "saved", "saved"), ("saved", "running", "saving"), ("on", "saved", "starting")],
)
def test_saving_and_going_on_are_shown(
    actor: Actor, vm: Vm, power: str, state: str, shown: str
) -> None:
    changed = set_power(actor, vm.uuid, power)
    if shown == "saved":
        finish_job(changed.job, state="saved")
    seen(vm, state)
    assert Vm.objects.get().state.value == shown
