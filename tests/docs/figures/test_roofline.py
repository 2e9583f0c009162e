import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from minilinear.figures.roofline import (
    A100,
    H200,
    Device,
    Work,
    attainable,
    by_token,
    delta_in_chunks,
    in_chunks,
    least_seconds,
    roofline,
    softmax,
)
from minilinear.recurrence import gated_linear_attention

pytest.importorskip("matplotlib")

POINTS = {
    "in memory": by_token(128, 128, 2, state_moves=True),
    "on chip": by_token(128, 128, 2),
    "chunks": in_chunks(128, 128, 2, 64),
    "delta": delta_in_chunks(128, 128, 2, 64),
    "softmax": softmax(128, 128, 2, 4096),
}


class Counted:
    """A matrix that counts the flops of its products."""

    flops = 0

    def __init__(self, x):
        self.x = x

    def __matmul__(self, other):
        Counted.flops += 2 * self.x.shape[0] * self.x.shape[1] * other.x.shape[1]
        return Counted(self.x @ other.x)


@pytest.mark.parametrize(("T", "K", "V", "C"), [(12, 5, 3, 4), (64, 8, 16, 16), (6, 2, 2, 1)])
def test_flops_of_the_chunk_form_are_those_of_its_products(T, K, V, C):
    rng = np.random.default_rng(0)
    q, k, v = (rng.standard_normal((T, n)) for n in (K, K, V))
    S, o, Counted.flops = np.zeros((K, V)), [], 0
    for t in range(0, T, C):
        Q, keys, values = (Counted(x[t : t + C]) for x in (q, k, v))
        scores = Counted(np.tril((Q @ Counted(keys.x.T)).x))
        o.append((scores @ values).x + (Q @ Counted(S)).x)
        S = S + (Counted(keys.x.T) @ values).x
    exact, _ = gated_linear_attention(*(x[None, :, None] for x in (q, k, v)), scale=1.0)
    assert np.allclose(np.concatenate(o), exact[0, :, 0])
    assert Counted.flops / T == in_chunks(K, V, 4, C).flops


def test_causal_softmax_sees_half_of_all_pairs():
    T, K, V = 1000, 8, 4
    seen = sum(2 * (t + 1) * (K + V) for t in range(T))
    assert softmax(K, V, 2, T).flops == pytest.approx(seen / T, rel=2e-3)


def test_bytes_are_those_of_the_arrays():
    K, V, C, T = 6, 10, 4, 32
    q, k, v, o = (np.zeros((T, n), np.float32) for n in (K, K, V, V))
    arrays = sum(x.nbytes for x in (q, k, v, o))
    states = np.zeros((T // C, K, V), np.float32)
    every_state = np.zeros((T, K, V), np.float32)
    assert (
        by_token(K, V, 4).bytes * T
        == in_chunks(K, V, 4, C).bytes * T
        == delta_in_chunks(K, V, 4, C).bytes * T
        == arrays
    )
    assert in_chunks(K, V, 4, C, states_kept=True).bytes * T == arrays + 2 * states.nbytes
    assert by_token(K, V, 4, state_moves=True).bytes * T == arrays + 2 * every_state.nbytes


def test_intensities_of_a_usual_head():
    assert POINTS["chunks"].intensity == 96 and POINTS["on chip"].intensity == 64
    assert round(POINTS["delta"].intensity) == 179


@pytest.mark.parametrize("device", [H200, A100])
def test_below_the_ridge_memory_decides_and_above_it_arithmetic(device):
    for products, peak in ((True, device.products), (False, device.plain)):
        ridge = peak / device.memory
        assert attainable(Work(ridge / 2, 1, products), device) == pytest.approx(peak / 2)
        assert attainable(Work(3 * ridge, 1, products), device) == peak
        assert least_seconds(Work(ridge / 2, 1, products), device) == pytest.approx(1 / device.memory)
        assert least_seconds(Work(3 * peak, 1, products), device) == pytest.approx(3)


def test_the_finding_is_that_of_the_data():
    alt = roofline(POINTS, Device("toy", 2e12, 100e12, 10e12)).alt
    assert "Ridge at 50 flops a byte" in alt
    found = re.findall(r"(\w[\w ]*), ([\d.]+) TFLOP/s at ([\d.]+) flops a byte \((\w+)\)", alt)
    said = {name: (float(intensity), float(speed), waits) for name, speed, intensity, waits in found}
    assert said == {
        "in memory": (0.496, 0.992, "memory"),
        "on chip": (64, 10, "arithmetic"),
        "chunks": (96, 100, "arithmetic"),
        "delta": (179, 100, "arithmetic"),
        "softmax": (1024, 100, "arithmetic"),
    }


def test_the_points_are_told_apart_without_colour():
    picture = roofline(POINTS)
    drawing = ET.fromstring(picture.svg)
    words = "".join(t.text or "" for t in drawing.iter("{http://www.w3.org/2000/svg}text"))
    assert all(name in words for name in POINTS)
    shapes = {path.get("id"): path.get("d") for path in drawing.iter("{http://www.w3.org/2000/svg}path")}
    used = re.findall(r'<use [^>]*href="#([^"]*)"[^>]*fill: var\(--ml-\w+', picture.svg)
    assert len({shapes[mark] for mark in used}) == len(POINTS)
    assert "stroke-dasharray" in picture.svg  # the lower roof
