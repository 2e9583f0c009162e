"""`minilinear kernels`: what it prints, in which form, and with which exit code."""

import json
import re
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from minilinear import cli
from minilinear.errors import BackendError, ConfigError
from minilinear.gpu import cases, cuda, faults, launch, nvrtc, twins
from minilinear.gpu.sim import Finding

needs_nvrtc = pytest.mark.skipif(cuda.nvrtc() is None, reason="pip install 'minilinear[nvrtc]'")
needs_compiler = pytest.mark.skipif("cpucuda" not in cases.places(), reason="no C++ compiler")


def kernels(*arguments):
    """Exit code and what was printed; ConfigError and BackendError come through, `main` makes 2 and 3 of them."""
    result = CliRunner().invoke(cli.app, ["kernels", *arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout


def document(*arguments):
    code, printed = kernels(*arguments, "--json")
    return code, json.loads(printed)


def exit_code(monkeypatch, *arguments):
    monkeypatch.setattr("sys.argv", ["minilinear", "kernels", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return ended.value.code


@pytest.fixture
def only_rms_norm(monkeypatch):
    """A registry of one, so that nothing takes long."""
    kernel = launch.KERNELS["rms_norm_forward"]
    kernel = replace(kernel, cases=kernel.cases[:2])
    monkeypatch.setattr(cases, "KERNELS", {"rms_norm_forward": kernel})
    monkeypatch.setattr(twins, "TABLE", {"rms_norm": twins.TABLE["rms_norm"]})
    return kernel


def test_list_has_every_kernel_with_its_place():
    code, rows = document("list")
    assert code == 0 and {row["kernel"] for row in rows} == launch.KERNELS.keys()
    row = next(row for row in rows if row["kernel"] == "rms_norm_forward")
    assert row["twin"] == "rms_norm" and row["inputs"] == {"x": "N D", "weight": "D?"}
    assert re.fullmatch(r"gpu/kernels/norms\.cu:\d+", row["file"])
    code, shown = kernels("list", "scan_carries", "--plain")
    assert code == 0 and "| states in place |" in shown
    code, shown = kernels("list", "softmax_forward", "--plain")
    assert code == 0 and shown.isascii() and "softmax_backward" not in shown


@pytest.mark.parametrize("command", ["list", "compile", "check", "bench"])
def test_a_name_that_is_none_is_mended(command, monkeypatch, capsys):
    with pytest.raises(ConfigError, match=r"got: rms_norm_forwrad\n  fix: did you mean rms_norm_forward\?"):
        kernels(command, "rms_norm_forwrad")
    assert exit_code(monkeypatch, command, "rms_norm_forwrad") == 2
    assert "did you mean" in capsys.readouterr().err


# compile


@needs_nvrtc
def test_compile_reports_what_each_kernel_takes(only_rms_norm):
    code, found = document("compile", "--arch", "80,sm_90")
    assert code == 0 and found["ok"] and found["nvrtc"] == nvrtc.version()
    assert [(row["kernel"], row["arch"]) for row in found["kernels"]] == [
        (f"rms_norm_forward{template}", arch) for template in ("<256>", "<32>") for arch in ("80", "90")
    ]
    for row in found["kernels"]:
        assert 0 < row["registers"] <= row["budget"] and row["spills"] == row["stack"] == 0 and row["problems"] == []
    code, shown = kernels("compile", "--arch", "80", "--plain")
    assert code == 0 and shown.isascii() and re.search(r"rms_norm_forward<32> +\| +\d+ \|", shown)


@needs_nvrtc
def test_a_blown_budget_fails(only_rms_norm, monkeypatch):
    monkeypatch.setitem(cases.KERNELS, "rms_norm_forward", replace(only_rms_norm, registers=8))
    code, found = document("compile", "--arch", "80")
    assert code == 1 and not found["ok"] and "8 are its budget" in found["kernels"][0]["problems"][0]
    code, shown = kernels("compile", "--arch", "80", "--plain")
    assert code == 1 and re.search(r"rms_norm_forward<32> for sm_80: \d+ registers, 8 are its budget", shown)


@needs_nvrtc
def test_a_kernel_for_later_gpus_is_left_out_of_an_early_one():
    _, found = document("compile", "householder_outputs_bf16", "--arch", "75,80")
    assert [(row["kernel"], row["arch"]) for row in found["kernels"]] == [("householder_outputs_bf16", "80")]
    code, shown = kernels("compile", "householder_outputs_bf16", "--arch", "75,80", "--plain")
    assert code == 0 and re.search(r"householder_outputs_bf16 \| +- \| +\d+ ", shown)


@needs_nvrtc
def test_what_does_not_compile_fails_with_the_line(only_rms_norm, monkeypatch, tmp_path):
    for file in only_rms_norm.folder.iterdir():
        (tmp_path / file.name).write_text(file.read_text("utf-8").replace("__syncthreads();", "__syncthreads()"))
    monkeypatch.setitem(cases.KERNELS, "rms_norm_forward", replace(only_rms_norm, folder=tmp_path))
    code, found = document("compile", "--arch", "80")
    assert code == 1 and not found["ok"] and re.search(r"common\.cuh:\d+: error", found["error"])
    code, shown = kernels("compile", "--arch", "80", "--plain")
    assert code == 1 and re.search(r"common\.cuh:\d+: error", shown)


@needs_nvrtc
@pytest.mark.parametrize("arch", ["", "ninety", "8.0", "80,,x", "80,", "75,75", "80,sm_80", "90x", "90aa"])
def test_an_arch_is_a_number(arch):
    with pytest.raises(ConfigError, match="--arch is a list of compute capabilities"):
        kernels("compile", "--arch", arch)


@needs_nvrtc
@pytest.mark.parametrize(("arch", "mended"), [("75a", "75"), ("89a", "89"), ("90f", "90"), ("75f", "75")])
def test_an_arch_that_has_no_variant_is_refused(arch, mended):
    with pytest.raises(ConfigError, match=rf"have a variant .\.\n  got: {arch}\n  fix: --arch {mended}\n"):
        kernels("compile", "softmax_forward", "--arch", arch)


@needs_nvrtc
def test_an_arch_that_nvrtc_does_not_know_is_refused(only_rms_norm, monkeypatch):
    with pytest.raises(BackendError, match="Kernels compile for 75"):
        kernels("compile", "--arch", "61")
    assert exit_code(monkeypatch, "compile", "--arch", "61") == 3


def test_without_nvrtc_its_install_line_is_said(monkeypatch, capsys):
    monkeypatch.setattr(cuda, "nvrtc", lambda: None)
    nvrtc.library.cache_clear()
    nvrtc.version.cache_clear()
    assert exit_code(monkeypatch, "compile") == 3
    assert "pip install 'minilinear[nvrtc]'" in capsys.readouterr().err
    nvrtc.library.cache_clear()


# check


@needs_compiler
def test_check_is_clean(only_rms_norm):
    code, found = document("check")
    assert code == 0 and found["ok"] and found["without_a_case"] == found["not_compared"] == []
    assert all(row["agrees"] and 0 < row["error"] < 1e-5 for row in found["comparisons"])
    assert [(row["kernel"], row["found"]) for row in found["faults"]] == 2 * [("rms_norm_forward", True)]
    assert [(row["case"]["D"], row["clean"], row["findings"]) for row in found["cases"]] == [
        (case["D"], True, []) for case in only_rms_norm.cases
    ]
    code, shown = kernels("check", "--plain", "--no-faults")
    assert code == 0 and shown.isascii()
    assert "2 of 2 cases clean, 7 of 7 examples as NumPy, 0 of 0 planted mistakes found" in shown


@needs_compiler
def test_wrong_numbers_fail(only_rms_norm, monkeypatch):
    bound = twins.TABLE["rms_norm"].bound
    monkeypatch.setattr(twins.TABLE["rms_norm"], "bound", 1e-9)
    code, found = document("check", "--no-faults")
    assert code == 1 and not found["ok"] and found["comparisons"][0]["wrong"].endswith("away from the text's")
    code, shown = kernels("check", "--plain", "--no-faults")
    assert code == 1 and "rms_norm, example 0: array" in shown
    monkeypatch.setattr(twins.TABLE["rms_norm"], "bound", bound)
    monkeypatch.setattr(twins.TABLE["rms_norm"], "examples", twins.TABLE["rms_norm"].examples[:1])
    code, found = document("check", "--no-faults")
    assert code == 1 and found["not_compared"] == ["rms_norm_forward<256>"]


@needs_compiler
def test_a_fault_that_is_missed_fails(only_rms_norm, monkeypatch):
    harmless = faults.Fault("rms_norm_forward", "float square = 0.0f;", "float square = 0.0f;  //", "race-in-block")
    monkeypatch.setattr(faults, "FAULTS", (harmless,))
    code, found = document("check")
    assert code == 1 and [row["found"] for row in found["faults"]] == [False]
    code, shown = kernels("check", "--plain")
    assert code == 1 and "rms_norm_forward: nothing tells race-in-block where" in shown


def test_errors_are_documents_too(capsys, monkeypatch):
    for arguments, code in (
        (["list", "nothing"], 2),
        (["check", "nothing"], 2),
        (["bench", "--set", "N"], 2),
        (["compile", "--arch", "x"], 2),
        (["bench", "--backend", "fortran"], 3),
    ):
        assert exit_code(monkeypatch, *arguments, "--json") == code
        printed = capsys.readouterr()
        found = json.loads(printed.out)
        assert not found["ok"] and found["error"] in printed.err


@needs_compiler
def test_a_kernel_that_does_not_compile_fails(only_rms_norm, monkeypatch, tmp_path):
    for file in only_rms_norm.folder.iterdir():
        (tmp_path / file.name).write_text(file.read_text("utf-8").replace("__syncthreads();", "__syncthreads()"))
    monkeypatch.setitem(cases.KERNELS, "rms_norm_forward", replace(only_rms_norm, folder=tmp_path))
    code, found = document("check")
    assert code == 1 and re.search(r"common\.cuh:\d+: expected", found["error"])
    code, shown = kernels("check", "--plain")
    assert code == 1 and re.search(r"common\.cuh:\d+: expected", shown)


@needs_compiler
def test_findings_and_values_that_are_no_numbers_fail(only_rms_norm, monkeypatch):
    finding = Finding("race-in-block", "norms.cu", 12, (1, 0, 0), (0, 0, 0), "y", "two threads write y[3]", "y[3] = 0;")
    spoilt = lambda kernel, case, seed: cases.Checked(kernel.name, case, (finding,), ("r",), None)
    monkeypatch.setattr(cases, "check", spoilt)
    code, found = document("check", "--no-faults")
    assert code == 1 and not found["ok"]
    assert found["cases"][0]["findings"][0]["kind"] == "race-in-block" and found["cases"][0]["not_numbers"] == ["r"]
    code, shown = kernels("check", "--plain", "--no-faults")
    assert code == 1 and "two threads write y[3]" in shown and "r has values that are not finite" in shown


@needs_compiler
def test_an_output_that_is_not_written_is_found(only_rms_norm, monkeypatch, tmp_path):
    for file in only_rms_norm.folder.iterdir():
        text = file.read_text("utf-8").replace("if (row >= N) return;", "if (row >= N || row == 4) return;")
        (tmp_path / file.name).write_text(text)
    monkeypatch.setitem(cases.KERNELS, "rms_norm_forward", replace(only_rms_norm, folder=tmp_path))
    code, found = document("check", "--no-faults")
    assert code == 1 and [row["not_numbers"] for row in found["cases"]] == [[], ["y", "r"]]


@needs_compiler
def test_a_kernel_without_a_case_fails(only_rms_norm, monkeypatch):
    monkeypatch.setitem(cases.KERNELS, "rms_norm_forward", replace(only_rms_norm, cases=()))
    code, found = document("check", "--no-faults")
    assert code == 1 and found["without_a_case"] == ["rms_norm_forward"]


def test_without_a_compiler_check_says_what_is_missing(monkeypatch, capsys):
    monkeypatch.setenv("MINILINEAR_CXX", "none-such")
    assert exit_code(monkeypatch, "check") == 3
    assert "no command 'none-such'" in capsys.readouterr().err


# bench


@needs_compiler
def test_bench_says_that_it_simulates(only_rms_norm):
    code, found = document("bench", "--backend", "cpucuda", "--seconds", "0", "--set", "N=3", "--set", "D=40")
    row = found["kernels"][0]
    assert code == 0 and found["where"] == "simulated on a CPU"
    assert row["case"]["N"] == 3 and row["case"]["D"] == 40 and row["seconds"] > 0
    assert row["bytes"] == 4 * (2 * 3 * 40 + 40 + 3) and row["flops"] == 4 * 3 * 40
    assert row["bytes_per_second"] == row["bytes"] / row["seconds"]
    code, shown = kernels("bench", "--backend", "cpucuda", "--seconds", "0", "--plain")
    assert code == 0 and "simulated on a CPU" in shown and "GB/s" in shown


@needs_compiler
def test_numbers_that_depend_on_a_length_follow_it():
    """As the twin chooses them: 45 steps in a tile, a part of a sum for 64 rows, 1 / D of a row."""
    arguments = ("--backend", "cpucuda", "--seconds", "0")
    code, found = document("bench", "scan_apply", "--set", "T=2000", *arguments)
    assert code == 0 and (found["kernels"][0]["case"]["T"], found["kernels"][0]["case"]["tile"]) == (2000, 45)
    code, found = document("bench", "gain_partial", "--set", "N=640", *arguments)
    assert code == 0 and found["kernels"][0]["case"]["P"] == 10
    code, found = document("bench", "rms_norm_forward", "--set", "D=50", *arguments)
    assert code == 0 and found["kernels"][0]["case"]["share"] == 1 / 50


@pytest.mark.parametrize("setting", ["N", "N=", "=3", "N=-1", "N=0", "N=two", "N=1.5"])
def test_a_length_is_a_whole_number(setting):
    with pytest.raises(ConfigError, match="--set is for the length of an axis"):
        kernels("bench", "--set", setting)


def test_an_axis_that_no_kernel_has_is_refused(only_rms_norm):
    with pytest.raises(ConfigError, match=r"--set is for an axis of these kernels.\n  got: T"):
        kernels("bench", "--set", "T=3")


@needs_compiler
def test_bench_refuses_lengths_that_a_kernel_does_not_take():
    with pytest.raises(ConfigError, match=r"convolution_forward does not take .*W=20"):
        kernels("bench", "convolution_forward", "--set", "W=20", "--backend", "cpucuda")


def test_bench_refuses_backends_that_run_no_kernels_here(monkeypatch, capsys):
    assert exit_code(monkeypatch, "bench", "--backend", "numpy") == 2
    assert exit_code(monkeypatch, "bench", "--backend", "fortran") == 3
    monkeypatch.setattr(cuda, "driver", lambda: None)
    assert exit_code(monkeypatch, "bench", "--backend", "cupy") == 3
    assert "no CUDA driver" in capsys.readouterr().err
    monkeypatch.setenv("MINILINEAR_CXX", "none-such")
    assert exit_code(monkeypatch, "bench") == 3
    assert "no command 'none-such'" in capsys.readouterr().err
