"""Compiling without a GPU: what a log says is read, and what is beyond a budget is said."""

from dataclasses import replace
from pathlib import Path

import pytest

from minilinear.errors import BackendError, CompileError
from minilinear.gpu import checks, cuda, nvrtc, source
from minilinear.gpu.launch import Kernel
from minilinear.gpu.nvrtc import Resources

FOLDER = Path(__file__).parent / "kernels"
needs_nvrtc = pytest.mark.skipif(cuda.nvrtc() is None, reason="pip install 'minilinear[nvrtc]'")

# As NVRTC 12.9 and 13.0 write it, to the letter: three functions for sm_80.
LOG = """\
ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function '_Z4manyILi128EEvPKfPfi' for 'sm_80'
ptxas info    : Function properties for _Z4manyILi128EEvPKfPfi
ptxas         .     248 bytes stack frame, 412 bytes spill stores, 410 bytes spill loads
ptxas info    : Used 64 registers, used 0 barriers, 248 bytes cumulative stack size, 372 bytes cmem[0]
ptxas info    : Compile time = 40.420 ms
ptxas info    : Compiling entry function 'both' for 'sm_80'
ptxas info    : Function properties for both
ptxas         .     0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 12 registers, used 1 barriers, 256 bytes smem, 360 bytes cmem[0]
ptxas info    : Compile time = 1.922 ms
"""
FOUND = {
    "_Z4manyILi128EEvPKfPfi": Resources(registers=64, spills=412, stack=248, shared=0),
    "both": Resources(registers=12, spills=0, stack=0, shared=256),
}
VARIANTS = {
    "12.9 and 13.0": LOG,
    "13.5, which leaves the constant bank out for sm_90": LOG.replace(", 372 bytes cmem[0]", "").replace(
        ", 360 bytes cmem[0]", ""
    ),
    "11.8, without a time and with no word on barriers": "".join(
        line.replace(" used 0 barriers,", "").replace(" used 1 barriers,", "") + "\n"
        for line in LOG.splitlines()
        if "time" not in line
    ),
    "nvcc's, with warnings before": "kernel.cu(3): warning #177-D: variable was declared but never referenced\n" + LOG,
}


@pytest.mark.parametrize("log", VARIANTS.values(), ids=VARIANTS)
def test_logs_are_read(log):
    assert nvrtc.resources(log) == FOUND


@pytest.mark.parametrize("lost", ["Used 12 registers", "0 bytes stack frame"])
def test_a_log_that_is_not_understood_is_said_to_be_so(lost):
    with pytest.raises(BackendError, match=r"log says nothing about both\.\n  got: for|log says nothing about both"):
        nvrtc.resources(LOG.replace(lost, "something else"))


def test_an_empty_log_has_nothing():
    assert nvrtc.resources("") == {}


# Budgets


def made(name, **options):
    return Kernel("resources.cu", name, folder=FOLDER, **options)


plain = made("reversed", shapes={"y": "64"}, inout=("y",), grid=1, block=64, registers=32, cases=({}, {"unused": 1}))


@pytest.mark.parametrize(
    ("taken", "change", "words"),
    [
        (Resources(32, 0, 0, 256), {}, []),
        (Resources(33, 0, 0, 256), {}, ["33 registers, 32 are its budget"]),
        (Resources(32, 4, 0, 0), {}, ["4 bytes spilt"]),
        (Resources(32, 0, 8, 0), {}, ["a stack frame of 8 bytes"]),
        (Resources(64, 0, 0, 0), {"registers": 255, "block": 1024}, []),
        (Resources(65, 0, 0, 0), {"registers": 255, "block": 1024}, ["1024 threads of 65 registers are more"]),
        (Resources(1, 0, 0, 1), {"shared": 48 * 1024}, ["1 + 49152 bytes of shared memory, 49152 are there"]),
        (Resources(1, 0, 0, 0), {"shared": 49 * 1024}, ["0 + 50176 bytes of shared memory, 49152 are there"]),
        (Resources(1, 0, 0, 0), {"shared": 99 * 1024, "large_shared": True}, []),
        (Resources(1, 0, 0, 1), {"shared": 99 * 1024, "large_shared": True}, ["101376 are there"]),
        (Resources(40, 4, 8, 0), {}, ["4 bytes spilt", "a stack frame", "40 registers"]),
    ],
)
def test_a_kernel_keeps_to_its_budget(taken, change, words):
    report = nvrtc._report(replace(plain, **change), "reversed", "86", taken)
    assert len(report.problems) == len(words)
    assert all(word in problem for word, problem in zip(words, report.problems))


@pytest.mark.parametrize(("arch", "kilobytes"), checks.SHARED_AT_MOST.items())
def test_architectures_differ_in_shared_memory(arch, kilobytes):
    large = replace(plain, large_shared=True, shared=kilobytes * 1024)
    assert not nvrtc._report(large, "reversed", arch, Resources(1, 0, 0, 0)).problems
    assert nvrtc._report(large, "reversed", arch, Resources(1, 0, 0, 4)).problems


def test_the_largest_block_is_that_of_the_instantiation():
    many = made(
        "many",
        shapes={"x": "n", "y": "n"},
        template=lambda n: f"<{n}>",
        templates=("<8>", "<128>"),
        grid=1,
        block=lambda n: 2 * n,
        shared=lambda n: 4 * n,
        cases=({"n": 8}, {"n": 128}),
    )
    assert many.largest_block("many<8>") == (16, 32)
    assert many.largest_block("many<128>") == (256, 512)


# Without NVRTC, and with it


def test_without_nvrtc_the_line_that_installs_it_is_said(monkeypatch):
    monkeypatch.setattr(cuda, "nvrtc", lambda: None)
    nvrtc.library.cache_clear()
    with pytest.raises(BackendError, match=r"is not installed.\n  fix: pip install 'minilinear\[nvrtc\]'"):
        nvrtc.library()
    nvrtc.library.cache_clear()


@needs_nvrtc
def test_a_spill_is_found_without_a_gpu():
    many = made(
        "many", shapes={"x": "n", "y": "n"}, template=lambda n: "<8>", templates=("<8>", "<128>"), grid=1, block=32
    )
    indexed = made("indexed", shapes={"i": "n", "y": "n"}, inout=("y",), grid=1, block=32)
    found = {report.kernel: report for report in nvrtc.reports([many, indexed, plain], "80")}
    assert found["many<8>"].problems == found["reversed"].problems == ()
    assert found["many<128>"].spills > 0 and "spilt" in found["many<128>"].problems[0]
    assert found["indexed"].stack == 128 and "a stack frame of 128 bytes" in found["indexed"].problems[0]
    assert found["reversed"].shared == 256 and 0 < found["reversed"].registers <= 32


@needs_nvrtc
@pytest.mark.parametrize("arch", nvrtc.ARCHITECTURES)
def test_every_architecture_gives_machine_code(arch):
    made = nvrtc.compile_text(source.expanded("rules.cu", FOLDER), ("scale", "repeat<float, 2>"), arch)
    assert made.cubin[:4] == b"\x7fELF" and set(made.symbols) == {"scale", "repeat<float, 2>"}
    assert set(made.symbols.values()) <= nvrtc.resources(made.log).keys()


@needs_nvrtc
def test_an_unknown_architecture_is_refused():
    with pytest.raises(BackendError, match=r"Kernels compile for 75, .*\n  got: 30\n"):
        nvrtc.compile_text("", (), "30")


@needs_nvrtc
def test_a_compile_error_shows_the_line_of_the_kernel_file(tmp_path):
    for file in FOLDER.iterdir():
        (tmp_path / file.name).write_text(file.read_text().replace("return x + x;", "return x + z;"))
    scale = Kernel("rules.cu", "scale", shapes={"x": "N D", "y": "N D"}, grid=1, block=32, folder=tmp_path)
    with pytest.raises(CompileError, match=r"(?s)rules.cu does not compile for sm_80.*rules\.cuh:2: error") as refused:
        nvrtc.reports([scale], "80")
    assert "return x + z;" in str(refused.value)
