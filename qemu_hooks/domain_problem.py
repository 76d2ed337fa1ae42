"""Why a domain cannot have a vGPU, and what to do about it."""

from __future__ import annotations


class DomainProblem(Exception):
    """The text says what is wrong, ``hint`` what helps. Nothing was changed."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class DomainMissing(DomainProblem):
    """There is no such domain, or it has just gone."""


class DomainDenied(DomainProblem):
    """libvirt does not let this user do that."""


class DomainTimeout(DomainProblem):
    """The guest has not done its part in time."""
