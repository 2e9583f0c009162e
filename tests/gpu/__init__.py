"""Tests of gpu/: the backend switch, the launcher, the kernels."""
