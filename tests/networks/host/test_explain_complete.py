"""Whatever Why? can name as broken is broken by a test, which finds exactly that named."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.pure

ROOT = Path(__file__).parents[3]
SOURCES = [*(ROOT / "networks/host/explain").glob("*.py"), ROOT / "networks/why.py"]
TESTS = [
    *Path(__file__).parent.glob("test_explain*.py"),
    *(Path(__file__).parent / f"test_{each}.py" for each in ("certificates", "host_names")),
    *(Path(__file__).parent / f"test_{each}.py" for each in ("host_names6", "own_router")),
    ROOT / "tests/networks/test_why.py",
    ROOT / "tests/vms/test_recycling.py",
    ROOT / "tests/networks/test_host_names_that_end.py",
]


def test_every_step_that_can_be_broken_is_broken_by_a_test() -> None:
    known = {key for path in SOURCES for key in named_in(path)}
    found = {said for path in TESTS for said in found_in(path)}
    assert {"dnat", "chain:", "half:", "nd", "arp", "kernel", "certificate", "paused"} <= known
    assert [key for key in sorted(known) if not any(is_of(said, key) for said in found)] == []


def is_of(said: str, key: str) -> bool:
    return said == key or (key.endswith(":") and said.startswith(key))


def named_in(path: Path) -> Iterator[str]:
    """The keys of the steps that a module gives as broken; of those made of names, the part before
    the first name."""
    for function in ast.walk(ast.parse(path.read_text())):
        if isinstance(function, ast.FunctionDef):
            for call in ast.walk(function):
                if isinstance(call, ast.Call) and (key := _key_of(call)) is not None:
                    yield from _words(key, function)


def _key_of(call: ast.Call) -> ast.expr | None:
    if not isinstance(call.func, ast.Name):
        return None
    if call.func.id == "broken" and call.args:
        return call.args[0]
    said = {each.arg: each.value for each in call.keywords}
    verdict = said.get("verdict")
    if call.func.id == "Step" and isinstance(verdict, ast.Constant) and verdict.value == "broken":
        return said["key"]
    return None


def _words(key: ast.expr, function: ast.FunctionDef) -> Iterator[str]:
    match key:
        case ast.Constant(value=str(word)):
            yield word
        case ast.JoinedStr(values=[ast.Constant(value=str(word)), *_]):
            yield word
        case ast.IfExp(body=one, orelse=other):
            yield from _words(one, function)
            yield from _words(other, function)
        case ast.Name(id=name):
            yield from _meant(name, function)


def _meant(name: str, function: ast.FunctionDef) -> Iterator[str]:
    """What the function sets a name to, or has it be by default."""
    taken = [argument.arg for argument in function.args.args]
    defaults = function.args.defaults
    for argument, value in zip(taken[len(taken) - len(defaults) :], defaults, strict=True):
        if argument == name:
            yield from _words(value, function)
    for node in ast.walk(function):
        if not isinstance(node, ast.Assign):
            continue
        for target in node.targets:
            if isinstance(target, ast.Tuple):
                names = [each.id if isinstance(each, ast.Name) else "" for each in target.elts]
                if name in names:
                    yield from _at(names.index(name), node.value, function)
            elif isinstance(target, ast.Name) and target.id == name:
                yield from _words(node.value, function)


def _at(place: int, value: ast.expr, function: ast.FunctionDef) -> Iterator[str]:
    for each in (value.body, value.orelse) if isinstance(value, ast.IfExp) else (value,):
        if isinstance(each, ast.Tuple):
            yield from _words(each.elts[place], function)


def found_in(path: Path) -> Iterator[str]:
    """What a test compares an answer with, or lists as what a break is named."""
    for node in ast.walk(ast.parse(path.read_text())):
        compared = isinstance(node, ast.Compare | ast.Dict)
        listed = isinstance(node, ast.Call) and getattr(node.func, "id", "") == "breaks"
        if compared or listed:
            for each in ast.walk(node):
                if isinstance(each, ast.Constant) and isinstance(each.value, str):
                    yield each.value
