"""The sections of run_on_gpu.py: what a GPU is, whether the kernels are right on it, and how fast."""
