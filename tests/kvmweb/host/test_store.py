"""Whatever the order of arrival, the newest spec is what stays; a torn file stops nobody."""

from __future__ import annotations

import os
import tempfile
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvmweb.core.errors import Invalid
from kvmweb.host.config import HostPaths
from kvmweb.host.store import SpecStore, subject_name
from networks.host.spec import NetworkSpec
from vms.host.spec import VmSpec
from vms.host.tasks import hold

pytestmark = pytest.mark.pure

SUBJECT = str(uuid4())


def spec(epoch: int = 1, generation: int = 1, *, present: bool = True) -> NetworkSpec:
    return NetworkSpec(
        subject=SUBJECT, epoch=epoch, generation=generation, present=present, bridge="kw1"
    )


@pytest.fixture
def store(tmp_path: Path) -> SpecStore[NetworkSpec]:
    return SpecStore(tmp_path, "network", NetworkSpec)


arrivals = st.lists(
    st.builds(spec, st.integers(1, 3), st.integers(1, 5), present=st.booleans()),
    min_size=1,
    max_size=8,
)


@given(arrivals)
@settings(deadline=None, max_examples=60)
def test_any_order_of_arrival_ends_with_the_newest(specs: list[NetworkSpec]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = SpecStore(Path(folder), "network", NetworkSpec)
        for each in specs:
            newest = store.accept(each)
            assert (newest.epoch, newest.generation) >= (each.epoch, each.generation)
        stored = store.get(SUBJECT)
        best = max((each.epoch, each.generation) for each in specs)
        assert stored is not None
        assert (stored.epoch, stored.generation) == best
        last = [each for each in specs if (each.epoch, each.generation) == best][-1]
        assert stored == last


def test_an_older_spec_does_not_come_back_after_a_delete(store: SpecStore[NetworkSpec]) -> None:
    store.accept(spec(generation=4, present=False))
    assert store.accept(spec(generation=3)).generation == 4
    assert store.present() == []
    assert store.absent() == [spec(generation=4, present=False)]


def test_a_newer_epoch_wins_over_any_generation(store: SpecStore[NetworkSpec]) -> None:
    store.accept(spec(epoch=1, generation=90))
    restored = spec(epoch=2, generation=7)
    assert store.accept(restored) is restored


def test_what_is_stored_survives_the_process(store: SpecStore[NetworkSpec], tmp_path: Path) -> None:
    store.accept(spec(generation=2))
    assert SpecStore(tmp_path, "network", NetworkSpec).present() == [spec(generation=2)]


@pytest.mark.parametrize("content", [b"", b'{"subject": "', b"\xff\x00", b"[]", b'{"epoch": 1}'])
def test_a_torn_file_is_set_aside(store: SpecStore[NetworkSpec], content: bytes) -> None:
    store.accept(spec())
    (path,) = store._folder.glob("*.json")
    path.write_bytes(content)
    assert store.present() == []
    assert [each.read_bytes() for each in store._folder.glob("*.broken-*")] == [content]
    assert store.accept(spec()) == spec()


def test_a_file_under_anothers_name_is_set_aside(store: SpecStore[NetworkSpec]) -> None:
    store.accept(spec())
    (path,) = store._folder.glob("*.json")
    path.rename(path.with_name(f"{uuid4()}.json"))
    assert store.present() == []
    assert len(list(store._folder.glob("*.broken-*"))) == 1


def test_tombstones_go_when_no_redelivery_can_come(store: SpecStore[NetworkSpec]) -> None:
    store.accept(spec(present=False))
    assert store.prune() == 0
    (path,) = store._folder.glob("*.json")
    os.utime(path, (0, 0))
    assert store.prune(timedelta(days=1)) == 1
    assert store.absent() == []


def test_present_specs_are_never_pruned(store: SpecStore[NetworkSpec]) -> None:
    store.accept(spec())
    (path,) = store._folder.glob("*.json")
    os.utime(path, (0, 0))
    assert store.prune() == 0


def test_a_subject_is_a_uuid_and_no_path(store: SpecStore[NetworkSpec]) -> None:
    with pytest.raises(Invalid):
        store.get("../../etc/passwd")


def test_vm_specs_are_kept_the_same_way(tmp_path: Path) -> None:
    store = SpecStore(tmp_path, "vm", VmSpec)
    vm = VmSpec(subject=SUBJECT, epoch=1, generation=1, domain="hello")
    store.accept(vm)
    assert store.present() == [vm]
    assert msgspec.json.decode((tmp_path / "vm" / f"{SUBJECT}.json").read_bytes())["epoch"] == 1


@pytest.mark.parametrize("subject", ["../../etc/x", "/etc/x", "", "x\0"])
def test_a_subject_that_is_no_uuid_names_no_file(tmp_path: Path, subject: str) -> None:
    with pytest.raises(Invalid):
        subject_name(subject)
    with pytest.raises(Invalid):
        hold(HostPaths.under(tmp_path / "state", tmp_path / "run"), subject)
    assert list(tmp_path.rglob("*")) == []
