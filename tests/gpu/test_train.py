"""Training with kernels: loss by loss what NumPy gives, on this processor; and the account of what ran as kernels."""

from __future__ import annotations

import io
import json
import re

import numpy as np
import pytest
from rich.console import Console

import minilinear as ml
from minilinear import gpu
from minilinear.autograd import cross_entropy
from minilinear.cli import main
from minilinear.cli.bench import Worker
from minilinear.cli.result import ran
from minilinear.cli.train import announce
from minilinear.models import MIXERS
from minilinear.norms import l2_norm, rms_norm
from minilinear.tasks import task
from minilinear.training import Run, RunFolder
from minilinear.training.recipes import recipe
from tests.gpu import fake_cupy

pytestmark = pytest.mark.kernels


@pytest.fixture(autouse=True)
def from_zero():
    gpu.reset_account()
    yield
    gpu.reset_account()


def draw(*shape):
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize(
    ("mixer", "more"),
    [
        *((mixer, {}) for mixer in MIXERS),
        ("mamba2", {"norm": "layer_norm", "ffn": "geglu"}),
        ("softmax", {"ffn": "gr_kan"}),
    ],
)
def test_losses_with_kernels_are_those_of_numpy(mixer, more):
    made = task("s3", lengths=(4, 6))
    changes = {"mixer": mixer, "D": 8, "hidden": 8, "heads": 2} | more
    losses = {}
    for name in ("numpy", "cpucuda"):
        with ml.use(name):
            run = Run(recipe(made, changes=changes, training={"steps": 20, "batch": 4}), RunFolder("nowhere"), made)
            losses[name] = [run.advance().loss for _ in range(20)]
    np.testing.assert_allclose(losses["cpucuda"], losses["numpy"], rtol=2e-5)
    ran, text = gpu.account()
    assert ran["cross_entropy"] == 20
    assert "cross_entropy" not in text


def command(capsys, *words):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["minilinear", *words])
        with pytest.raises(SystemExit) as stopped:
            main()
    said = capsys.readouterr()
    return stopped.value.code, said.out, said.err


SMALL = ("train", "parity", "--length", "4", "--steps", "2", "--batch", "2", "--set", "D=8", "--set", "heads=2")


def test_train_says_what_ran_as_kernels(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("minilinear.training.evaluation.AT_MOST", (1, 1))  # few questions: the simulator is slow
    found = {}
    for name in ("numpy", "cpucuda"):
        code, out, _ = command(capsys, *SMALL, "--backend", name, "--out", str(tmp_path / name), "--json")
        assert not code
        found[name] = json.loads(out)
        assert found[name]["backend"] == name
        assert ml.current_backend() == "numpy"  # the choice ends with the command
    assert "kernels" not in found["numpy"] and found["numpy"]["launches_per_step"] is None
    assert found["cpucuda"]["launches_per_step"] >= 2 + found["cpucuda"]["kernels"]["rms_norm"] // 8
    kernels, text = found["cpucuda"]["kernels"], found["cpucuda"]["text"]
    assert kernels["cross_entropy"] == 2
    assert all(calls > 0 for reasons in text.values() for calls in reasons.values())
    (first, *rest) = ran(found["cpucuda"])
    assert first.startswith("calls on cpucuda") and f"cross_entropy {kernels['cross_entropy']}" in first
    assert len(rest) == sum(map(len, text.values()))


def test_a_run_that_went_on_elsewhere_names_every_backend(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("minilinear.training.evaluation.AT_MOST", (1, 1))
    made = task("parity", lengths=(2, 4))
    config = recipe(made, changes={"D": 8, "heads": 2}, training={"steps": 3, "batch": 2})
    run = Run.start(config, RunFolder.new(tmp_path / "run"), made)
    with ml.use("cpucuda"):
        run.advance()
    run.advance()
    run.save()
    code, out, _ = command(capsys, "train", "--resume", str(tmp_path / "run"), "--backend", "cpucuda", "--json")
    assert not code
    wanted = [[0, "cpucuda"], [1, "numpy"], [2, "cpucuda"]]
    assert json.loads(out)["backends"] == wanted == Run.resume(run.folder).backends
    code, out, _ = command(capsys, "train", "--resume", str(tmp_path / "run"), "--plain")  # nothing is left to train
    assert "trained on cpucuda from step 0, numpy from step 1, cpucuda from step 2\n" in out


def test_a_run_on_one_backend_says_nothing_of_others(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("minilinear.training.evaluation.AT_MOST", (1, 1))
    code, out, _ = command(capsys, *SMALL, "--out", str(tmp_path / "run"), "--json")
    assert not code and "backends" not in json.loads(out)


def test_doctor_says_in_a_line_that_the_backend_in_the_environment_is_none(capsys, monkeypatch):
    monkeypatch.setenv("MINILINEAR_BACKEND", "cupi")
    ml.backend._from_environment.cache_clear()
    code, out, err = command(capsys, "doctor", "--json")
    wrong = [finding for finding in json.loads(out)["findings"] if finding["state"] == "wrong"]
    assert (code, err) == (3, "")
    assert [(finding["what"], finding["found"]) for finding in wrong] == [
        ("backend", "A backend is one of numpy, cupy, cpucuda. got: 'cupi'")
    ]
    assert wrong[0]["fix"].startswith("did you mean cupy?")


def test_bench_measures_numpy_whatever_the_environment_says(monkeypatch, tmp_path):
    told = {}
    monkeypatch.setattr("subprocess.Popen", lambda *args, env, **options: told.update(env))
    monkeypatch.setenv("MINILINEAR_BACKEND", "cpucuda")
    Worker("row", "implementation", tmp_path, 1, True)
    assert told["MINILINEAR_BACKEND"] == "numpy"


@pytest.mark.parametrize(("given", "near"), [("cpucude", "cpucuda"), ("CuPy", "cupy"), ("nump", "numpy")])
def test_a_wrong_backend_gets_the_nearest_name(capsys, given, near):
    code, _, err = command(capsys, "play", "x", "--backend", given)
    assert code == 2
    assert f"fix: did you mean {near}?" in err


def test_train_says_that_a_model_is_too_small_for_a_gpu(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("minilinear.training.evaluation.AT_MOST", (1, 1))
    with fake_cupy.installed():
        code, out, _ = command(capsys, *SMALL, "--backend", "cupy", "--out", str(tmp_path / "run"), "--plain")
    assert not code
    assert "too small for a GPU to help: with 8 tokens at a time and D = 8, below 6472," in out
    assert re.search(r"training: [\d,]+ tokens a second; memory at the most 3 MiB, of the GPU's pool; 0 launches", out)
    code, out, _ = command(capsys, *SMALL, "--out", str(tmp_path / "here"), "--plain")
    assert "too small" not in out and re.search(r"memory at the most [\d,]+ MiB, of this process\n", out)


@pytest.mark.parametrize("name", ["train", "compare", "generate", "play"])
def test_a_backend_that_does_not_exist_is_wrong_usage(capsys, name):
    code, _, err = command(capsys, name, "x", "--backend", "fortran")
    assert code == 2
    assert "--backend is one of numpy, cupy, cpucuda" in err


def test_a_backend_that_is_not_here_is_the_environments_fault(capsys, monkeypatch):
    monkeypatch.setattr(
        "minilinear.gpu.cuda.missing_for_cupy", lambda: [gpu.cuda.Missing("it is Sunday", "come again")]
    )
    code, _, err = command(capsys, *SMALL, "--backend", "cupy")
    said = "error: The backend cupy cannot run here: it is Sunday.\n  fix: come again\n"
    assert (code, err) == (3, said + "  help: minilinear explain backend\n")


# The account.


def test_what_ran_as_a_kernel_is_counted_and_so_is_what_did_not_and_why():
    x = draw(3, 8)
    with ml.use("cpucuda"):
        rms_norm(x), rms_norm(x), l2_norm(x), l2_norm(x.astype(np.float64))
        cross_entropy(ml.tensor(x), np.array([0, 1, 7]))
    ran, text = gpu.account()
    assert ran == {"cross_entropy": 1, "l2_norm": 1, "rms_norm": 2}
    assert text == {"l2_norm": {"x is float64, the kernels are float32": 1}}
    rms_norm(x)  # with NumPy nothing is counted
    assert gpu.account() == (ran, text)
    gpu.reset_account()
    assert gpu.account() == ({}, {})


def test_a_function_without_a_kernel_runs_as_text_and_says_so_once(monkeypatch, caplog):
    monkeypatch.setattr(gpu, "TABLE", {})
    x = draw(3, 8)
    with caplog.at_level("INFO", "minilinear.gpu"), ml.use("cpucuda"):
        found = [rms_norm(x) for _ in range(3)]
    assert gpu.account() == ({}, {"rms_norm": {"it has no kernel yet": 3}})
    assert [record.getMessage() for record in caplog.records] == [
        "rms_norm runs as NumPy text on cpucuda: it has no kernel yet"
    ]
    np.testing.assert_array_equal(found[0], rms_norm(x))


def test_kernels_do_not_run_on_arrays_that_are_elsewhere():
    x = draw(3, 8)
    with fake_cupy.installed():
        there = fake_cupy.cupy.asarray(x)
        gpu.TABLE["rms_norm"] = object()
        for name, array, why in (("cupy", x, "not on the GPU"), ("cpucuda", there, "on the GPU")):
            with ml.use(name):
                rms_norm(array), rms_norm(ml.autograd.Tensor(array))
            assert gpu.account() == ({}, {"rms_norm": {f"its arrays are {why}": 2}})
            gpu.reset_account()


@pytest.mark.parametrize(
    ("precision", "backend", "more"),
    [
        ("bf16", "cpucuda", ", and of recurrences that have kernels for it,"),
        ("tf32", "cpucuda", ""),
        ("bf16", "numpy", ""),
    ],
)
def test_what_is_rounded_is_said(precision, backend, more):
    made, said = task("s3", lengths=(4, 6)), Console(file=io.StringIO(), width=1000)
    changes = {"mixer": "gated_delta_net", "D": 8, "hidden": 8, "heads": 2, "precision": precision}
    with ml.use(backend):
        run = Run(recipe(made, changes=changes, training={"steps": 1, "batch": 2}), RunFolder("nowhere"), made)
        announce(said, [run])
        run.advance()
    assert f"products of linear layers{more} in {precision}; weights" in said.file.getvalue()
    assert ("delta_product_bf16" in gpu.account().kernels) == bool(more)
