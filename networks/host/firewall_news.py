"""Word that somebody changed the firewall, for whoever looks at other people's chains.

The socket belongs to the namespace it was made in.
"""

from __future__ import annotations

import asyncio

from networks.host.drivers.netlink import NETLINK_NETFILTER, NetlinkSocket

_NFTABLES_GROUP = 1 << 6
SETTLE = 2.0


class FirewallNews:
    """Sets `changed` from the running loop whenever nftables tells of a transaction; iptables by
    way of nftables included, iptables-legacy not: that is seen at the next look."""

    def __init__(self) -> None:
        self.changed = asyncio.Event()
        self._socket = NetlinkSocket(NETLINK_NETFILTER, _NFTABLES_GROUP)

    def start(self) -> None:
        """Begin to listen."""
        asyncio.get_running_loop().add_reader(self._socket.fileno(), self._hear)

    def close(self) -> None:
        """Stop listening."""
        asyncio.get_running_loop().remove_reader(self._socket.fileno())
        self._socket.close()

    async def settled(self) -> None:
        """Wait for a change, and then a little, so that a burst of them is looked at once."""
        await self.changed.wait()
        await asyncio.sleep(SETTLE)
        self.changed.clear()

    def _hear(self) -> None:
        self.changed.set()
        try:
            for _ in self._socket.receive():
                continue
        except OSError:  # so much happened that the kernel dropped some: that is news too
            return
