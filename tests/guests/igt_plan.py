"""Facts: which IGT programs `make igt` runs and which of their subtests stand for the rest.

A program without patterns runs whole. Patterns are those of fnmatch(3); a subtest runs if one fits.
Sampled programs repeat one scheme over engines, file descriptors and contexts, or run for tens of
seconds a subtest on a real GPU. `program@pattern` on the command line runs what a sample leaves
out.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Program:
    """One IGT program: its name, the sample of its subtests, seconds allowed for one subtest."""

    name: str
    sample: tuple[str, ...] = ("*",)
    seconds: float = 120.0


PROGRAMS = (
    Program("gem_basic"),
    Program("gem_exec_basic"),
    Program("gem_exec_store"),
    Program("gem_exec_nop", ("basic-series", "basic-parallel", "headless", "preempt")),
    # Left out: long-history and expired-history, which build up histories for minutes under TCG,
    # and submit67, which needs tens of thousands of time slices.
    Program("gem_exec_fence", ("[!les]*", "syncobj-*", "submit", "submit3", "submit-chain")),
    Program("gem_exec_async"),
    Program(
        "gem_exec_whisper",
        ("basic-normal", "basic-fds", "basic-contexts", "basic-queues", "chain", "normal-engine"),
        300.0,
    ),
    Program("gem_exec_parallel", ("engines", "basic", "contexts", "fds"), 300.0),
    # Left out: switch (65,536 requests in 30 s), idle (4,096 times idle in 20 s an engine) and
    # preempt (8,192 preemptions in 30 s), for which a guest under TCG is too slow, and most of
    # those that run for 20 s an engine.
    Program("gem_sync", ("basic-*", "default", "store", "wakeup"), 300.0),
    Program("gem_wait"),
    Program("gem_busy"),
    Program("gem_ringfill", ("legacy-basic", "engines-basic", "engines-child", "basic-all"), 300.0),
    Program("gem_ctx_create", ("basic", "ext-param", "basic-files", "files", "active")),
    # Left out: eviction, which fills the GGTT with contexts where memory is larger: with the 2 GiB
    # of GGTT of a vGPU these are tens of thousands, minutes under TCG.
    Program("gem_ctx_exec", ("[!e]*",)),
    Program(
        "gem_ctx_switch",
        ("legacy-render", "legacy-blt", "rcs0", "rcs0-heavy", "bcs0", "vcs0", "vecs0", "all-light"),
    ),
    Program(
        "gem_exec_schedule",
        (
            "fifo",
            "implicit-*",
            "independent",
            "timeslicing",
            "lateslice",
            "submit-*",
            "semaphore-*",
            "in-order",
            "out-order",
            "promotion",
            "preempt*",
            "noreorder*",
            "deep",
            "wide",
            "pi-common",
        ),
        180.0,
    ),
    # Left out: -S4, which needs swap space.
    Program("gem_softpin", ("[a-mo-z]*", "noreloc", "noreloc-interruptible", "noreloc-S3"), 300.0),
    Program("api_intel_bb", ("blit-*", "object-*", "offset-control", "delta-check")),
    Program("gem_linear_blits", ("basic", "normal"), 300.0),
    Program("gem_gpgpu_fill"),
    Program("gem_media_fill"),
    Program(
        "gem_eio",
        (
            "throttle",
            "create*",
            "context-create",
            "execbuf",
            "banned",
            "in-flight-external",
            "wait-*",
            "in-flight-*immediate",
            "in-flight-*1us",
            "in-flight-*10ms",
        ),
        180.0,
    ),
    Program("gem_reset_stats", ("params*", "*-default", "shared-*"), 180.0),
)
# What fails in IGT 2.5 on any machine, read from its source; shown as "defect", with the reason.
DEFECTS = {
    "gem_reset_stats@reset-stats-*": (
        "waiting for the GPU ends every spinner (gem_quiescent_gpu), and so the hang it waits for"
    ),
    "gem_reset_stats@close-pending-fork-*": (
        "passes; then IGT's exit handler aborts over the child that the test killed and left"
    ),
    "gem_sync@legacy-*": "runs on the second BSD ring also where the GPU has one video engine",
}
BY_NAME = {program.name: program for program in PROGRAMS}

# Short, and each of them proves something: what the system tests run.
QUICK = (
    "gem_basic",
    "gem_exec_basic",
    "gem_exec_store",
    "gem_linear_blits@basic",
    "api_intel_bb@blit-noreloc-keep-cache",
    "gem_gpgpu_fill@basic",
    "gem_media_fill",
)
# What `make demo` runs: the same, and twenty seconds of dependent stores that are verified.
DEMO = (*QUICK, "gem_exec_nop@basic-parallel", "gem_exec_whisper@basic-normal")
# What a second guest does over and over beside one that is looked at: short, and verified.
BUSY = ("gem_exec_store", "gem_exec_nop@basic-series", "gem_linear_blits@basic")
# Preemption, semaphores, hangs and resets: minutes in all; the system tests run these too.
RULES = (
    "gem_exec_fence@submit",
    "gem_exec_async",
    "gem_busy@semaphore",
    "gem_busy@hang",
    "gem_wait@await",
    "gem_ctx_exec@basic-close-race",
    "gem_eio@throttle",
)
