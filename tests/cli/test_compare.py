"""compare trains every combination, goes on where it was stopped, and shows every seed."""

import json

import pytest

from minilinear.cli.compare import cells, markdown, table_of
from minilinear.errors import ConfigError

from .test_train import minilinear

SMALL = ["--set", "D=8", "--set", "heads=2", "--set", "steps=3", "--set", "batch=4", "--seeds", 2]


def plan(over, **changes):
    usual = {"task": "s3", "over": over, "seeds": 2, "set": {"D": 16}, "preset": None, "equal": None}
    return usual | {"date": "", "machine": ""} | changes


def test_a_comparison_is_a_table_of_runs_that_can_be_gone_on_with(tmp_path):
    done = minilinear(
        "compare", "s3", "--over", "mixer=gla,delta_net", "--over", "negative_eigenvalues=false,true", *SMALL,
        "--out", "c", "--json", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert [row["choices"] for row in document["rows"]] == [
        {"mixer": "gla", "negative_eigenvalues": False},
        {"mixer": "delta_net", "negative_eigenvalues": False},
        {"mixer": "delta_net", "negative_eigenvalues": True},
    ]
    assert len(document["left_out"]) == 1 and "gla has no negative_eigenvalues" in document["left_out"][0]
    for row in document["rows"]:
        assert len(row["seeds"]) == 2 and list(row["seeds"][0]) == ["32", "64", "128", "256"]
    folder = tmp_path / "c"
    assert json.loads((folder / "result.json").read_text())["rows"] == document["rows"]
    table = (folder / "table.md").read_text()
    assert table.count("| mixer=") == 3 and "Every seed:" in table
    runs = sorted(path for path in folder.iterdir() if path.is_dir())
    assert len(runs) == 6
    (runs[0] / "result.json").unlink()  # as if it had been stopped here
    (folder / "result.json").unlink()
    again = minilinear("compare", "--resume", "c", "--json", cwd=tmp_path)
    assert json.loads(again.stdout)["rows"][0]["seeds"] == document["rows"][0]["seeds"]


@pytest.mark.parametrize(("equal", "measure"), [("parameters", "parameters"), ("state", "state_floats")])
def test_rows_can_be_made_equally_large(tmp_path, equal, measure):
    mixers = "delta_net,gla,softmax" if equal == "state" else "delta_net,mamba2"
    done = minilinear(
        "compare", "s3", "--over", f"mixer={mixers}", *SMALL[:6], "--set", "batch=4", "--seeds", 1, "--equal", equal,
        "--json", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    sizes = [row[measure] for row in json.loads(done.stdout)["rows"]]
    assert max(sizes) - min(sizes) <= 0.1 * max(sizes)


def test_the_table_shows_mean_lowest_and_highest():
    row = {"row": "a", "parameters": 1200, "state_floats": 7, "seconds": [1.0, 2.0]}
    row["seeds"] = [{"8": {"last": 0.25}, "16": {"last": 1.0}}, {"8": {"last": 0.75}, "16": {"last": 1.0}}]
    document = {"task": "t", "score": "last", "seeds": 2, "chance": 0.5, "machine": "m", "date": "d", "left_out": []}
    columns, rows = table_of(document | {"rows": [row]})
    assert columns == ["", "at 8", "at 16", "parameters", "state", "s a run"]
    assert rows == [["a", "0.500 (0.250 .. 0.750)", "1.000 (1.000 .. 1.000)", "1,200", "7", "2"]]
    assert "- a: 0.250 1.000; 0.750 1.000" in markdown(document | {"rows": [row]})
    with pytest.raises(ConfigError, match="lengths are 8, 16"):
        table_of(document | {"rows": [row]}, 9)


def test_what_is_wrong_is_wrong_before_the_first_run():
    rows, _ = cells(plan({"mixer": ["gla", "softmax+gla"], "optimizer": ["adamw", "muon"]}))
    assert [label for label, *_ in rows][3] == "mixer=softmax+gla, optimizer=muon"
    assert rows[1][3].optimizer == "muon" and rows[1][3].lr > rows[0][3].lr
    with pytest.raises(ConfigError, match="No combination"):
        cells(plan({"mixer": ["gla"], "R": [2, 3]}))
    with pytest.raises(ConfigError, match="did you mean"):
        cells(plan({"mixer": ["glaa"]}))
