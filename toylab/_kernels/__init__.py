"""Kernels in Triton, each of which does on a GPU in one launch what the plain path does in many.

Nothing here is public, and nothing here is needed: wherever a kernel runs, the plain path beside it gives the same law,
and is its test. ``when`` says where they run. The other modules import triton, which comes with torch's builds for
CUDA, and are themselves imported only where it is there.
"""
