"""Steps and outcomes reach the panel in order, through every absence of the broker."""

from __future__ import annotations

import time
from uuid import uuid4

import pytest

from kvmweb.host.app import make_app
from kvmweb.host.config import HostConfig
from kvmweb.host.post import HEARTBEAT, BrokerAway, Outbox, Post
from kvmweb.host.progress import Outcome, Step
from kvmweb.host.report import Reporter
from tests.lab.broker import Broker, Control, wait_until

pytestmark = pytest.mark.kernel

DONE = Outcome(ok=True, generation=7)


@pytest.fixture
def post(config: HostConfig) -> Post:
    return Post(make_app(config), config)


@pytest.fixture
def outbox(config: HostConfig) -> Outbox:
    return Outbox(config.paths.outbox / "net")


@pytest.fixture
def job() -> str:
    return str(uuid4())


def test_a_short_job_is_one_message(post: Post, outbox: Outbox, job: str, control: Control) -> None:
    report = Reporter(post, outbox, job, 1)
    report(Step(key="bridge", sentence="Creating bridge kw1", state="running"))
    report(Step(key="bridge", sentence="Created bridge kw1"))
    report.finish(DONE)
    (message,) = control.of("kvmweb.jobs.record", job=job)
    assert [step["state"] for step in message["steps"]] == ["running", "done"]
    assert message["attempt"] == 1
    assert message["outcome"]["generation"] == 7


def test_steps_arrive_while_the_job_runs(
    post: Post, outbox: Outbox, job: str, control: Control
) -> None:
    report = Reporter(post, outbox, job, 1)
    report(Step(key="copy", sentence="Copying", state="running", percent=10))
    report(Step(key="copy", sentence="Copying", state="running", percent=34))
    steps = wait_until(lambda: control.steps(job))
    assert [step["percent"] for step in steps] == [34]
    report.finish(DONE)
    assert control.outcome(job)["ok"]


def test_a_silent_job_renews_its_lease(
    post: Post, outbox: Outbox, job: str, control: Control
) -> None:
    report = Reporter(post, outbox, job, 1, keep_alive=0.05)
    wait_until(lambda: len(control.of("kvmweb.jobs.record", job=job)) > 1)
    report.close()
    assert control.steps(job) == []


def test_an_outcome_survives_the_loss_of_the_broker(
    post: Post, outbox: Outbox, job: str, broker: Broker, control: Control
) -> None:
    report = Reporter(post, outbox, job, 1)
    report(Step(key="a", sentence="Before"))
    wait_until(lambda: control.steps(job))
    broker.stop()
    began = time.monotonic()
    report(Step(key="b", sentence="Meanwhile"))
    report.finish(DONE)
    assert time.monotonic() - began < 10
    assert outbox.drain(post) == 0
    broker.start()
    assert outbox.drain(post) == 1
    assert control.outcome(job)["ok"]
    assert [step["key"] for step in control.steps(job)] == ["a", "b"]
    assert outbox.drain(post) == 0


def test_a_batch_that_could_not_go_goes_later(
    post: Post, outbox: Outbox, job: str, broker: Broker, control: Control
) -> None:
    broker.stop()
    report = Reporter(post, outbox, job, 1)
    report(Step(key="a", sentence="Nobody listens"))
    broker.start()
    assert wait_until(lambda: control.steps(job))[0]["key"] == "a"
    report.finish(DONE)
    assert control.outcome(job)["ok"]


def test_an_absent_broker_is_said_plainly(post: Post, broker: Broker) -> None:
    broker.stop()
    with pytest.raises(BrokerAway):
        post(HEARTBEAT, {"process": "net"})


def test_the_outbox_sets_a_torn_file_aside(
    post: Post, outbox: Outbox, job: str, control: Control
) -> None:
    outbox.put("kvmweb.jobs.record", {"job": job, "steps": [], "outcome": None})
    (whole,) = outbox._folder.glob("*.json")
    (outbox._folder / "0.json").write_text('{"task"')
    assert outbox.drain(post) == 1
    assert control.of("kvmweb.jobs.record", job=job)
    assert not whole.exists()
    assert [path.name for path in outbox._folder.glob("*.broken")] == ["0.broken"]
