"""Parse the machine's apt sources and find its Debian mirrors (sources.list(5)); pure.

The project names no registry: the mirror the machine already uses is asked for other suites.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

DEBIAN_RELEASES = frozenset({"bullseye", "bookworm", "trixie", "forky", "duke", "sid"})
DEBIAN_SUITES = DEBIAN_RELEASES | {"oldstable", "stable", "testing", "unstable"}


@dataclass(frozen=True, slots=True)
class Source:
    """One repository: address, suites, components, and the options that belong to it."""

    uri: str
    suites: tuple[str, ...]
    components: tuple[str, ...]
    signed_by: str = ""
    trusted: bool = False


def parse_deb822(text: str) -> list[Source]:
    """Sources of a deb822 `.sources` file; disabled and source-only stanzas are left out."""
    found: list[Source] = []
    for stanza in _stanzas(text):
        if stanza.get("enabled", "yes").strip().lower() in ("no", "false", "0", "off"):
            continue
        if "deb" not in stanza.get("types", "").split():
            continue
        signed_by = stanza.get("signed-by", "").strip()
        found.extend(
            Source(
                uri.rstrip("/"),
                tuple(stanza.get("suites", "").split()),
                tuple(stanza.get("components", "").split()),
                "" if "\n" in signed_by else signed_by,
                stanza.get("trusted", "").strip().lower() in ("yes", "true", "1"),
            )
            for uri in stanza.get("uris", "").split()
        )
    return found


def _stanzas(text: str) -> Iterator[Mapping[str, str]]:
    stanza: dict[str, str] = {}
    field = ""
    for line in [*text.splitlines(), ""]:
        if line.startswith("#"):
            continue
        if not line.strip():
            if stanza:
                yield stanza
            stanza, field = {}, ""
        elif line[0] in " \t":
            if field:
                stanza[field] += "\n" + line.strip()
        elif ":" in line:
            field, _, value = line.partition(":")
            field = field.strip().lower()
            stanza[field] = value.strip()


_ONE_LINE = re.compile(r"^deb\s+(?:\[(?P<options>[^\]]*)\]\s+)?(?P<rest>\S.*)$")


def parse_one_line(text: str) -> list[Source]:
    """Sources of a `sources.list` file in the one-line style; `deb-src` lines are left out."""
    found: list[Source] = []
    for line in text.splitlines():
        match = _ONE_LINE.match(line.split("#", 1)[0].strip())
        if match is None:
            continue
        words = match["rest"].split()
        if words[0].startswith("cdrom:") or len(words) < 2:
            continue
        options = dict(option.partition("=")[::2] for option in (match["options"] or "").split())
        found.append(
            Source(
                words[0].rstrip("/"),
                (words[1],),
                tuple(words[2:]),
                options.get("signed-by", ""),
                options.get("trusted", "").lower() in ("yes", "true", "1"),
            )
        )
    return found


def debian_mirrors(sources: list[Source]) -> list[Source]:
    """The sources that carry Debian itself, the likeliest first.

    Third parties also name their suites after Debian releases, so a source must offer component
    `main` of a suite that is a release; a key ring of Debian's and a path that ends in `debian`
    rank it higher.
    """
    candidates = [
        source
        for source in sources
        if DEBIAN_SUITES & set(source.suites) and "main" in source.components
    ]

    def rank(source: Source) -> tuple[bool, bool]:
        return (
            "debian-archive" not in source.signed_by,
            not source.uri.endswith("/debian"),
        )

    unique = {source.uri: source for source in sorted(candidates, key=rank, reverse=True)}
    return sorted(unique.values(), key=rank)
