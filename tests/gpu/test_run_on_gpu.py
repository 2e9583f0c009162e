"""The script for a GPU, end to end on this processor; and its record, which survives whatever happens to a run."""

import copy
import json
import math
import re
import sys
import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

import minilinear as ml
from minilinear.errors import ConfigError
from minilinear.gpu.compare import compare
from minilinear.gpu.cuda import Missing
from minilinear.gpu.launch import KERNELS
from minilinear.gpu.twins import TABLE
from tests.gpu import fake_cupy
from tests.gpu.on_gpu import compiled, correct, exact, places, timed, trained, traps
from tests.gpu.on_gpu.operations import OPERATIONS
from tests.gpu.on_gpu.peers import PEERS
from tests.gpu.on_gpu.places import Processor
from tests.gpu.on_gpu.record import Record, plain
from tests.gpu.on_gpu.split import split
from tests.gpu.run_on_gpu import main

pytestmark = pytest.mark.kernels

CODE = {"commit": "a", "changed": False, "place": "cpucuda", "device": "this one"}


def read(path):
    return json.loads(path.read_text("utf-8"))


def silent(_):
    pass


# The record.


def test_every_item_is_on_the_disk_as_soon_as_it_is_done(tmp_path):
    path, seen = tmp_path / "r.json", []

    def second():
        seen.append(read(path)["sections"]["s"]["first"]["x"])
        return {"ok": True}

    record = Record(path, CODE)
    record.run("s", [("first", lambda: {"x": 1.5}), ("second", second)], say=silent)
    assert seen == [1.5]
    assert record.close() == 0
    assert (read(path)["ok"], read(path)["complete"]) == (True, True)


def test_an_item_that_raises_is_a_check_that_failed_and_the_others_run(tmp_path):
    record = Record(tmp_path / "r.json", CODE)
    record.run("s", [("bad", lambda: 1 / 0), ("good", lambda: {"ok": True})], say=silent)
    assert record.failed() == ["s: bad"]
    assert record.close() == 1
    assert "ZeroDivisionError" in read(tmp_path / "r.json")["sections"]["s"]["bad"]["traceback"]


def test_no_item_begins_when_time_is_out_and_resume_does_the_rest_and_what_failed(tmp_path):
    path, done = tmp_path / "r.json", []

    def items(fails):
        yield "one", lambda: done.append("one") or {"ok": not fails}
        yield "two", lambda: done.append("two") or ({"ok": True} if not fails else 1 / 0)
        yield "three", lambda: done.append("three") or {"ok": True}

    record = Record(path, CODE)
    record.run("s", [*items(False)][:1] + [*items(True)][1:2], say=silent)
    record.until = -math.inf
    record.run("s", items(False), say=silent)
    assert done == ["one", "two"]
    assert record.close() == 1  # what failed counts more than that time is out
    record = Record(path, CODE, resume=True)
    record.run("s", items(False), say=silent)
    assert done == ["one", "two", "two", "three"]
    assert record.close() == 0


def test_out_of_time_is_an_exit_code_of_its_own(tmp_path):
    record = Record(tmp_path / "r.json", CODE, until=time.monotonic() - 1)
    record.run("s", [("one", lambda: {})], say=silent)
    assert record.close() == 3
    assert not read(tmp_path / "r.json")["complete"]


@pytest.mark.parametrize("text", [None, "", "[]", '{"code": {}}', '{"code": 1, "sections": {}}'])
def test_resume_wants_a_record(tmp_path, text):
    if text is not None:
        (tmp_path / "r.json").write_text(text)
    with pytest.raises(ConfigError, match="--resume goes on with a record"):
        Record(tmp_path / "r.json", CODE, resume=True)


def test_a_record_is_not_written_over(tmp_path):
    Record(tmp_path / "r.json", CODE).close()
    with pytest.raises(ConfigError, match=r"A new record has a new file.\n.* is there\n  fix: --resume"):
        Record(tmp_path / "r.json", CODE)


def test_a_record_without_a_section_is_not_complete(tmp_path):
    record = Record(tmp_path / "r.json", CODE)
    record.run("one", [], say=silent)
    assert record.close(["one", "two"]) == 0 and not read(tmp_path / "r.json")["complete"]
    record.run("two", [], say=silent)
    assert record.close(["one", "two"]) == 0 and read(tmp_path / "r.json")["complete"]


def test_resume_wants_the_same_code(tmp_path):
    Record(tmp_path / "r.json", CODE).close()
    with pytest.raises(ConfigError, match=r"commit a then, b now"):
        Record(tmp_path / "r.json", CODE | {"commit": "b"}, resume=True)


def test_resume_wants_the_same_device(tmp_path, capsys, monkeypatch):
    """Ceilings of one are no measure for the kernels of another."""
    words = ["--backend", "cpucuda", "--out", str(tmp_path / "r.json"), "--only", "machine"]
    assert main(words) == 0
    monkeypatch.setattr(Processor, "which", lambda self: "another one")
    assert main([*words, "--resume"]) == 2
    assert re.search(r"on the same device.\n.*device .* cores then, another one now", capsys.readouterr().err)


def test_a_gpu_is_known_by_its_name_and_its_slot():
    place = object.__new__(places.Gpu)
    runtime = SimpleNamespace(getDeviceProperties=lambda i: {"name": b"G100"}, memGetInfo=lambda: (30, 100))
    pool = SimpleNamespace(total_bytes=lambda: 60)
    place.device = SimpleNamespace(id=0, pci_bus_id="0000:3B:00.0")
    place.cupy = SimpleNamespace(cuda=SimpleNamespace(runtime=runtime), get_default_memory_pool=lambda: pool)
    assert place.which() == "G100 at 0000:3B:00.0"
    assert place.memory() == {"pool_bytes": 60, "device_bytes": 70}


def test_what_json_has_no_word_for():
    assert plain({"a": math.nan, "b": (1, math.inf), 3: None, "d": True}) == {
        "a": None,
        "b": [1, None],
        "3": None,
        "d": True,
    }


# The sections.


@pytest.fixture(scope="module")
def place():
    return Processor()


def test_an_operation_is_right_and_has_its_times(place):
    found = timed.timed(
        place, "rms_norm", OPERATIONS["rms_norm"], {"copy": {"bytes_per_s": 1e9}, "gemm fp32": {"flops_per_s": 1e9}}
    )
    assert found["ok"]
    assert found["launches"]["rms_norm_forward<32>"] == 1
    assert found["forward"]["warm"]["of copy"] > 0
    x, weight = 65 * 48 * 4, 48 * 4
    assert found["forward"]["least_bytes"] == 2 * x + weight
    assert found["forward_and_backward"]["least_bytes"] == 4 * x + 2 * weight


def test_memory_of_an_operation_is_that_of_its_own_step(place, monkeypatch):
    order, right = [], timed.step
    monkeypatch.setattr(place, "forget", lambda: order.append("forgotten"))
    monkeypatch.setattr(timed, "step", lambda *a: order.append("step") or right(*a))
    monkeypatch.setattr(place, "memory", lambda: order.append("memory") or {"pool_bytes": 7})
    assert timed.timed(place, "l2_norm", OPERATIONS["l2_norm"], {})["pool_bytes"] == 7
    assert order[:3] == ["forgotten", "step", "memory"]


def test_an_operation_that_is_wrong_fails(place, monkeypatch):
    wrong = OPERATIONS["rms_norm"].__class__(lambda x, weight: x * weight, OPERATIONS["rms_norm"].make, lambda s: 1.0)
    right = exact.step
    monkeypatch.setattr(
        exact, "step", lambda op, arrays, g, **how: right(wrong if arrays["x"].dtype == "f4" else op, arrays, g, **how)
    )
    assert not timed.timed(place, "rms_norm", OPERATIONS["rms_norm"], {})["ok"]


def test_every_twin_is_held_against_float64_and_every_kernel_runs_twice(place):
    """test_registry.py runs all examples; here they are those that the script runs, too."""
    found = dict(correct.items(place))
    assert {f"function {name}" for name in TABLE} | {f"kernel {name}" for name in KERNELS} <= found.keys()
    about = found["function clip_by_global_norm"]()
    assert about["ok"] and len(about["examples"]) == len(TABLE["clip_by_global_norm"].examples)
    assert {each["kernels"] for each in about["examples"]} == {("sums_of_squares",)}


def test_a_twin_that_is_not_its_text_fails(place, monkeypatch):
    wrong = copy.copy(TABLE["l2_norm"])
    wrong.reference = lambda x, eps=1e-6: x
    monkeypatch.setitem(TABLE, "l2_norm", wrong)
    found = correct.as_text(place, "l2_norm")
    assert not found["ok"] and "away from the text's" in found["examples"][0]["wrong"]


class OnGpu:
    """A twin that computes with its text where the arrays are. Arrays of the stand-in do not meet NumPy's."""

    def __init__(self, twin):
        self.twin = twin

    def __getattr__(self, name):
        return getattr(self.twin, name)

    def refuses(self, *inputs, **static):
        """What a real GPU would be asked for."""

    def __call__(self, *inputs, **static):
        arrays = [x for given in inputs for x in (given if isinstance(given, list) else [given])]
        assert all(fake_cupy.on_gpu(x) for x in map(ml.autograd.unwrap, arrays) if hasattr(x, "shape"))
        return self.twin.reference(*inputs, **static)


@pytest.mark.parametrize("name", TABLE)
def test_an_example_runs_on_a_gpu(name):
    twin = TABLE[name]
    with fake_cupy.installed():
        found = compare(OnGpu(twin), 0, backend="cupy")
    assert found.wrong is None


@pytest.mark.parametrize(
    "name",
    [
        "scalar_gate_step",
        "gated_delta_rule_step",
        "gated_delta_rule_recurrent",
        "rotate",
        "cubic_spline_slope",
        "cox_de_boor",
    ],
)
def test_what_has_kernels_runs_as_kernels_where_it_is_timed(place, name):
    found = timed.timed(place, name, OPERATIONS[name], {})
    assert found["ok"] and found["launches"]


def test_what_has_no_gradient_is_right_and_has_its_times(place):
    found = dict(timed.items(place, {"copy": {"bytes_per_s": 1e9}}))
    for name, least in (("adamw", 28 * 1024), ("clip_by_global_norm", 12 * 1024), ("add_rows", 4 * (65 + 101) * 48)):
        about = found[name]()
        assert about["ok"] and about["least_bytes"] == least and about["warm"]["of copy"] > 0


@pytest.mark.parametrize(
    ("apart", "name", "ok"),
    [(1e-4, "diagonal_outputs_bf16", True), (1e-2, "diagonal_outputs_bf16", False), (1e-4, "silu_glu_forward", False)],
)
def test_another_rounding_to_bfloat16_is_no_other_text(place, monkeypatch, apart, name, ok):
    """As a GPU with another exponential: one number in bfloat16 may be its other neighbour there."""
    here, ours = iter((0.0, 0.0, apart)), correct.launched
    kernel = replace(correct.KERNELS[name], cases=correct.KERNELS[name].cases[:1])
    monkeypatch.setattr(
        correct, "launched", lambda *a, by=here: (lambda x: {n: y * (1 + x) for n, y in ours(*a).items()})(next(by))
    )
    assert correct.same_text(place, kernel)["ok"] == ok


def test_what_is_only_compiled_is_not_loaded(place, monkeypatch):
    """Each has a runtime of its own, and a process has room for about a dozen: later sections would find none."""
    monkeypatch.setattr("ctypes.CDLL", lambda path: pytest.fail(f"{path} was loaded"))
    found = dict(compiled.items(place))["rotate.cu"]()
    assert found["cold_s"] > 0
    assert found["cache_bytes"] > 0


@pytest.mark.parametrize("name", ["gated_delta_rule", "softmax_attention", "delta_product_2", "scalar_gate_bf16"])
def test_heads_of_a_large_size(place, name):
    """Each gradient of two heads of one row is held against float64, which computes no others."""
    found = correct.at_size(place, name)
    assert found["ok"] and (found["row"], found["heads"]) == (1, (0, 2))
    taken = OPERATIONS[name].make(lambda *shape: np.zeros(shape), timed.SMALL)
    assert list(found["apart"]) == ["out", *(f"d {each}" for each in taken)]


@pytest.mark.parametrize("wrong", ["out", "d q", "d k", "d v", "d g", "d beta"])
def test_one_wrong_gradient_of_one_head_fails(place, monkeypatch, wrong):
    def step(operation, arrays, *rest, step=exact.step, **how):
        found = step(operation, arrays, *rest, **how)
        if found["out"].dtype == np.float32:
            found[wrong] = found[wrong].copy()
            found[wrong][-1, :, -1] *= 1.001
        return found

    monkeypatch.setattr(exact, "step", step)
    found = correct.at_size(place, "gated_delta_rule")
    assert not found["ok"]
    assert [name for name, d in found["apart"].items() if d["frobenius"] > d["bound"]] == [wrong]


@pytest.mark.parametrize("name", traps.WITH_KEYS)
@pytest.mark.parametrize("keys", ["two keys in turn, beta 1", "transpositions of S3, beta 2"])
def test_keys(place, name, keys):
    assert traps.repeated(place, name, keys)["ok"]


@pytest.mark.parametrize("name", traps.WITH_GATE)
def test_resets(place, name):
    found = traps.resets(place, name, -math.inf)
    assert found["ok"] and found["apart"]["out"]["bound"] == (3e-2 if name.endswith("bf16") else 2e-5)


def test_every_trap_is_an_item(place):
    assert len(dict(traps.items(place))) == 2 * len(traps.KEYS) + 6 * len(traps.RESETS)


def test_training_beside_numpy(place, monkeypatch):
    monkeypatch.setattr(trained, "STEPS", 3)
    found = trained.losses(place, "delta_net")
    assert found["ok"]
    assert len(found["numpy"]) == len(found["cpucuda"]) == 3
    assert found["kernels"]["rms_norm"] > 0


def test_a_step_is_recorded_as_a_graph_where_there_is_a_gpu(place, monkeypatch):
    """Here there is none, and the record says so; on a GPU that would be a failure."""
    monkeypatch.setattr(trained, "STEPS", 2)
    found = trained.losses(place, "gated_delta_net", graph=True)
    assert found["ok"]
    assert found["graph"] == {"replayed": 0, "other": 2, "why": "a graph is recorded on a GPU"}
    monkeypatch.setattr(place, "full_size", True)
    assert not trained.losses(place, "gated_delta_net", graph=True)["ok"]


@pytest.mark.parametrize("option", trained.LESS_MEMORY)
def test_less_memory_gives_the_same_losses(place, monkeypatch, option):
    monkeypatch.setattr(trained, "STEPS", 3)
    settings = trained.LESS_MEMORY[option]
    found = trained.losses(place, "gated_delta_net", **settings)
    assert found["ok"] and len(found["plain cpucuda"]) == 3
    assert found["kernels"]["rms_norm"] > 3 * 3  # blocks, or parts of batches, are run again
    real = trained.started
    other = lambda *a, **b: real(*a, **b | ({"lr": 1e-2} if b.keys() & settings.keys() else {}))
    monkeypatch.setattr(trained, "started", other)
    assert not trained.losses(place, "gated_delta_net", **settings)["ok"]


def test_where_the_time_of_a_step_goes(place):
    with place.backend:
        run = trained.model_of_text(place, "gated_delta_net", "bf16")
        found = split(place, run, 1.0)
    assert found["calls"]["kernels"] > 20 and found["calls"]["products"] == 24
    assert 0 < found["products_s"] < found["kernels_s"] < found["step_s"] and found["rest_s"] > 0
    assert found["kernels_s"] + found["products_s"] + found["rest_s"] == pytest.approx(found["step_s"])


def test_the_time_of_a_gpu_is_that_of_pieces_which_it_does_without_a_gap(monkeypatch):
    """Each call takes a second here, or three where it was told to wait long before."""

    class Gpu(Processor):
        full_size = True

        def device_seconds(self, do, *, hold):
            return do(), 3.0 if hold == 20.0 else 1.0, hold == 20.0

    place = Gpu()
    with place.backend:
        monkeypatch.setattr(place, "full_size", False)
        run = trained.model_of_text(place, "gated_delta_net", "fp32")
        monkeypatch.setattr(place, "full_size", True)
        found = split(place, run, 10.0)
    kernels, products = found["calls"]["kernels"], found["calls"]["products"]
    assert found["device_s"] == {"forward and backward": 3.0, "clipping": 3.0, "optimizer": 3.0}
    assert (found["kernels_s"], found["products_s"], found["host_s"]) == (kernels, products, 1.0)
    assert found["other_s"] == 9.0 - kernels - products
    assert found["late"] == {"forward and backward": 1, "clipping": 1, "optimizer": 1}


def test_a_gpu_is_kept_busy_until_all_is_queued():
    order, place = [], object.__new__(places.Gpu)

    class Event:
        done = False

        def record(self):
            order.append("event")

        def synchronize(self):
            order.append("wait")

    cuda = SimpleNamespace(Event=Event, get_elapsed_time=lambda begun, ended: 250.0)
    spin = lambda grid, block, given: order.append(("spin", int(given[0])))
    place.cupy, place._spin = SimpleNamespace(cuda=cuda, RawKernel=lambda text, name: spin), None
    assert place.device_seconds(lambda: order.append("work"), hold=0.5) == (None, 0.25, False)
    assert order == [("spin", 500_000_000), "event", "work", "event", "wait"]


@pytest.mark.peers
@pytest.mark.parametrize("mixer", trained.PEERS)
def test_our_model_in_torch_is_our_model(place, monkeypatch, mixer):
    """With a recurrence of our own in the place of flash-linear-attention's."""
    torch = pytest.importorskip("torch")

    def chunk_gated_delta_rule(q, k, v, *, g, beta):
        S, outs = torch.zeros(*q.shape[:1], *q.shape[2:], v.shape[-1]), []
        for t in range(q.shape[1]):
            S = S * g[:, t, :, None, None].exp()
            error = v[:, t] - torch.einsum("bhkv,bhk->bhv", S, k[:, t])
            S = S + torch.einsum("bhk,bhv->bhkv", beta[:, t, :, None] * k[:, t], error)
            outs.append(torch.einsum("bhkv,bhk->bhv", S, q[:, t]) * q.shape[-1] ** -0.5)
        return torch.stack(outs, 1), S

    def larger(*settings, started=trained.started, **training):
        run = started(*settings, **training)
        for p in run.model.parameters():  # the first loss of small weights is that of no model at all
            p.assign_(3 * p.data)
        return run

    monkeypatch.setattr(trained, "started", larger)
    fla = SimpleNamespace(chunk_gated_delta_rule=chunk_gated_delta_rule)
    monkeypatch.setitem(sys.modules, "fla.ops.gated_delta_rule", fla)
    monkeypatch.setattr("tests.gpu.on_gpu.peer_model.CHUNK", 8)  # of 32 tokens
    found = trained.beside_torch(place, mixer)
    assert found["ok"] and not found["skipped"]
    assert found["step_s"].keys() == found["first_loss"].keys() == {"minilinear", trained.PEERS[mixer][0]}


def test_a_peer_that_is_not_there_says_why(place, monkeypatch):
    monkeypatch.setattr("tests.gpu.on_gpu.peers.installed", lambda name: None)
    assert trained.beside_torch(place, "softmax") == {"skipped": "no torch is installed"}
    monkeypatch.setattr(place, "full_size", True)
    assert trained.beside_torch(place, "softmax") == {"skipped": "no torch that sees a GPU"}


@pytest.mark.parametrize(
    ("times", "up_to", "since"),
    [
        ({16: 0.1, 64: 0.9, 128: 2.0, 256: 5.0}, 64, 128),
        ({16: 2.0, 64: 0.5}, 64, None),
        ({16: 1.5}, None, 16),
        ({}, None, None),
    ],
)
def test_where_a_gpu_begins_to_help(times, up_to, since):
    found = {f"width {D}": {"times_as_fast": faster} for D, faster in times.items()} | {"text fp32": {"step_s": 1.0}}
    found["width 512"] = {"ok": False, "error": "no memory"}
    assert trained.faster_from(found) == {"processor_up_to": up_to, "kernels_from": since}


def test_memory_of_a_model_is_not_that_of_what_ran_before(place, monkeypatch):
    order, start = [], trained.started
    monkeypatch.setattr(place, "forget", lambda: order.append("forgotten"))
    monkeypatch.setattr(trained, "started", lambda *a, **b: order.append("started") or start(*a, **b))
    found = trained.text(place, "bf16", graph=True)
    assert order == ["forgotten", "started"]
    assert found["graph"]["replayed"] == 0
    assert found["launches_per_step"] > 0


def test_every_operation_draws_what_it_takes(place):
    for name, operation in OPERATIONS.items():
        arrays = exact.drawn(
            operation, {"B": 1, "T": 3, "H": 1, "K": 2, "V": 2, "D": 48, "E": 4, "vocabulary": 5, "C": 64}
        )
        out = exact.first(operation.run(*arrays.values()))
        assert out.dtype == "f4", name
        assert operation.flops({"B": 1, "T": 3, "H": 1, "K": 2, "V": 2, "D": 48, "E": 4, "vocabulary": 5, "C": 64}) > 0


def test_ours_and_the_peers_take_turns(place):
    """Told apart by what they write down; a peer that is not there says why."""
    turns = []

    class Peer:
        precision = "float32"

        def forward(self):
            turns.append("theirs")

        def seconds(self, do, *, warm_up, repeats):
            return [do() or 2.0 for _ in range(repeats)]

    class Gpu:
        full_size = True

        def seconds(self, do, *, warm_up, repeats, cold):
            return [do() or 1.0 for _ in range(repeats)]

    others = {"a": Peer(), "b": "ImportError: no"}
    found = timed.measured(
        Gpu(), lambda: turns.append("ours"), 8, 4.0, {"copy": {"bytes_per_s": 16}}, others, "forward"
    )
    assert turns == (["ours"] * 20 + ["theirs"] * 10) * 5
    assert found["warm"] == {
        "median_s": 1.0, "p10_s": 1.0, "p90_s": 1.0, "runs": 50, "bytes_per_s": 8.0, "flops_per_s": 4.0, "of copy": 0.5,
    }  # fmt: skip
    assert found["peers"]["a"] == {"median_s": 2.0, "p10_s": 2.0, "p90_s": 2.0, "runs": 50, "precision": "float32"}
    assert found["peers"]["b"] == {"failed": "ImportError: no"}


def test_peers_are_peers_of_operations():
    assert not PEERS.keys() - OPERATIONS.keys()


# The command.


def test_the_script_writes_one_file(tmp_path, capsys):
    out = tmp_path / "found.json"
    assert main(["--backend", "cpucuda", "--out", str(out), "--only", "machine"]) == 0
    found = read(out)
    assert found["ok"] and not found["complete"]  # there are more sections
    assert found["sections"]["machine"]["software"]["numpy"]
    assert [next(iter(state)) for state in found["states"]] == ["before", "after"]
    assert main(["--backend", "cpucuda", "--out", str(out), "--only", "machine", "--resume"]) == 0
    assert "machine: device" not in capsys.readouterr().out.split("all right")[1]


@pytest.mark.parametrize(
    ("words", "rule"),
    [
        (["--only", "corect"], "--only is a list of .*\n.*corect\n.*correct"),
        (["--out", "/nowhere/at/all.json"], "--out names a file in a folder that is there"),
        (["--only", ","], "--only names a section at least"),
        (["--out", "/"], "--out names a file in a folder that is there"),
        (["--max-seconds", "nan"], "--max-seconds is a number of seconds"),
        (["--resume"], "--resume goes on with a record"),
        (["--backend", "cupy"], "The backend cupy cannot run here"),
    ],
)
def test_wrong_usage(tmp_path, capsys, monkeypatch, words, rule):
    monkeypatch.setattr("minilinear.gpu.cuda.missing_for_cupy", lambda: [Missing("there is none", "buy one")])
    given = ["--backend", "cpucuda", "--out", str(tmp_path / "r.json"), *words]
    assert main(given) == 2
    assert re.search(rule, capsys.readouterr().err)
