"""Kernels that real compilers emit for Gen9's execution units, with inputs and answers.

`corpus.kernels()` compiles the OpenCL C sources in `kernels/` and gives what any executor
needs: code, launch, arguments, and a check of what it left in memory. Nothing binary is kept in the
project.
"""
