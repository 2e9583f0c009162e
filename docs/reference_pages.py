"""The reference: a page for each package, written from what it exports, for docs/hooks.py."""

from __future__ import annotations

import importlib
from typing import Any

import source_pages

ROOMS = {  # every package that exports something
    "minilinear": "The top level: Tensors, gradients, the choice of a backend.",
    "minilinear.autograd": "The engine: what a Tensor goes through, and how its gradient comes back.",
    "minilinear.recurrence": "The heart: one linear recurrence, in three forms.",
    "minilinear.nn": "Modules, parameters, linear maps, activations, the short convolution.",
    "minilinear.norms": "Norms, each with its gradient in closed form.",
    "minilinear.mlp": "Feed-forward layers.",
    "minilinear.kan": "Layers whose edges carry functions.",
    "minilinear.optim": "Optimizers, schedules, clipping.",
    "minilinear.attention": "Softmax and linear attention, with and without gates.",
    "minilinear.delta": "The delta rule and products of Householder reflections.",
    "minilinear.models": "Blocks and models, and the tables that map names to layers.",
    "minilinear.tasks": "What models are trained on.",
    "minilinear.training": "A run: its loop, its folder, its checkpoints.",
    "minilinear.learn": "The course's machine.",
    "minilinear.gpu": "The CUDA mirror.",
}


def reference(package: str, summary: str) -> str:
    """Every name that a package exports, in its own order of files."""
    module = importlib.import_module(package)
    names = [name for name in module.__all__ if documented(getattr(module, name))]
    tables = [name for name in module.__all__ if name not in names and not name.startswith("__")]
    page = f"# {package}\n\n{summary}\n\n"
    for name in tables:
        value = getattr(module, name)
        said = ", ".join(f"`{entry}`" for entry in value) if isinstance(value, dict) else f"`{value!r}`"
        page += f"## `{name}` {{ #{package}.{name} }}\n\n{said}\n\n"
    for name in names:
        page += f"::: {package}.{name}\n\n{source_pages.written_in(getattr(module, name))}\n\n"
    return page


def documented(value: Any) -> bool:
    return callable(value) and hasattr(value, "__module__")
