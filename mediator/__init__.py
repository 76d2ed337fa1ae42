"""What a vGPU is: Gen9 facts, the software GPU and (later) the control block.

May import mmio_trap and scheduler. Start reading at `mediator/softgpu/gpu.py`.
"""
