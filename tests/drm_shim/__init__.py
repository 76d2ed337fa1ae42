"""A DRM device that is not there: Intel's user-space drivers run on this machine without a GPU.

`LD_PRELOAD` of the library that `build.library` makes (C, in this directory) turns
/dev/dri/renderD128 into a device of ours: buffers are pieces of one memory file, and every batch is
sent over a socket to Python (`service.py`), with the memory file. There a `Recorder` keeps what a
driver submits, or a `SoftGpu` runs it (`runner.py`). Requests and structures are those of the
kernel's public headers, which are fetched when the library is built.

Batches are carried out one after the other, to their end, before a submission returns.
"""
