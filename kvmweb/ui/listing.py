"""Lists that filter, sort and page by query string, so that every view of them is a link."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from urllib.parse import urlencode

from django.core.paginator import Page, Paginator
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest

M = TypeVar("M", bound=Model)
PAGE_SIZE = 50


@dataclass(frozen=True, slots=True)
class Choice:
    """One way to narrow a list: what is in the link, what people read, which rows stay."""

    value: str
    label: str
    rows: Q


@dataclass(frozen=True, slots=True)
class Column:
    """A heading that sorts. `href` turns the order round when it is the one in use."""

    key: str
    href: str
    order: str


@dataclass(slots=True)
class Listing(Generic[M]):
    """One page of a list and the links around it."""

    request: HttpRequest
    page: Page[M]
    text: str
    sort: str
    filters: Mapping[str, str]
    choices: Mapping[str, Sequence[Choice]]
    sorts: Sequence[str]

    @property
    def is_narrowed(self) -> bool:
        return bool(self.text or any(self.filters.values()))

    @property
    def columns(self) -> dict[str, Column]:
        """Headings by sort key."""
        return {key: self._column(key) for key in self.sorts}

    def _column(self, key: str) -> Column:
        order = {key: "ascending", f"-{key}": "descending"}.get(self.sort, "")
        turned = f"-{key}" if order == "ascending" else key
        return Column(key, self.link(sort=turned, page=""), order)

    def link(self, **changes: str) -> str:
        """This list with parts of its query changed."""
        query = {**self.request.GET.dict(), **changes}
        return "?" + urlencode({key: value for key, value in query.items() if value})

    @property
    def previous(self) -> str:
        number = self.page.number - 1
        return self.link(page=str(number)) if self.page.has_previous() else ""

    @property
    def next(self) -> str:
        return self.link(page=str(self.page.number + 1)) if self.page.has_next() else ""


def listing(
    request: HttpRequest,
    rows: QuerySet[M, Any],
    *,
    search: Sequence[str],
    sorts: Mapping[str, Sequence[str]],
    choices: Mapping[str, Sequence[Choice]] | None = None,
) -> Listing[M]:
    """`rows` narrowed, sorted and cut as the request's query string says.

    `search` names the columns the text is looked for in, `sorts` the orders by their key (the first
    is the default), `choices` the filters by their parameter.
    """
    text = request.GET.get("q", "").strip()[:100]
    if text:
        matches = Q()
        for column in search:
            matches |= Q(**{f"{column}__icontains": text})
        rows = rows.filter(matches)
    filters = {}
    for parameter, options in (choices or {}).items():
        filters[parameter] = request.GET.get(parameter, "")
        rows = rows.filter(_rows_of(options, filters[parameter]))
    sort = request.GET.get("sort", "")
    rows = rows.order_by(*_order(sorts, sort))
    page = Paginator(rows, PAGE_SIZE).get_page(request.GET.get("page"))
    return Listing(request, page, text, sort or next(iter(sorts)), filters, choices or {}, [*sorts])


def _rows_of(options: Sequence[Choice], value: str) -> Q:
    return next((option.rows for option in options if option.value == value), Q())


def _order(sorts: Mapping[str, Sequence[str]], wanted: str) -> list[str]:
    """Columns to order by, the primary key last so that pages never overlap."""
    key = wanted.lstrip("-")
    columns = sorts.get(key) or next(iter(sorts.values()))
    turned = wanted.startswith("-") and key in sorts
    return [_turn(column) if turned else column for column in columns] + ["pk"]


def _turn(column: str) -> str:
    return column[1:] if column.startswith("-") else f"-{column}"
