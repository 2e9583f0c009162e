"""Every call that the NumPy text takes gives the same with kernels; what it does not take is refused alike.

A usual call of each mirrored function is changed in one or two of its arguments: other types, dtypes, shapes, memory,
values. Both backends must agree on what comes out, or on the type of the error.
"""

from __future__ import annotations

import contextlib
import re
import warnings
from decimal import Decimal
from fractions import Fraction
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

import minilinear as ml
from minilinear import gpu
from minilinear.attention import rotate, softmax_attention
from minilinear.autograd import Tensor, cross_entropy, log_softmax, softmax
from minilinear.autograd.ops.indexing import add_rows
from minilinear.autograd.primitive import as_array
from minilinear.kan import b_spline, group_rational
from minilinear.mlp.glu import gelu_glu, relu_glu, silu_glu
from minilinear.nn import Parameter
from minilinear.nn.activations import silu_times
from minilinear.nn.convolution import convolved
from minilinear.norms import gated_rms_norm, l2_norm, layer_norm, rms_norm
from minilinear.optim import clip_by_global_norm
from minilinear.optim.adamw import adamw_updates
from minilinear.recurrence import delta_product, diagonal_scan, gated_linear_attention


def normal(*shape):
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def listed():
    return [normal(3, 2), normal(4), normal(1)]


def streams():
    q, k, v, g = normal(1, 5, 2, 3), normal(1, 5, 2, 3) / 2, normal(1, 5, 2, 4), -abs(normal(1, 5, 2))
    return {"q": q, "k": k, "v": v, "g": g, "initial_state": normal(1, 2, 3, 4), "scale": 0.5}


# Where NaN and infinity get to depends on how a stream is cut into chunks.
NOT_FINITE = {"nan", "inf", "infinite", "minus infinite"}
SPREADING = (
    "delta_product",
    "delta_product_recurrent",
    "softmax_attention",
    "gated_linear_attention",
    "gated_linear_attention_recurrent",
)


def attention(form):
    return lambda q, k, v, g, initial_state, *, scale: gated_linear_attention(
        q, k, v, g=g, initial_state=initial_state, scale=scale, form=form, chunk=2
    )


def corrected():
    q, k, v = normal(1, 5, 2, 3), normal(1, 5, 2, 2, 3) / 2, normal(1, 5, 2, 2, 4)
    beta, g, erase_key = abs(normal(1, 5, 2, 2)) / 2, -abs(normal(1, 5, 2)), k + normal(1, 5, 2, 2, 3) / 8
    given = {"q": q, "k": k, "v": v, "beta": beta, "g": g, "erase_key": erase_key}
    return given | {"initial_state": normal(1, 2, 3, 4), "scale": 0.5}


def corrections(form):
    return lambda q, k, v, beta, g, erase_key, initial_state, *, scale: delta_product(
        q, k, v, beta=beta, g=g, erase_key=erase_key, initial_state=initial_state, scale=scale, form=form, chunk=2
    )


# name of a twin -> the function, and the arguments of a usual call
USUAL = {
    "rms_norm": (rms_norm, lambda: {"x": normal(3, 4), "weight": normal(4), "eps": 0.1}),
    "l2_norm": (l2_norm, lambda: {"x": normal(3, 4), "eps": 0.1}),
    "layer_norm": (layer_norm, lambda: {"x": normal(3, 4), "weight": normal(4), "bias": normal(4), "eps": 0.1}),
    "gated_rms_norm": (
        gated_rms_norm,
        lambda: {"x": normal(3, 4), "z": normal(3, 4), "weight": normal(4), "norm_before_gate": True, "eps": 0.1},
    ),
    "softmax": (softmax, lambda: {"x": normal(3, 4), "axis": -1}),
    "log_softmax": (log_softmax, lambda: {"x": normal(3, 4), "axis": -1}),
    "cross_entropy": (cross_entropy, lambda: {"logits": normal(3, 4), "targets": np.array([3, -1, 0])}),
    "silu_times": (silu_times, lambda: {"a": normal(3, 4), "b": normal(3, 4)}),
    "silu_glu": (silu_glu, lambda: {"x": normal(3, 4)}),
    "gelu_glu": (gelu_glu, lambda: {"x": normal(3, 4)}),
    "relu_glu": (relu_glu, lambda: {"x": normal(3, 4)}),
    "causal_convolution": (
        convolved,
        lambda: {
            "x": normal(2, 5, 3), "past": normal(2, 2, 3), "weight": normal(3, 3), "bias": normal(3),
            "activation": "silu",
        },
    ),
    "diagonal_scan": (
        diagonal_scan,
        lambda: {
            "a": normal(2, 5, 3), "b": normal(2, 5, 3), "initial_state": normal(2, 3), "reverse": False, "method": None
        },
    ),
    "group_rational": (group_rational, lambda: {"x": normal(3, 4), "a": normal(2, 6), "b": normal(2, 4)}),
    "cox_de_boor": (b_spline.cox_de_boor, lambda: {"x": normal(3, 2), "t": np.sort(normal(2, 9)), "degree": 3}),
    "cox_de_boor_slope": (
        b_spline.cox_de_boor_slope, lambda: {"x": normal(3, 2), "t": np.sort(normal(2, 9)), "degree": 3}
    ),
    "cubic_spline": (
        b_spline.cubic_spline, lambda: {"x": normal(3, 2), "low": normal(2), "cells": abs(normal(2)), "K": 5}
    ),
    "cubic_spline_slope": (
        b_spline.cubic_spline_slope, lambda: {"x": normal(3, 2), "low": normal(2), "cells": abs(normal(2)), "K": 5}
    ),
    "gated_linear_attention": (attention("chunk"), streams),
    "gated_linear_attention_recurrent": (attention("recurrent"), streams),
    "softmax_attention": (
        lambda q, k, v, sink: softmax_attention(q, k, v, sink=sink, chunk=2),
        lambda: {"q": normal(1, 5, 4, 3), "k": normal(1, 5, 2, 3), "v": normal(1, 5, 2, 2), "sink": normal(4)},
    ),
    "delta_product": (corrections("chunk"), corrected),
    "delta_product_recurrent": (corrections("recurrent"), corrected),
    "add_rows": (
        lambda g: add_rows(g, index=np.array([2, 0, -1]).data, shape=(4, 4)),
        lambda: {"g": normal(3, 4)},
    ),
    "rotate": (
        lambda x, positions, interleaved: rotate(x, positions, interleaved=interleaved),
        lambda: {"x": normal(2, 5, 3, 4), "positions": np.arange(5.0), "interleaved": False},
    ),
    "adamw": (
        lambda parameters, *rest, **options: list(adamw_updates([*map(Parameter, parameters)], *rest, **options)),
        lambda: {
            "parameters": listed(), "gs": listed(), "ms": listed(), "vs": [x * x for x in listed()], "t": 3,
            "lr": [0.1, 0.2, 0.3], "betas": (0.9, 0.99), "eps": 1e-8, "decay": [0.1, 0.0, 0.1]
        },
    ),
    "clip_by_global_norm": (clip_by_global_norm, lambda: {"gradients": listed(), "limit": 0.5}),
}  # fmt: skip


def misaligned(x):
    return np.frombuffer(b"\0" + x.tobytes(), np.uint8)[1:].view(x.dtype).reshape(x.shape)


def read_only(x):
    x.flags.writeable = False
    return x


def with_first(value):
    def change(x):
        x.flat[:1] = value
        return x

    return change


class Other(np.ndarray):
    """An array of another class."""


ODD_ARRAYS = {
    "None": lambda x: None,
    "a list": lambda x: x.tolist(),
    "a number": lambda x: 0.5,
    "a whole number": lambda x: 2,
    "a scalar of NumPy": lambda x: x.flat[0],
    "a 0-d array": lambda x: np.array(x.flat[0]),
    "words": lambda x: "words",
    "a dict": lambda x: {},
    "columns first": np.asfortranarray,
    "backwards": lambda x: x[::-1],
    "rows backwards": lambda x: x[..., ::-1],
    "strides": lambda x: np.repeat(x, 2, -1)[..., ::2],
    "one row again and again": lambda x: np.broadcast_to(x[:1], x.shape),
    "read only": read_only,
    "misaligned": misaligned,
    "other bytes first": lambda x: x.astype(x.dtype.newbyteorder()),
    **{dtype: (lambda x, dtype=dtype: x.astype(dtype)) for dtype in (
        "float16", "float64", "longdouble", "complex64", "int64", "int32", "uint8", "bool", "object", "str"
    )},
    "no rows": lambda x: x[:0],
    "no columns": lambda x: x[..., :0],
    "one row": lambda x: x[:1],
    "one column": lambda x: x[..., :1],
    "a row": lambda x: x[0],
    "an axis more in front": lambda x: x[None],
    "an axis more behind": lambda x: x[..., None],
    "a column more": lambda x: np.concatenate([x, x[..., :1]], -1),
    "a row more": lambda x: np.concatenate([x, x[:1]]),
    "turned": lambda x: x.T.copy(),
    "a matrix": lambda x: np.matrix(x.reshape(len(x), -1)),
    "masked": lambda x: np.ma.array(x, mask=x > 0),
    "another class": lambda x: x.view(Other),
    "a Tensor": lambda x: ml.tensor(x),
    "a Tensor with a gradient": lambda x: ml.tensor(x, requires_grad=x.dtype.kind == "f"),
    "a Tensor of float64": lambda x: ml.tensor(x.astype(float), requires_grad=True),
    "a Tensor of columns first": lambda x: Tensor(np.asfortranarray(x)),
    "nan": with_first(np.nan),
    "infinite": with_first(np.inf),
    "minus infinite": with_first(-np.inf),
    "zero": lambda x: 0 * x,
    "large": lambda x: x * x.dtype.type(100),
}  # fmt: skip
ODD_NUMBERS = [
    None, True, False, 0, 1, 2, -1, 7, 0.5, 1e-50, 1e-40, 1e40, -0.5, float("nan"), float("inf"), 1j, "silu", "x",
    [0.5], np.float32(0.5), np.float64(0.5), np.int64(1), np.bool_(True), np.array(0.5), np.array([1, 0]),
    Fraction(1, 2), Decimal("0.5"), ml.tensor(0.5),
]  # fmt: skip
ODD_LISTS = {
    "None": lambda xs: None,
    "nothing": lambda xs: [],
    "a tuple": tuple,
    "one less": lambda xs: xs[:-1],
    "a number": lambda xs: 0.5,
    "an array": lambda xs: xs[0],
    "words": lambda xs: "abc",
    "numbers": lambda xs: [0.5, 1, 2.0],
    "NumPy's numbers": lambda xs: [np.float64(0.5), np.float32(0.25), np.int64(1)],
    "halves": lambda xs: [np.float16(0.1), np.float16(0.3), 0.5],
    "fractions": lambda xs: [Fraction(1, 3), 0.1, 0.2],
    "two of NumPy's": lambda xs: (np.float64(0.5), np.float32(0.25)),
    "ones": lambda xs: (1, 1.0),
    "small": lambda xs: (1e-50, 1e-60),
    "negative": lambda xs: (-0.5, -0.25),
    "infinite": lambda xs: [1e300, float("inf"), float("nan")],
}


def in_a_list(change):
    """The first array of a list is another."""
    return lambda xs: [change(xs[0]), *xs[1:]]


ODD_IN_LISTS = {name: in_a_list(change) for name, change in ODD_ARRAYS.items()}


def odd(value):
    """How an argument may be changed, by name."""
    if isinstance(value, np.ndarray):
        return ODD_ARRAYS
    if isinstance(value, list | tuple):
        return ODD_LISTS | (ODD_IN_LISTS if isinstance(value[0], np.ndarray) else {})
    numbers = [*ODD_NUMBERS, 10**400] if isinstance(value, float) else ODD_NUMBERS
    return {repr(number): (lambda _, number=number: number) for number in numbers}


def flat(out):
    """All results one behind the other. A scalar of NumPy is an array without axes."""
    return [x for part in out for x in flat(part)] if isinstance(out, (list, tuple)) else [as_array(out)]


def outcome(name, changes, backend):
    """What a call gives, with its gradients and what it leaves in its arguments; or the type of its error."""
    function, usual = USUAL[name]
    with ml.use(backend), np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        arguments = usual()
        for argument, change in changes:
            try:
                arguments[argument] = odd(arguments[argument])[change](arguments[argument])
            except (ValueError, IndexError, TypeError, OverflowError):  # no such change of this array
                return None
        try:
            out = function(*(arguments[n] for n in by_position(name, arguments)),
                           **{n: x for n, x in arguments.items() if n not in by_position(name, arguments)})  # fmt: skip
            found = flat(out)
            leaves = [x for x in arguments.values() if isinstance(x, Tensor) and x._node is not None]
            for y in [y for y in found if isinstance(y, Tensor) and leaves]:
                weights = np.cos(np.arange(y.size)).reshape(y.shape).astype(y.dtype)
                depends = y._node is not None
                gradients = ml.grad(y, leaves, weights, allow_unused=True) if depends else [None for _ in leaves]
                found += [0 * x.data if g is None else g.data for x, g in zip(leaves, gradients)]
        except Exception as error:
            return type(error)
        return found + [x for n, each in arguments.items() if n in ("ms", "vs") for x in each]


def by_position(name, arguments):
    """Optimizers' rates and the options behind the star go by keyword; everything else by position."""
    options = (
        "eps",
        "norm_before_gate",
        "activation",
        "reverse",
        "method",
        "degree",
        "K",
        "lr",
        "betas",
        "decay",
        "scale",
    )
    return [n for n in arguments if n not in options]


def disagreement(name, changes):
    """What the kernels do otherwise than the text; None if nothing."""
    text, ours = (outcome(name, changes, backend) for backend in ("numpy", "cpucuda"))
    if not isinstance(text, list) or not isinstance(ours, list):
        return None if text is ours else f"{changes}: {text} and {ours}"
    if len(text) != len(ours):
        return f"{changes}: {len(text)} results and {len(ours)}"
    for want, got in zip(text, ours):
        if type(want) is not type(got):
            return f"{changes}: {type(want)} and {type(got)}"
        want, got = (x.data if isinstance(x, Tensor) else x for x in (want, got))
        if getattr(want, "dtype", 0) != getattr(got, "dtype", 0) or getattr(want, "shape", 0) != getattr(
            got, "shape", 0
        ):
            return f"{changes}: {want.dtype}{want.shape} and {got.dtype}{got.shape}"
        if isinstance(want, (str, Fraction, np.ma.MaskedArray)) or getattr(want, "dtype", np.dtype("f4")).kind == "O":
            continue  # the kernels have no such thing: both are the text's
        if name in SPREADING and {change for _, change in changes} & NOT_FINITE:
            continue
        with np.errstate(all="ignore"):
            if not np.allclose(want, got, rtol=2e-5, atol=2e-6, equal_nan=True):
                return f"{changes}: {want} and {got}"
    return None


def test_every_twin_has_a_usual_call_that_runs_as_kernels():
    assert USUAL.keys() == {name for name in gpu.TABLE if not name.endswith("_bf16")}  # those: test_bfloat16.py
    gpu.reset_account()
    for name in USUAL:
        assert disagreement(name, ()) is None
        assert outcome(name, (), "cpucuda") is not None
    assert gpu.account() == (dict.fromkeys(sorted(USUAL), 2), {})


@pytest.mark.parametrize("name", USUAL)
def test_one_odd_argument(name):
    arguments = USUAL[name][1]()
    found = [disagreement(name, [(n, change)]) for n, x in arguments.items() for change in odd(x)]
    assert not [words for words in found if words]


@pytest.mark.parametrize("name", USUAL)
def test_two_odd_arguments(name):
    arguments, rng = USUAL[name][1](), np.random.default_rng(0)
    pairs = [((n, a), (m, b)) for n, m in combinations(arguments, 2)
             for a in odd(arguments[n]) for b in odd(arguments[m])]  # fmt: skip
    chosen = rng.choice(len(pairs), min(len(pairs), 100), replace=False) if pairs else []
    assert not [words for words in (disagreement(name, pairs[i]) for i in chosen) if words]


# What docs/gpu.md says of it.

PAGE = (Path(__file__).parents[2] / "docs" / "gpu.md").read_text("utf-8")


def test_the_page_names_every_twin_and_its_arrays():
    written = lambda name, axes: (
        f"{name} ({', '.join(axes.removesuffix('?').split())}){' or None' * axes.endswith('?')}"
    )
    wanted = {
        name: ", ".join(written(*each) for each in twin.shapes.items()) or "lists of arrays"
        for name, twin in gpu.TABLE.items()
    }
    table = PAGE.partition("### What runs as NumPy text")[2].partition("###")[0]
    assert dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", table, re.MULTILINE)) == wanted


SAID = [
    ("rms_norm", {"x": np.ones((3, 4))}),
    ("rms_norm", {"weight": [1.0, 2.0, 3.0, 4.0]}),
    ("rms_norm", {"weight": np.ones((1, 4), np.float32)}),
    ("l2_norm", {"eps": np.float64(0.1)}),
    ("l2_norm", {"eps": 1e-50}),
    ("l2_norm", {"eps": -1.0}),
    ("cubic_spline", {"low": ml.tensor([0.0, 0.0])}),
    ("cubic_spline", {"K": 0}),
    ("cross_entropy", {"logits": np.ones((0, 0), np.float32), "targets": np.ones(0, int)}),
    ("softmax", {"axis": 0}),
    ("relu_glu", {"x": normal(3, 5)}),
    ("causal_convolution", {"weight": normal(9, 3), "past": normal(2, 8, 3)}),
    ("causal_convolution", {"past": normal(2, 1, 3)}),
    ("diagonal_scan", {"method": "loop"}),
    ("group_rational", {"a": normal(2, 9)}),
    ("cox_de_boor", {"degree": 6}),
    ("cox_de_boor", {"t": np.sort(normal(2, 4))}),
    ("adamw", {"lr": [0.1]}),
    ("adamw", {"eps": -1.0}),
    ("clip_by_global_norm", {"gradients": iter([])}),
    ("clip_by_global_norm", {"gradients": [np.ones(3)]}),
    ("clip_by_global_norm", {"gradients": []}),
    ("softmax_attention", {"v": normal(1, 5, 2, 0)}),
    ("delta_product", {"scale": 1e-50}),
    ("delta_product_recurrent", {"v": normal(1, 5, 2, 2, 0), "initial_state": None}),
]


@pytest.mark.parametrize(("name", "changes"), SAID)
def test_the_page_has_the_words_for_what_runs_as_text(name, changes):
    function, usual = USUAL[name]
    arguments = usual() | changes
    first = by_position(name, arguments)
    gpu.reset_account()
    with ml.use("cpucuda"), contextlib.suppress(ValueError, TypeError, IndexError), np.errstate(all="ignore"):
        function(*(arguments[n] for n in first), **{n: x for n, x in arguments.items() if n not in first})
    (why,) = gpu.account().text[name]
    assert f"`{why}`" in PAGE.replace("\n  ", " ")
