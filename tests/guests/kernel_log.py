"""Find the lines of a guest kernel's log that complain about the GPU or the kernel itself; pure."""

import re

# util-linux `dmesg -x` writes "kern  :warn  : [   12.345678] text".
_DECODED = re.compile(r"^\w+\s*:(?P<level>\w+)\s*: (?P<rest>.*)$")
_LOUD = frozenset({"emerg", "alert", "crit", "err", "warn"})
_ALWAYS = re.compile(
    r"\*ERROR\*|\bWARNING: |\bBUG: |\bOops\b|general protection|Kernel panic|Call Trace:"
    r"|soft lockup|blocked for more than"
)
_GPU = re.compile(r"\bi915\b|\bdrm\b|\[drm")
# i915_gem_init, where the first requests take longer than 200 ms or hang: modprobe is content.
_GIVEN_UP = "declaring it wedged"
# IGT announces its subtests in the log; tests that set module options taint the kernel on purpose.
_HARMLESS = re.compile(r"\[IGT\]|Setting dangerous option|raw\.[a-z0-9_.]*taint")


def complaints(log: str) -> list[str]:
    """Lines of `dmesg -x` that tell of trouble: errors, splats, GPU lines from warning up."""
    found = []
    for line in log.splitlines():
        match = _DECODED.match(line)
        level, text = (match["level"], match["rest"]) if match else ("", line)
        if _HARMLESS.search(text):
            continue
        if _ALWAYS.search(text) or (level in _LOUD and _GPU.search(text)):
            found.append(text.strip())
    return found


def given_up(log: str) -> bool:
    """Has i915 given its GPU up while it loaded? Programs find "no GPU" then, and are skipped."""
    return _GIVEN_UP in log


def console_complaints(console: str) -> list[str]:
    """The same for the serial console, on which a guest shows warnings and worse only."""
    return [
        line.strip()
        for line in console.splitlines()
        if not _HARMLESS.search(line) and (_ALWAYS.search(line) or _GPU.search(line))
    ]
