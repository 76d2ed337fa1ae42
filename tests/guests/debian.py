"""A private apt: Debian packages of any suite in the user's cache, the system's state untouched.

Dependencies are resolved against an empty dpkg status, downloads are verified by apt's own chain of
signatures, and packages are unpacked with dpkg-deb. Nothing is installed and no root is needed.
"""

import os
import re
import shutil
import subprocess
import tempfile
import time
import urllib.parse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.guests import mirror, store
from tests.guests.packages import PackageSet, World
from tests.guests.setup_error import SetupError

ETC_APT = Path("/etc/apt")
KEY_RINGS = (
    Path("/usr/share/keyrings/debian-archive-keyring.gpg"),
    Path("/usr/share/keyrings/debian-archive-keyring.pgp"),
)
# Index files older than this are asked for again when something has to be downloaded.
INDEX_AGE_SECONDS = 6 * 3600
_KEPT_SETTINGS = re.compile(r"^Acquire::(http|https|Retries|ForceIPv[46]|Check-Valid-Until)\b")
_URI_LINE = re.compile(r"^'(?P<uri>[^']*)' (?P<file>\S+) (?P<size>[0-9]+)")


@dataclass(frozen=True, slots=True)
class Package:
    """A package that a resolution chose; `size` in bytes."""

    name: str
    version: str
    file: str
    size: int


def read_sources(etc: Path = ETC_APT) -> list[mirror.Source]:
    """Every source of the machine's apt configuration, in both styles."""
    found: list[mirror.Source] = []
    files = [etc / "sources.list", *sorted((etc / "sources.list.d").glob("*"))]
    for file in files:
        if not file.is_file() or not os.access(file, os.R_OK):
            continue
        if file.suffix == ".sources":
            found.extend(mirror.parse_deb822(file.read_text()))
        elif file.suffix == ".list":
            found.extend(mirror.parse_one_line(file.read_text()))
    return found


def parse_uris(output: str) -> list[Package]:
    """The packages in the output of `apt-get --print-uris`."""
    found: list[Package] = []
    for line in output.splitlines():
        match = _URI_LINE.match(line)
        if match is None:
            continue
        name, version, _ = match["file"].removesuffix(".deb").split("_", 2)
        found.append(
            Package(name, urllib.parse.unquote(version), match["file"], int(match["size"]))
        )
    return found


def explain(command: str, output: str) -> SetupError:
    """What a failed run of apt means for the user, from what it printed."""
    errors = [line for line in output.splitlines() if line.startswith(("E:", "W:", "Err:"))]
    detail = "\n  ".join(errors[-6:]) or output.strip()[-600:]
    missing = re.findall(r"E: (?:Unable to locate package|Package '?)\s*([^\s']+)", output)
    if re.search(r"No space left|not enough free space|don't have enough free space", output):
        remedy = (
            "there is no disk space left: free some or set XDG_CACHE_HOME to a directory with room"
        )
    elif re.search(
        r"Temporary failure resolving|Could not resolve|Could not connect|Connection (?:timed|ref)"
        r"|Network is unreachable|Unable to connect|Cannot initiate the connection",
        output,
    ):
        remedy = "the Debian mirror cannot be reached: check the network and apt's proxy settings"
    elif missing:
        remedy = (
            f"package {', '.join(sorted(set(missing)))} is not on the mirror: it may be partial; "
            "name a full Debian mirror in the machine's apt sources"
        )
    elif "NO_PUBKEY" in output or "not signed" in output:
        remedy = "the mirror's signature is not known: install or update debian-archive-keyring"
    elif "does not have a Release file" in output or "404" in output:
        remedy = "the mirror lacks this suite or file: name a full Debian mirror in the apt sources"
    else:
        remedy = "run the command again; if it fails again, look at apt's message"
    return SetupError(f"{command} failed: {remedy}\n  {detail}")


class PrivateApt:
    """apt with its own state, cache and sources under `root`, for one `World` of suites."""

    def __init__(self, world: World, root: Path, etc: Path = ETC_APT) -> None:
        self.world = world
        self.directory = root / "apt" / world.name
        self._etc = etc
        self._environment: Mapping[str, str] | None = None

    def resolve(self, packages: PackageSet) -> list[Package]:
        """The packages that `packages` and its dependencies come to on an empty system."""
        self._update()
        command = ["apt-get", "install", "--print-uris", "-qq", "-y", "--no-install-recommends"]
        if self.world.prefer is not None:
            command += ["-t", self.world.prefer]
        found = parse_uris(self._run([*command, *packages.packages]))
        if packages.only is not None:
            found = [package for package in found if re.fullmatch(packages.only, package.name)]
        if not found:
            raise SetupError(
                f"no package matches {packages.only or ' '.join(packages.packages)} in suite "
                f"{' '.join(self.world.suites)}: name a full Debian mirror in the apt sources"
            )
        return found

    def download(self, packages: Sequence[Package]) -> list[Path]:
        """The verified package files; those that are there already are not fetched again."""
        directory = self.directory / "packages"
        with store.disk_errors(directory):
            directory.mkdir(parents=True, exist_ok=True)
        wanted = [p for p in packages if not _complete(directory / p.file, p.size)]
        if wanted:
            megabytes = sum(package.size for package in wanted) / 1e6
            store.say(f"  downloading {len(wanted)} packages, {megabytes:.0f} MB")
            names = [f"{package.name}={package.version}" for package in wanted]
            try:
                self._run(["apt-get", "download", "-qq", *names], directory=directory)
            except SetupError:
                # The index may be older than the mirror: ask for a new one next time.
                (self.directory / "updated").unlink(missing_ok=True)
                raise
        files = [directory / package.file for package in packages]
        for file, package in zip(files, packages, strict=True):
            if not _complete(file, package.size):
                raise SetupError(f"package file {file} is incomplete: run the command again")
        return files

    def unpack(self, packages: PackageSet, target: Path) -> list[Package]:
        """Resolve, fetch and unpack a set into `target`; the fetched files are removed."""
        found = self.resolve(packages)
        files = self.download(found)
        store.say(f"  unpacking {len(files)} packages")
        # Debian's merged /usr: packages of older suites still ship files in the old places.
        for name in ("bin", "lib", "lib64", "sbin"):
            (target / "usr" / name).mkdir(parents=True, exist_ok=True)
            if not (target / name).is_symlink():
                (target / name).symlink_to(f"usr/{name}")
        for file in files:
            self._unpack_file(file, target)
        for file in files:
            file.unlink(missing_ok=True)
        return found

    def _unpack_file(self, file: Path, target: Path) -> None:
        # dpkg-deb -x would replace the links of the merged /usr by directories.
        with tempfile.TemporaryFile() as errors:
            reader = subprocess.Popen(
                ["dpkg-deb", "--fsys-tarfile", str(file)], stdout=subprocess.PIPE, stderr=errors
            )
            writer = subprocess.run(
                ["tar", "-x", "-C", str(target), "--keep-directory-symlink", "--no-same-owner"],
                stdin=reader.stdout,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                check=False,
            )
            if reader.stdout is not None:
                reader.stdout.close()
            failed = reader.wait() != 0 or writer.returncode != 0
            errors.seek(0)
            said = errors.read().decode(errors="replace")
        if failed:
            file.unlink(missing_ok=True)
            raise explain(f"unpacking {file.name}", said)

    def _update(self) -> None:
        stamp = self.directory / "updated"
        environment = self._prepare()
        sources = (self.directory / "sources.list").read_text()
        current = stamp.is_file() and stamp.read_text() == sources
        if current and time.time() - stamp.stat().st_mtime < INDEX_AGE_SECONDS:
            return
        store.say(f"  reading the package index of {', '.join(self.world.suites)}")
        # Without this option apt-get update succeeds when a mirror cannot be reached.
        self._run(
            ["apt-get", "update", "-q", "-o", "APT::Update::Error-Mode=any"],
            environment=environment,
        )
        store.write_atomically(stamp, sources)

    def _prepare(self) -> Mapping[str, str]:
        if self._environment is not None:
            return self._environment
        for program in ("apt-get", "apt-config", "dpkg-deb"):
            if shutil.which(program) is None:
                raise SetupError(
                    f"{program} is not on this machine: the guests are made from Debian packages, "
                    "so the set-up runs on Debian 12 or newer"
                )
        with store.disk_errors(self.directory):
            for name in ("lists/partial", "archives/partial", "preferences.d"):
                (self.directory / name).mkdir(parents=True, exist_ok=True)
            (self.directory / "status").write_text("")
            (self.directory / "sources.list").write_text(self._sources())
            (self.directory / "apt.conf").write_text(self._configuration())
        self._environment = {
            **os.environ,
            "APT_CONFIG": str(self.directory / "apt.conf"),
            "LC_ALL": "C.UTF-8",
            "DEBIAN_FRONTEND": "noninteractive",
        }
        return self._environment

    def _sources(self) -> str:
        mirrors = mirror.debian_mirrors(read_sources(self._etc))
        if not mirrors:
            raise SetupError(
                f"no Debian mirror in {self._etc}/sources.list or {self._etc}/sources.list.d: the "
                "set-up asks the machine's own mirror; add a Debian source to it"
            )
        best = mirrors[0]
        rings = [str(ring) for ring in KEY_RINGS if ring.is_file()]
        if rings:
            option = f"[signed-by={','.join(rings)}] "
        elif best.trusted:
            option = "[trusted=yes] "
        else:
            raise SetupError(
                "Debian's key ring is missing: run (as root)\n"
                "  apt-get install -y debian-archive-keyring"
            )
        return "".join(f"deb {option}{best.uri} {suite} main\n" for suite in self.world.suites)

    def _configuration(self) -> str:
        dump = subprocess.run(
            ["apt-config", "dump"], capture_output=True, text=True, check=False
        ).stdout
        kept = [line for line in dump.splitlines() if _KEPT_SETTINGS.match(line)]
        own = {
            # The machine's own hooks (container images clean the cache in one) must not run here.
            "Dir::Etc::parts": "/dev/null",
            "Dir::Etc::main": "/dev/null",
            "Dir::Etc::preferences": "/dev/null",
            "Dir::Etc::preferencesparts": str(self.directory / "preferences.d"),
            "Dir::Etc::sourcelist": str(self.directory / "sources.list"),
            "Dir::Etc::sourceparts": "/dev/null",
            "Dir::State": str(self.directory),
            "Dir::State::status": str(self.directory / "status"),
            "Dir::Cache": str(self.directory),
            "Dir::Cache::pkgcache": "",
            "Dir::Cache::srcpkgcache": "",
            "Acquire::GzipIndexes": "true",
            "Dir::Log": str(self.directory),
            "Acquire::Languages": "none",
            # A mirror of a testing suite may lag behind its Valid-Until date.
            "Acquire::Check-Valid-Until": "false",
            "APT::Architecture": "amd64",
            "APT::Install-Recommends": "false",
            # As root apt would drop to a user that cannot write into the user's cache directory.
            "APT::Sandbox::User": "root" if os.geteuid() == 0 else "",
        }
        return "\n".join([*kept, *(f'{name} "{value}";' for name, value in own.items()), ""])

    def _run(
        self,
        command: Sequence[str],
        *,
        directory: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> str:
        done = subprocess.run(
            command,
            cwd=directory,
            env=dict(environment or self._prepare()),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
        if done.returncode != 0:
            raise explain(" ".join(command[:2]), done.stdout)
        return done.stdout


def _complete(file: Path, size: int) -> bool:
    return file.is_file() and file.stat().st_size == size
