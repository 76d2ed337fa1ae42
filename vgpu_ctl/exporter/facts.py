"""The metric families that vgpud exports: facts.

Names as Prometheus wants them: one prefix, base units, `_total` for counters. A label value never
depends on what a guest does, but for the number of vGPUs. `vgpu` is a UUID; what people call it is
only in `vgpud_vgpu_info`, which joins on `instance` and `vgpu`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from mediator.errors import Reason
from mediator.vgpu import metrics


class Kind(StrEnum):
    """What a family's samples mean: the word in its TYPE line."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True, eq=False)
class Family:
    """One metric family. Compared and hashed as the object that it is."""

    name: str
    kind: Kind
    labels: tuple[str, ...]
    unit: str
    """`seconds`, `bytes`, `joules`, `hertz`, `ratio`; empty: a number of things."""
    source: str
    """The fields of `vgpu_ctl.api.objects` it shows, with commas; empty: the exporter's own."""
    help: str


BUCKETS_NS = tuple(1 << bits for bits in range(10, 31))
"""Upper ends of the histograms' buckets, 1 us to 1 s: ends of buckets of `mediator.vgpu.metrics`
too, so that nothing is interpolated. A time of exactly that many ns is in the next bucket."""

FAIL_REASONS = tuple(failure.value for failure in metrics.Failure)
TRAP_CLASSES = metrics.TRAP_CLASSES
REJECT_REASONS = tuple(reason.value for reason in Reason)
GPU_STATES = ("ready", "absent", "failed", "unsupported")
"""Label values that are there from the start, with 0, so that a first increase is seen."""

_C, _G, _H = Kind.COUNTER, Kind.GAUGE, Kind.HISTOGRAM
_GPU = ("gpu",)
_VGPU = ("gpu", "vgpu")
_ENGINE = ("gpu", "vgpu", "engine")

# One virtual engine.
QUEUE_DEPTH = Family(
    "vgpud_queue_depth",
    *(_G, _ENGINE, "", "EngineStats.queue_depth"),
    "Requests admitted and not yet on the hardware.",
)
QUEUE_INFLIGHT = Family(
    "vgpud_queue_inflight",
    *(_G, _ENGINE, "", "EngineStats.in_flight"),
    "Requests on the hardware's engine, or interrupted there by the end of a slice.",
)
QUEUE_OLDEST = Family(
    "vgpud_queue_oldest_request_age_seconds",
    *(_G, _ENGINE, "seconds", "EngineStats.oldest_age_seconds"),
    "Since the oldest request that is queued or in flight was submitted; 0 without any.",
)
SUBMITTED = Family(
    "vgpud_requests_submitted_total",
    *(_C, _ENGINE, "", "EngineStats.submitted"),
    "Requests that the guest submitted.",
)
COMPLETED = Family(
    "vgpud_requests_completed_total",
    *(_C, _ENGINE, "", "EngineStats.completed"),
    "Requests that ended as they should.",
)
REQUESTS_PREEMPTED = Family(
    "vgpud_requests_preempted_total",
    *(_C, _ENGINE, "", "EngineStats.preempted"),
    "Requests that the guest's own driver took back in favour of others, to submit them again.",
)
FAILED = Family(
    "vgpud_requests_failed_total",
    *(_C, (*_ENGINE, "reason"), "", "EngineStats.failed"),
    "Requests that did not complete, by reason: refused (by the audit), hang, reset, client-gone.",
)
ENGINE_BUSY = Family(
    "vgpud_engine_busy_seconds_total",
    *(_C, _ENGINE, "seconds", "EngineStats.busy_seconds"),
    "Time for which the engine ran requests of this vGPU.",
)
QUEUE_WAIT = Family(
    "vgpud_queue_wait_seconds",
    *(_H, _ENGINE, "seconds", "EngineStats.wait"),
    "From a request's submission to its first time on the hardware.",
)
QUEUE_WAIT_LONGEST = Family(
    "vgpud_queue_wait_longest_seconds",
    *(_G, _ENGINE, "seconds", "EngineStats.wait"),
    "The longest wait for the hardware since the vGPU was started.",
)
LATENCY = Family(
    "vgpud_request_latency_seconds",
    *(_H, _ENGINE, "seconds", "EngineStats.latency"),
    "From a request's submission to its end.",
)
LATENCY_LONGEST = Family(
    "vgpud_request_latency_longest_seconds",
    *(_G, _ENGINE, "seconds", "EngineStats.latency"),
    "The longest time from a request's submission to its end since the vGPU was started.",
)

# One vGPU.
VGPU_INFO = Family(
    "vgpud_vgpu_info",
    _G,
    (*_VGPU, "name", "type", "domain"),
    "",
    "VgpuInfo.name, VgpuInfo.type, VgpuInfo.domain",
    "1 for each vGPU that is defined or active: what people call it, its type, and the libvirt "
    "domain that has it.",
)
VGPU_UP = Family(
    "vgpud_vgpu_up",
    *(_G, _VGPU, "", "VgpuInfo.state"),
    "Whether the vGPU is active: it has its part of a GPU and a socket.",
)
VGPU_ERROR = Family(
    "vgpud_vgpu_error",
    *(_G, _VGPU, "", "VgpuInfo.state"),
    "Whether the vGPU was active and cannot be any more.",
)
ATTACHED = Family(
    "vgpud_vgpu_attached",
    *(_G, _VGPU, "", "VgpuStats.attached"),
    "Whether a client (QEMU) is attached.",
)
MEDIATED = Family(
    "vgpud_vgpu_mediated",
    *(_G, _VGPU, "", "VgpuStats.mediated"),
    "0 for passthrough, of which only accesses, GTT updates and interrupts are known.",
)
WEIGHT = Family(
    "vgpud_sched_weight",
    *(_G, _VGPU, "", "VgpuStats.weight"),
    "Its share of contended GPU time, against the weights of others.",
)
CAP = Family(
    "vgpud_sched_cap_ratio",
    *(_G, _VGPU, "ratio", "VgpuStats.cap"),
    "The most it may have of its GPU's time; 1 is no limit.",
)
GPU_SECONDS = Family(
    "vgpud_vgpu_gpu_seconds_total",
    *(_C, _VGPU, "seconds", "VgpuStats.gpu_seconds"),
    "Time for which it had its GPU.",
)
SWITCHES = Family(
    "vgpud_context_switches_total",
    *(_C, _VGPU, "", "VgpuStats.world_switches"),
    "World switches: how often it was given the GPU after another vGPU had it.",
)
PREEMPTIONS = Family(
    "vgpud_preemptions_total",
    *(_C, _VGPU, "", "VgpuStats.preemptions"),
    "Slices that ended while it had more to do.",
)
TRAPS = Family(
    "vgpud_mmio_accesses_total",
    *(_C, (*_VGPU, "op", "class"), "", "VgpuStats.traps"),
    "Accesses that reached vgpud: op is read or write, class register, gtt, aperture or config.",
)
TRAP_LATENCY = Family(
    "vgpud_mmio_trap_latency_seconds",
    *(_H, _VGPU, "seconds", "VgpuStats.trap_seconds"),
    "From an access's arrival at the vGPU to its answer; the sum is the time of the handlers.",
)
TRAP_LATENCY_LONGEST = Family(
    "vgpud_mmio_trap_latency_longest_seconds",
    *(_G, _VGPU, "seconds", "VgpuStats.trap_seconds"),
    "The longest time that an access took since the vGPU was started.",
)
GTT_UPDATES = Family(
    "vgpud_gtt_updates_total",
    *(_C, _VGPU, "", "VgpuStats.gtt_updates"),
    "Entries of its global GTT that the guest wrote.",
)
SHADOW_PAGES = Family(
    "vgpud_shadow_ppgtt_pages",
    *(_G, _VGPU, "", "VgpuStats.shadow_pages"),
    "Pages of shadow page tables that it has now.",
)
INTERRUPTS = Family(
    "vgpud_irqs_injected_total",
    *(_C, _VGPU, "", "VgpuStats.interrupts"),
    "Interrupts that it was sent.",
)
RESETS = Family(
    "vgpud_vgpu_resets_total",
    *(_C, (*_VGPU, "level"), "", "VgpuStats.engine_resets, VgpuStats.full_resets"),
    "Resets: level engine is an engine that the guest found hung; full is all engines at once, or "
    "the function, as each load of a driver does.",
)
HANGS = Family(
    "vgpud_vgpu_hangs_total",
    *(_C, _VGPU, "", "VgpuStats.hangs"),
    "Engines that came to stand: by the watchdog, an error of the guest, or the operator's reset.",
)
FAULTS = Family(
    "vgpud_vgpu_faults_total",
    *(_C, _VGPU, "", "VgpuStats.faults"),
    "Page faults among the hangs.",
)
NOTIFICATIONS = Family(
    "vgpud_guest_notifications_total",
    *(_C, _VGPU, "", "VgpuStats.notifications"),
    "Messages of the guest through its PVINFO page.",
)
ATTACHES = Family(
    "vgpud_vgpu_attaches_total",
    *(_C, _VGPU, "", "VgpuStats.attaches"),
    "Clients served since the vGPU was started.",
)
REJECTS = Family(
    "vgpud_audit_rejects_total",
    *(_C, (*_VGPU, "reason"), "", "VgpuStats.rejections"),
    "What the audit of the guest's commands, addresses and page tables refused, by reason.",
)
KERNELS = Family(
    "vgpud_kernels_total",
    *(_C, _VGPU, "", "ComputeStats.kernels"),
    "Kernels that ended on the execution units.",
)
KERNEL_THREADS = Family(
    "vgpud_kernel_threads_total",
    *(_C, _VGPU, "", "ComputeStats.threads"),
    "Threads of kernels that began.",
)
KERNEL_GROUPS = Family(
    "vgpud_kernel_groups_total",
    *(_C, (*_VGPU, "how"), "", "ComputeStats.groups, ComputeStats.interpreted_groups"),
    "Thread groups that ended: how is compiled, or interpreted where no compiled code was there.",
)
KERNEL_SECONDS = Family(
    "vgpud_kernel_seconds_total",
    *(_C, _VGPU, "seconds", "ComputeStats.busy_seconds"),
    "Time during which threads ran on the execution units.",
)
PROGRAMS = Family(
    "vgpud_kernel_programs_total",
    *(
        _C,
        (*_VGPU, "what"),
        "",
        (
            "ComputeStats.programs, ComputeStats.program_hits, ComputeStats.compiled, "
            "ComputeStats.from_disk, ComputeStats.uncompiled"
        ),
    ),
    "Programs of kernels: what is decoded (not seen before, or not for long), known (found again), "
    "compiled (came into use in compiled form; disk are those of them that an earlier process had "
    "compiled) or uncompiled (the compiler gave them up, and they stay interpreted).",
)
KERNEL_TROUBLES = Family(
    "vgpud_kernel_troubles_total",
    *(
        _C,
        (*_VGPU, "what"),
        "",
        "ComputeStats.suspended, ComputeStats.lost, ComputeStats.faults, ComputeStats.refused",
    ),
    "Kernels that were suspended within a thread group, lost so, or ended by a page fault (fault) "
    "or by what makes no sense (refused).",
)
APERTURE = Family(
    "vgpud_vgpu_aperture_bytes",
    *(_G, (*_VGPU, "kind"), "bytes", "TypeInfo.low_bytes, TypeInfo.high_bytes"),
    "Graphics memory that its type gives it: kind low can be mapped by the CPU, high cannot.",
)
FENCES = Family(
    "vgpud_vgpu_fences",
    *(_G, _VGPU, "", "TypeInfo.fences"),
    "Fence registers that its type gives it.",
)

# One GPU.
GPU_INFO = Family(
    "vgpud_gpu_info",
    _G,
    (*_GPU, "backend", "simulated", "pci", "device_id", "description", "address_space", "ggtt"),
    "",
    "GpuInfo.backend, GpuInfo.simulated, GpuInfo.pci, GpuInfo.device_id, GpuInfo.description, "
    "GpuInfo.address_space, GpuInfo.ggtt",
    "1 for each GPU: what it is and how it is shared.",
)
GPU_UP = Family(
    "vgpud_gpu_up",
    *(_G, _GPU, "", "GpuInfo.state"),
    "Whether the GPU is ready to have vGPUs.",
)
GPU_STATE = Family(
    "vgpud_gpu_state",
    *(_G, (*_GPU, "state"), "", "GpuInfo.state"),
    "1 for the state that the GPU is in: ready, absent, failed, or unsupported (there, and vgpud "
    "cannot drive it); 0 for the others.",
)
GPU_ACTIVE = Family(
    "vgpud_gpu_active",
    *(_G, _GPU, "", "GpuStats.active"),
    "Whether the GPU has been brought up.",
)
GPU_VGPUS = Family(
    "vgpud_gpu_vgpus",
    *(_G, _GPU, "", "GpuInfo.vgpus"),
    "vGPUs that are active on the GPU.",
)
RESOURCE_BYTES = Family(
    "vgpud_gpu_resource_bytes",
    *(_G, (*_GPU, "resource"), "bytes", "ResourceInfo.total"),
    "What the GPU has of a resource of vGPUs that is counted in bytes.",
)
RESOURCE_LEFT_BYTES = Family(
    "vgpud_gpu_resource_left_bytes",
    *(_G, (*_GPU, "resource"), "bytes", "ResourceInfo.left"),
    "Bytes of such a resource that no vGPU has.",
)
RESOURCE_SLOTS = Family(
    "vgpud_gpu_resource_slots",
    *(_G, (*_GPU, "resource"), "", "ResourceInfo.total"),
    "What the GPU has of a resource of vGPUs that is counted in pieces.",
)
RESOURCE_LEFT_SLOTS = Family(
    "vgpud_gpu_resource_left_slots",
    *(_G, (*_GPU, "resource"), "", "ResourceInfo.left"),
    "Pieces of such a resource that no vGPU has.",
)
POLICY = Family(
    "vgpud_sched_policy_info",
    *(_G, (*_GPU, "policy"), "", "GpuStats.policy"),
    "1: the policy by which vGPUs are given the GPU.",
)
GPU_BUSY = Family(
    "vgpud_gpu_busy_seconds_total",
    *(_C, _GPU, "seconds", "GpuStats.busy_seconds"),
    "Time for which any vGPU had the GPU.",
)
GPU_ENGINE_BUSY = Family(
    "vgpud_gpu_engine_busy_seconds_total",
    *(_C, (*_GPU, "engine"), "seconds", "GpuStats.engine_seconds"),
    "Time for which the engine ran requests, of vGPUs that are gone too.",
)
GPU_SWITCHES = Family(
    "vgpud_gpu_context_switches_total",
    *(_C, _GPU, "", "GpuStats.world_switches"),
    "World switches: how often the GPU went from one vGPU to another.",
)
GPU_PREEMPTIONS = Family(
    "vgpud_gpu_preemptions_total",
    *(_C, _GPU, "", "GpuStats.preemptions"),
    "Slices that ended while their vGPU had more to do.",
)
GPU_RESTARTS = Family(
    "vgpud_gpu_restarts_total",
    *(_C, _GPU, "", "GpuStats.restarts"),
    "Times the GPU had to be brought up from cold.",
)
GPU_ENERGY = Family(
    "vgpud_gpu_energy_joules_total",
    *(_C, _GPU, "joules", "GpuStats.energy_joules"),
    "Energy used: an estimate from engine activity and frequency, measured by nothing.",
)
GPU_FREQUENCY = Family(
    "vgpud_gpu_frequency_hertz",
    *(_G, _GPU, "hertz", "GpuStats.frequency_hertz"),
    "Frequency of the GPU; of a software GPU a number that drivers expect to see.",
)

# The host.
AVAILABLE = Family(
    "vgpud_types_available_instances",
    *(_G, ("type", "gpu"), "", "TypeInfo.available"),
    "How many more vGPUs of the type would fit on the GPU now.",
)
BUILD_INFO = Family(
    "vgpud_build_info",
    *(_G, ("version", "api", "hotpath"), "", "DaemonInfo.version"),
    "1: version of vgpud and of its control API; hotpath is native, or python for the slow twins.",
)
CLOCK = Family(
    "vgpud_clock_seconds",
    *(_G, (), "seconds", "Stats.time_seconds"),
    "A clock that only goes forward, when the counters were read: only differences mean something.",
)
SCRAPE_SECONDS = Family(
    "vgpud_scrape_duration_seconds",
    *(_G, (), "seconds", ""),
    "What reading the counters and writing this answer took vgpud.",
)

FAMILIES = (
    QUEUE_DEPTH,
    QUEUE_INFLIGHT,
    QUEUE_OLDEST,
    SUBMITTED,
    COMPLETED,
    REQUESTS_PREEMPTED,
    FAILED,
    ENGINE_BUSY,
    QUEUE_WAIT,
    QUEUE_WAIT_LONGEST,
    LATENCY,
    LATENCY_LONGEST,
    VGPU_INFO,
    VGPU_UP,
    VGPU_ERROR,
    ATTACHED,
    MEDIATED,
    WEIGHT,
    CAP,
    GPU_SECONDS,
    SWITCHES,
    PREEMPTIONS,
    TRAPS,
    TRAP_LATENCY,
    TRAP_LATENCY_LONGEST,
    GTT_UPDATES,
    SHADOW_PAGES,
    INTERRUPTS,
    RESETS,
    HANGS,
    FAULTS,
    NOTIFICATIONS,
    ATTACHES,
    REJECTS,
    KERNELS,
    KERNEL_THREADS,
    KERNEL_GROUPS,
    KERNEL_SECONDS,
    PROGRAMS,
    KERNEL_TROUBLES,
    APERTURE,
    FENCES,
    GPU_INFO,
    GPU_UP,
    GPU_STATE,
    GPU_ACTIVE,
    GPU_VGPUS,
    RESOURCE_BYTES,
    RESOURCE_LEFT_BYTES,
    RESOURCE_SLOTS,
    RESOURCE_LEFT_SLOTS,
    POLICY,
    GPU_BUSY,
    GPU_ENGINE_BUSY,
    GPU_SWITCHES,
    GPU_PREEMPTIONS,
    GPU_RESTARTS,
    GPU_ENERGY,
    GPU_FREQUENCY,
    AVAILABLE,
    BUILD_INFO,
    CLOCK,
    SCRAPE_SECONDS,
)
"""All of them, in the order of the answer."""
