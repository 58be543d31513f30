"""Why something is (not) reachable: facts of a host -> steps in the order of the packet. Pure.

The first broken step is the answer. What comes after it is told all the same, but may be broken
only because of it.
"""
