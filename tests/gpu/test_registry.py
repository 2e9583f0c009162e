"""Every kernel in gpu/kernels is registered, with a twin, cases, examples and faults: it is right, they are found."""

from dataclasses import replace
from functools import cache

import pytest

from minilinear.errors import ConfigError
from minilinear.gpu import cases, compare, faults, source, twins
from minilinear.gpu.faults import FAULTS, Fault
from minilinear.gpu.launch import KERNELS

pytestmark = pytest.mark.kernels


def test_every_global_function_is_registered():
    written = {
        (path.name, name) for path in source.FOLDER.glob("*.cu*") for name in source.signatures(path.read_text("utf-8"))
    }
    assert written == {(kernel.file, kernel.name) for kernel in KERNELS.values()}


def test_every_kernel_belongs_to_a_twin():
    assert not {kernel.name: kernel.twin for kernel in KERNELS.values() if kernel.twin not in twins.TABLE}


def test_every_kernel_has_cases_a_register_budget_and_every_instantiation_a_case():
    assert not [kernel.name for kernel in KERNELS.values() if not kernel.cases or kernel.registers == 255]
    untried = {
        name
        for kernel in KERNELS.values()
        for name in set(kernel.names) - {kernel.instance(kernel.settled(case)) for case in kernel.cases}
    }
    assert not untried


def test_every_kernel_has_a_planted_fault_and_every_file_one_in_the_numbers():
    assert {fault.kernel for fault in FAULTS} == KERNELS.keys()
    files = {KERNELS[fault.kernel].file for fault in FAULTS if fault.kind == "wrong-numbers"}
    assert files == {kernel.file for kernel in KERNELS.values()}


EXAMPLES = [(name, i) for name, twin in twins.TABLE.items() for i in range(len(twin.examples))]
compared = cache(lambda name, i: compare.compare(twins.TABLE[name], i))


@pytest.mark.parametrize(("name", "i"), EXAMPLES)
def test_kernels_say_what_the_numpy_text_says_in_float64(name, i):
    found = compared(name, i)
    assert found.agrees, found


def test_every_instantiation_of_a_kernel_is_compared_by_its_twin():
    assert {name for name, _ in EXAMPLES} == twins.TABLE.keys()
    assert not compare.not_compared(KERNELS.values(), [compared(*each) for each in EXAMPLES])


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", KERNELS)
def test_check_mode_finds_nothing(name, seed):
    for case in KERNELS[name].cases:
        found = cases.check(KERNELS[name], case, seed=seed)
        assert not found.findings and not found.not_numbers, case


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.kernel}-{fault.kind}")
def test_a_planted_fault_is_found(fault):
    assert faults.found(fault)


@pytest.mark.parametrize("fault", [Fault(*each) for each in faults.LONG_CHUNKS], ids=lambda fault: fault.kernel)
def test_some_faults_are_seen_in_long_chunks_only(fault, tmp_path):
    faults.plant(fault, tmp_path)
    twin = twins.TABLE[KERNELS[fault.kernel].twin]
    wrong = [bool(compare.compare(twin, i, folder=tmp_path).wrong) for i in range(len(twin.examples))]
    assert wrong == [each.keywords.get("chunk") == 64 for each in twin.examples]


def test_a_fault_whose_text_is_gone_is_refused_and_one_that_changes_nothing_is_missed(tmp_path):
    with pytest.raises(ConfigError, match=r"A fault of column_sum changes a text that is there.\n  got: 'p < Q'"):
        faults.plant(Fault("column_sum", "p < Q", "", "out-of-bounds"), tmp_path)
    harmless = Fault("column_sum", "float sum = 0.0f;", "float sum = 0.0f;  //", "out-of-bounds")
    assert not faults.found(harmless) and not faults.found(replace(harmless, kind="wrong-numbers"))


def test_a_fault_is_planted_into_its_kernel_first(tmp_path):
    faults.plant(Fault("softmax_backward", "if (row >= N) return;", "PLANTED", "out-of-bounds"), tmp_path)
    text = (tmp_path / "softmax.cu").read_text("utf-8")
    assert text.count("PLANTED") == 1 and "void softmax_backward" in text[: text.index("PLANTED")]
    assert text.index("PLANTED") < text.index("void log_softmax_forward")
