"""The configuration of the proxy of host names, as text; what it does is said in `proxy`. Pure.

Syntax: HAProxy's configuration.txt and management.txt, version 2.6.
"""

from __future__ import annotations

from collections.abc import Iterable

from networks.host.proxy import (
    HTTP_PORT,
    PROXIED,
    REDIRECT,
    REENCRYPTED,
    TERMINATED,
    TLS_PORT,
    Table,
)

KEPT_DAYS = 20
_COUNTERS = "conn_cnt,conn_cur,bytes_in_cnt,bytes_out_cnt"
_NOTHING = r'status 404 content-type text/plain string "Nothing is served under this name.\n"'
_FOUND = "{ var(txn.to) -m found }"
_HOW = "var(txn.to),field(5,/)"
_ENDED = f"{{ {_HOW} {TERMINATED} {REENCRYPTED} }}"
_SECURE = "https://%[var(txn.name)]%[pathq]"
_CHALLENGE = "{ path_beg /.well-known/acme-challenge/ }"
_CIPHERS = ":".join(
    f"ECDHE-{kind}-{cipher}"
    for cipher in ("AES128-GCM-SHA256", "AES256-GCM-SHA384", "CHACHA20-POLY1305")
    for kind in ("ECDSA", "RSA")
)


def configuration(public: Iterable[str], user: str) -> str:
    """The proxy's configuration for these public addresses; `user` empty stays root.

    Its files are named as in the folder it is started in: a socket's whole path may be too long.
    """
    places = sorted(public)
    return "\n".join(
        [*_globals(user), *_http(places), *_tls(places), *_ended(places, user), *_guests(), ""]
    )


def _globals(user: str) -> list[str]:
    return [
        "global",
        "    maxconn 8000",
        *([f"    user {user}", f"    group {user}"] if user else []),
        "    stats socket unix@admin.sock mode 600 level admin expose-fd listeners",
        "    stats timeout 1m",
        "    hard-stop-after 24h",
        "    ssl-default-bind-options ssl-min-ver TLSv1.2 prefer-client-ciphers no-tls-tickets",
        f"    ssl-default-bind-ciphers {_CIPHERS}",
        "defaults",
        "    option contstats",
        "    option dontlognull",
        "    timeout connect 5s",
        "    timeout client 1m",
        "    timeout server 1m",
        "    timeout tunnel 1h",
        "    timeout client-fin 30s",
        "    timeout http-request 10s",
        "    timeout http-keep-alive 30s",
        "backend names",
        f"    stick-table type integer size 100k expire {KEPT_DAYS}d store {_COUNTERS}",
        "backend sources",
        "    stick-table type ipv6 size 100k expire 1m store conn_cur",
    ]


def bind(place: str, port: int) -> str:
    """The line that has a port of a public address listened on."""
    return f"bind [{place}]:{port}" if ":" in place else f"bind {place}:{port}"


def _limit_sources() -> list[str]:
    """No single address may hold a large part of what all names share, nor a site by its /64."""
    return [
        "    tcp-request connection track-sc1 src,ipmask(32,64) table sources",
        "    tcp-request connection reject if { sc1_conn_cur gt 500 }",
    ]


def _lookup(rule: str, table: Table) -> list[str]:
    """Finds where `txn.name` leads: by the whole name, then for any first label."""
    found = f"map_str({table}.map)"
    return [
        f"    {rule} set-var(txn.any) var(txn.name),regsub(^[^.]*,*)",
        f"    {rule} set-var(txn.to) dst,concat(/,txn.name),{found}",
        f"    {rule} set-var(txn.to) dst,concat(/,txn.any),{found} unless {_FOUND}",
    ]


def _count_it(rule: str) -> str:
    return f"    {rule} track-sc0 var(txn.to),field(2,/) table names"


def _lead(rule: str) -> list[str]:
    return [
        f"    {rule} set-dst var(txn.to),field(3,/)",
        f"    {rule} set-dst-port var(txn.to),field(4,/)",
    ]


_ASKED = "req.hdr(host),field(1,:),rtrim(.),lower"


def _serve(scheme: str) -> list[str]:
    """The client is who connected, whatever it says itself."""
    rule = "http-request"
    return [
        *_lead(rule),
        f"    {rule} del-header X-Forwarded-For",
        f"    {rule} set-header X-Forwarded-Proto {scheme}",
    ]


def _http(places: list[str]) -> list[str]:
    """Requests by their Host header, which may carry a port and end in a dot (RFC 9110, 7.2).
    Challenges of certificate authorities (RFC 8555, 8.3) are never sent elsewhere."""
    rule, redirect = "http-request", f"{{ {_HOW} {REDIRECT} }}"
    return [
        "frontend http",
        "    mode http",
        *(f"    {bind(place, HTTP_PORT)}" for place in places),
        *_limit_sources(),
        f"    {rule} set-var(txn.name) {_ASKED}",
        *_lookup(rule, "http"),
        f"    {rule} return {_NOTHING} unless {_FOUND}",
        _count_it(rule),
        f"    {rule} redirect location {_SECURE} code 308 if {redirect} !{_CHALLENGE}",
        f"    {rule} return {_NOTHING} if {{ var(txn.to),field(4,/) 0 }}",
        *_serve("http"),
        "    default_backend guest_http",
    ]


def _tls(places: list[str]) -> list[str]:
    """By the server name of the client's hello; what is not passed on is for us to answer."""
    rule, hello = "tcp-request content", "{ req.ssl_hello_type 1 }"
    return [
        "frontend tls",
        "    mode tcp",
        *(f"    {bind(place, TLS_PORT)}" for place in places),
        *_limit_sources(),
        "    tcp-request inspect-delay 5s",
        f"    {rule} reject if !{hello} WAIT_END",
        f"    {rule} set-var(txn.name) req.ssl_sni,rtrim(.),lower if {hello}",
        *_lookup(rule, "tls"),
        f"    {rule} accept if {hello} !{_FOUND}",
        _count_it(rule),
        f"    {rule} accept if {_ENDED}",
        *_lead(rule),
        f"    use_backend end_%[dst] if !{_FOUND} or {_ENDED}",
        f"    use_backend guest_proxied if {{ {_HOW} {PROXIED} }}",
        "    default_backend guest_tls",
    ]


def certificates_of(place: str) -> str:
    """The list of the certificates of a public address: a name may be another's at the next."""
    return f"{place}.certificates"


def _ended(places: list[str], user: str) -> list[str]:
    """Ends TLS; a name that has no certificate here gets the alert. One connection serves one
    name, so that a change of it disturbs no other: a second one gets 421 (RFC 9110, 15.5.20)."""
    rule, owned = "http-request", f" user {user}" if user else ""
    return [
        "frontend ended",
        "    mode http",
        *(
            f"    bind unix@{place}.sock mode 600{owned} accept-proxy ssl strict-sni"
            f" crt-list {certificates_of(place)} alpn h2,http/1.1"
            for place in places
        ),
        f"    {rule} set-var(txn.name) ssl_fc_sni,rtrim(.),lower",
        f"    {rule} set-var(txn.asked) {_ASKED}",
        f"    {rule} return status 421 unless {{ var(txn.asked),strcmp(txn.name) eq 0 }}",
        *_lookup(rule, "tls"),
        f"    {rule} return {_NOTHING} unless {_ENDED}",
        *_serve("https"),
        f"    use_backend guest_https if {{ {_HOW} {REENCRYPTED} }}",
        "    default_backend guest_http",
        *(line for place in places for line in _to_end(place)),
    ]


def _to_end(place: str) -> list[str]:
    return [
        f"backend end_{place}",
        "    mode tcp",
        f"    server proxy unix@{place}.sock send-proxy-v2",
    ]


def _guests() -> list[str]:
    """Where a connection goes was set by the map; a guest's own connection serves one client."""
    return [
        "backend guest_http",
        "    mode http",
        "    http-reuse never",
        "    option forwardfor",
        "    server guest 0.0.0.0:0",
        "backend guest_https",
        "    mode http",
        "    http-reuse never",
        "    option forwardfor",
        "    server guest 0.0.0.0:0 ssl verify none sni var(txn.name)",
        "backend guest_tls",
        "    mode tcp",
        "    server guest 0.0.0.0:0",
        "backend guest_proxied",
        "    mode tcp",
        "    server guest 0.0.0.0:0 send-proxy-v2",
    ]
