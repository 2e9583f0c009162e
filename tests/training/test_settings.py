"""What a run may be told beyond its task: micro-batches, segments, carried states, averages, optimizers, placements."""

import json

import numpy as np
import pytest

from minilinear.autograd import cross_entropy, grad
from minilinear.errors import ConfigError, RunError, TrainingFailed
from minilinear.models import FEED_FORWARDS, MIXERS, NORMS, PLACEMENTS
from minilinear.optim import OPTIMIZERS
from minilinear.tasks import task
from minilinear.training import Run, RunFolder, bits_by_position, evaluate
from minilinear.training.recipes import prepare, recipe

SMALL = {"D": 16, "hidden": 16, "heads": 2, "steps": 4, "batch": 6}


def made(name="s3", folder=".", options=None, **settings):
    options = {"lengths": (4, 8)} if name == "s3" else {"length": 32} if name == "text" else (options or {})
    of_task, config = prepare(name, SMALL | settings, task_options=options)
    return Run(config, RunFolder(folder), of_task)


def finished(run):
    while not run.finished:
        run.advance()
    return run.model.state_dict()


def same(a, b):
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)


@pytest.mark.parametrize("parts", [2, 4, 6])
def test_the_gradient_of_micro_batches_is_that_of_the_batch(parts):
    whole, cut = made(), made(micro_batches=parts)
    inputs, targets = whole._batch()
    targets[:2, 1:] = -1  # parts that count differently many targets
    (loss, gradients), (loss_, gradients_) = whole._gradients(inputs, targets), cut._gradients(inputs, targets)
    assert loss == pytest.approx(loss_, rel=1e-6)
    for a, b in zip(gradients, gradients_):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_segments_have_the_loss_of_the_whole_and_a_gradient_that_stops_at_their_borders():
    whole, cut = made("text"), made("text", segment=8)
    inputs, targets = whole._batch()
    (loss, gradients), (loss_, gradients_) = whole._gradients(inputs, targets), cut._gradients(inputs, targets)
    assert loss == pytest.approx(loss_, rel=1e-5)  # the state goes on
    assert not np.allclose(gradients[0], gradients_[0], rtol=1e-3)  # the gradient does not
    state, parts = None, []
    for t in range(0, 32, 8):
        logits, state = cut.model(inputs[:, t : t + 8], state)
        state = tuple(s.detach() for s in state)
        parts.append(cross_entropy(logits, targets[:, t : t + 8]) * 0.25)
    by_hand = [sum(g) for g in zip(*([d.data for d in grad(part, cut.parameters)] for part in parts))]
    for a, b in zip(gradients_, by_hand):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_carried_states_go_from_batch_to_batch_and_through_a_checkpoint(tmp_path):
    whole = made("text", carry=True, steps=6)
    weights = finished(whole)
    killed = made("text", tmp_path, carry=True, steps=6)
    killed.folder.write_config(killed.config.to_json())
    for _ in range(3):
        killed.advance()
    first, _ = killed.task.consecutive(0, 6)
    second, _ = killed.task.consecutive(1, 6)
    text = killed.task.decode(np.concatenate([first[0], second[0]]))
    assert text in "".join(killed.task.decode(killed.task._parts[0][:200]))  # they are consecutive
    killed.save()
    again = Run.resume(RunFolder(tmp_path))
    for a, b in zip(killed.carried, again.carried):
        for x, y in zip(a, b):
            np.testing.assert_array_equal(x, y)
    same(weights, finished(again))


def test_the_average_of_the_weights_is_saved_and_is_what_is_evaluated(tmp_path):
    run = made("s3", tmp_path, ema=0.5)
    run.folder.write_config(run.config.to_json())
    run.advance()
    one = run.model.state_dict()
    run.advance()
    two = run.model.state_dict()
    expected = (0.25 * one["head.weight"] + 0.5 * two["head.weight"]) / 0.75
    with run.average.applied():
        np.testing.assert_allclose(run.model.head.weight.data, expected, rtol=1e-5)
    same(run.model.state_dict(), two)
    run.save()
    again = Run.resume(RunFolder(tmp_path))
    same(finished(run), finished(again))
    for a, b in zip(run.average.average(), again.average.average()):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_trains_and_resumes_bit_for_bit(tmp_path, optimizer):
    run = made("s3", tmp_path, optimizer=optimizer)
    run.folder.write_config(run.config.to_json())
    for _ in range(2):
        run.advance()
    run.save()
    before, after = finished(run), finished(Run.resume(RunFolder(tmp_path)))
    same(before, after)
    assert all(np.isfinite(x).all() for x in before.values())


@pytest.mark.parametrize(
    ("name", "value"),
    [("mixer", m) for m in MIXERS] + [("ffn", f) for f in FEED_FORWARDS] + [("norm", n) for n in NORMS]
    + [("placement", p) for p in PLACEMENTS if p != "deep_norm"] + [("mixer", "delta_net*2+softmax")],
)  # fmt: skip
def test_every_part_by_name_trains_on_pictures_and_words(name, value):
    for of_task in ("s3", "digits"):
        settings = {"heads": 2, "key_dim": 4, "value_dim": 4} | {name: value, "layers": 3, "steps": 2}
        run = made(of_task, **settings)
        finished(run)
        assert np.isfinite(run.model.head.weight.data).all()
    found = evaluate(run.model, run.task, size=8)
    assert 0 <= found["8"]["accuracy"] <= 1


def test_deep_norm_starts_its_layers_smaller():
    deep, pre = made(placement="deep_norm", layers=2), made(placement="pre", layers=2)
    for at in ("output", "qkv"):
        a, b = (getattr(run.model.blocks[0].mixer, at).weight.data for run in (deep, pre))
        n = b.shape[1] if at == "output" else deep.model.blocks[0].mixer.qkv.weight.parts[-1]
        np.testing.assert_allclose(a[:, -n:], b[:, -n:] * 16**-0.25, rtol=1e-6)
    assert finished(deep).keys() == finished(pre).keys() - {"norm.weight"}


def test_a_loss_that_is_not_finite_names_step_call_and_checkpoint(tmp_path):
    run = made("s3", tmp_path)
    run.folder.write_config(run.config.to_json())
    run.advance()
    run.save()
    run.model.head.weight.assign_(np.full(run.model.head.weight.shape, 3e38, np.float32))
    with pytest.raises(TrainingFailed, match=r"at step 1\.") as caught, np.errstate(all="ignore"):
        run.advance()
    assert "linear in the forward" in str(caught.value)
    assert "last good checkpoint" in str(caught.value) and "at step 1" in str(caught.value).split("checkpoint:")[1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"micro_batches": 0}, "micro_batches is 1 or more"),
        ({"segment": -1}, "segment is 0 or more"),
        ({"ema": 1.5}, "ema is 0 for none, or below 1"),
        ({"carry": True}, "goes on with the same text"),
        ({"optimizer": "adamm"}, "optimizer is one of"),
        ({"schedule": "cosin"}, "schedule is one of"),
        ({"placement": "peripheral"}, "placement is one of"),
        ({"mixer": "glaa"}, "did you mean gla"),
        ({"norm": "rmsnorm"}, "did you mean"),
        ({"ffn": "swigluu"}, "did you mean swiglu"),
        ({"headz": 3}, "did you mean heads"),
        ({"optimizer.momentun": 0.9, "optimizer": "sgd"}, "options here are"),
        ({"D": "wide"}, "D is a whole number"),
        ({"steps": 1.5}, "steps is a whole number"),
    ],
)
def test_wrong_settings_say_what_is_right(changes, message):
    with pytest.raises(ConfigError, match=message):
        Run(recipe(task("s3"), changes=changes), RunFolder("."), task("s3"))


def test_bits_by_position_are_those_of_the_window(tmp_path):
    run = made("text")
    found = bits_by_position(run.model, run.task, times=(1, 2, 4), limit=3)
    assert list(found) == ["1", "2", "4"]
    inputs, targets = run.task.held_out_windows(length=128, limit=3)
    logits, _ = run.model(inputs)
    expected = cross_entropy(logits[:, 32:64], targets[:, 32:64]).item() / np.log(2)
    assert found["2"]["carried"] == pytest.approx(expected, rel=1e-4)
    alone, _ = run.model(inputs[:, 32:64])
    assert found["2"]["windows"] == pytest.approx(cross_entropy(alone, targets[:, 32:64]).item() / np.log(2), rel=1e-4)
    assert found["1"]["windows"] == pytest.approx(found["1"]["carried"], rel=1e-4)


def test_a_configuration_of_everything_survives_json():
    settings = {"optimizer": "sgd", "optimizer.momentum": 0.5, "ema": 0.9, "segment": 4, "placement": "peri"}
    _, config = prepare("s3", SMALL | settings)
    assert type(config)(**json.loads(json.dumps(config.to_json()))).to_json() == config.to_json()


@pytest.mark.parametrize("setting", [{"micro_batches": 2}, {"segment": 4}])
def test_a_norm_over_the_batch_is_not_given_parts_of_it(setting):
    with pytest.raises(ConfigError, match="wants to see it whole"):
        made(norm="batch_norm", **setting)


def test_a_step_that_fails_leaves_running_statistics_and_carried_states_as_they_were(tmp_path):
    run = made("s3", tmp_path, norm="batch_norm")
    run.advance()
    before = run.model.state_dict()
    run.model.head.weight.assign_(np.full(run.model.head.weight.shape, 3e38, np.float32))
    with pytest.raises(TrainingFailed, match="loss or its gradient is not finite"):
        run.advance()
    after = run.model.state_dict()
    assert any("running" in name for name in before)
    same(
        {n: x for n, x in before.items() if n != "head.weight"}, {n: x for n, x in after.items() if n != "head.weight"}
    )


def test_a_checkpoint_of_another_configuration_is_refused(tmp_path):
    run = made("s3", tmp_path)
    run.save()
    run.folder.write_config(made("s3", tmp_path, D=8).config.to_json())
    with pytest.raises(RunError, match=r"is not that of the model and optimizer in .*config\.json"):
        Run.resume(RunFolder(tmp_path))


# Precision.


def test_master_weights_and_the_optimizer_stay_float32_and_small_steps_are_not_lost():
    run = made(precision="bf16", lr=1e-6)
    before = run.model.state_dict()
    run.advance()
    after = run.model.state_dict()
    for p in [*run.parameters, *run.optimizer.m, *run.optimizer.v]:
        assert (p.data if hasattr(p, "assign_") else p).dtype == np.float32
    moved = {name for name in before if not np.array_equal(before[name], after[name])}
    assert len(moved) == len(before)  # a step of 1e-6 of a weight: eight bits would not see it


@pytest.mark.parametrize(("precision", "least", "most"), [("tf32", 1e-6, 2e-3), ("bf16", 1e-4, 2e-2)])
def test_a_gradient_in_low_precision_is_near_that_of_float32(precision, least, most):
    """Relative Frobenius norm; the bound is the one of kernels on tensor cores."""
    exact, run = made(), made(precision=precision)
    exact.advance(), run.advance()
    found = np.concatenate([m.ravel() for m in run.optimizer.m])
    want = np.concatenate([m.ravel() for m in exact.optimizer.m])
    assert least < np.linalg.norm(found - want) / np.linalg.norm(want) < most


def test_a_change_of_precision_is_in_the_record_and_outlives_the_checkpoint(tmp_path):
    run = made(folder=tmp_path, precision="bf16")
    run.folder.write_config(run.config.to_json())
    run.advance()
    run.go_on_in("bf16")  # no change
    run.go_on_in("tf32")
    run.save()
    again = Run.resume(run.folder)
    assert (again.config.precision, again.precisions) == ("tf32", [[0, "bf16"], [1, "tf32"]])
    assert json.loads(run.folder.config.read_text())["precision"] == "bf16"  # as it began
    run.advance(), again.advance()
    same(run.model.state_dict(), again.model.state_dict())
    with pytest.raises(ConfigError, match="precision is one of"):
        again.go_on_in("fp8")


def test_a_run_from_before_there_were_precisions_is_in_float32(tmp_path):
    run = made(folder=tmp_path)
    config = {name: value for name, value in run.config.to_json().items() if name != "precision"}
    run.folder.write_config(config)
    assert Run.resume(run.folder).precisions == [[0, "fp32"]]


# Recomputation.


@pytest.mark.parametrize("more", [{}, {"norm": "batch_norm"}, {"micro_batches": 2}, {"precision": "bf16", "ema": 0.9}])
@pytest.mark.parametrize("name", ["s3", "text"])
def test_a_run_that_recomputes_ends_at_the_same_weights(name, more):
    settings = more | ({"carry": True, "segment": 16} if name == "text" and "norm" not in more else {})
    runs = [made(name, recompute=recompute, **settings) for recompute in (False, True)]
    assert [run.model.recomputes for run in runs] == [False, True]
    same(*map(finished, runs))
