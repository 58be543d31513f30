"""Ways to break one thing on a packet's way, and to mend it again, and what Why? has to name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeAlias, TypeVar

from networks.host.explain.steps import Step, first_broken

W = TypeVar("W")
Break: TypeAlias = Callable[[W], Iterator[None]]


def broken(steps: tuple[Step, ...]) -> str:
    """The key of the answer; it always says what was wanted and what to do."""
    found = first_broken(steps)
    if found is None:
        return ""
    assert found.found
    assert found.wanted
    assert found.remedy
    return found.key


class Breaks(Generic[W]):
    """Each is a function that breaks something of a world, yields, and mends it; it is known by its
    name as words."""

    def __init__(self) -> None:
        self._made: dict[str, tuple[str, Break[W]]] = {}

    def __call__(self, key: str) -> Callable[[Break[W]], Break[W]]:
        """A decorator: `key` is that of the step that is then the answer."""

        def add(made: Break[W]) -> Break[W]:
            self._made[made.__name__.replace("_", " ")] = (key, made)
            return made

        return add

    def __iter__(self) -> Iterator[str]:
        return iter(self._made)

    @contextmanager
    def of(self, world: W, what: str) -> Iterator[str]:
        """Have it broken meanwhile; the key that is then the answer."""
        key, made = self._made[what]
        breaking = made(world)
        next(breaking)
        try:
            yield key
        finally:
            next(breaking, None)
