"""The tool that puts faults into the code."""
