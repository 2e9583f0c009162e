"""`minilinear inspect`, in a process of its own: what it says is what the files hold, also where they are damaged."""

import json
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from minilinear.cli.inspect_run import the_sequence
from minilinear.models import ModelConfig, make_model
from minilinear.models.watch import watch
from minilinear.tasks import task
from minilinear.training import load_checkpoint
from tests.cli.test_train import minilinear

pytestmark = pytest.mark.slow

SMALL = ("--batch", 4, "--json", "--set", "D=16", "--set", "heads=2")


def train(folder, *args):
    done = minilinear("train", *args, *SMALL, "--out", "run", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder / "run"


@pytest.fixture(scope="module")
def parity(tmp_path_factory):
    return train(tmp_path_factory.mktemp("parity"), "parity", "--set", "R=1", "--steps", 20)


@pytest.fixture(scope="module")
def hybrid(tmp_path_factory):
    """One block of softmax, one of gated DeltaNet, with averaged weights."""
    options = ("--mixer", "softmax+gated_delta_net", "--set", "layers=2", "--set", "ema=0.5")
    return train(tmp_path_factory.mktemp("hybrid"), "parity", "--steps", 4, *options)


def copied(run, tmp_path):
    return shutil.copytree(run, tmp_path / "run")


def inspect(run, *args):
    return minilinear("inspect", run.name, *args, cwd=run.parent)


def test_a_run_is_said_and_drawn(parity, tmp_path):
    run = copied(parity, tmp_path)
    done = inspect(run)
    assert done.returncode == 0, done.stderr
    for part in (
        "delta_product(",
        "embedding.weight",
        "3 x 16",
        "whole, step 20",
        "last measured",
        "nobody is writing",
    ):
        assert part in done.stdout, part
    assert "…" not in done.stdout  # no cell is cut short, however narrow the stream
    pictures = {path.stem: path for path in (run / "pictures").iterdir()}
    assert set(pictures) == {"loss", "result", "states", "eigenvalues", "gates"}
    for path in pictures.values():
        assert ET.parse(path).getroot().tag.endswith("svg")
        assert not re.search(r"nan|inf\b", path.read_text(encoding="utf-8"))


def test_plain_is_ascii(parity):
    done = inspect(parity, "--plain", "--no-pictures")
    assert done.returncode == 0, done.stderr
    done.stdout.encode("ascii")


def test_json_is_one_document_and_draws_only_when_asked(parity, tmp_path):
    run = copied(parity, tmp_path)
    document = json.loads(inspect(run, "--json").stdout)
    assert "pictures" not in document and not (run / "pictures").exists()
    assert json.loads(inspect(run, "--json", "--pictures").stdout)["pictures"].keys() >= {"states", "eigenvalues"}
    assert (run / "pictures/states.svg").exists()


def test_the_numbers_are_those_of_the_checkpoint(parity):
    document = json.loads(inspect(parity, "--json", "--sequence", "0110 1").stdout)
    arrays, _ = load_checkpoint(parity / "checkpoint.safetensors")
    assert {p["name"] for p in document["parameters"]} == {
        name.removeprefix("model.") for name in arrays if name.startswith("model.")
    }
    for p in document["parameters"]:
        weight = arrays[f"model.{p['name']}"].astype(float)
        assert p["shape"] == list(weight.shape)
        assert np.allclose([p["mean"], p["std"], p["norm"]], [weight.mean(), weight.std(), np.linalg.norm(weight)])
    assert document["step"] == 20 and document["task"]["name"] == "parity" and document["config"]["steps"] == 20
    assert document["parameter_count"] == sum(int(np.prod(p["shape"])) for p in document["parameters"])
    assert document["last_metrics"]["step"] == 20
    assert document["result"] == json.loads((parity / "result.json").read_text())
    assert document["lock"] is None and document["problems"] == []


def loaded(run, prefix="model."):
    config = json.loads((run / "config.json").read_text())
    arrays, _ = load_checkpoint(run / "checkpoint.safetensors")
    model = make_model(ModelConfig.from_json(config["model"]), rng=np.random.default_rng(0))
    model.load_state_dict({n.removeprefix(prefix): array for n, array in arrays.items() if n.startswith(prefix)})
    return model, arrays


def test_the_sequence_and_the_layer_are_what_was_asked_for(parity):
    document = json.loads(inspect(parity, "--json", "--sequence", "0110 1").stdout)
    assert document["sequence"] == {"tokens": ["<bos>", "0", "1", "1", "0", "1"], "inputs": [2, 0, 1, 1, 0, 1]}
    (seen,) = watch(loaded(parity)[0], np.array([[2, 0, 1, 1, 0, 1]]))
    (layer,) = document["layers"]
    assert layer["block"] == 1 and layer["state"] == [2, 4, 4]
    assert np.allclose(layer["states"], seen.states[0], atol=1e-6)
    assert np.allclose(np.array(layer["eigenvalues"]) @ [1, 1j], seen.eigenvalues[0], atol=2e-6)
    assert np.allclose(layer["beta"], seen.beta[0], atol=1e-6) and layer["alpha"] is None
    assert np.isclose(layer["smallest_real_part"], seen.eigenvalues.real.min())
    assert np.isclose(layer["largest_modulus"], np.abs(seen.eigenvalues).max())


def test_a_drawn_sequence_depends_on_length_and_seed(parity):
    drawn = [
        json.loads(inspect(parity, "--json", "--length", 9, "--seed", seed).stdout)["sequence"]["inputs"]
        for seed in (0, 0, 1)
    ]
    assert drawn[0] == drawn[1] != drawn[2] and len(drawn[0]) == 10
    inputs = the_sequence(task("digits"), None, None, 0)
    assert inputs.shape == (1, 8, 8)


def test_of_a_hybrid_the_memory_is_watched_with_averaged_weights(hybrid):
    done = inspect(hybrid, "--json", "--sequence", "101")
    document = json.loads(done.stdout)
    (layer,) = document["layers"]
    assert (layer["block"], layer["mixer"]) == (2, "gated_delta_net")
    assert np.array(layer["alpha"]).shape == (4, 2) and (np.array(layer["alpha"]) <= 1).all()
    model, arrays = loaded(hybrid)
    t = int(arrays["average.t"])
    averages = [arrays[f"average.s.{i}"] / (1 - 0.5**t) for i in range(len(model.parameters()))]
    for p, average in zip(document["parameters"], averages, strict=True):
        assert np.isclose(p["norm"], np.linalg.norm(average), rtol=1e-5)
    assert any("averaged" in note for note in document["notes"])
    for p, average in zip(model.parameters(), averages):
        p.assign_(average)
    model.eval()
    assert np.allclose(layer["states"], watch(model, np.array([[2, 1, 0, 1]]))[0].states[0], atol=1e-5)


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["--layer", "1"], "--layer 2"),
        (["--layer", "3"], "one of the 2 blocks"),
        (["--layer", "0"], "layer"),
        (["--sequence", "01x"], "no token"),
        (["--sequence", ""], "at least one token"),
        (["--sequence", "01", "--length", "3"], "one of them"),
        (["--length", "0"], "length"),
        (["--seed", "one"], "seed"),
    ],
)
def test_wrong_wishes_are_refused(hybrid, args, says):
    done = inspect(hybrid, "--no-pictures", *args)
    assert done.returncode == 2 and says in done.stderr and "Traceback" not in done.stderr, done.stderr


def test_no_run_here(tmp_path):
    done = minilinear("inspect", "nowhere", cwd=tmp_path)
    assert done.returncode == 3 and "no run here" in done.stderr and "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_softmax_says_what_cannot_be_drawn(tmp_path):
    run = train(tmp_path, "parity", "--mixer", "softmax", "--steps", 1)
    done = inspect(run)
    assert done.returncode == 0, done.stderr
    assert "no memory of fixed size" in done.stdout
    assert {path.stem for path in (run / "pictures").iterdir()} == {"loss", "result"}


def damage(path):
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)


def test_of_a_damaged_checkpoint_the_one_before_it_is_read(parity, tmp_path):
    run = copied(parity, tmp_path)
    before = run / "checkpoint.prev.safetensors"
    shutil.copy(run / "checkpoint.safetensors", before)
    damage(run / "checkpoint.safetensors")
    done = inspect(run, "--json")
    assert done.returncode == 3 and "damaged" in done.stderr and "rename" in done.stderr
    document = json.loads(done.stdout)
    health = {file["name"]: file["health"] for file in document["files"]}
    assert health["checkpoint.safetensors"] == "damaged" and health[before.name] == "whole, step 20"
    assert document["layers"] and any(before.name in note for note in document["notes"])
    assert np.isclose(document["parameters"][0]["norm"], np.linalg.norm(loaded(parity)[0].embedding.weight.data))


@pytest.mark.parametrize("name", ["checkpoint.safetensors", "config.json", "metrics.jsonl", "result.json"])
def test_what_can_be_read_beside_a_damaged_file_is_said(parity, tmp_path, name):
    run = copied(parity, tmp_path)
    (run / name).write_bytes(b"{\n{}\n")
    done = inspect(run, "--plain")
    assert done.returncode == 3 and name in done.stderr and "Traceback" not in done.stderr
    assert re.search(rf"{re.escape(name)} .*damaged", done.stdout)
    assert re.search(r"(config.json|result.json) .*whole", done.stdout)


@pytest.mark.parametrize("text", ['{"colour": 1}', '{"task": {}, "model": {"colour": 1}, "preset": "x"}'])
def test_a_configuration_of_something_else(parity, tmp_path, text):
    run = copied(parity, tmp_path)
    (run / "config.json").write_text(text)
    done = inspect(run)
    assert done.returncode in (2, 3) and "Traceback" not in done.stderr
    assert "whole, step 20" in done.stdout


def test_weights_of_another_model(parity, tmp_path):
    run = copied(parity, tmp_path)
    config = json.loads((run / "config.json").read_text())
    config["model"]["D"] = 8
    (run / "config.json").write_text(json.dumps(config))
    done = inspect(run)
    assert done.returncode == 3 and "belong together" in done.stderr and "whole, step 20" in done.stdout


def test_a_run_without_a_checkpoint_yet(parity, tmp_path):
    run = copied(parity, tmp_path)
    for file in run.glob("checkpoint*"):
        file.unlink()
    done = inspect(run)
    assert done.returncode == 0 and "none yet" in done.stdout and "without training" in done.stdout


def test_who_writes_is_named_and_not_disturbed(parity, tmp_path):
    run = copied(parity, tmp_path)
    code = (
        "import sys, time\nfrom minilinear.training import RunFolder\n"
        f"with RunFolder({str(run)!r}):\n    print('held', flush=True)\n    sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        assert writer.stdout.readline().strip() == b"held"
        lock = (run / ".lock").read_text()
        done = inspect(run)
        assert done.returncode == 0 and f"being written by process {writer.pid}" in done.stdout
        assert (run / ".lock").read_text() == lock
        writer.stdin.close()
    assert "nobody is writing" in inspect(run).stdout


def test_pictures_that_cannot_be_written(parity, tmp_path):
    run = copied(parity, tmp_path)
    (run / "pictures").write_text("in the way")
    done = inspect(run)
    assert done.returncode == 3 and "Traceback" not in done.stderr and "pictures" in done.stderr
