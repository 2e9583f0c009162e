"""Modules, Parameters, and the parts models are made of."""
