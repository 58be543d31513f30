"""What an apply task does with good, old, forged and failing orders."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest

from kvmweb.core.envelope import seal
from kvmweb.core.errors import HostBusy, HostError
from kvmweb.host.app import make_app
from kvmweb.host.config import HostConfig
from kvmweb.host.post import Outbox, Post
from kvmweb.host.progress import Outcome, Report, Step
from kvmweb.host.store import SpecStore
from kvmweb.host.work import PAUSES, Work
from networks.host.ops import BringUp
from networks.host.spec import NetworkSpec
from tests.lab.broker import Control

pytestmark = pytest.mark.kernel

Apply = Callable[[NetworkSpec, Report], Outcome]
SUBJECT = str(uuid4())


@pytest.fixture
def work(config: HostConfig) -> Callable[[Apply], Work[NetworkSpec]]:
    def make(apply: Apply) -> Work[NetworkSpec]:
        return Work(
            config=config,
            kind="network",
            spec_type=NetworkSpec,
            store=SpecStore(config.paths.specs, "network", NetworkSpec),
            apply=apply,
            check=lambda spec: [BringUp(spec.bridge)] if spec.generation == 1 else [],
            send=Post(make_app(config), config),
            outbox=Outbox(config.paths.outbox / "net"),
        )

    return make


def order(config: HostConfig, generation: int = 1, **fields: Any) -> tuple[str, object]:
    job = str(uuid4())
    spec = {"subject": SUBJECT, "epoch": 1, "generation": generation, "bridge": "kw1"}
    payload = {"job": job, "kind": "network", "attempt": 2, "spec": spec, **fields}
    return job, seal("h1", config.key, payload)


def succeed(spec: NetworkSpec, report: Report) -> Outcome:
    report(Step(key="bridge", sentence=f"Created bridge {spec.bridge}"))
    return Outcome(ok=True, generation=spec.generation, observed={"bridge": spec.bridge})


def never(spec: NetworkSpec, report: Report) -> Outcome:
    raise AssertionError("this must not be applied")


def test_an_order_is_applied_and_answered(
    work: Callable[[Apply], Work[NetworkSpec]], config: HostConfig, control: Control
) -> None:
    job, envelope = order(config)
    assert work(succeed).do(envelope, tries=0) is None
    outcome = control.outcome(job)
    assert (outcome["ok"], outcome["observed"]) == (True, {"bridge": "kw1"})
    assert [step["sentence"] for step in control.steps(job)] == ["Created bridge kw1"]


def test_a_check_tells_what_a_repair_would_do_and_keeps_nothing(
    work: Callable[[Apply], Work[NetworkSpec]], config: HostConfig, control: Control
) -> None:
    job, envelope = order(config, only_check=True)
    assert work(never).do(envelope, tries=0) is None
    sentence = BringUp("kw1").sentence
    assert control.outcome(job)["observed"] == {"missing": [sentence]}
    assert [step["sentence"] for step in control.steps(job)] == [
        f"A repair would do this: {sentence}"
    ]
    assert work(never).store.present() == []


def test_a_check_says_that_all_is_well(
    work: Callable[[Apply], Work[NetworkSpec]], config: HostConfig, control: Control
) -> None:
    job, envelope = order(config, 2, only_check=True)
    work(never).do(envelope, tries=0)
    assert (control.outcome(job)["ok"], control.outcome(job)["observed"]) == (True, {"missing": []})
    assert [step["key"] for step in control.steps(job)] == ["check"]


def test_an_older_order_is_answered_with_what_is_stored(
    work: Callable[[Apply], Work[NetworkSpec]], config: HostConfig, control: Control
) -> None:
    work(succeed).do(order(config, 5)[1], tries=0)
    job, envelope = order(config, 4)
    work(never).do(envelope, tries=0)
    outcome = control.outcome(job)
    assert (outcome["ok"], outcome["generation"]) == (True, 5)


def test_an_order_that_comes_twice_is_done_once_and_answered_twice(
    work: Callable[[Apply], Work[NetworkSpec]], config: HostConfig, control: Control
) -> None:
    """As of a job that waited longer than its lease; unless it failed, or something newer came."""
    tried: list[int] = []

    def apply(spec: NetworkSpec, report: Report) -> Outcome:
        tried.append(spec.generation)
        ok = len(tried) > 1
        return Outcome(ok=ok, generation=spec.generation, code="" if ok else "taken")

    once = work(apply)
    job, envelope = order(config)
    for _ in range(3):
        once.do(envelope, tries=0)
    assert tried == [1, 1]
    assert told(control, job) == [(False, 1), (True, 1), (True, 1)]
    once.do(order(config, 2)[1], tries=0)
    once.do(envelope, tries=0)
    assert told(control, job) == [(False, 1), (True, 1), (True, 1), (True, 2)]
    assert tried == [1, 1, 2]


def told(control: Control, job: str) -> list[tuple[bool, int]]:
    """How a job was answered, each time, in no order."""
    said = [each["outcome"] for each in control.of("kvmweb.jobs.record", job=job)]
    return sorted((each["ok"], each["generation"]) for each in said if each)


def test_forged_and_foreign_orders_are_dropped(
    work: Callable[[Apply], Work[NetworkSpec]], config: HostConfig, control: Control
) -> None:
    payload = {"job": "1", "kind": "network", "attempt": 1, "spec": {}}
    assert work(never).do(seal("h1", "another key of somebody", payload), tries=0) is None
    assert work(never).do(order(config, kind="vm")[1], tries=0) is None
    assert work(never).do(seal("h1", config.key, {"job": "1"}), tries=0) is None
    assert control.read() == []


def test_an_expected_failure_carries_its_remedy(
    work: Callable[[Apply], Work[NetworkSpec]], config: HostConfig, control: Control
) -> None:
    def fail(spec: NetworkSpec, report: Report) -> Outcome:
        raise HostError("Port 80 is taken", code="port_taken", remedy="Stop nginx.")

    job, envelope = order(config)
    assert work(fail).do(envelope, tries=0) is None
    outcome = control.outcome(job)
    assert (outcome["ok"], outcome["code"]) == (False, "port_taken")
    assert (outcome["message"], outcome["remedy"]) == ("Port 80 is taken", "Stop nginx.")


def test_a_fault_of_ours_ends_as_crashed_with_its_traceback(
    work: Callable[[Apply], Work[NetworkSpec]], config: HostConfig, control: Control
) -> None:
    def crash(spec: NetworkSpec, report: Report) -> Outcome:
        raise ZeroDivisionError("oh")

    job, envelope = order(config)
    work(crash).do(envelope, tries=0)
    outcome = control.outcome(job)
    assert outcome["code"] == "crashed"
    assert "in crash" in outcome["traceback"]


def test_a_spec_that_does_not_fit_its_type_ends_as_crashed(
    work: Callable[[Apply], Work[NetworkSpec]], config: HostConfig, control: Control
) -> None:
    job, envelope = order(config, spec={"subject": 5})
    work(never).do(envelope, tries=0)
    assert control.outcome(job)["code"] == "crashed"


@pytest.mark.parametrize("raised", [True, False])
def test_what_may_pass_is_tried_again_and_then_given_up(
    work: Callable[[Apply], Work[NetworkSpec]],
    config: HostConfig,
    control: Control,
    *,
    raised: bool,
) -> None:
    def busy(spec: NetworkSpec, report: Report) -> Outcome:
        if raised:
            raise HostBusy("libvirt does not answer")
        return Outcome(ok=False, generation=1, code=HostBusy.code, message="libvirt ...")

    job, envelope = order(config)
    assert [work(busy).do(envelope, tries=n) for n in range(len(PAUSES))] == list(PAUSES)
    assert all(step["sentence"].startswith("Trying again in") for step in control.steps(job))
    assert work(busy).do(envelope, tries=len(PAUSES)) is None
    assert control.outcome(job)["code"] == "host_busy"
