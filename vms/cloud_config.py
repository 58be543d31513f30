"""Whether a #cloud-config is YAML that cloud-init can read, told with the line that is wrong.

It is read as a stream of events alone: nothing is built from it, so neither aliases of aliases nor
nesting can make little text into much work.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

from kvmweb.core.errors import Invalid

DEEPEST = 50
_TAGS = frozenset(
    f"tag:yaml.org,2002:{kind}"
    for kind in ("str", "int", "float", "bool", "null", "map", "seq", "binary", "timestamp")
) | {"!"}


def refuse_bad(text: str) -> None:
    """Raises Invalid unless `text` is one mapping, or nothing but comments."""
    try:
        _check(yaml.parse(text, Loader=yaml.CSafeLoader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise _invalid(error.problem or "it cannot be read", mark) from error
    except yaml.reader.ReaderError as error:
        line = text.encode()[: error.position].count(b"\n") + 1
        raise _said(f"line {line}: it has a character that YAML does not allow") from error


def _check(events: Iterator[yaml.Event]) -> None:
    depth = nodes = 0
    anchors: set[str] = set()
    for event in events:
        if isinstance(event, yaml.DocumentStartEvent) and nodes:
            raise _invalid("only one document may be in it", event.start_mark)
        if isinstance(event, yaml.NodeEvent):
            if not nodes and not _is_mapping(event):
                raise _invalid("it is a list of settings, each “name: value”", event.start_mark)
            nodes += 1
            _check_node(event, anchors)
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            raise _invalid(f"it is nested more than {DEEPEST} deep", event.start_mark)


def _is_mapping(event: yaml.NodeEvent) -> bool:
    """Of settings, or nothing: a text without content is not nothing."""
    if isinstance(event, yaml.ScalarEvent):
        return event.implicit[0] and event.value in ("", "~", "null")
    return isinstance(event, yaml.MappingStartEvent)


def _check_node(event: yaml.NodeEvent, anchors: set[str]) -> None:
    if isinstance(event, yaml.AliasEvent):
        if event.anchor not in anchors:
            raise _invalid(f"there is no anchor “{event.anchor}”", event.start_mark)
        return
    if event.anchor:
        anchors.add(event.anchor)
    tag = getattr(event, "tag", None)
    if tag and tag not in _TAGS:
        raise _invalid(f"there is no kind of value “{tag}”", event.start_mark)


def _invalid(problem: str, mark: Any) -> Invalid:
    where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
    return _said(f"{where}{problem}")


def _said(what: str) -> Invalid:
    return Invalid(
        f"This is not YAML that cloud-init reads: {what}.",
        field="user_data",
        code="invalid_yaml",
        remedy="Correct that line; values with a colon or # in them are quoted.",
    )
