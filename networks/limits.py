"""How much of something people may ask for, in one place."""

from __future__ import annotations

MOST_WAYS_OUT = 64
"""Places outside that one network lists."""

MOST_ALLOWED = 64
"""Sources of one forward."""

MOST_RULES = 100
"""Rules of one rule set, and rule sets applied to one thing."""

MOST_SOURCES = 256
"""Networks of one rule, or of one address set."""

MOST_OPENINGS = 1000
"""For one guest; an opening is a rule for one source."""
