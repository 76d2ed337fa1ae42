"""The private apt: what it makes of apt's output, and its messages; apt is a fake program."""

import os
from pathlib import Path

import pytest

from tests.guests import store
from tests.guests.debian import Package, PrivateApt, explain, parse_uris
from tests.guests.packages import PackageSet, World
from tests.guests.setup_error import SetupError

WORLD = World("world", ("trixie",))
SET = PackageSet("set", WORLD, ("tool",))
URIS = (
    "'http://mirror.invalid/pool/t/tool_1%3a2-3_amd64.deb' tool_1%3a2-3_amd64.deb 1000 SHA256:00\n"
)


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    """An apt configuration with one Debian mirror."""
    directory = tmp_path / "etc"
    (directory / "sources.list.d").mkdir(parents=True)
    (directory / "sources.list").write_text(
        "deb [trusted=yes] http://mirror.invalid/debian trixie main\n"
    )
    return directory


def fake_programs(
    directory: Path, monkeypatch: pytest.MonkeyPatch, apt_get: str, apt_config: str = ""
) -> None:
    """Put programs of that name, with those shell bodies, in front of the search path."""
    directory.mkdir()
    for name, body in (("apt-get", apt_get), ("apt-config", apt_config), ("dpkg-deb", "")):
        (directory / name).write_text(f"#!/bin/sh\n{body}\n")
        (directory / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{directory}:{os.environ['PATH']}")


def test_uris_give_names_versions_and_sizes() -> None:
    assert parse_uris(URIS + "noise\n") == [
        Package("tool", "1:2-3", "tool_1%3a2-3_amd64.deb", 1000)
    ]


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("E: Unable to locate package igt\n", "package igt is not on the mirror"),
        ("Err:1 x\n  Temporary failure resolving 'mirror.invalid'\n", "check the network"),
        ("E: Failed to fetch x  Could not connect to proxy\n", "check the network"),
        ("E: Write error - write (28: No space left on device)\n", "no disk space left"),
        ("E: You don't have enough free space in /x\n", "no disk space left"),
        ("W: GPG error: NO_PUBKEY 0123\nE: not signed\n", "debian-archive-keyring"),
        ("E: The repository 'x' does not have a Release file.\n", "lacks this suite"),
        ("E: something new\n", "run the command again"),
    ],
)
def test_each_failure_names_its_remedy(output: str, expected: str) -> None:
    assert expected in str(explain("apt-get update", output))


def test_resolve_uses_a_private_state_and_the_machines_mirror(
    tmp_path: Path, etc: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = f'[ "$1" = update ] || echo "{URIS.strip()}"'
    kept = 'Acquire::http::Proxy "http://proxy.invalid";'
    dump = f"echo '{kept}'; echo 'APT::Update::Post-Invoke:: \"rm\";'"
    fake_programs(tmp_path / "bin", monkeypatch, body, dump)
    apt = PrivateApt(WORLD, tmp_path / "cache", etc)
    assert [package.name for package in apt.resolve(SET)] == ["tool"]
    configuration = (apt.directory / "apt.conf").read_text()
    assert kept in configuration
    assert "Post-Invoke" not in configuration
    assert f'Dir::State "{apt.directory}";' in configuration
    assert (apt.directory / "status").read_text() == ""
    assert (
        "http://mirror.invalid/debian trixie main" in (apt.directory / "sources.list").read_text()
    )


def test_no_network_is_a_message(
    tmp_path: Path, etc: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = "echo \"Err: Temporary failure resolving 'mirror.invalid'\"; exit 100"
    fake_programs(tmp_path / "bin", monkeypatch, said)
    with pytest.raises(SetupError, match="mirror cannot be reached: check the network"):
        PrivateApt(WORLD, tmp_path / "cache", etc).resolve(SET)


def test_a_missing_package_is_a_message(
    tmp_path: Path, etc: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = '[ "$1" = update ] || { echo "E: Unable to locate package tool"; exit 100; }'
    fake_programs(tmp_path / "bin", monkeypatch, body)
    with pytest.raises(SetupError, match="package tool is not on the mirror"):
        PrivateApt(WORLD, tmp_path / "cache", etc).resolve(SET)


def test_a_set_that_matches_nothing_is_a_message(
    tmp_path: Path, etc: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_programs(tmp_path / "bin", monkeypatch, f'[ "$1" = update ] || echo "{URIS.strip()}"')
    only = PackageSet("set", WORLD, ("tool",), only="linux-image-.*")
    with pytest.raises(SetupError, match="no package matches"):
        PrivateApt(WORLD, tmp_path / "cache", etc).resolve(only)


def test_a_partial_download_does_not_count(
    tmp_path: Path, etc: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = '[ "$1" = download ] && echo short >tool_1%3a2-3_amd64.deb; exit 0'
    fake_programs(tmp_path / "bin", monkeypatch, body)
    apt = PrivateApt(WORLD, tmp_path / "cache", etc)
    with pytest.raises(SetupError, match="incomplete"):
        apt.download(parse_uris(URIS))


def test_a_failed_download_asks_for_a_new_index(
    tmp_path: Path, etc: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = 'case "$1" in download) echo "E: 404 Not Found"; exit 100;; esac'
    fake_programs(tmp_path / "bin", monkeypatch, f'{body}; echo "{URIS.strip()}"')
    apt = PrivateApt(WORLD, tmp_path / "cache", etc)
    found = apt.resolve(SET)
    with pytest.raises(SetupError, match="lacks this suite or file"):
        apt.download(found)
    assert not (apt.directory / "updated").exists()


def test_no_apt_is_a_message(tmp_path: Path, etc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    with pytest.raises(SetupError, match="apt-get is not on this machine"):
        PrivateApt(WORLD, tmp_path / "cache", etc).resolve(SET)


def test_no_mirror_is_a_message(tmp_path: Path, etc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (etc / "sources.list").write_text("")
    fake_programs(tmp_path / "bin", monkeypatch, "exit 0")
    with pytest.raises(SetupError, match="no Debian mirror in"):
        PrivateApt(WORLD, tmp_path / "cache", etc).resolve(SET)


def test_no_disk_space_is_a_message(tmp_path: Path) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("needs /dev/full")
    with pytest.raises(SetupError, match="no disk space left"), store.disk_errors(tmp_path):
        full.write_text("x")
