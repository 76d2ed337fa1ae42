"""Execution-unit code to host vector code: LLVM text, a compiler process, a cache for objects."""
