"""The catalogue has a row for everything that can be named, and what the rows say is so."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

import minilinear as ml
from minilinear import gpu
from minilinear.cli.catalogue import EQUATIONS, KINDS, catalogue_rows
from minilinear.gpu.cases import places
from minilinear.models import MIXERS, PRESETS
from minilinear.tasks import task
from minilinear.training import Run, RunFolder
from minilinear.training.recipes import recipe

from .test_train import minilinear

ROOT = Path(__file__).parents[2]
ROWS = catalogue_rows()


def test_every_name_has_a_row_and_every_row_a_name():
    assert {kind: set(table) for kind, table in EQUATIONS.items()} == {k: set(table) for k, table in KINDS.items()}
    assert len(ROWS) == sum(len(table) for table in KINDS.values()) > 100


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.kind}: {row.name}")
def test_a_row_is_complete_and_true(row):
    assert row.equation and row.source and row.symbol
    text = (ROOT / row.file).read_text(encoding="utf-8")
    assert re.search(rf"\b{re.escape(row.symbol)}\b", text) or row.symbol == "tanh"
    assert (ROOT / row.page).exists(), row.page
    assert row.arxiv in row.source
    if row.kind == "mixer":
        assert row.state and row.cost and row.arxiv


SEQUENCES = {"softmax_attention", "gated_linear_attention", "delta_product"}


@pytest.mark.skipif("cpucuda" not in places(), reason="no C++ compiler")
@pytest.mark.parametrize("row", [row for row in ROWS if row.kernel], ids=lambda row: row.name)
def test_a_kernel_has_a_twin_and_runs_under_that_name(row):
    """In a model of the component, on the simulator; of the three over whole sequences no other one does."""
    assert row.kernel in gpu.TABLE
    slot = {"mixer": "mixer", "norm": "norm", "feed-forward": "ffn"}.get(row.kind)
    if slot is None:
        return
    made = task("s3", lengths=(3, 4))
    changes = {"mixer": "delta_net", "D": 8, "heads": 2, slot: row.name}
    run = Run(recipe(made, changes=changes, training={"steps": 1, "batch": 2}), RunFolder("nowhere"), made)
    gpu.reset_account()
    with ml.use("cpucuda"):
        run.advance()
    ran = gpu.account().kernels
    assert ran[row.kernel]
    if row.kind == "mixer":
        assert ran.keys() & SEQUENCES == {row.kernel}


@pytest.mark.parametrize("mixer", MIXERS)
def test_the_formula_of_a_state_is_what_the_layer_says(mixer):
    layer, T = MIXERS[mixer](64, **PRESETS[mixer]["language"], rng=np.random.default_rng(0)), 9
    formula = next(row.state for row in ROWS if row.kind == "mixer" and row.name == mixer).split(";")[0]
    formula = formula.replace("V + 1 if normalised", "V + 1").replace("(W-1) channels", "past")
    names = {"T": T, "H": layer.heads, "K": layer.key_dim, "V": layer.value_dim, "G": getattr(layer, "kv_heads", 0)}
    names |= {"F": layer.key_dim, "past": getattr(layer, "past", 0) * getattr(layer, "channels", 0)}
    product = re.sub(r"(?<=[A-Z\d)]) (?=[A-Z(])", " * ", formula)
    assert eval(product, names) == layer.state_floats(T)


def test_the_commands_print_it(tmp_path):
    rows = json.loads(minilinear("catalogue", "--json", cwd=tmp_path).stdout)
    assert len(rows) == len(ROWS) and rows[0]["name"] == "softmax"
    names = json.loads(minilinear("list", "norms", "--json", cwd=tmp_path).stdout)
    assert list(names) == ["norm"] and "rms_norm" in names["norm"]
    shown = minilinear("catalogue", "mixers", "--plain", cwd=tmp_path)
    assert shown.returncode == 0 and shown.stdout.isascii() and "gated_delta_net" in shown.stdout
    wrong = minilinear("list", "mixters", cwd=tmp_path)
    assert wrong.returncode == 2 and "did you mean mixers?" in wrong.stderr


def test_doctor_finds_nothing_wrong_and_says_what_is_missing(tmp_path):
    done = minilinear("doctor", "--json", cwd=tmp_path)
    document = json.loads(done.stdout)
    assert done.returncode == 0 and document["ok"]
    found = {finding["what"]: finding for finding in document["findings"]}
    assert {"Python", "numpy", "threads", "self-check", "free disk"} <= found.keys()
    for finding in found.values():
        assert (finding["state"] == "missing") == bool(finding["fix"])
