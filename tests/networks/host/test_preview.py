"""A preview says what applying then does, names whom it touches, and changes nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from networks.host.preview import network_preview
from networks.host.spec import NetworkSpec
from tests.networks.host.lab import Lab, absent, forward, network, with_forwards

pytestmark = pytest.mark.kernel


def test_what_is_told_is_what_is_done(lab: Lab) -> None:
    plain = network(1, guests=2)
    first, second = plain.reservations
    opened = with_forwards(plain, forward(1, 1, first))
    moved = replace(with_forwards(opened, forward(1, 1, second)), generation=5)
    stages: list[tuple[NetworkSpec | None, NetworkSpec, tuple[str, ...]]] = [
        (None, plain, ("guest12", "guest13")),
        (plain, opened, ("guest12",)),
        (opened, moved, ("guest13",)),
        (moved, absent(moved), ("guest12", "guest13")),
    ]
    for before, spec, guests in stages:
        with lab.reconciler() as asked:
            was = lab.host.run("nft", "list", "ruleset"), lab.host.run("ip", "address")
            ops, refused = asked.preview(spec)
            told = network_preview(before, spec, ops, {})
            now = lab.host.run("nft", "list", "ruleset"), lab.host.run("ip", "address")
        assert refused == {}
        assert now == was
        assert set(guests) <= set(told.guests)
        lab.steps.clear()
        lab.apply(spec)
        done = [step.sentence for step in lab.steps]
        assert {step.sentence for step in told.steps} <= set(done)
    assert any(step.sentence == "Deleted bridge kw1" for step in told.steps)


def test_elements_and_files_stand_behind_the_sentences(lab: Lab) -> None:
    spec = network(1, guests=1)
    lab.apply(spec)
    with lab.reconciler() as asked:
        opened = with_forwards(spec, forward(1, 1, spec.reservations[0]))
        ops, _ = asked.preview(opened)
        told = network_preview(spec, opened, ops, {})
    lines = [line for step in told.steps for line in step.detail]
    assert "+ inet fwd4 { 198.51.100.10 . tcp . 8080 : 10.61.0.2 . 80 }" in lines
    assert told.guests == ("guest12",)


def test_what_the_host_would_leave_out_is_told_with_its_reason(lab: Lab) -> None:
    spec = network(1, guests=1)
    lab.apply(spec)
    lab.host.tcp_server(8080)
    taken = forward(1, 1, spec.reservations[0], public_port=8080)
    with lab.reconciler() as asked:
        _, refused = asked.preview(with_forwards(spec, taken))
    assert list(refused) == [taken.id]
    assert "listens on tcp port 8080" in refused[taken.id].reason
