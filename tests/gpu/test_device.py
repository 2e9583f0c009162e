"""Everything that trains, on arrays of another device: a stand-in for CuPy that refuses to meet NumPy's arrays.

Each thing is made once in NumPy's memory and once under `ml.use("cupy")`, from the same seed, and must agree: a place
that forgot which device it is on raises, a place that read an array back by accident is found by its type.
"""

from __future__ import annotations

import io
import json

import numpy as np
import pytest

import minilinear as ml
from minilinear import backend
from minilinear.autograd import cross_entropy, unwrap
from minilinear.autograd.ops.indexing import _scatter_in_levels
from minilinear.cli import main
from minilinear.errors import ConfigError, MixedDevices
from minilinear.kan import BSpline, BSplineLayer
from minilinear.models import ModelConfig, make_model
from minilinear.models.tables import FEED_FORWARDS, MIXERS, NORMS, TRANSITIONS
from minilinear.models.watch import watch
from minilinear.nn import Embedding, Linear
from minilinear.optim import EMA, OPTIMIZERS, adaptive_clip, clip_by_global_norm, clip_by_value
from minilinear.optim.muon import newton_schulz
from minilinear.randomness import stream
from minilinear.tasks import task
from minilinear.training import Run, RunFolder, bits_by_position, evaluate, evaluate_text
from minilinear.training.recipes import recipe
from tests.autograd.cases import CASES, curved
from tests.gpu import fake_cupy
from tests.gpu.fake_cupy import on_gpu
from tests.mixers.cases import VARIANTS
from tests.optim import cases

pytestmark = pytest.mark.kernels

SOFTMAX = {"default": {}, "window": {"window": 4}, "sink, shared keys": {"sink": True, "kv_heads": 1, "qk_norm": "l2"}}
MIXER_CASES = [(m, name) for m in MIXERS for name in VARIANTS.get(m, SOFTMAX)]
D, B, T = 8, 2, 13


@pytest.fixture(autouse=True)
def gpu():
    with fake_cupy.installed():
        yield


def draw(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def both(make, compute):
    """What `compute` gives on both devices, read back."""
    found = []
    for name in ("numpy", "cupy"):
        with ml.use(name):
            out = compute(make(), backend.made)
            out = [unwrap(y) for y in (out if isinstance(out, (list, tuple)) else [out])]
            assert all(on_gpu(y) == (name == "cupy") for y in out)
            found.append([backend.to_numpy(y) for y in out])
    for here, there in zip(*found, strict=True):
        np.testing.assert_allclose(here, there, rtol=1e-4, atol=1e-5)


def trained(module, run, x):
    """Output, gradients, and the output again after a step of AdamW."""
    y = run(module, x)
    found = [y]
    if module.parameters():
        optimizer = OPTIMIZERS["adamw"](module.parameters())
        gradients = ml.grad((y * y).sum(), module.parameters(), allow_unused=True)
        gradients = [0 * p.data if g is None else g.data for p, g in zip(module.parameters(), gradients)]
        optimizer.step(clip_by_global_norm(gradients, 1.0)[0])
        found += [*gradients, run(module, x)]
    return found


# What computes.


@pytest.mark.parametrize("name", CASES)
def test_a_gradient_is_checked_where_the_backend_keeps_its_arrays(name):
    """All functions on strict arrays are in tests/autograd/test_strict.py; here, the tensors go there by themselves."""
    with ml.use("cupy"):
        ml.gradcheck(curved(CASES[name].function), CASES[name].inputs())


@pytest.mark.parametrize(("mixer", "variant"), MIXER_CASES)
def test_a_mixer_trains_a_step_and_steps_through_tokens(mixer, variant):
    options = {"heads": 2, "key_dim": 4} | VARIANTS.get(mixer, SOFTMAX)[variant]

    def compute(layer, place):
        x, found = place(draw(B, T, D)), []
        for form in ("chunk", "recurrent", "parallel"):
            try:
                found += trained(layer, lambda layer, x, form=form: layer(x, form=form, chunk=4)[0], x)
            except ValueError:  # a mechanism without this form
                if form == "chunk":
                    raise
        y, state = layer(x[:, :5], chunk=4)
        found += [y, layer(x[:, 5:], state, chunk=4)[0], layer(x[:1], cu_seqlens=[0, 5, T], chunk=4)[0]]
        with ml.no_grad():
            state = layer.initial_state(B)
            for t in range(T):
                y, state = layer.step(x[:, t], state)
        return [*found, y]

    both(lambda: MIXERS[mixer](D, **options, rng=stream(0, "weights")), compute)


@pytest.mark.parametrize("name", NORMS)
def test_a_norm_trains_a_step_and_is_used(name):
    def compute(norm, place):
        x = place(draw(B, T, D))
        found = trained(norm, lambda norm, x: norm(x), x)
        norm.eval()
        return [*found, norm(x)]

    both(lambda: NORMS[name](D), compute)


@pytest.mark.parametrize("name", FEED_FORWARDS)
def test_a_feed_forward_layer_trains_a_step(name):
    both(
        lambda: FEED_FORWARDS[name](D, hidden=D, rng=stream(0, "weights")),
        lambda layer, place: trained(layer, lambda layer, x: layer(x), place(draw(B, T, D))),
    )


@pytest.mark.parametrize("change", [lambda layer, x: layer.update_grid(x), lambda layer, x: layer.extend_grid(8)])
def test_a_grid_follows_its_inputs(change):
    def compute(layer, place):
        x = place(draw(30, D))
        change(layer, x)
        return [layer(x), layer.basis.grid.data, *trained(layer, lambda layer, x: layer(x), x)]

    both(lambda: BSplineLayer(D, 4, rng=stream(0, "weights")), compute)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_and_clipping_and_an_average(name):
    def compute(parameters, place):
        options = {"lr": 1e-2} | ({} if name == "adagrad_norm" else {"weight_decay": 0.1})
        optimizer, average = OPTIMIZERS[name](parameters, **options), EMA(parameters, decay=0.5)
        for gs in gradients:
            gs = adaptive_clip([place(g) for g in gs], parameters)
            gs, _ = clip_by_global_norm(clip_by_value(gs, 1.0), 1.0)
            optimizer.step(gs)
            average.update()
        with average.applied():
            averages = [p.data for p in parameters]
        state = optimizer.state_dict() | average.state_dict()
        assert all(isinstance(x, np.ndarray) for x in state.values())
        again = OPTIMIZERS[name](cases.again(parameters), **options)
        again.load_state_dict(optimizer.state_dict())
        again.step(gs)
        return [*averages, *(p.data for p in again.parameters)]

    gradients = cases.draw(3, dtype=np.float32)[1]
    both(lambda: cases.draw(0, dtype=np.float32)[0], compute)


@pytest.mark.parametrize("rows", [1, 3, 50])
@pytest.mark.parametrize("n", [0, 1, 33, 3000])
def test_the_gradient_of_an_embedding_adds_up_in_a_fixed_order(rows, n):
    rng = np.random.default_rng(0)
    ids, g = rng.integers(-rows, rows, n), rng.standard_normal((n, 2, 3))
    expected = np.zeros((rows, 2, 3))
    np.add.at(expected, ids, g)
    found = _scatter_in_levels(backend.moved(g, "cupy"), ids, (rows, 2, 3))
    assert on_gpu(found)
    np.testing.assert_allclose(found.get(), expected, atol=1e-12)


# Where arrays are.


def test_tensors_are_made_where_the_backend_keeps_its_arrays():
    with ml.use("cupy"):
        t = ml.tensor([1.0, 2.0], requires_grad=True)
        assert on_gpu(t._array) and t.dtype == np.float32
        assert on_gpu(ml.tensor(draw(3))._array)
        assert t.numpy().tolist() == [1, 2] and isinstance(t.numpy(), np.ndarray)
        (t * t).sum().backward()
        assert on_gpu(t.grad)
    for name in ("numpy", "cpucuda"):
        with ml.use(name):
            assert not on_gpu(ml.tensor([1.0])._array)
            assert on_gpu(ml.tensor(t)._array)  # what is there stays there


def test_what_is_read_back_is_a_copy():
    a = draw(3)
    ml.tensor(a).numpy()[0] = 9
    t = ml.tensor(a)
    t.numpy()[0] = 9
    assert t.numpy()[0] == a[0]
    assert backend.to_numpy(a) is a
    assert backend.beside(a, a) is a


def test_a_leaf_keeps_its_place():
    with ml.use("cupy"):
        t = ml.tensor(draw(3), requires_grad=True)
    t.assign_(draw(3, seed=1))
    assert on_gpu(t._array)
    np.testing.assert_array_equal(t.numpy(), draw(3, seed=1))


def test_a_model_moves_with_gradients_and_buffers_and_what_trains_it():
    model = make_model(
        ModelConfig(7, D=D, layers=1, norm="batch_norm", mixer_options={"heads": 2}), rng=stream(0, "weights")
    )
    optimizer = OPTIMIZERS["muon"](model.parameters())
    average = EMA(model.parameters())
    ids = np.arange(6).reshape(2, 3)
    cross_entropy(model(ids)[0], ids).backward()
    before = {name: p.numpy() for name, p in model.named_parameters()}
    for place, there in (("cupy", True), ("cpucuda", False), ("cupy", True), ("numpy", False)):
        assert model.to(place) is model
        optimizer.to(place), average.to(place)
        arrays = [a for p in model.parameters() for a in (p.data, p.grad)] + [b.data for _, b in model.named_buffers()]
        arrays += [x for x in (*optimizer.B, *optimizer.m, *optimizer.v, *average.s) if x is not None]
        assert all(on_gpu(a) == there for a in arrays)
        optimizer.step([0 * p.grad for p in model.parameters()], lr=0.0)
        average.update()
    for name, p in model.named_parameters():
        np.testing.assert_array_equal(p.numpy(), before[name])


def test_an_unknown_place_is_refused():
    for odd in ("gpu", [], None):
        with pytest.raises(ConfigError, match="one of numpy, cupy, cpucuda"):
            Linear(2, 3, rng=stream(0, "weights")).to(odd)


@pytest.mark.parametrize(
    "mix",
    [
        lambda a, b: a + b,
        lambda a, b: ml.tensor(a) * b,
        lambda a, b: b @ ml.tensor(a),
        lambda a, b: np.concatenate([ml.tensor(a), b]),
        lambda a, b: np.where(b > 0, ml.tensor(a), 0),
        lambda a, b: Linear(3, 2, rng=stream(0, "weights"))(b),
        lambda a, b: cross_entropy(ml.tensor(a[None]), b),
    ],
)
def test_arrays_of_two_devices_do_not_meet(mix):
    a, b = draw(3), backend.moved(draw(3), "cupy")
    with pytest.raises((TypeError, ValueError)):
        mix(a, b)


def test_two_devices_in_one_call_are_named():
    wanted = (
        r"add wants its arrays in one place\.\n  got: float32\(3,\) in NumPy's memory, float32\(3,\) on the GPU\n"
        r'  fix: model\.to\("cupy"\) moves a model'
    )
    with pytest.raises(MixedDevices, match=wanted):
        ml.tensor(draw(3)) + backend.moved(draw(3), "cupy")
    with pytest.raises(MixedDevices, match="linear wants its arrays in one place"):
        Linear(3, 2, rng=stream(0, "weights"))(backend.moved(draw(1, 3), "cupy"))


def test_ids_may_be_anywhere():
    with ml.use("cupy"):
        layer = Embedding(5, 3, rng=stream(0, "weights"))
        for ids in (np.array([1, 4]), backend.made(np.array([1, 4])), [1, 4], ml.tensor([1, 4])):
            np.testing.assert_array_equal(layer(ids).numpy(), layer.weight.numpy()[[1, 4]])


# Runs.


def small(name, steps=4, **changes):
    options = {"length": 16} if name == "text" else {"lengths": (4, 8)} if name in ("s3", "parity") else {}
    made = task(name, **options)
    changes = {"D": D, "hidden": D} | ({"heads": 2} if "mixer" not in changes else {}) | changes
    return made, recipe(made, changes=changes, training={"steps": steps, "batch": 4})


def losses(run):
    found = []
    while not run.finished:
        found.append(run.advance().loss)
    return found


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("s3", {"ema": 0.9, "micro_batches": 2}),
        ("s3", {"norm": "batch_norm"}),
        ("text", {"carry": True, "segment": 8, "mixer": "gated_delta_net+softmax"}),
        ("digits", {}),
        ("in_context_regression", {}),
    ],
)
def test_a_run_goes_on_from_one_device_to_the_other(tmp_path, name, changes):
    """Loss by loss the same, whichever device a checkpoint was written on, and the same result at the end."""
    found = {}
    for before, after in (("numpy", "numpy"), ("cupy", "cupy"), ("numpy", "cupy"), ("cupy", "numpy")):
        path = tmp_path / f"{before}-{after}"
        path.mkdir()
        made, config = small(name, **changes)
        with ml.use(before):
            run = Run.start(config, RunFolder(path), made)
            assert on_gpu(run.parameters[0].data) == (before == "cupy")
            first = [run.advance().loss, run.advance().loss]
            run.save()
        with ml.use(after):
            run = Run.resume(RunFolder(path))
            found[before, after] = first + losses(run), run.model.state_dict()
    expected, weights = found["numpy", "numpy"]
    for those, state in found.values():
        np.testing.assert_allclose(those, expected, rtol=1e-5)
        for key, array in state.items():
            np.testing.assert_allclose(array, weights[key], rtol=1e-3, atol=1e-5, err_msg=key)


def test_the_same_seed_gives_the_same_weights_and_batches():
    made, config = small("s3")
    states = []
    for name in ("numpy", "cupy", "cpucuda"):
        with ml.use(name):
            run = Run(config, RunFolder("nowhere"), made)
            states.append((run.model.state_dict(), *run._batch()))
    for state, inputs, targets in states[1:]:
        assert all((state[key] == states[0][0][key]).all() for key in state)
        assert (inputs == states[0][1]).all() and (targets == states[0][2]).all()


def test_what_a_model_can_do_is_found_out_on_the_gpu_too():
    made, config = small("s3")
    text = task("text", length=16)
    for name in ("numpy", "cupy"):
        with ml.use(name):
            model = Run(config, RunFolder("nowhere"), made).model
            scores = evaluate(model, made, size=16)
            writer = make_model(
                ModelConfig(len(text.vocabulary), D=D, layers=1, mixer_options={"heads": 2}), rng=stream(0, "weights")
            )
            bits = evaluate_text(writer, text, limit=4), bits_by_position(writer, text, limit=2)
            ids = writer.generate([1, 2], rng=stream(0, "draws"), top_k=3)
            written = [next(ids) for _ in range(5)]
        if name == "numpy":
            expected = scores, bits, written
    assert written == expected[2]
    for there, here in ((scores, expected[0]), (bits[0], expected[1][0]), (bits[1], expected[1][1])):
        np.testing.assert_allclose(numbers(there), numbers(here), rtol=1e-5)


def test_every_command_that_computes_takes_a_backend(tmp_path, monkeypatch, capsys):
    """Train on one device; go on, write, play and look on the other."""
    monkeypatch.setattr("minilinear.training.evaluation.AT_MOST", (1, 1))
    small = ("--steps", "2", "--batch", "2", "--set", "D=8", "--set", "heads=2", "--set", "layers=1")
    text, words, table = (str(tmp_path / name) for name in ("text", "words", "table"))
    monkeypatch.setattr("sys.stdin", io.StringIO("1\n0\nshow\n"))
    for words_ in (
        ("train", "text", "--length", "16", "--set", "ema=0.5", *small, "--backend", "cupy", "--out", text),
        ("train", "parity", "--length", "4", *small, "--backend", "numpy", "--out", words),
        ("train", "--resume", words, "--backend", "cupy"),
        ("generate", text, "--tokens", "3", "--backend", "cupy"),
        ("play", words, "--backend", "cupy"),
        ("inspect", words),
        ("compare", "parity", "--over", "mixer=gla,softmax", "--seeds", "1", "--set", "steps=2", "--set", "batch=2",
         "--set", "D=8", "--set", "heads=2", "--set", "layers=1", "--backend", "cupy", "--out", table),
    ):  # fmt: skip
        monkeypatch.setattr(
            "minilinear.backend._from_environment", lambda: "cupy"
        )  # inspect has no use for it, and is not led astray
        monkeypatch.setattr("sys.argv", ["minilinear", *words_, "--json"])
        with pytest.raises(SystemExit) as stopped:
            main()
        said = capsys.readouterr()
        assert not stopped.value.code, (words_, said.err)
        if words_[0] == "train":
            assert json.loads(said.out)["backend"] == words_[words_.index("--backend") + 1]


@pytest.mark.parametrize("mixer", TRANSITIONS)
def test_what_a_memory_does_is_watched_in_numpys_memory(mixer):
    found = []
    for name in ("numpy", "cupy"):
        with ml.use(name):
            config = ModelConfig(7, D=D, layers=1, mixer=mixer, mixer_options={"heads": 2, "key_dim": 4})
            (seen,) = watch(make_model(config, rng=stream(0, "weights")), np.arange(6).reshape(2, 3))
            found.append([x for x in (seen.states, seen.transitions, seen.alpha, seen.beta) if x is not None])
    for here, there in zip(*found, strict=True):
        assert isinstance(there, np.ndarray)
        np.testing.assert_allclose(here, there, atol=1e-6)


def numbers(found):
    return [x for value in found.values() for x in (numbers(value) if isinstance(value, dict) else [value])]


@pytest.fixture
def waits(monkeypatch):
    """What was read back from the GPU, which this processor waits for: a list that grows."""
    waits = []
    strict = fake_cupy.Strict
    for name in ("__float__", "__bool__", "get"):
        read = getattr(strict, name)
        monkeypatch.setattr(strict, name, lambda self, read=read: (waits.append(read), read(self))[1])
    asked_for = strict.__getattr__
    reads = lambda self, name: (name in ("item", "tolist") and waits.append(name), asked_for(self, name))[1]
    monkeypatch.setattr(strict, "__getattr__", reads)
    return waits


def test_what_a_gpu_is_waited_for(waits):
    """Newton and Schulz read nothing back, the length of all gradients one number, a grid is looked at once."""
    with ml.use("cupy"):
        newton_schulz(backend.made(draw(3, 5)), 2)
        assert waits == []
        clip_by_global_norm([backend.made(draw(n)) for n in (3, 4, 5)], 0.1)
        assert len(waits) == 1
        basis, x = BSpline(3), backend.made(draw(4, 3))
        basis(x)
        asked = len(waits)
        basis(x), basis.derivative(x)
        assert len(waits) == asked > 1
        basis.grid.data = basis.grid.data * 2
        basis(x)
        assert len(waits) > asked


@pytest.mark.parametrize("mixer", ["softmax", "linear", "delta_product+softmax"])
def test_a_training_step_waits_for_the_gpu_twice_at_its_end(mixer, waits):
    """For the losses of all parts together and for the length of the gradient; nothing before that."""
    made, config = small("s3", mixer=mixer, heads=2, layers=2, micro_batches=2, segment=3)
    with ml.use("cupy"):
        run = Run(config, RunFolder("nowhere"), made)
        before = []
        own = run._part
        run._part = lambda *given: (own(*given), before.append(len(waits)))[0]
        run.advance()
    assert before == [0, 0]
    assert len(waits) == 2
