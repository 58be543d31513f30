"""What other firewalls' forward chains would do with a packet, judged without sending one. Pure.

Rules are read from `nft -j` (libnftables-json(5)) or from what iptables saves. A condition that
cannot be judged (a mark, another program's set, an unknown match) may hold or not: a chain then has
several possible outcomes, and its verdict is honest about it.
"""
