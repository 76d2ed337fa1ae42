"""The machine's apt sources in both styles, and the choice of a Debian mirror among them."""

from tests.guests.mirror import Source, debian_mirrors, parse_deb822, parse_one_line

DEB822 = """\
# a comment
Types: deb deb-src
URIs: http://mirror.invalid/debian/
Suites: bookworm bookworm-updates
Components: main contrib
# between the fields
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb-src
URIs: http://sources.invalid/debian
Suites: bookworm
Components: main

Enabled: no
Types: deb
URIs: http://off.invalid/debian
Suites: trixie
Components: main

Types: deb
URIs: http://a.invalid/x
 http://b.invalid/x
Suites: trixie
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 -----END PGP PUBLIC KEY BLOCK-----
"""


def test_deb822_keeps_enabled_binary_stanzas() -> None:
    found = parse_deb822(DEB822)
    assert [source.uri for source in found] == [
        "http://mirror.invalid/debian",
        "http://a.invalid/x",
        "http://b.invalid/x",
    ]
    assert found[0].suites == ("bookworm", "bookworm-updates")
    assert found[0].components == ("main", "contrib")
    assert found[0].signed_by == "/usr/share/keyrings/debian-archive-keyring.gpg"


def test_deb822_leaves_an_embedded_key_out() -> None:
    assert parse_deb822(DEB822)[1].signed_by == ""


def test_one_line_style_with_and_without_options() -> None:
    found = parse_one_line(
        "# deb http://old.invalid/debian bullseye main\n"
        "deb [arch=amd64 signed-by=/k.gpg] http://a.invalid/debian/ trixie main contrib # why\n"
        "deb http://b.invalid/debian bookworm main\n"
        "deb-src http://b.invalid/debian bookworm main\n"
        "deb cdrom:[Debian]/ bookworm main\n"
        "deb [trusted=yes] http://c.invalid ./\n"
    )
    assert found == [
        Source("http://a.invalid/debian", ("trixie",), ("main", "contrib"), "/k.gpg"),
        Source("http://b.invalid/debian", ("bookworm",), ("main",)),
        Source("http://c.invalid", ("./",), (), "", trusted=True),
    ]


def test_debian_itself_ranks_before_third_parties() -> None:
    third_party = Source("http://vendor.invalid/apt", ("bookworm",), ("main",), "/vendor.gpg")
    ring = "/usr/share/keyrings/debian-archive-keyring.gpg"
    debian = Source("http://mirror.invalid/debian", ("bookworm",), ("main",), ring)
    security = Source("http://mirror.invalid/security", ("bookworm-security",), ("main",), ring)
    other = Source("http://docker.invalid/debian", ("bookworm",), ("stable",))
    assert debian_mirrors([third_party, other, security, debian]) == [debian, third_party]


def test_no_debian_mirror_is_an_empty_list() -> None:
    assert debian_mirrors([Source("http://x.invalid", ("jammy",), ("main",))]) == []
