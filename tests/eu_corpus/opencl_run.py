"""Run cases through OpenCL and judge their answers: `python3 -m tests.eu_corpus.opencl_run`.

For guests and private user spaces: it needs pyopencl and NumPy alone. One JSON object a line goes
to standard output for each case.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import Any

import numpy as np
import pyopencl as cl

from tests.eu_corpus.case import Buffer, Case, Image, Local, PixelFormat, Scalar, Size
from tests.eu_corpus.cases import CASES

_EXTENSIONS = {
    "fp64": ("cl_khr_fp64",),
    "fp16": ("cl_khr_fp16",),
    "int64_atomics": ("cl_khr_int64_base_atomics", "cl_khr_int64_extended_atomics"),
    "subgroups": ("cl_khr_subgroups",),
    "intel_subgroups": ("cl_intel_subgroups",),
}
_CHANNELS = {
    PixelFormat.UNORM8: cl.channel_type.UNORM_INT8,
    PixelFormat.UINT8: cl.channel_type.UNSIGNED_INT8,
    PixelFormat.UINT32: cl.channel_type.UNSIGNED_INT32,
    PixelFormat.FLOAT: cl.channel_type.FLOAT,
}


def missing(case: Case, device: Any) -> str:
    """What the device lacks for the case; empty: nothing."""
    offered = device.extensions.split()
    for need in sorted(case.needs):
        if need == "images" and not device.image_support:
            return "no images"
        for extension in _EXTENSIONS.get(need, ()):
            if extension not in offered:
                return f"no {extension}"
    return ""


class Launcher:
    """A case built for a device, with its arguments in memory."""

    def __init__(self, case: Case, device: Any) -> None:
        self.case = case
        self.context = cl.Context([device])
        properties = cl.command_queue_properties.PROFILING_ENABLE
        self.queue = cl.CommandQueue(self.context, properties=properties)
        started = time.perf_counter()
        program = cl.Program(self.context, case.source).build(case.options.split())
        self.kernel = cl.Kernel(program, case.function)
        self.build_seconds = time.perf_counter() - started
        self.memory: list[Any] = [self._argument(argument) for argument in case.arguments]
        for number, value in enumerate(self.memory):
            self.kernel.set_arg(number, value)

    def _argument(self, argument: object) -> Any:
        flags = cl.mem_flags
        if isinstance(argument, Buffer):
            return cl.Buffer(
                self.context, flags.READ_WRITE | flags.COPY_HOST_PTR, hostbuf=argument.data
            )
        if isinstance(argument, Image):
            height, width, _ = argument.data.shape
            form = cl.ImageFormat(cl.channel_order.RGBA, _CHANNELS[argument.format])
            return cl.Image(
                self.context,
                flags.READ_WRITE | flags.COPY_HOST_PTR,
                form,
                shape=(width, height),
                hostbuf=argument.data,
            )
        if isinstance(argument, Local):
            return cl.LocalMemory(argument.size)
        assert isinstance(argument, Scalar)
        return argument.value

    def run(self) -> tuple[float, float, float]:
        """Run it once: seconds on the device by its events, and when, by the monotonic clock, it
        was asked for and done."""
        started = time.monotonic()
        event = cl.enqueue_nd_range_kernel(
            self.queue,
            self.kernel,
            self.case.global_size,
            self.case.local_size,
            self.case.offset or None,
        )
        event.wait()
        ended = time.monotonic()
        return (event.profile.end - event.profile.start) * 1e-9, started, ended

    def results(self) -> list[Any]:
        """What the arguments' memory holds."""
        found: list[Any] = []
        for argument, memory in zip(self.case.arguments, self.memory, strict=True):
            if isinstance(argument, Buffer):
                data = np.empty_like(argument.data)
                cl.enqueue_copy(self.queue, data, memory)
            elif isinstance(argument, Image):
                data = np.empty_like(argument.data)
                height, width, _ = data.shape
                cl.enqueue_copy(self.queue, data, memory, origin=(0, 0), region=(width, height))
            else:
                found.append(None)
                continue
            found.append(data)
        self.queue.finish()
        return found


def run_case(name: str, size: Size, device: Any, repeats: int) -> dict[str, Any]:
    """Build, run and judge a case; with ``repeats``, time it that many times afterwards."""
    case = CASES[name](size)
    lack = missing(case, device)
    if lack:
        return {"name": name, "result": "skip", "detail": lack}
    try:
        launcher = Launcher(case, device)
        kernel_seconds, started, ended = launcher.run()
        complaints = case.judge(launcher.results())
        timed = [launcher.run() for _ in range(repeats)]
    except (cl.Error, RuntimeError) as error:
        return {"name": name, "result": "fail", "detail": str(error)[-1500:]}
    report: dict[str, Any] = {
        "name": name,
        "result": "fail" if complaints else "pass",
        "detail": "; ".join(complaints),
        "accuracy": case.accuracy,
        "build_seconds": round(launcher.build_seconds, 4),
        "first_kernel_seconds": kernel_seconds,
        "first_seconds": ended - started,
    }
    if timed:
        report["kernel_seconds"] = [each[0] for each in timed]
        report["elapsed_seconds"] = [each[2] - each[1] for each in timed]
        report["moments"] = [each[1:] for each in timed]
    return report


def find_device(platform: str) -> Any:
    """The first device of the platform whose name contains ``platform``. Raises LookupError."""
    names = []
    for candidate in cl.get_platforms():
        names.append(candidate.name)
        if platform.lower() in candidate.name.lower():
            devices = candidate.get_devices()
            if devices:
                return devices[0]
    raise LookupError(f"no device of platform {platform!r}; there are {names}")


def main(arguments: list[str]) -> int:
    """Run the cases named, all by default; 0 if none failed."""
    parser = argparse.ArgumentParser(prog="opencl_run", description=__doc__)
    parser.add_argument("--platform", default="", help="part of the platform's name")
    parser.add_argument("--size", choices=[size.value for size in Size], default="small")
    parser.add_argument("--repeats", type=int, default=0, help="timed runs of each case")
    parser.add_argument("cases", nargs="*", metavar="CASE", help="all by default")
    options = parser.parse_args(arguments)
    unknown = sorted(set(options.cases) - CASES.keys())
    if unknown:
        parser.error(f"no such case: {', '.join(unknown)}; there are {', '.join(CASES)}")
    try:
        device = find_device(options.platform)
    except LookupError as error:
        print(error, file=sys.stderr)
        return 1
    about = {"device": device.name, "driver": device.driver_version, "version": device.version}
    print(json.dumps(about), flush=True)
    failed = 0
    for name in options.cases or list(CASES):
        report = run_case(name, Size(options.size), device, options.repeats)
        failed += report["result"] == "fail"
        print(json.dumps(report), flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
