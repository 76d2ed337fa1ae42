"""Which lines of a kernel log count as complaints."""

from tests.guests.kernel_log import complaints, console_complaints, given_up

LOG = """\
kern  :info  : [    4.1] i915 0000:00:02.0: [drm] VT-d active for gfx access
kern  :warn  : [    1.2] mtrr: your CPUs had inconsistent fixed MTRR settings
kern  :warn  : [    4.2] i915 0000:00:02.0: [drm] something odd
kern  :err   : [    4.3] i915 0000:00:02.0: [drm] *ERROR* GT0: rcs0: reset request timed out
kern  :warn  : [    4.4] WARNING: CPU: 0 PID: 1 at drivers/gpu/drm/i915/x.c:1 f+0x1/0x2 [i915]
kern  :warn  : [    5.0] Setting dangerous option reset - tainting kernel
kern  :warn  : [    5.1] [IGT] gem_eio: starting subtest banned
"""


def test_errors_splats_and_gpu_warnings_count() -> None:
    found = complaints(LOG)
    assert len(found) == 3
    assert "something odd" in found[0]
    assert "*ERROR*" in found[1]
    assert "WARNING: CPU" in found[2]


def test_any_gpu_line_on_the_console_counts() -> None:
    console = "[ 1.2] mtrr: your CPUs\n[ 4.2] i915 0000:00:02.0: [drm] odd\nvgpud-guest: ready\n"
    assert console_complaints(console) == ["[ 4.2] i915 0000:00:02.0: [drm] odd"]


def test_a_gpu_that_the_driver_has_given_up() -> None:
    line = "kern  :err   : [   12.1] i915 0000:00:02.0: [drm] *ERROR* GT0: "
    assert given_up(line + "Failed to initialize GPU, declaring it wedged!")
    assert not given_up(line + "Resetting chip for hang on rcs0")
