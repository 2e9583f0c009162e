"""A training step as a graph: the losses of a run without, and never a wrong one without a word."""

import json

import numpy as np
import pytest

import minilinear as ml
from minilinear import backend
from minilinear.gpu.cases import places
from minilinear.gpu.graph import Captured
from minilinear.nn import Linear
from minilinear.training import Run, RunFolder
from minilinear.training.recipes import prepare
from tests.gpu import fake_graph
from tests.gpu.fake_cupy import Strict
from tests.gpu.test_train import command


def run_of(name="text", graph=True, steps=8, **settings):
    of_task = {"length": 16} if name == "text" else {"lengths": (4, 4)}
    settings = {"D": 16, "layers": 2, "hidden": 16, "mixer": "linear"} | settings
    settings |= {} if settings["mixer"] == "none" else {"heads": 2}
    made, config = prepare(name, settings, task_options=of_task, training={"steps": steps, "batch": 4})
    run = Run(config, RunFolder("nowhere"), made)
    if graph:
        run.use_graph()
    return run


def losses(run):
    return [run.advance().loss for _ in range(run.config.steps)]


@pytest.fixture
def recorder():
    with fake_graph.installed() as recorder, ml.use("cupy"):
        yield recorder


CASES = [
    {},
    {"micro_batches": 2},
    {"recompute": True},
    {"optimizer": "sgd", "placement": "peri", "ffn": "geglu", "norm": "layer_norm"},
    {"ema": 0.9},
    {"mixer": "softmax"},  # rotary positions are sent once
    {"mixer": "none"},
]


@pytest.mark.parametrize("settings", CASES, ids=str)
def test_a_replayed_run_has_the_losses_and_weights_of_a_run_without(recorder, settings):
    plain, run = run_of(graph=False, **settings), run_of(**settings)
    want = losses(plain)
    assert recorder.launched == 0
    np.testing.assert_allclose(losses(run), want, rtol=1e-5)
    for name, array in plain.model.state_dict().items():
        np.testing.assert_allclose(run.model.state_dict()[name], array, rtol=1e-3, atol=1e-5, err_msg=name)
    parts = settings.get("micro_batches", 1)
    assert (run.replay.why, run.replay.replayed, run.replay.other) == (None, 8 * parts - 1, 1)
    assert recorder.launched == 8 * parts - 1
    assert recorder.told == ["begin", "end"]


def test_targets_that_do_not_count_weigh_the_parts_of_a_batch(recorder):
    plain, run = (run_of(graph=graph, micro_batches=2) for graph in (False, True))
    found = []
    for each in (plain, run):
        rng = np.random.default_rng(0)
        for _ in range(4):
            inputs, targets = each._batch()
            targets = np.where(rng.random(targets.shape) < rng.uniform(0, 1, (4, 1)), -1, targets)
            loss, gradients = each._gradients(inputs, targets)
        found.append((loss, gradients))
    assert run.replay.replayed == 7
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-5)
    for a, b in zip(found[0][1], found[1][1]):
        np.testing.assert_allclose(backend.to_numpy(a), backend.to_numpy(b), rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"mixer": "gla"}, "operation not permitted when capturing"),  # it looks at the gate
        ({"mixer": "linear", "feature_map": "taylor"}, "a copy from NumPy's memory"),  # which pairs it multiplies
        ({"segment": 8}, "not recorded"),
        ({"carry": True}, "not recorded"),
        ({"norm": "batch_norm"}, "not recorded"),
    ],
)
def test_what_cannot_be_recorded_runs_as_ever_and_says_why(recorder, settings, why):
    plain, run = run_of(graph=False, **settings), run_of(**settings)
    np.testing.assert_allclose(losses(run), losses(plain), rtol=1e-6)
    assert why in run.replay.why
    assert (run.replay.replayed, recorder.launched) == (0, 0)
    assert recorder.calls is None  # nobody records any more


def test_another_shape_runs_as_ever(recorder):
    run = run_of()
    (inputs, targets), step = run._batch(), (1.0, [], ())
    assert run.replay(inputs, targets, 1.0, lambda: step) is step
    assert run.replay(inputs[:1], targets[:1], 1.0, lambda: step) is step
    assert run.replay.other == 2 and run.replay.why is None


class Counts(Linear):
    """What differs from call to call in Python is frozen in a graph: here a number."""

    calls = 0

    def __call__(self, x):
        type(self).calls += 1
        return super().__call__(x) * (1 + self.calls / 10)


class Remembers(Linear):
    """And here an array: what was the first input stays it."""

    first = None

    def __call__(self, x):
        self.first = self.first if self.first is not None else x.detach() * 1
        return super().__call__(x + self.first)


@pytest.mark.parametrize("kind", [Counts, Remembers])
def test_a_replay_that_differs_from_its_step_is_noticed(recorder, kind):
    run = run_of(mixer="none")
    run.model.head.__class__ = kind
    found = losses(run)
    assert np.isfinite(found).all()
    if kind is Counts:
        assert run.replay.why == "a replay gave other numbers than the step that was recorded"
        assert run.replay.replayed == 0
    else:  # an array made before the recording is at its address for good: right
        assert run.replay.why is None


def test_a_model_of_numbers_is_not_recorded(recorder):
    made, config = prepare("digits", {"D": 8, "heads": 2, "mixer": "linear"}, training={"steps": 2, "batch": 2})
    run = Run(config, RunFolder("nowhere"), made)
    run.use_graph()
    assert np.isfinite(run.advance().loss)
    assert "only a model of tokens" in run.replay.why


def test_gradients_outlive_the_next_replay(recorder):
    run = run_of()
    for _ in range(5):
        run.advance()
    inputs, targets = run._batch()
    _, first = run._gradients(inputs, targets)
    kept = [backend.to_numpy(g) for g in first]
    run._gradients(inputs[::-1].copy(), targets)
    for g, before in zip(first, kept):
        assert isinstance(g, Strict)
        np.testing.assert_array_equal(backend.to_numpy(g), before)


@pytest.mark.parametrize("name", ["numpy", "cpucuda"])
def test_without_a_gpu_it_is_said_in_a_line(name):
    if name not in ("numpy", *places()):
        pytest.skip("no C++ compiler")
    with ml.use(name):
        run = run_of()
    run.advance()
    assert run.replay.why == "a graph is recorded on a GPU"


def test_the_command_says_what_became_of_the_graph(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("minilinear.training.evaluation.AT_MOST", (1, 1))
    small = ("train", "s3", "--set", "task.lengths=[4,4]", "--steps", "6", "--batch", "2")
    small += ("--mixer", "linear", "--set", "D=8", "--set", "heads=2", "--graph")
    with fake_graph.installed():
        code, out, _ = command(capsys, *small, "--backend", "cupy", "--out", str(tmp_path / "a"), "--plain")
    assert not code
    assert "--graph: 5 of 6 parts of batches were replays" in out
    assert "memory at the most 4 MiB, of the GPU's pool" in out  # 3, and the graph's own
    assert json.loads((tmp_path / "a/result.json").read_text())["graph"] == {"replayed": 5, "other": 1, "why": None}
    code, out, _ = command(capsys, *small, "--out", str(tmp_path / "b"), "--plain")
    assert not code and "--graph: a graph is recorded on a GPU; 6 parts of batches ran as ever" in out


def test_the_arrays_of_a_recording_are_its_own(recorder):
    x, y = (Strict(np.array(v)) for v in ([1.0, 2.0], [5.0, 6.0]))
    doubled = Captured(lambda x: [x * 2], [x])
    (first,), (second,) = doubled(y), doubled(x)
    assert (first.value.tolist(), second.value.tolist()) == ([10, 12], [2, 4])
    assert x.value.tolist() == [1, 2]
    assert doubled.pool.total_bytes() == 1 << 20
