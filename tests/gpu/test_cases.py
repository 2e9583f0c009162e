"""The quick look at every kernel: what inputs are made of a case, what is found, what is measured."""

from dataclasses import replace

import numpy as np
import pytest

from minilinear import gpu as minilinear_gpu
from minilinear.errors import ConfigError
from minilinear.gpu import cases, launch
from tests.gpu import fake_gpu
from tests.gpu.test_launch import all_but_one, descend, f32, ones, repeat, scale, shared_total, weighted

rng = np.random.default_rng


def test_inputs_have_the_shapes_of_the_case_and_numbers_are_handed_on():
    case = {"N": 3, "D": 4, "weight": None}
    made = cases.inputs(weighted, case, rng(0))
    assert made.keys() == {"N", "D", "x", "weight"} and made["weight"] is None
    assert made["x"].shape == (3, 4) and made["x"].dtype == f32 and made["x"].flags.c_contiguous
    made = cases.inputs(descend, {"n": 5, "lr": 0.5}, rng(0))
    assert made["p"].shape == made["g"].shape == (5,) and made["lr"] == 0.5


def test_the_same_generator_makes_the_same_inputs():
    one, two, three = (cases.inputs(scale, {"N": 2, "D": 2, "factor": 1}, rng(seed))["x"] for seed in (0, 0, 1))
    assert (one == two).all() and (one != three).any()


def test_draws_know_the_sizes_they_ask_for():
    drawn = replace(scale, draw={"x": lambda rng, D, N: np.full((N, D), N + rng.random())})
    assert (cases.inputs(drawn, {"N": 2, "D": 3, "factor": 1}, rng(0))["x"] >= 2).all()


def test_whole_numbers_are_not_guessed(monkeypatch):
    targets = replace(repeat, template=lambda times: f"<int, {times}>", templates=("<int, 2>",))
    with pytest.raises(ConfigError, match=r"x of repeat is an array of int32.*\n  fix: draw="):
        cases.inputs(targets, {"n": 3, "times": 2, "negative": False}, rng(0))
    drawn = replace(targets, draw={"x": lambda rng, n: rng.integers(0, 9, n)})
    assert cases.inputs(drawn, {"n": 3, "times": 2, "negative": False}, rng(0))["x"].dtype == np.int32


def test_the_largest_case_has_most_elements():
    many = replace(scale, cases=({"N": 3, "D": 3}, {"N": 2, "D": 9}, {"N": 5, "D": 1}))
    assert cases.largest(many) == {"N": 2, "D": 9}
    many = replace(weighted, cases=({"N": 3, "D": 3}, {"N": 4, "D": 3, "y": None}))
    assert cases.largest(many) == {"N": 3, "D": 3}


@pytest.mark.parametrize("shuffle", [0, 3])
def test_a_clean_kernel_is_clean_and_counted(shuffle):
    found = cases.check(shared_total, {"n": 40}, seed=shuffle)
    assert found.clean and found.kernel == "shared_total"
    assert found.counters.global_reads == 40 and found.counters.global_writes == 1


def test_what_a_kernel_does_not_write_is_found():
    found = cases.check(replace(all_but_one, shapes={"y": "n", "z": "n"}), {"n": 4})
    assert not found.clean and found.not_numbers == ("y", "z") and not found.findings


def test_a_fault_is_found():
    found = cases.check(replace(shared_total, shared=lambda n: 4 * n - 4), {"n": 40})
    assert not found.clean and {finding.kind for finding in found.findings} == {"dynamic-shared-too-small"}
    assert found.findings[0].file == "rules.cu"


def test_clean_is_without_findings_and_with_numbers_alone():
    clean = [cases.Checked("k", {}, f, n, None).clean for f in ((), ("race",)) for n in ((), ("y",))]
    assert clean == [True, False, False, False]


def test_measuring_on_the_simulator_says_so():
    found = cases.measure(scale, {"N": 8, "D": 8, "factor": 1.0}, "cpucuda", seconds=0)
    assert found.where == "simulated on a CPU" and found.launches == 1 and found.seconds > 0
    assert found.bytes == 2 * 4 * 64 and found.flops is None


def test_measuring_on_a_gpu_counts_its_time(monkeypatch):
    monkeypatch.setattr(minilinear_gpu, "check_available", lambda name: None)
    monkeypatch.setattr(launch, "KERNELS", {"scale": scale})
    with fake_gpu.installed() as gpu:
        counted = replace(scale, flops=lambda N, D: 2 * N * D)
        found = cases.measure(counted, {"N": 8, "D": 8, "factor": 1.0}, "cupy", seconds=0)
    assert (found.where, found.seconds, found.flops) == ("a stand-in", 0.25e-3, 128)
    assert found.launches == 1 and len(gpu.launches) == 2  # the first one compiles
    assert [told for told in gpu.told if told[0] == "record"] == [("record", n) for n in (0, 1, 1, 2)]


def test_places_are_those_that_run_here(monkeypatch):
    monkeypatch.setattr(minilinear_gpu, "check_available", lambda name: None)
    assert cases.places() == ["cupy", "cpucuda"]


def test_recordings_end_with_their_block():
    with launch.recorded() as outer:
        with launch.recorded(check=True) as inner:
            scale(x=ones(2, 2), factor=1)
        scale(x=ones(2, 2), factor=1)
    scale(x=ones(2, 2), factor=1)
    assert len(outer) == len(inner) == 1
    assert inner[0].counters is not None and outer[0].findings == ()
