"""The name server of a host's guests: one small process with a view per network.

Which network asks is known by the socket the question came in on: each network has its own, bound
to its gateway address and its bridge. So no network can learn another's names, and nothing is
cached that one could learn of another's questions. Whatever is not a name of the network itself
goes to upstream servers as it came, and the answer back as it came.

The folder of zones is watched: a file moved in or removed counts at once, and whoever asks
meanwhile is answered by the one state or the other. Only the standard library is used, so that the
process stays small; a dnsmasq per network costs more from the seventeenth on.
"""
