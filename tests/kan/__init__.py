"""Kolmogorov-Arnold layers."""
