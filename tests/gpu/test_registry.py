"""Every kernel in gpu/kernels is registered, has a twin, cases and a planted fault; it is clean, the fault is not."""

import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from minilinear.gpu import cases, source, twins
from minilinear.gpu.launch import KERNELS
from tests.gpu.faults import FAULTS


def test_every_global_function_is_registered():
    written = {
        (path.name, name) for path in source.FOLDER.glob("*.cu*") for name in source.signatures(path.read_text("utf-8"))
    }
    assert written == {(kernel.file, kernel.name) for kernel in KERNELS.values()}


def test_every_kernel_belongs_to_a_twin():
    assert not {kernel.name: kernel.twin for kernel in KERNELS.values() if kernel.twin not in twins.TABLE}


def test_every_twin_is_compared_with_its_text_by_some_test():
    tests = "\n".join(path.read_text("utf-8") for path in Path(__file__).parent.glob("test_*.py"))
    assert not [name for name in twins.TABLE if not re.search(rf"\b{name}\b", tests)]


def test_every_kernel_has_cases_a_register_budget_and_every_instantiation_a_case():
    assert not [kernel.name for kernel in KERNELS.values() if not kernel.cases or kernel.registers == 255]
    untried = {
        name
        for kernel in KERNELS.values()
        for name in set(kernel.names) - {kernel.instance(kernel.settled(case)) for case in kernel.cases}
    }
    assert not untried


def test_every_kernel_has_a_planted_fault_and_every_fault_a_kernel():
    assert {name for name, *_ in FAULTS} == KERNELS.keys()


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", KERNELS)
def test_check_mode_finds_nothing(name, seed):
    for case in KERNELS[name].cases:
        found = cases.check(KERNELS[name], case, seed=seed)
        assert not found.findings and not found.not_numbers, case


def planted(name, old, new, folder):
    """A copy of the kernel in which the old text, where it first stands, is the new one."""
    kernel = KERNELS[name]
    for file in kernel.folder.iterdir():
        shutil.copy(file, folder)
    path = folder / kernel.file
    text = path.read_text("utf-8")
    begin = sum(map(len, text.splitlines(keepends=True)[: kernel.signature.line - 1]))
    lines = sorted(s.line for s in source.signatures(text).values() if s.line > kernel.signature.line)
    end = sum(map(len, text.splitlines(keepends=True)[: lines[0] - 1])) if lines else len(text)
    if old in text[begin:end]:
        path.write_text(text[:begin] + text[begin:end].replace(old, new, 1) + text[end:], "utf-8")
        return replace(kernel, folder=folder)
    for other in [path, *sorted(folder.glob("*.cuh"))]:
        text = other.read_text("utf-8")
        if old in text:
            other.write_text(text.replace(old, new, 1), "utf-8")
            return replace(kernel, folder=folder)
    raise AssertionError(f"no longer in {kernel.file} or a header: {old}")


@pytest.mark.parametrize(("name", "old", "new", "kind"), FAULTS, ids=[f"{f[0]}-{f[3]}" for f in FAULTS])
def test_check_mode_finds_the_planted_fault(name, old, new, kind, tmp_path):
    kernel = planted(name, old, new, tmp_path)
    found = [cases.check(kernel, case).findings for case in kernel.cases]
    assert kind in {finding.kind for findings in found for finding in findings}, found
