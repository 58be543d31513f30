"""The panel's end of consoles: sockets of people on one side, lines that hosts dial on the other.

What is said passes through this process alone, and each end waits for the other.
"""
