import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from minilinear.figures.committed import committed
from minilinear.figures.scores import answers, by_length, capacity, means, recalled, unit

SVG = "{http://www.w3.org/2000/svg}"
RNG = np.random.default_rng(0)


def test_memories_of_orthogonal_keys_bring_all_values_back():
    k, v = np.linalg.qr(RNG.standard_normal((3, 6, 6)))[0], RNG.standard_normal((3, 6, 4))
    for name, read in answers(k, v).items():
        assert np.allclose(read, v, atol=1e-5), name


def test_what_the_memories_read_is_what_their_definitions_say():
    k, v = unit(RNG, 1, 9, 4), RNG.standard_normal((1, 9, 3))
    read = answers(k, v)
    assert np.allclose(read["added"], k @ (np.swapaxes(k, 1, 2) @ v))
    S = np.zeros((4, 3))
    for k_t, v_t in zip(k[0], v[0]):
        S += np.outer(k_t, v_t - S.T @ k_t)
    assert np.allclose(read["delta rule"][0], k[0] @ S)
    assert np.allclose(read["least squares"][0], k[0] @ np.linalg.lstsq(k[0], v[0])[0])


def test_softmax_keeps_all_pairs_and_the_best_state_k_of_them():
    for n in (4, 16):
        found = recalled(8, 8, n, runs=5)
        assert found["softmax"] == 1 and (found["least squares"] == 1) == (n <= 8)


def test_the_finding_of_the_capacity_is_that_of_its_data():
    picture = capacity(8, 8, (4, 8, 32))
    first, last = recalled(8, 8, 8), recalled(8, 8, 32)
    names = ("added", "delta rule", "least squares")
    said = [float(x) for x in re.findall(r"\d\.\d\d", picture.alt)]
    assert said == pytest.approx(
        [share[name] for share in (first, last) for name in names] + [last["softmax"]], abs=5e-3
    )
    words = [t.text for t in ET.fromstring(picture.svg).iter(f"{SVG}text")]
    assert {"softmax", "least squares", "added", "delta rule", "n = K = 8", "pairs n"} <= set(words)


def test_the_means_are_those_of_the_rows_that_were_asked_for():
    document = committed("compare-recall")
    rows = means(document, {"task.reset": True})
    assert list(rows) == ["linear", "simple_gla", "delta_net", "gated_delta_net"]
    assert rows["linear"][64].tolist() == [seed["64"]["accuracy"] for seed in document["rows"][1]["seeds"]]
    rows = means(document, {"task.reset": False})
    assert rows["linear"][64].tolist() == [seed["64"]["accuracy"] for seed in document["rows"][0]["seeds"]]
    assert "linear, task.reset=False" in means(document)


@pytest.mark.parametrize("name", ["compare-s3", "compare-parity", "compare-mqar-state"])
def test_the_finding_of_a_comparison_is_that_of_its_document(name):
    picture, rows = by_length(name), means(committed(name))
    longest = max(next(iter(rows.values())))
    last = [scores[longest].mean() for scores in rows.values()]
    said = [float(x) for x in re.findall(r"at (0?\.?\d\.\d\d)", picture.alt)]
    assert said == pytest.approx([max(last), min(last)], abs=5e-3) and f"At {longest} tokens" in picture.alt
    assert f"guessing: {committed(name)['chance']:.2f}" in picture.alt
    words = [t.text for t in ET.fromstring(picture.svg).iter(f"{SVG}text")]
    assert {*rows, "guessing", str(longest)} <= set(words)


def test_every_line_has_a_dash_and_a_marker_of_its_own():
    svg = by_length("compare-s3").svg
    lines = re.findall(r"stroke: (var\(--ml-\w+, #\w+\))[^\"]*stroke-width: 2.2", svg)
    dashes = set(re.findall(r"stroke-dasharray: ([^;\"]+)", svg))
    assert len(set(lines)) == 5 and len(dashes) >= 4
    assert not re.search(r"(?<!, )#[0-9a-f]{6}\b", re.sub(r"url\(#[^)]*\)|href=\"#[^\"]*\"|id=\"[^\"]*\"", "", svg))
