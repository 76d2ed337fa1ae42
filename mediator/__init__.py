"""What a vGPU is and how many share one GPU: Gen9 facts, control block, audit, dispatcher, GPUs.

May import mmio_trap and scheduler. Start reading at `mediator/mediation.py`, for the software GPU
at `mediator/softgpu/gpu.py`.
"""
