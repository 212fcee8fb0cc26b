"""URLs that are allowed for webhooks, without a DNS look-up."""

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from application.webhook_targets import (
    BadTarget,
    TargetPolicy,
    check_target,
    host_of,
    is_allowed,
    literal,
    networks_of,
)

HERE = TargetPolicy(networks_of("127.0.0.0/8, ::1/128"))
PRIVATE = [
    "127.0.0.1", "localhost", "LOCALHOST.", "app.localhost", "[::1]", "[::ffff:7f00:1]", "[::ffff:127.0.0.1]", "2130706433",
    "0x7f000001", "0x7F.1", "127.1", "0177.0.0.1", "0.0.0.0", "0", "169.254.169.254", "169.254.169.254.",  # noqa: S104 - nothing is bound to it
    "[64:ff9b::a9fe:a9fe]", "[64:ff9b::7f00:1]", "[::127.0.0.1]", "[2002:7f00:1::]", "10.0.0.1", "172.31.255.255",
    "192.168.1.1", "168.63.129.16", "100.64.0.1", "224.0.0.1", "255.255.255.255", "198.18.0.1", "203.0.113.7", "[fe80::1]", "[fc00::1]",
    "[ff02::1]", "[2001:db8::1]", "[::]", "１２７.0.0.1", "127。0。0。1", "ⓛocalhost",
]  # fmt: skip
PUBLIC = [
    "example.com",
    "EXAMPLE.com.",
    "8.8.8.8",
    "[2606:4700::1111]",
    "xn--80ak6aa92e.com",
    "пример.рф",
    "उदाहरण.भारत",
    "under_score.example",
    "127.0.0.1.example.com",
]
INVISIBLE = "\u00ad\u034f\u061c\u180b\u180e\u200b\u200c\u200d\u2060\u2064\ufe00\ufe0f\ufeff\U000e0100"


@pytest.mark.parametrize("host", PRIVATE)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_private_address_is_refused_in_every_spelling(scheme: str, host: str) -> None:
    with pytest.raises(BadTarget) as refused:
        check_target(f"{scheme}://{host}/hook")
    assert refused.value.kind == "destination_not_allowed"


@pytest.mark.parametrize("host", PUBLIC)
@pytest.mark.parametrize("scheme", ["http", "https", "HTTPS"])
@pytest.mark.parametrize("port", ["", ":80", ":443", ":1024", ":65535"])
def test_a_public_server_is_taken(scheme: str, host: str, port: str) -> None:
    check_target(f"{scheme}://{host}{port}/hook?a=1#b")


@pytest.mark.parametrize("port", [1, 22, 25, 81, 1023])
def test_a_port_of_another_service_is_refused(port: int) -> None:
    for host in ("example.com", "8.8.8.8"):
        with pytest.raises(BadTarget):
            check_target(f"https://{host}:{port}/")


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("https://user@example.com/", "url_userinfo"),
        ("https://user:pw@example.com/", "url_userinfo"),
        ("https://@example.com/", "url_userinfo"),
        ("ftp://example.com/", "url_parsing"),
        ("unix:///var/run/docker.sock", "url_parsing"),
        ("file:///etc/passwd", "url_parsing"),
        ("example.com/hook", "url_parsing"),
        ("https://", "url_parsing"),
        ("https:///hook", "url_parsing"),
        ("https://example.com:0/", "url_parsing"),
        ("https://example.com:70000/", "url_parsing"),
        ("https://[::1/", "url_parsing"),
        ("https://[fe80::1%25eth0]/", "url_parsing"),
        ("https://127.0.0.256/", "url_parsing"),
        ("https://1.2.3.4.5/", "url_parsing"),
        ("https://exa mple.com/", "url_parsing"),
        ("https://a..b/", "url_parsing"),
        ("https://.example.com/", "url_parsing"),
        ("https://localhost../", "url_parsing"),
        ("https://[v1.x]/", "url_parsing"),
        ("https://[example.com]/", "url_parsing"),
        ("https://[127.0.0.1]/", "url_parsing"),
        (f"https://{'a' * 64}.example/", "url_parsing"),
        ("https://exa*mple.com/", "url_parsing"),
        ("https://exa,mple.com/", "url_parsing"),
        *(
            (f"https://{host}/", "url_parsing")
            for one in INVISIBLE
            for host in (f"localho{one}st", f"169.254.169.254{one}")
        ),
        ("https://example.com/a b", "url_parsing"),
        ("https://example.com/приём", "url_parsing"),
        ("https://example.com/?name=Ә", "url_parsing"),
        ("https://example.com/\r\nx: y", "url_parsing"),
        ("https://example.com\\@127.0.0.1/", "url_parsing"),
        ("https://127.0.0.1%2eexample.com/", "url_parsing"),
        ("https://example.com/" + "a" * 2_048, "string_too_long"),
    ],
)
def test_what_is_no_address_of_a_server_is_refused_with_a_reason(url: str, kind: str) -> None:
    with pytest.raises(BadTarget) as refused:
        check_target(url)
    assert refused.value.kind == kind
    assert str(refused.value).startswith("Expected ")


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8/", "http://127.1:22/", "http://localhost:3000/", "http://[::1]:9/"]
)
def test_opened_networks_are_taken_on_any_port(url: str) -> None:
    check_target(url, HERE)


@pytest.mark.parametrize("url", ["http://10.0.0.1/", "http://169.254.169.254/", "http://192.168.0.1:8080/"])
def test_opening_one_network_opens_no_other(url: str) -> None:
    with pytest.raises(BadTarget):
        check_target(url, HERE)


def test_a_denied_network_is_refused_even_where_it_is_allowed() -> None:
    policy = TargetPolicy(networks_of("10.0.0.0/8"), networks_of("10.1.0.0/16, 8.8.8.0/24, 2606:4700::/32"))
    check_target("http://10.0.0.1/", policy)
    for host in ("10.1.0.1", "[::ffff:10.1.0.1]", "8.8.8.8", "[2606:4700::1111]"):
        with pytest.raises(BadTarget) as refused:
            check_target(f"http://{host}/", policy)
        assert refused.value.kind == "destination_not_allowed"


@pytest.mark.parametrize(
    ("host", "spellings"),
    [
        (
            "example.com",
            ["example.com", "EXAMPLE.com", "example.com.", "example.com:1024", "example.com:443", "ｅxample.com"],
        ),
        ("xn--e1afmkfd.xn--p1ai", ["пример.рф", "ПРИМЕР.РФ.", "xn--e1afmkfd.xn--p1ai:8080"]),
        ("127.0.0.1", ["127.0.0.1", "127.1", "2130706433", "0x7f.1:99"]),
        ("2606:4700::1111", ["[2606:4700::1111]", "[2606:4700:0::1111]:8080"]),
        ("under_score.example", ["under_score.example"]),
        (f"{'a' * 64}.example", [f"{'a' * 64}.example"]),
    ],
)
def test_a_host_is_the_same_in_every_spelling_and_on_every_port(host: str, spellings: list[str]) -> None:
    assert {host_of(f"{scheme}://{one}/a?b") for one in spellings for scheme in ("http", "HTTPS")} == {host}


def test_an_address_within_ipv6_is_the_same_host() -> None:
    assert host_of("http://[::ffff:198.51.100.7]:8080/x") == host_of("http://198.51.100.7/") == "198.51.100.7"


def test_networks_are_read_from_a_list() -> None:
    assert [str(network) for network in networks_of("10.0.0.0/8, fd00::/8,")] == ["10.0.0.0/8", "fd00::/8"]
    with pytest.raises(ValueError, match=r"10\.0\.0\.1/8"):
        networks_of("10.0.0.1/8")


@given(st.ip_addresses(v=4), st.sampled_from([80, 443, 8080]))
def test_an_address_within_ipv6_is_as_allowed_as_itself(address: object, port: int) -> None:
    mapped = ip_address(f"::ffff:{address}")
    assert is_allowed(mapped, port) == is_allowed(ip_address(str(address)), port)


@given(st.ip_addresses(v=4))
def test_an_address_is_known_as_a_number_in_base_8_10_and_16(address: object) -> None:
    known = ip_address(str(address))
    assert literal(str(int(known))) == literal(hex(int(known))) == literal(f"0{int(known):o}") == known


@given(st.ip_addresses(v=6))
def test_only_the_global_part_of_ipv6_is_allowed(address: object) -> None:
    known = ip_address(str(address))
    if is_allowed(known, 443) and not getattr(known, "ipv4_mapped", None):
        assert int(known) >> 125 == 1
