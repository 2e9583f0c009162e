"""What holds for every optimizer: state, dtypes, groups, refusals."""

import numpy as np
import pytest

import minilinear as ml
from minilinear.errors import ShapeError
from minilinear.nn import Parameter
from minilinear.optim import OPTIMIZERS, SGD, AdaGradNorm, Adam, AdamW, Conda, Group, Muon
from minilinear.optim.optimizer import axes_of_a_unit, each_map, is_matrix, length, squared
from tests.optim.cases import again, draw, run
from tests.recurrence.cases import close

every = pytest.mark.parametrize("name", OPTIMIZERS)


@every
def test_it_goes_on_from_its_state_bit_for_bit(name):
    parameters, gradients = draw(dtype=np.float32)
    options = {"gap": 3} if name == "conda" else {}
    optimizer = OPTIMIZERS[name](parameters, **options)
    run(optimizer, gradients[:5])
    resumed, saved = OPTIMIZERS[name](again(parameters), **options), optimizer.state_dict()
    before = {key: value.copy() for key, value in saved.items()}
    resumed.load_state_dict(saved)
    for a, b in zip(run(optimizer, gradients[5:]), run(resumed, gradients[5:])):
        assert (a == b).all() and a.dtype == b.dtype
    assert resumed.t == optimizer.t == 12
    assert all((saved[key] == before[key]).all() for key in saved)  # neither writes into what was saved


@every
def test_its_state_is_arrays_and_a_count(name):
    optimizer = OPTIMIZERS[name](draw()[0])
    saved = optimizer.state_dict()
    assert all(type(x) is np.ndarray and x.dtype.kind in "fi" for x in saved.values())
    assert saved["t"] == 0
    kept = {f"{s}.{i}" for s in optimizer.state for i, x in enumerate(getattr(optimizer, s)) if x is not None}
    assert set(saved) == kept | {"t"}


@every
def test_the_state_of_others_is_refused_and_changes_nothing(name):
    optimizer = OPTIMIZERS[name]([Parameter(np.ones((2, 3)))])
    run(optimizer, [[np.ones((2, 3))]])
    saved = optimizer.state_dict()
    other_shape = {key: value[..., None] for key, value in saved.items()}
    for wrong in (other_shape, {}, saved | {"z.0": np.ones(2)}, {k: v for k, v in saved.items() if k != "t"}):
        with pytest.raises(ShapeError, match="another optimizer"):
            optimizer.load_state_dict(wrong)
    now = optimizer.state_dict()
    assert all((now[key] == saved[key]).all() for key in saved)


@every
def test_float32_stays_float32_and_gradients_are_left_alone(name):
    parameters, gradients = draw(2, dtype=np.float32)
    kept = [[g.copy() for g in gs] for gs in gradients]
    optimizer = OPTIMIZERS[name](parameters)
    run(optimizer, gradients, lr=0.01)
    assert all(p.dtype == np.float32 for p in parameters)
    assert all(x.dtype == np.float32 for key, x in optimizer.state_dict().items() if key != "t")
    assert all((g == k).all() for gs, ks in zip(gradients, kept) for g, k in zip(gs, ks))


@every
def test_zero_gradients_and_zero_weights_are_no_accident(name):
    parameters = [Parameter(np.zeros((3, 4))), Parameter(np.ones((3, 4))), Parameter(np.zeros(3), decay=False)]
    zeros = [np.zeros(p.shape) for p in parameters]
    for gs in (zeros, [np.ones(p.shape) for p in parameters]):
        run(OPTIMIZERS[name](parameters), [gs] * 2)
        assert all(np.isfinite(p.data).all() for p in parameters)
    assert all(abs(p.data).max() > 0 for p in parameters)  # what is zero is not frozen


@every
def test_vectors_do_not_decay(name):
    if name == "adagrad_norm":
        return  # has no weight decay
    rng = np.random.default_rng(0)
    W, gradients = rng.standard_normal((3, 4)), [rng.standard_normal((3, 4)), rng.standard_normal(5)]
    values = []
    for weight_decay in (0.0, 0.5):
        parameters = [Parameter(W), Parameter(np.ones(5), decay=False)]
        values.append(run(OPTIMIZERS[name](parameters, weight_decay=weight_decay), [gradients] * 3))
    assert (values[0][1] == values[1][1]).all()
    assert (values[0][0] != values[1][0]).any()


@every
@pytest.mark.parametrize("shape", [(3,), (3, 4), (4, 3)], ids=str)
def test_a_complex_parameter_is_descended(name, shape):
    """With |g|^2, not g^2: otherwise directions of 45 degrees cancel, and the root of a negative number is taken."""
    rng = np.random.default_rng(0)
    start, target = rng.standard_normal((2, *shape)) + 1j * rng.standard_normal((2, *shape))
    z = Parameter(start, decay=len(shape) == 2)
    optimizer = OPTIMIZERS[name]([z])
    for _ in range(100):
        loss = (abs(z - target) ** 2).sum()
        optimizer.step([ml.grad(loss, z).data], lr=0.01)
    assert length(z.data - target) < length(start - target) and z.dtype == np.complex128
    kinds = {key[0]: x.dtype.kind for key, x in optimizer.state_dict().items()}
    assert kinds.items() <= {"m": "c", "b": "c", "B": "c", "Q": "c", "v": "f", "G": "f", "s": "f", "t": "i"}.items()


def test_the_square_of_a_complex_number_is_real():
    z = np.array([3 + 4j, 1j])
    assert squared(z).tolist() == [25, 1] and squared(z).dtype == np.float64
    assert squared(np.array([-3.0])).tolist() == [9]
    assert length(z) == pytest.approx(26**0.5)


def test_adam_turns_with_a_complex_gradient():
    z = Parameter(np.zeros(2, complex), decay=False)
    Adam([z], lr=0.1, eps=0).step([np.array([3 + 4j, -5j])])
    close(abs(z.data - np.array([-0.06 - 0.08j, 0.1j])) + 1, np.ones(2), 1e-14)


def test_groups_have_a_rate_and_a_decay_of_their_own():
    a, b, c = (Parameter(np.ones((2, 2))) for _ in range(3))
    optimizer = SGD([Group([a], lr=0.5), b, Group([c], lr=0.0)], lr=0.1)
    optimizer.step([np.ones((2, 2))] * 3)
    assert all(x is y for x, y in zip(optimizer.parameters, [a, b, c], strict=True))
    close(np.array([p.data[0, 0] for p in (a, b, c)]), np.array([0.95, 0.9, 1.0]), 1e-15)
    a = Parameter(np.ones((2, 2)))
    AdamW([Group([a], lr=0.5, weight_decay=4.0)], lr=0.1, weight_decay=0.1).step([np.zeros((2, 2))])
    close(a.data, np.full((2, 2), 1 - 0.05 * 0.4), 1e-15)


def test_one_parameter_is_not_stepped_twice():
    p = Parameter(np.ones(2))
    with pytest.raises(ValueError, match="one group, once"):
        AdamW([Group([p]), p])


def test_only_parameters_are_trained():
    for wrong in ([ml.tensor(np.ones(3))], Parameter(np.ones((2, 3))), [Group(Parameter(np.ones((2, 3))))]):
        with pytest.raises(TypeError, match="list of Parameters"):
            SGD(wrong)


def test_parts_add_up_to_the_columns():
    with pytest.raises(ShapeError, match="add up to its 3 columns"):
        SGD([Parameter(np.ones((2, 3)), parts=(2, 2))])


@every
def test_gradients_are_one_for_each_parameter_in_its_shape(name):
    p = Parameter(np.ones(2))
    for wrong in ([], [np.ones(3)], [None], [np.ones(2)] * 2):
        optimizer = OPTIMIZERS[name]([p])
        with pytest.raises(ShapeError, match="one gradient for each"):
            optimizer.step(wrong)
        assert optimizer.t == 0


@every
def test_parts_are_parameters_of_their_own(name):
    """Three maps in one matrix move as three matrices would."""
    if name == "adagrad_norm":
        return  # its norm is that of the Parameter
    rng = np.random.default_rng(0)
    widths, W, options = (2, 6, 3), rng.standard_normal((4, 11)), {"gap": 2} if name == "conda" else {}
    gradients = [rng.standard_normal((4, 11)) for _ in range(5)]

    def cut(x):
        return np.split(x, [2, 8], axis=1)

    together = Parameter(W, parts=widths)
    run(OPTIMIZERS[name]([together], **options), [[g] for g in gradients], lr=0.01)
    alone = run(OPTIMIZERS[name]([Parameter(x) for x in cut(W)], **options), [cut(g) for g in gradients], lr=0.01)
    close(together.data, np.concatenate(alone, 1), 1e-12)
    if name in ("lars", "lamb", "muon", "conda"):
        as_one = run(OPTIMIZERS[name]([Parameter(W)], **options), [[g] for g in gradients], lr=0.01)
        assert abs(as_one[0] - together.data).max() > 1e-6


def test_each_map_writes_in_place():
    p, state = Parameter(np.ones((2, 3)), parts=(1, 2)), np.zeros((2, 3))

    def update(x, s):
        s += x.shape[1]
        return x * s

    out = each_map(p, update, p.data, state)
    assert out.tolist() == state.tolist() == [[1, 2, 2], [1, 2, 2]]


def test_what_counts_as_a_matrix_and_as_an_output_unit():
    matrix, taps = Parameter(np.ones((2, 3))), Parameter(np.ones((2, 3)), decay=False)
    embedding, stack = Parameter(np.ones((2, 3)), role="embedding"), Parameter(np.ones((2, 3, 4)), role="hidden")
    assert [is_matrix(p) for p in (matrix, taps, embedding, stack)] == [True, False, True, True]
    assert [axes_of_a_unit(p) for p in (matrix, taps, embedding, stack)] == [(0,), (0,), (1,), (0, 1)]
    assert axes_of_a_unit(Parameter(np.ones(3))) == axes_of_a_unit(Parameter(np.ones(()))) == ()


def test_where_adam_stands_in_for_muon_and_conda():
    """Embeddings, readout, vectors, stacks: only these have Adam's averages in Muon; only the others have frames."""
    parameters, _ = draw()
    hidden = [0, 1, 2]
    muon = Muon(parameters)
    assert [i for i, x in enumerate(muon.B) if x is not None] == hidden
    assert [i for i, x in enumerate(muon.m) if x is None] == [i for i, x in enumerate(muon.v) if x is None] == hidden
    conda = Conda(parameters)
    assert [i for i, x in enumerate(conda.Q) if x is not None] == hidden
    assert [conda.Q[i].size for i in hidden] == [4 + 16 + 9, 9 + 9, 16]  # the shorter side of each map, squared


DEFAULTS = {
    "sgd": {"lr": 1e-3, "momentum": 0, "dampening": 0, "nesterov": False, "weight_decay": 0},
    "momentum": {"lr": 1e-3, "momentum": 0.9, "nesterov": False},
    "nesterov": {"lr": 1e-3, "momentum": 0.9, "nesterov": True},
    "adam": {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0},
    "adamw": {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.01},
    "adagrad": {"lr": 1e-2, "eps": 1e-10, "initial_sum": 0, "weight_decay": 0},
    "adagrad_norm": {"lr": 1, "b0": 0.1, "per": "tensor"},
    "lars": {"lr": 1, "momentum": 0.9, "trust": 1e-3, "weight_decay": 0, "eps": 1e-8},
    "lamb": {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-6, "weight_decay": 0, "clamp": (0, np.inf)},
    "sgdp": {"lr": 1e-3, "momentum": 0.9, "nesterov": False, "delta": 0.1, "ratio": 0.1, "eps": 1e-8},
    "adamp": {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8, "delta": 0.1, "ratio": 0.1, "nesterov": False},
    "muon": {"lr": 0.02, "momentum": 0.95, "nesterov": True, "steps": 5, "weight_decay": 0, "adjust": "original"}
    | {"adam_lr": 0.015, "betas": (0.9, 0.95), "eps": 1e-10},
    "conda": {"lr": 1e-2, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0, "scale": 0.25, "gap": 2000},
}


@every
def test_the_defaults(name):
    optimizer = OPTIMIZERS[name]([])
    assert {key: getattr(optimizer, key) for key in DEFAULTS[name]} == DEFAULTS[name]
    optimizer.step([])
    assert optimizer.t == 1


def test_adagrad_norm_keeps_one_number_where_adagrad_keeps_an_array():
    parameters = draw()[0]
    assert all(s.size == 1 for s in AdaGradNorm(parameters).s)
    rows = [s.size for s in AdaGradNorm(parameters, per="row").s]
    assert rows == [9, 8, 4, 7, 7, 4, 4, 5, 1]


def test_gradients_come_as_arrays_or_as_they_are_from_grad():
    given = np.linspace(-1, 1, 6).reshape(2, 3)
    parameters = [Parameter(np.ones((2, 3))), Parameter(np.ones((2, 3)))]
    for parameter, gradient in zip(parameters, (given, ml.tensor(given))):
        OPTIMIZERS["adamw"]([parameter], lr=0.1).step([gradient])
    assert np.array_equal(parameters[0].data, parameters[1].data)
    assert not np.array_equal(parameters[0].data, np.ones((2, 3)))
