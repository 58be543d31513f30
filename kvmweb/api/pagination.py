"""Pages of lists: 50 rows unless asked otherwise, never more than 500."""

from __future__ import annotations

from rest_framework.pagination import CursorPagination, LimitOffsetPagination

PAGE = 50
LARGEST_PAGE = 500


class Pages(LimitOffsetPagination):
    default_limit = PAGE
    max_limit = LARGEST_PAGE


class Newest(CursorPagination):
    """Newest first and stable while rows are added: for what grows without end."""

    ordering = ("-created_at", "-pk")
    page_size = PAGE
    page_size_query_param = "limit"
    max_page_size = LARGEST_PAGE
