"""Names that people give to things."""

from __future__ import annotations

import re

from kvmweb.core.errors import Invalid

# A host name label (RFC 1123, section 2.1), so that a name serves as the guest's host name as it
# is.
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
LONGEST_NAME = 63


def parse_label(text: str, *, field: str = "name") -> str:
    """`text` as a host name label: 1 to 63 of a-z, 0-9 and inner -. Raises Invalid."""
    label = text.strip()
    if not _LABEL.fullmatch(label):
        raise Invalid(
            "A name has 1 to 63 characters: a-z, 0-9 and -, with a letter or digit at both ends.",
            field=field,
            code="invalid_name",
            remedy="For example: web-1.",
        )
    return label
