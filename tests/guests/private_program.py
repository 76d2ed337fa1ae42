"""Run a program of an unpacked package tree with that tree's own loader and libraries."""

from pathlib import Path

from tests.guests.setup_error import SetupError

_LIBRARIES = "usr/lib/x86_64-linux-gnu"
_LOADER = f"{_LIBRARIES}/ld-linux-x86-64.so.2"


def private_command(tree: Path, program: str) -> list[str]:
    """The head of an argument list that runs `program`, a path in `tree`."""
    loader = tree / _LOADER
    for needed in (loader, tree / program):
        if not needed.is_file():
            raise SetupError(f"{needed} is missing: remove {tree} and run the command again")
    places = [tree / _LIBRARIES, *sorted(p for p in (tree / _LIBRARIES).iterdir() if p.is_dir())]
    holding = [str(place) for place in places if any(place.glob("*.so*"))]
    return [str(loader), "--library-path", ":".join(holding), str(tree / program)]
