"""`python -m kvmweb.server.prepare`: set Django up, make ready, answer with one JSON object.

The supervisor runs this and reads the answer; it never loads Django itself.
"""

from __future__ import annotations

import sys
from importlib import import_module

import django

if __name__ == "__main__":
    django.setup()
    # Models can be imported only now.
    sys.exit(import_module("kvmweb.server.first_start").main())
