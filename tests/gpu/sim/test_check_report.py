"""What a person sees of a finding."""

import io
import shutil
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from minilinear.errors import BackendError
from minilinear.gpu import sim
from minilinear.gpu.sim import report, symbols

TEXT = """__device__ float other(const float* s, int i) { return s[i]; }

extern "C" __global__ void reverse(float* y) {
  __shared__ float s[64];
  s[threadIdx.x] = threadIdx.x;
  //
  //
  //
  //
  y[threadIdx.x] = other(s, 63 - threadIdx.x);
}
"""


@pytest.fixture(scope="module")
def findings():
    return sim.run(TEXT, "reverse", 1, 64, [np.zeros(64, np.float32)]).findings


def test_the_report_shows_both_lines_and_says_what_to_look_for(findings):
    text = report.plain(findings, TEXT)
    assert "kernel.cu:5: race-in-block" in text
    assert " >    5 |   s[threadIdx.x] = threadIdx.x;" in text
    assert " +    1 | __device__ float other" in text
    assert "thread (32, 0, 0)" in text and "Look for: Put __syncthreads() between the two" in text
    assert "Called from kernel.cu:10." in text
    assert "\x1b" not in text
    for finding in findings:
        assert finding.words in " ".join(text.split())


def test_races_of_a_block_come_first_and_what_one_barrier_mends_points_to_them():
    text = """extern "C" __global__ void shift(const float* x, float* y) {
      __shared__ float s[64], t[64];
      t[threadIdx.x] = x[threadIdx.x + 1];
      if (threadIdx.x < 32) s[threadIdx.x + 32] = t[threadIdx.x ^ 1];
      s[threadIdx.x] = t[threadIdx.x];
      y[threadIdx.x] = s[63 - threadIdx.x] + s[threadIdx.x ^ 1];
    }"""
    found = sim.run(text, "shift", 1, 64, [np.zeros(64, np.float32), np.zeros(64, np.float32)], check=True).findings
    kinds = [finding.kind for finding in found]
    races = kinds.count("race-in-block")
    assert races > 1 and "out-of-bounds" in kinds and kinds[:races] == ["race-in-block"] * races
    assert "race-in-block" not in kinds[races:]
    first, *others = found
    assert first.array == "s" and first.shares is None and "Put __syncthreads()" in first.hint
    assert {finding.shares for finding in others if finding.array == "s"} == {(first.file, first.line)}
    assert {finding.kind for finding in others if finding.shares} == {"race-in-block", "missing-syncwarp"}
    assert {finding.shares for finding in others if finding.array != "s"} == {None}  # t wants one of its own
    assert f"Look for: First mend kernel.cu:{first.line}: one barrier may be enough for both." in report.plain(found)


def test_rich_prints_the_same(findings):
    console = Console(file=io.StringIO(), width=100, force_terminal=True)
    console.print(report.report(findings, TEXT))
    assert "race-in-block" in console.file.getvalue() and "\x1b[" in console.file.getvalue()


def test_nothing_found_says_so():
    assert report.plain([]) == "check mode: nothing found\n"


def test_counters_in_words():
    text = (Path(__file__).parent / "correct.cu").read_text("utf-8")
    arguments = [np.zeros(512, np.float32), np.zeros(64, np.float32), np.int32(8)]
    counters = sim.run(text, "strided", 1, 64, arguments).counters
    words = report.counted(counters)
    assert "64 accesses, 256 bytes, 64 sectors of 32 bytes where 8 could do" in words
    assert "0 replays in 0 accesses of warps" in words and "atomics" not in words


def test_without_a_tool_for_lines_it_says_which_one_to_install(monkeypatch):
    monkeypatch.setattr(symbols.shutil, "which", lambda name: None)
    symbols.tool.cache_clear()
    with pytest.raises(BackendError, match="Check mode names lines"):
        symbols.tool("addr2line")
    symbols.tool.cache_clear()


def test_the_tools_of_llvm_read_the_same(monkeypatch, findings):
    if not all(map(shutil.which, ("llvm-symbolizer", "llvm-nm"))):
        pytest.skip("there are no tools of llvm")
    program = sim.compile(TEXT, ["reverse"], check=True)
    variables = symbols.statics(program.path)
    assert [(v.name, v.size) for v in variables if v.kind == 1] == [("s", 256)]
    assert not [v for v in variables if v.kind == 0]
    monkeypatch.setattr(symbols, "tool", lambda *names: next(name for name in names[::-1] if name.startswith("llvm")))
    assert symbols.statics(program.path) == variables
    assert program.launch("reverse", 1, 64, [np.zeros(64, np.float32)]).findings == findings


def test_plain_text_shows_nothing_by_itself_in_a_notebook(monkeypatch):
    shown = []
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    monkeypatch.setattr("rich.jupyter.display", lambda *arguments: shown.append(arguments))
    assert report.plain([]) == "check mode: nothing found\n" and not shown
