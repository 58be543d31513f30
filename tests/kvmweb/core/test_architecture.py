"""What must hold of the source as a whole, and no reviewer should have to look for."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.pure

ROOT = Path(__file__).parents[3]
# The doors: where a user comes in. From here only the gate leads to rows.
DOORS = (
    "api.py",
    "api/*.py",
    "views.py",
    "consumers.py",
    "views/*.py",
    "pages/*.py",
)
GATE = {"visible_to", "writable_by"}
# Who asks is looked up by the session or token itself, and what they were answered by who asks.
ASKING = {"User", "KeptAnswer"}


def doors() -> list[Path]:
    found = {
        path
        for app in ("kvmweb", "networks", "vms")
        for pattern in DOORS
        for path in (ROOT / app).glob(f"**/{pattern}")
        if "host" not in path.relative_to(ROOT).parts
    }
    return sorted(found)


def raw_queries(source: ast.AST) -> Iterator[str]:
    """Line and text of `Model.objects.get` and the like: ways past the gate."""
    for node in ast.walk(source):
        if not isinstance(node, ast.Attribute):
            continue
        managed = node.value
        if node.attr == "_default_manager" or (
            isinstance(managed, ast.Attribute)
            and managed.attr == "objects"
            and node.attr not in GATE
            and ast.unparse(managed.value) not in ASKING
        ):
            yield f"{node.lineno}: {ast.unparse(node)}"


def test_there_are_doors() -> None:
    names = {str(path.relative_to(ROOT)) for path in doors()}
    assert {
        "networks/api/forwards.py",
        "vms/api/vms.py",
        "kvmweb/jobs/api.py",
        "kvmweb/api/views.py",
    } <= names


def test_only_the_gate_leads_from_a_door_to_rows() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{query}"
        for path in doors()
        for query in raw_queries(ast.parse(path.read_text()))
    ]
    assert found == []


@pytest.mark.parametrize(
    "text",
    ["Network.objects.get(pk=1)", "Vm.objects.all()", "self.model._default_manager.filter(pk=1)"],
)
def test_a_raw_query_would_be_found(text: str) -> None:
    assert list(raw_queries(ast.parse(text))) == [
        f"1: {text.partition('(')[0]}".replace("_default_manager.filter", "_default_manager")
    ]


def test_imports_go_down_only() -> None:
    program = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [program, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
