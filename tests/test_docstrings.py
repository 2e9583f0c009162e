"""Every public name says what it is; the heart of the library also says what it costs and where it comes from."""

import doctest
import importlib
import importlib.util
import inspect
import pkgutil
import re
from pathlib import Path

import pytest

import minilinear
from minilinear.autograd.core import IMPLEMENTATIONS

ROOMS = [
    "autograd",
    "recurrence",
    "nn",
    "norms",
    "mlp",
    "kan",
    "optim",
    "attention",
    "delta",
    "models",
    "tasks",
    "training",
]
PACKAGES = ["minilinear", *(f"minilinear.{room}" for room in ROOMS)]


def public(package: str) -> dict[str, object]:
    """The functions and classes that a package exports."""
    module = importlib.import_module(package)
    assert hasattr(module, "__all__"), f"{package} defines no __all__"
    exported = {name: getattr(module, name) for name in module.__all__}
    return {name: value for name, value in exported.items() if inspect.isfunction(value) or inspect.isclass(value)}


def written(value: object) -> str:
    """The docstring, unless it is the signature that dataclass and NamedTuple put in the place of one."""
    doc = value.__doc__ or ""
    return "" if doc.startswith(f"{value.__name__}(") else doc


def is_layer(value: object) -> bool:
    """A class that computes something, unlike the NamedTuple of a state."""
    return inspect.isclass(value) and not issubclass(value, tuple)


def lacking(value: object, sections: list[str]) -> list[str]:
    return [section for section in sections if not re.search(rf"^\s*{section}:", written(value), re.MULTILINE)]


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_has_a_docstring(package):
    without = [name for name, value in public(package).items() if not written(value).strip()]
    assert not without


@pytest.mark.parametrize(
    ("package", "kind", "sections"),
    [
        ("minilinear.recurrence", inspect.isfunction, ["Args", "Returns", "Raises", "Cost", "Source"]),
        ("minilinear.delta", is_layer, ["Args", "Cost", "Source"]),
    ],
)
def test_the_heart_says_what_goes_in_what_it_costs_and_where_it_comes_from(package, kind, sections):
    found = {name: value for name, value in public(package).items() if kind(value)}
    assert found, f"{package} exports nothing of the kind"
    missing = {name: lacking(value, sections) for name, value in found.items() if lacking(value, sections)}
    assert not missing


def modules_with_examples() -> list[str]:
    found = pkgutil.walk_packages(minilinear.__path__, "minilinear.")
    files = {info.name: Path(importlib.util.find_spec(info.name).origin) for info in found}
    return [name for name, file in files.items() if ">>>" in file.read_text("utf-8")]


@pytest.mark.parametrize("name", modules_with_examples())
def test_examples_in_docstrings_are_true(name, monkeypatch):
    """One of them gives np.exp a rule: for as long as it runs."""
    for function, rule in IMPLEMENTATIONS.items():
        monkeypatch.setitem(IMPLEMENTATIONS, function, rule)
    results = doctest.testmod(importlib.import_module(name))
    assert not results.failed
