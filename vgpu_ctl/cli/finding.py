"""What one check of `doctor` found, and how all of them look."""

from __future__ import annotations

from enum import Enum

from vgpu_ctl.api.objects import Object


class Status(Enum):
    """How bad it is."""

    OK = "ok"
    WARN = "warn"
    """vGPUs work, with a limit that the text names."""
    FAIL = "fail"
    SKIP = "skip"
    """What it looks at is not there; another check says so."""


class Finding(Object, frozen=True, kw_only=True):
    """The outcome of one check."""

    name: str
    status: Status
    detail: str
    advice: str = ""
    """What to do; empty where nothing needs to be done."""


class Outcome(Object, frozen=True, kw_only=True):
    """The same, before its check gave it a name."""

    status: Status
    detail: str
    advice: str = ""


def ok(detail: str) -> Outcome:
    """All is well."""
    return Outcome(status=Status.OK, detail=detail)


def warn(detail: str, advice: str) -> Outcome:
    """Good enough to go on."""
    return Outcome(status=Status.WARN, detail=detail, advice=advice)


def fail(detail: str, advice: str) -> Outcome:
    """No vGPU will work like this."""
    return Outcome(status=Status.FAIL, detail=detail, advice=advice)


def skip(detail: str) -> Outcome:
    """Not looked at."""
    return Outcome(status=Status.SKIP, detail=detail)
