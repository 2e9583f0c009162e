"""What `minilinear bench` says. How fast anything is, is never asked here."""

import importlib
import importlib.util
import json
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from minilinear.cli.benchmarks import ROWS, Implementation, Row, torch_layers, torch_peers
from minilinear.models import MIXERS
from minilinear.recurrence.chunks import Chunks
from minilinear.recurrence.decay import MildDecay, VectorDecay, kind_of_decay

pytestmark = pytest.mark.slow

bench = importlib.import_module("minilinear.cli.bench")  # the module: minilinear.cli.bench is the command


def run(*arguments, cwd):
    command = [sys.executable, "-c", "from minilinear.cli import main; main()", "bench", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd)


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bench")
    options = [
        "--only",
        "engine,memory_delta_rule",
        "--only",
        "memory_decode_state",
        "--peers",
        "none",
        "--rounds",
        "2",
    ]
    options += ["--threads", "1", "--quick", "--json"]
    done = run(*options, "--out", "bench.json", cwd=folder)
    assert done.returncode == 0, done.stderr
    return done, folder


def test_json_is_one_document_and_nothing_else(result):
    done, folder = result
    document = json.loads(done.stdout)
    assert done.stderr == ""
    assert document == json.loads((folder / "bench.json").read_text())
    assert [path.name for path in folder.iterdir()] == ["bench.json"]


def test_the_document_says_where_when_and_with_what(result):
    document = json.loads(result[0].stdout)
    assert document["machine"].keys() == {"cpu", "cores", "load", "system", "blas"}
    assert document["versions"].keys() >= {"minilinear", "numpy", "python"}
    assert document["date"].endswith("+00:00")
    assert "bench --only engine" in document["command"]
    assert (document["threads"], document["rounds"], document["quick"]) == (1, 2, True)


def test_a_row_has_each_round_of_each_implementation_and_ratios_to_the_first(result):
    engine = json.loads(result[0].stdout)["rows"][0]
    ours, by_hand = engine["implementations"]  # no peers were wanted
    assert (engine["row"], engine["unit"], engine["group"]) == ("engine", "seconds", "engine")
    assert [ours["implementation"], by_hand["implementation"]] == ["minilinear", "NumPy, by hand"]
    assert len(ours["rounds"]) == len(by_hand["rounds"]) == 2
    assert max(by_hand["error"].values()) < 1e-5  # of the results, against ours
    assert by_hand["ratio"] == pytest.approx(by_hand["median"] / ours["median"])
    assert by_hand["floor"] == 0.5
    assert by_hand["verdict"] in ("reached", "above the floor", "below the floor")
    assert not {"ratio", "verdict"} & ours.keys()


def test_memory_is_in_bytes_and_has_an_exponent(result):
    memory, state = json.loads(result[0].stdout)["rows"][1:]
    assert memory["unit"] == state["unit"] == "bytes"
    assert len(memory["implementations"]) == len(ROWS["memory_delta_rule"].sizes)
    assert 0 < memory["log_log_slope"] < 3
    assert (memory["expected"], memory["largest_slope"]) == ("linear", 1.1)
    assert (state["expected"], state["verdict"]) == ("constant", "constant")


def test_wrong_names_and_a_missing_folder_are_wrong_usage(tmp_path):
    for wrong, *options in (
        ["'warp'", "--only", "warp"],
        ["'warp'", "--only", "engine,warp"],
        ["'tensorflow'", "--peers", "torch-eager,tensorflow"],
        ["nowhere", "--out", "nowhere/bench.json"],
    ):
        done = run(*options, cwd=tmp_path)
        assert done.returncode == 2
        assert done.stdout == ""
        assert wrong in done.stderr


def test_a_group_stands_for_its_rows(tmp_path):
    options = ["--only", "decoding,l2_norm", "--peers", "none", "--rounds", "1", "--threads", "1", "--quick", "--json"]
    done = run(*options, "--only", "layers", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    rows = [row["row"] for row in json.loads(done.stdout)["rows"]]
    assert rows == ["decoding", "l2_norm", "rms_norm", "swiglu", "cross_entropy"]  # each once
    assert bench.ONLY["chunk-forms"] == [name for name in ROWS if ROWS[name].group == "chunk forms"]
    assert sorted({name for rows in bench.ONLY.values() for name in rows}) == sorted(ROWS)
    assert bench.ONLY.keys() >= ROWS.keys() | {"layers", "training-step", "memory"}


def test_every_mixer_has_a_training_row_against_torch():
    assert torch_layers.LAYERS.keys() == MIXERS.keys(), "a mixer is without its layer in cli/benchmarks/torch_layers.py"
    for mixer in MIXERS:
        row = ROWS[f"training_{mixer}_language"]
        assert row.group == "training step"
        assert row.inputs(True, False)["run"].config.model["mixer"] == mixer
        peers = {name: made for name, made in row.implementations.items() if made.needs == "torch"}
        assert peers.keys() == torch_layers.LAYERS[mixer].forms.keys()
        assert (peers["torch eager"].goal, peers["torch eager"].floor) == (1.5, 1.0)


def test_a_training_row_compares_all_parameters():
    row = ROWS["training_mamba2_language"]
    inputs = row.inputs(True, False)
    first, *averages = row.implementations["minilinear"].prepare(inputs)()
    assert first.shape == (2,) and np.isfinite(first).all()
    assert [m.shape for m in averages] == [p.shape for p in inputs["run"].parameters]


@pytest.mark.parametrize("name", ROWS)
def test_every_row_computes_finite_numbers_without_peers(name):
    row = ROWS[name]
    for made in row.implementations.values():
        if made.needs is None and not row.sizes:
            results = made.prepare(row.inputs(True, True))()
            assert results
            assert all(np.isfinite(np.asarray(x)).all() for x in results)
        elif row.sizes:  # the smallest alone: the others differ in length only
            assert next(iter(row.implementations.values())).prepare(row.inputs(True, False))()
            break


# What the document says of numbers, made up here.


def compared(row, *rounds, **others):
    """`_compared` of a row whose implementations took these times."""
    results = [{"implementation": name, "rounds": list(x)} for name, x in zip(row.implementations, rounds)]
    for result in results:
        result |= {"footnote": False} | others.get(result["implementation"], {})
    return bench._compared("made up", row, results)


def row_of(**implementations):
    return Row("made up", lambda quick, hard: None, implementations, group="made up")


def test_a_verdict_compares_the_ratio_of_medians_with_goal_and_floor():
    peer = Implementation(print, goal=2.0, floor=1.5)
    row = row_of(ours=Implementation(print), a=peer, b=peer, c=peer, d=Implementation(print))
    ours, *theirs = compared(row, [1, 3, 2], [4, 4, 4], [3, 3, 9], [2, 2, 3], [1, 1, 1])["implementations"]
    assert [x["ratio"] for x in theirs] == [2, 1.5, 1, 0.5]
    assert [x["verdict"] for x in theirs] == ["reached", "above the floor", "below the floor", "no goal"]
    assert theirs[1]["ratio_range"] == [1, 4.5]
    assert "verdict" not in ours


def test_an_unsafe_peer_has_a_time_and_a_ratio_but_no_goal_and_no_part_in_means():
    peer = Implementation(print, goal=2.0, floor=1.5)
    row = row_of(ours=Implementation(print), exact=peer, fast=peer)
    rows = [compared(row, [2], [6], [1], fast={"unsafe": "wrong"}) for _ in range(2)]
    fast = rows[0]["implementations"][2]
    assert (fast["median"], fast["ratio"], fast["verdict"]) == (1, 0.5, "unsafe")
    assert not {"goal", "floor"} & fast.keys()
    means = bench._geometric_means(rows)
    assert [(mean["implementation"], mean["verdict"]) for mean in means] == [("exact", "reached")]
    assert bench._short_of_goal(rows, means) == []


def test_the_summary_lists_all_that_is_short_of_its_goal():
    peer = Implementation(print, goal=2.0, floor=1.0)
    rows = [compared(row_of(ours=Implementation(print), peer=peer), [1], [ratio]) for ratio in (8, 1.5, 0.1)]
    short = bench._short_of_goal(rows, bench._geometric_means(rows))
    assert [(x["row"], x["implementation"], x["goal"], x["floor"]) for x in short] == [
        ("made up", "peer", 2.0, 1.0),
        ("made up", "peer", 2.0, 1.0),
        ("made up, geometric mean", "peer", 2.0, 1.0),
    ]
    assert [x["ratio"] for x in short] == pytest.approx([1.5, 0.1, 1.2 ** (1 / 3)])
    assert [x["verdict"] for x in short] == ["above the floor", "below the floor", "above the floor"]


def test_a_mean_is_of_peers_that_ran_in_every_row_of_a_group_wherever_they_stand():
    peer = Implementation(print)
    rows = [
        compared(row_of(ours=peer, a=peer, b=peer), [1], [2], [4]),
        compared(row_of(ours=peer, b=peer, c=peer), [1], [9], [7]),
        compared(row_of(ours=peer, b=peer, c=peer), [1], [6], [7]),
    ]
    assert [(mean["implementation"], mean["ratio"]) for mean in bench._geometric_means(rows)] == [
        ("b", pytest.approx(6))
    ]


@pytest.mark.parametrize(
    ("exponent", "verdict"),
    [
        (0, "constant"),
        (0.5, "linear"),
        (1.09, "linear"),
        (1.2, "quadratic"),
        (2, "quadratic"),
        (3, "more than quadratic"),
    ],
)
def test_memory_is_named_by_how_it_grows(exponent, verdict):
    sizes = (512, 1024, 4096)
    made = {f"T = {T}": Implementation(print) for T in sizes}
    row = Row("made up", print, made, memory="peak", sizes=sizes, growth="linear")
    found = compared(row, *([float(T) ** exponent] for T in sizes))
    assert found["log_log_slope"] == pytest.approx(exponent, abs=1e-9)
    assert found["verdict"] == verdict
    assert [x["row"] for x in bench._short_of_goal([found], [])] == ["made up"] * (exponent > 1.1)


# Peers that cannot be measured are not measured, and the row says why.


def measured(monkeypatch, **implementations):
    """The results of a row that lives in the workers' processes only by name: `engine`."""
    monkeypatch.setitem(ROWS, "engine", Row("test", ROWS["engine"].inputs, implementations))
    return bench.measured("engine", rounds=1, threads=1, quick=True)["implementations"]


def test_a_peer_that_is_not_installed_says_how_to_install_it(monkeypatch):
    ours, peer = measured(
        monkeypatch,
        minilinear=Implementation(ROWS["engine"].implementations["minilinear"].prepare),
        peer=Implementation(torch_peers.perceptron, needs="no_such_package"),
    )
    assert "pip install 'minilinear[peers]'" in peer["failed"]
    assert "rounds" not in peer
    assert len(ours["rounds"]) == 1


def test_what_goes_wrong_in_a_process_is_told(monkeypatch):
    peer = measured(monkeypatch, stranger=Implementation(torch_peers.perceptron))[0]  # the worker knows no such name
    assert "KeyError: 'stranger'" in peer["failed"]


def test_a_peer_that_computes_something_else_is_off():
    a = np.arange(6.0)
    assert bench._difference(a, a) == 0
    assert bench._difference(a + [0, 0, 1, 0, 0, 0], a) == pytest.approx(0.2)
    assert bench._difference(a[:5], a) == bench._difference(a * np.nan, a) == np.inf


def test_one_that_is_wrong_on_hard_inputs_alone_is_unsafe_and_one_that_is_wrong_anyway_is_not_measured(tmp_path):
    def worker(name, hard, timed):
        np.savez(tmp_path / name, **{"hard 0": np.array(hard), "timed 0": np.array(timed)})
        return SimpleNamespace(check=tmp_path / f"{name}.npz")

    ours = {"minilinear": worker("ours", [1.0, 2.0], [3.0, 4.0])}
    for name, hard, timed, failed, unsafe in (
        ("exact", [1.0, 2.0], [3.0, 4.0], None, None),
        ("rounded", [1.0, 2.001], [3.0, 4.001], None, None),
        ("off", [1.0, 2.5], [3.0, 4.0], None, "wrong on hard inputs: an entry is off by 0.2 of the largest"),
        ("overflows", [1.0, np.nan], [3.0, 4.0], None, "wrong on hard inputs: not finite, or of another shape"),
        ("wrong", [1.0, 2.0], [3.0, 6.0], "disagrees with minilinear: an entry is off by 0.5 of the largest", None),
        ("short", [1.0, 2.0], [3.0], "disagrees with minilinear: not finite, or of another shape", None),
    ):
        result = {}
        assert bench._disagreement(ours, worker(name, hard, timed), result) == failed
        assert result.get("unsafe") == unsafe
        json.dumps(result, allow_nan=False)


def test_gates_are_mild_where_implementations_are_timed_and_not_where_they_are_checked():
    for name in "linear_attention_vector_gate", "delta_rule_vector_gate":
        for quick, hard, kind in (
            (True, True, VectorDecay),
            (True, False, MildDecay),
            (False, False, MildDecay),
        ):
            g = ROWS[name].inputs(quick, hard)[0]["g"]
            assert kind_of_decay(g, Chunks(g.shape[1], 64)) is kind


def pairs():
    """Each row with each package that it has peers in. torch.compile compiles the same function, in a minute."""
    for name, row in ROWS.items():
        for package in dict.fromkeys(made.needs for made in row.implementations.values() if made.needs):
            missing = importlib.util.find_spec(package) is None
            yield pytest.param(name, package, marks=pytest.mark.skipif(missing, reason=f"needs {package}"))


@pytest.mark.peers
@pytest.mark.parametrize(("name", "package"), list(pairs()))
def test_the_peers_agree_also_after_resets_and_with_equal_keys(name, package):
    row = ROWS[name]
    ours = next(iter(row.implementations.values()))
    theirs = {n: made for n, made in row.implementations.items() if made.needs == package and n != "torch.compile"}
    for hard in True, False:
        expected = second_run(ours, row, hard)
        for implementation, made in theirs.items():
            results = second_run(made, row, hard)
            assert len(results) == len(expected)
            right = max(map(bench._difference, results, expected)) < bench.TOLERANCE
            assert right == (not (hard and made.unsafe)), implementation


def second_run(made, row, hard):
    compute = made.prepare(row.inputs(True, hard))
    compute()
    return [np.asarray(x).copy() for x in compute()]


@pytest.mark.peers
def test_an_unsafe_peer_is_shown_with_its_time_and_says_why(tmp_path):
    pytest.importorskip("torch")
    options = ["--only", "linear_attention_vector_gate", "--peers", "torch-eager-one-cut,torch-eager", "--quick"]
    done = run(*options, "--rounds", "1", "--out", "bench.json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "unsafe: torch eager, one cut  " in done.stdout  # in the table
    assert (
        "unsafe: torch eager, one cut: for gentle gates only; wrong on hard inputs: not finite, or of another shape"
        in done.stdout
    )
    document = json.loads((tmp_path / "bench.json").read_text())
    _, eager, one_cut = document["rows"][0]["implementations"]
    assert one_cut["median"] > 0 and one_cut["verdict"] == "unsafe" and "goal" not in one_cut
    assert eager["goal"] == 2.0 and "unsafe" not in eager
    assert document["versions"].keys() >= {"torch"}
    assert [x["implementation"] for x in document["short_of_goal"]] in ([], ["torch eager"])


@pytest.mark.peers
@pytest.mark.slow
def test_torch_compile_runs_and_agrees(tmp_path):
    pytest.importorskip("torch")
    done = run(
        "--only", "linear_attention", "--peers", "torch-compile", "--quick", "--rounds", "1", "--json", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    compiled = json.loads(done.stdout)["rows"][0]["implementations"][1]
    assert compiled["implementation"] == "torch.compile"
    assert max(compiled["error"].values()) < bench.TOLERANCE and compiled["median"] > 0
