"""What `minilinear bench` says. How fast anything is, is never asked here."""

import importlib
import json
import subprocess
import sys

import numpy as np
import pytest

from minilinear.cli.benchmarks import ROWS, Implementation, Row, peers

bench = importlib.import_module("minilinear.cli.bench")  # the module: minilinear.cli.bench is the command


def run(*arguments, cwd):
    command = [sys.executable, "-c", "from minilinear.cli import main; main()", "bench", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd)


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bench")
    options = ["--only", "engine", "--only", "memory", "--rounds", "2", "--threads", "1", "--quick", "--json"]
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
    assert document["machine"].keys() == {"cpu", "cores", "load", "system"}
    assert document["versions"].keys() >= {"minilinear", "numpy", "python"}
    assert document["date"].endswith("+00:00")
    assert "bench --only engine" in document["command"]
    assert (document["threads"], document["rounds"], document["quick"]) == (1, 2, True)


def test_a_row_has_each_round_of_each_implementation_and_ratios_to_the_first(result):
    engine = json.loads(result[0].stdout)["rows"][0]
    ours, by_hand, _ = engine["implementations"]
    assert (engine["row"], engine["unit"]) == ("engine", "seconds")
    assert [ours["implementation"], by_hand["implementation"]] == ["minilinear", "NumPy, by hand"]
    assert len(ours["rounds"]) == len(by_hand["rounds"]) == 2
    assert by_hand["error"] < 1e-5  # of the results, against ours
    assert by_hand["ratio"] == pytest.approx(by_hand["median"] / ours["median"])
    assert by_hand["floor"] == 0.5
    assert "ratio" not in ours


def test_memory_is_in_bytes_and_has_an_exponent(result):
    memory = json.loads(result[0].stdout)["rows"][1]
    assert memory["unit"] == "bytes"
    assert len(memory["implementations"]) == len(ROWS["memory"].sizes)
    assert 0 < memory["log_log_slope"] < 3


def test_an_unknown_row_and_a_missing_folder_are_wrong_usage(tmp_path):
    for options in ["--only", "warp"], ["--out", "nowhere/bench.json"]:
        done = run(*options, cwd=tmp_path)
        assert done.returncode == 2
        assert done.stdout == ""
        assert options[1].split("/")[0] in done.stderr


# Peers that cannot be measured are not measured, and the row says why.


def measured(monkeypatch, **implementations):
    """The results of a row that lives in the workers' processes only by name: `engine`."""
    monkeypatch.setitem(ROWS, "engine", Row("test", ROWS["engine"].inputs, implementations))
    return bench.measured("engine", rounds=1, threads=1, quick=True)["implementations"]


def test_a_peer_that_is_not_installed_says_how_to_install_it(monkeypatch):
    ours, peer = measured(
        monkeypatch,
        minilinear=Implementation(ROWS["engine"].implementations["minilinear"].prepare),
        peer=Implementation(peers.perceptron, needs="no_such_package"),
    )
    assert "pip install 'minilinear[peers]'" in peer["failed"]
    assert "rounds" not in peer
    assert len(ours["rounds"]) == 1


def test_what_goes_wrong_in_a_process_is_told(monkeypatch):
    peer = measured(monkeypatch, stranger=Implementation(peers.perceptron))[0]  # the worker knows no such name
    assert "KeyError: 'stranger'" in peer["failed"]


def test_a_peer_that_computes_something_else_is_off():
    a = np.arange(6.0)
    assert bench._difference(a, a) == 0
    assert bench._difference(a + [0, 0, 1, 0, 0, 0], a) == pytest.approx(0.2)
    assert bench._difference(a[:5], a) == bench._difference(a * np.nan, a) == np.inf


@pytest.mark.peers
@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if row.checked])
def test_the_peers_agree_also_after_resets_and_with_equal_keys(name):
    row, results = ROWS[name], {}
    for implementation, made in row.implementations.items():
        if implementation != "torch.compile":  # the same function; compiling it takes a minute
            compute = made.prepare(row.inputs(True, True))
            compute()
            results[implementation] = [np.asarray(x) for x in compute()]
    ours, *theirs = results.values()
    assert theirs
    for arrays in theirs:
        assert max(map(bench._difference, arrays, ours)) < bench.TOLERANCE
        assert len(arrays) == len(ours)
