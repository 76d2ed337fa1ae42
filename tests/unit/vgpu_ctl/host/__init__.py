"""The host: GPUs, vGPUs, definitions, claims."""
