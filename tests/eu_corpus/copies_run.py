"""Copies and fills, each byte judged: `python3 -m tests.eu_corpus.copies_run`.

Of buffers and images: Mesa's driver does them by the 3D pipeline, with a rectangle and a shader of
its own. For guests and private user spaces: it needs pyopencl and NumPy alone. One JSON object a
line goes to standard output for each case.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import pyopencl as cl
from numpy.typing import NDArray

from tests.eu_corpus.opencl_run import find_device

Bytes = NDArray[Any]
_ORDER, _TYPE = cl.channel_order, cl.channel_type
FORMATS = {
    "r8_uint": (_ORDER.R, _TYPE.UNSIGNED_INT8, np.uint8, 1),
    "rgba8_unorm": (_ORDER.RGBA, _TYPE.UNORM_INT8, np.uint8, 4),
    "bgra8_unorm": (_ORDER.BGRA, _TYPE.UNORM_INT8, np.uint8, 4),
    "r16_float": (_ORDER.R, _TYPE.HALF_FLOAT, np.uint16, 1),
    "rg16_sint": (_ORDER.RG, _TYPE.SIGNED_INT16, np.int16, 2),
    "rgba16_float": (_ORDER.RGBA, _TYPE.HALF_FLOAT, np.uint16, 4),
    "r32_float": (_ORDER.R, _TYPE.FLOAT, np.float32, 1),
    "rgba32_uint": (_ORDER.RGBA, _TYPE.UNSIGNED_INT32, np.uint32, 4),
    "rgba32_float": (_ORDER.RGBA, _TYPE.FLOAT, np.float32, 4),
}
"""Order, type, how a channel is stored, channels."""
_ONE = {"unorm": 255, "float": 0x3C00, "r32_float": 1.0, "rgba32_float": 1.0}
_BUFFERS = (
    (1000, 0, 0, 1000),
    (1000, 3, 5, 991),
    (1000, 16, 16, 936),
    (1000, 1, 2, 1),
    (70_001, 1, 0, 70_000),
    (300_000, 5, 3, 299_992),
)
"""Bytes, where from, where to, how many."""
_SHAPES = ((37, 21), (300, 200))


class Copier:
    """A device's queue, and noise that is the same in each run."""

    def __init__(self, device: Any) -> None:
        self.context = cl.Context([device])
        self.queue = cl.CommandQueue(self.context)
        self._noise = np.random.default_rng(71)

    def noise(self, shape: tuple[int, ...], kind: Any) -> Bytes:
        """Any bits."""
        size = int(np.prod(shape)) * np.dtype(kind).itemsize
        found = self._noise.integers(0, 256, size, dtype=np.uint8)
        shaped: Bytes = found.view(kind).reshape(shape)
        return shaped

    def image(self, name: str, shape: tuple[int, ...]) -> Any:
        """An image; sizes from x on."""
        order, kind, _, _ = FORMATS[name]
        form = cl.ImageFormat(order, kind)
        return cl.Image(self.context, cl.mem_flags.READ_WRITE, form, shape=shape)

    def put(self, image: Any, data: Bytes) -> None:
        """Write an image as a whole."""
        shape = image.shape
        cl.enqueue_copy(self.queue, image, data, origin=(0,) * len(shape), region=shape)

    def get(self, image: Any, like: Bytes) -> Bytes:
        """Read an image as a whole."""
        shape, found = image.shape, np.empty_like(like)
        cl.enqueue_copy(self.queue, found, image, origin=(0,) * len(shape), region=shape)
        self.queue.finish()
        return found


def _differences(found: Bytes, expected: Bytes) -> str:
    wrong = np.flatnonzero(found.reshape(-1).view(np.uint8) != expected.reshape(-1).view(np.uint8))
    return f"{len(wrong)} bytes differ, the first at {wrong[0]}" if len(wrong) else ""


def buffer(copier: Copier, size: int, start: int, to: int, count: int) -> str:
    """A copy within whose bounds each byte arrives, and beyond which none is touched."""
    flags = cl.mem_flags.READ_WRITE | cl.mem_flags.COPY_HOST_PTR
    old, new = copier.noise((size,), np.uint8), copier.noise((size,), np.uint8)
    target = cl.Buffer(copier.context, flags, hostbuf=old)
    source = cl.Buffer(copier.context, flags, hostbuf=new)
    cl.enqueue_copy(copier.queue, target, source, src_offset=start, dst_offset=to, byte_count=count)
    found = np.empty_like(old)
    cl.enqueue_copy(copier.queue, found, target)
    copier.queue.finish()
    old[to : to + count] = new[start : start + count]
    return _differences(found, old)


def rectangle(copier: Copier, name: str, shape: tuple[int, int]) -> str:
    """A part of an image to another place of another."""
    width, height = shape
    _, _, kind, channels = FORMATS[name]
    old, new = (copier.noise((height, width, channels), kind) for _ in range(2))
    target, source = copier.image(name, shape), copier.image(name, shape)
    copier.put(target, old)
    copier.put(source, new)
    region = (width - 10, height - 11)
    cl.enqueue_copy(
        copier.queue, target, source, src_origin=(3, 2), dest_origin=(5, 7), region=region
    )
    old[7 : 7 + region[1], 5 : 5 + region[0]] = new[2 : 2 + region[1], 3 : 3 + region[0]]
    return _differences(copier.get(target, old), old)


def volume(copier: Copier, name: str) -> str:
    """A part of a three-dimensional image."""
    shape = (19, 13, 5)
    _, _, kind, channels = FORMATS[name]
    old, new = (copier.noise((*shape[::-1], channels), kind) for _ in range(2))
    target, source = copier.image(name, shape), copier.image(name, shape)
    copier.put(target, old)
    copier.put(source, new)
    cl.enqueue_copy(
        copier.queue,
        target,
        source,
        src_origin=(1, 2, 1),
        dest_origin=(3, 1, 2),
        region=(10, 7, 3),
    )
    old[2:5, 1:8, 3:13] = new[1:4, 2:9, 1:11]
    return _differences(copier.get(target, old), old)


def fill(copier: Copier, name: str, shape: tuple[int, int], *, whole: bool) -> str:
    """Ones and zeros, or small integers, in a part of an image or in all of it."""
    width, height = shape
    _, _, kind, channels = FORMATS[name]
    old = copier.noise((height, width, channels), kind)
    target = copier.image(name, shape)
    copier.put(target, old)
    if name.endswith("int"):
        colour = np.array([7, 8, 9, 10], np.int32 if name.endswith("sint") else np.uint32)
        stored = colour.astype(kind)
    else:
        colour = np.array([1, 0, 1, 0], np.float32)
        one = _ONE.get(name, _ONE.get(name.rpartition("_")[2]))
        stored = (colour * np.float32(one)).astype(kind)
    left, top, right, bottom = (0, 0, width, height) if whole else (1, 2, 21, 11)
    region = (right - left, bottom - top)
    cl.enqueue_fill_image(copier.queue, target, colour, origin=(left, top), region=region)
    if name.startswith("bgra"):
        stored = stored[[2, 1, 0, 3]]
    old[top:bottom, left:right] = stored[:channels]
    return _differences(copier.get(target, old), old)


def cases() -> Iterator[tuple[str, Callable[[Copier], str]]]:
    """Names, and what they do: it gives what is wrong."""
    for size, start, to, count in _BUFFERS:
        case = partial(buffer, size=size, start=start, to=to, count=count)
        yield f"buffer-{size}-{start}-{to}-{count}", case
    for name in FORMATS:
        for shape in _SHAPES:
            kind = f"{name}-{shape[0]}x{shape[1]}"
            yield f"copy-{kind}", partial(rectangle, name=name, shape=shape)
            yield f"fill-{kind}", partial(fill, name=name, shape=shape, whole=False)
            yield f"clear-{kind}", partial(fill, name=name, shape=shape, whole=True)
    for name in ("rgba8_unorm", "rgba32_uint"):
        yield f"volume-{name}", partial(volume, name=name)


def main(arguments: list[str]) -> int:
    """Run the cases whose names contain one of those named, all by default; 0 if none failed."""
    parser = argparse.ArgumentParser(prog="copies_run", description=__doc__)
    parser.add_argument("--platform", default="", help="part of the platform's name")
    parser.add_argument("cases", nargs="*", metavar="PART", help="of names; all by default")
    options = parser.parse_args(arguments)
    try:
        device = find_device(options.platform)
    except LookupError as error:
        print(error, file=sys.stderr)
        return 1
    about = {"device": device.name, "driver": device.driver_version, "version": device.version}
    print(json.dumps(about), flush=True)
    copier = Copier(device)
    failed = 0
    for name, run in cases():
        if options.cases and not any(part in name for part in options.cases):
            continue
        try:
            detail = run(copier)
        except (cl.Error, RuntimeError) as error:
            detail = str(error)[-1500:]
        failed += bool(detail)
        result = "fail" if detail else "pass"
        print(json.dumps({"name": name, "result": result, "detail": detail}), flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
