"""Targets of webhooks: the URLs and addresses that are allowed (docs/webhooks.md, protection against SSRF).

The tables decide, not ``ipaddress.is_global``, which accepts addresses that lead back into a private network.
"""

import re
import socket
import unicodedata
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import SplitResult, urlsplit

import msgspec

from domain.limits import URL_MAX

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_DENIED_V4 = [
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "168.63.129.16/32",  # Azure's platform services
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
]
_ALLOWED_V6 = IPv6Network("2000::/3")
_DENIED_V6 = [IPv6Network(text) for text in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")]
_PORTS = {80, 443}
_UNPRIVILEGED = 1024

_DEFAULT_PORTS = {"http": 80, "https": 443}
_UNWANTED = re.compile(r"[\x00-\x20\x7f\\]")
_LABEL_MAX = 63
_INVISIBLE = re.compile("[\u034f\u180b-\u180f\ufe00-\ufe0f\U000e0100-\U000e01ef]")
_TARGET = re.compile(r"(https?://[^/?#]+)([^#]*)", re.IGNORECASE)
_REFUSED = "Expected the address of a public server; this one is private, or its port is not 80, 443 or above 1023"
_NO_HOST = "Expected a host name or an address"
_NOT_ASCII = (
    "Expected a path and a query in ASCII; percent-encode other characters, because the address is sent unchanged"
)


class TargetPolicy(msgspec.Struct, frozen=True):
    """Networks of a deployment: private ones that webhooks can reach all the same, and ones that they never reach.

    An address in both is denied.
    """

    allowed: tuple[Network, ...] = ()
    denied: tuple[Network, ...] = ()

    @property
    def allows_loopback(self) -> bool:
        """Return whether an allowed network is a loopback network; then the names of this machine are allowed too."""
        return any(network.is_loopback for network in self.allowed)


PUBLIC_ONLY = TargetPolicy()
"""Public addresses that no deployment denies."""


class BadTarget(ValueError):
    """A URL is not allowed as the target of a webhook. The message is for the client, ``kind`` is a stable word."""

    def __init__(self, message: str, kind: str) -> None:
        super().__init__(message)
        self.kind = kind


def networks_of(text: str) -> tuple[Network, ...]:
    """Return the networks of a comma-separated list of CIDRs. Raises ValueError with the text that is not a CIDR."""
    return tuple(ip_network(part.strip()) for part in text.split(",") if part.strip())


def is_allowed(address: Address, port: int, policy: TargetPolicy = PUBLIC_ONLY) -> bool:
    """Return whether webhooks are allowed to an address; in the allowed networks every port is."""
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            return False
        address = address.ipv4_mapped or address
    if any(address in network for network in policy.denied):
        return False
    if any(address in network for network in policy.allowed):
        return True
    return _is_usual(port) and _is_public(address)


def _is_usual(port: int) -> bool:
    return port in _PORTS or port >= _UNPRIVILEGED


def _is_public(address: Address) -> bool:
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _DENIED_V4)
    return address in _ALLOWED_V6 and not any(address in network for network in _DENIED_V6)


def literal(host: str) -> Address | None:
    """Return the address that a URL's host is, in every spelling that any resolver accepts; None for a name.

    ``127.1``, ``2130706433`` and ``0x7f.0.0.1`` are 127.0.0.1, in full-width digits too. Raises ValueError for a host that
    ends in a number but is not an address: no name ends in a number (URL Standard, "ends in a number").
    """
    host = _plain(host)
    if ":" in host:
        return ip_address(host)
    last = host.rpartition(".")[2]
    if not last.isdecimal() and not last.startswith("0x"):
        return None
    try:
        return IPv4Address(socket.inet_aton(host))
    except OSError as error:
        raise ValueError(host) from error


def is_local_name(host: str) -> bool:
    """Return whether the name is a name of this machine (RFC 6761 §6.3)."""
    host = _plain(host)
    return host == "localhost" or host.endswith(".localhost")


def _plain(host: str) -> str:
    """Return the host in the characters that a resolver sees, without a final dot (UTS 46)."""
    return unicodedata.normalize("NFKC", host).lower().replace("\u3002", ".").rstrip(".")


def host_of(url: str) -> str:
    """Return what identifies the host of a URL: an address, or a name in lower case and ASCII, without port and final dot."""
    host = urlsplit(url).hostname or ""
    try:
        address = literal(host)
        if isinstance(address, IPv6Address):
            address = address.ipv4_mapped or address
        return str(address) if address else _plain(host).encode("idna").decode()
    except ValueError:  # neither an address nor a name that DNS could find
        return _plain(host)


def check_target(url: str, policy: TargetPolicy = PUBLIC_ONLY) -> None:
    """Check a URL as a webhook's target, without a DNS look-up. Raises BadTarget.

    This informs the client early; the sender checks each address again when it opens the connection.
    """
    if len(url) > URL_MAX:
        raise BadTarget(f"Expected at most {URL_MAX} characters", "string_too_long")
    if _UNWANTED.search(url):
        raise BadTarget("Expected an address without blanks, control characters and backslashes", "url_parsing")
    origin, path = split_target(url)
    if not path.isascii():
        raise BadTarget(_NOT_ASCII, "url_parsing")
    _check_origin(origin, policy)


def split_target(url: str) -> tuple[str, str]:
    """Return the scheme with the host and port, and the path with the query, both unchanged; a fragment is never sent.

    Raises BadTarget for another scheme than http and https.
    """
    target = _TARGET.match(url)
    if target is None:
        raise BadTarget("Expected an http or https address", "url_parsing")
    return target[1], target[2]


@lru_cache(maxsize=4096)
def _check_origin(origin: str, policy: TargetPolicy) -> None:
    """Check the part of a URL up to its path. Thousands of callbacks share a few of these, so results are cached."""
    parts, host, port = _split(origin)
    if parts.username is not None or parts.password is not None:
        raise BadTarget("Expected an address without a user name or password", "url_userinfo")
    if not _is_host(host, in_brackets="[" in parts.netloc):
        raise BadTarget(_NO_HOST, "url_parsing")
    try:
        address = literal(host)
    except ValueError as error:
        raise BadTarget(_NO_HOST, "url_parsing") from error
    if not (_is_likely(host, port, policy) if address is None else is_allowed(address, port, policy)):
        raise BadTarget(_REFUSED, "destination_not_allowed")


def _split(url: str) -> tuple[SplitResult, str, int]:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise BadTarget("Expected an http or https address", "url_parsing") from error
    if parts.scheme not in _DEFAULT_PORTS or not host or "%" in host or port == 0:
        raise BadTarget("Expected an http or https address", "url_parsing")
    return parts, host, port or _DEFAULT_PORTS[parts.scheme]


def _is_host(host: str, *, in_brackets: bool) -> bool:
    """Return whether a look-up could find the host, as it is written: letters, digits, hyphens and underscores between dots.

    Resolvers ignore invisible characters: with one of them between its letters, ``localhost`` would not be recognised here,
    and yet be this machine.
    """
    if in_brackets or ":" in host:  # RFC 3986: brackets hold an IPv6 address, or one of a future version
        return in_brackets and ":" in host
    labels = unicodedata.normalize("NFKC", host).replace("\u3002", ".").removesuffix(".").split(".")
    return not _INVISIBLE.search(host) and all(
        0 < len(label) <= _LABEL_MAX and all(_is_of_name(char) for char in label) for label in labels
    )


def _is_of_name(char: str) -> bool:
    return char.isalnum() or char in "-_" or unicodedata.category(char).startswith("M")


def _is_likely(host: str, port: int, policy: TargetPolicy) -> bool:
    """Return whether a name can be allowed. With allowed networks it can resolve into one of them, on any port."""
    if is_local_name(host):
        return policy.allows_loopback
    return bool(policy.allowed) or _is_usual(port)
