"""Build of the C extensions: cffi modules cannot be named in pyproject.toml."""

from setuptools import setup

setup(
    cffi_modules=[
        "mediator/hotpath/build.py:ffibuilder",
        "mediator/softgpu/eu/native/build.py:ffibuilder",
    ],
    # Objects of an older checkout, in a `build/` that was left, may be younger than the sources.
    options={"build_ext": {"force": True}},
)
