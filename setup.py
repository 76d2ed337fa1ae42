"""Build of the C hot path: cffi modules cannot be named in pyproject.toml."""

from setuptools import setup

setup(cffi_modules=["mediator/hotpath/build.py:ffibuilder"])
