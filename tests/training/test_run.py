"""A run: it learns, it stops, it resumes to the same weights, and it says when it fails."""

import json

import numpy as np
import pytest

from minilinear.autograd import cross_entropy, grad
from minilinear.errors import ConfigError, RunError, TrainingFailed
from minilinear.models import LanguageModel, ModelConfig
from minilinear.randomness import stream
from minilinear.tasks import task
from minilinear.training import Run, RunConfig, RunFolder, evaluate, evaluate_text
from minilinear.training.recipes import fitted_to, parse_changes, recipe


def small(name="s3", **training):
    made = task(name, lengths=(4, 8)) if name != "text" else task("text", length=32)
    shape = {"D": 16, "hidden": 16, "heads": 2}
    return made, recipe(made, changes=shape, training={"steps": 6, "batch": 4} | training)


def weights(run):
    return run.model.state_dict()


def test_training_lowers_the_loss(tmp_path):
    made, config = small("z2", steps=120, batch=32)
    run = Run.start(config, RunFolder(tmp_path), made)
    losses = []
    while not run.finished:
        losses.append(run.advance().loss)
    assert np.mean(losses[-10:]) < 0.6 * np.mean(losses[:10])


def test_a_killed_run_ends_where_it_would_have_ended(tmp_path):
    made, config = small()
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    whole = Run.start(config, RunFolder(tmp_path / "a"), made)
    while not whole.finished:
        whole.advance()

    killed = Run.start(config, RunFolder(tmp_path / "b"), made)
    for _ in range(3):
        killed.record(killed.advance())
    killed.save()
    killed.record(killed.advance())  # a step that no checkpoint knows
    del killed
    again = Run.resume(RunFolder(tmp_path / "b"))
    assert again.step == 3
    while not again.finished:
        again.advance()
    for name, array in weights(whole).items():
        np.testing.assert_array_equal(array, weights(again)[name], err_msg=name)


def test_resume_forgets_steps_after_the_checkpoint(tmp_path):
    made, config = small()
    run = Run.start(config, RunFolder(tmp_path), made)
    for _ in range(4):
        run.record(run.advance())
        if run.step == 2:
            run.save()
    assert RunFolder(tmp_path).truncate_after(Run.resume(RunFolder(tmp_path)).step) == 2


def test_a_missing_checkpoint_beside_its_predecessor_is_not_a_new_beginning(tmp_path):
    made, config = small()
    run = Run.start(config, RunFolder(tmp_path), made)
    for _ in range(2):
        run.advance()
        run.save()
    run.folder.checkpoint.unlink()
    with pytest.raises(RunError, match="prev"):
        Run.resume(RunFolder(tmp_path))


def test_a_foreign_config_is_refused(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"hello": 1}))
    with pytest.raises(ConfigError, match="not a run's configuration"):
        Run.resume(RunFolder(tmp_path))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_loss_that_is_not_finite_stops_the_run_and_changes_nothing(tmp_path):
    made, config = small()
    run = Run.start(config, RunFolder(tmp_path), made)
    run.model.head.weight.assign_(np.full(run.model.head.weight.shape, np.nan))
    before = weights(run)["embedding.weight"]
    with pytest.raises(TrainingFailed, match="step 0"):
        run.advance()
    np.testing.assert_array_equal(before, weights(run)["embedding.weight"])


@pytest.mark.parametrize("threads", ["1", "2", "3"])
def test_the_batch_shared_among_threads_has_the_gradient_of_the_batch(tmp_path, monkeypatch, threads):
    made, config = small(batch=7)
    run = Run.start(config, RunFolder(tmp_path), made)
    inputs, targets = made.batch(stream(0, "batch"), 7)
    targets[:2, 1:] = -1  # parts that count differently many targets
    monkeypatch.setenv("MINILINEAR_THREADS", threads)
    monkeypatch.setattr("minilinear.training.run.SHARED_FROM", 0)
    loss, gradients = run._gradients(inputs, targets)
    whole = cross_entropy(run.model(inputs)[0], targets)
    assert loss == pytest.approx(whole.item(), rel=1e-6)
    for got, expected in zip(gradients, grad(whole, run.parameters)):
        np.testing.assert_allclose(got, expected.data, rtol=2e-3, atol=2e-6)


def test_evaluation_goes_to_eight_times_the_training_length(tmp_path):
    made, config = small()
    run = Run.start(config, RunFolder(tmp_path), made)
    assert list(evaluate(run.model, made, size=4)) == ["8", "16", "32", "64"]


def test_bits_per_character_of_a_model_that_knows_nothing(tmp_path):
    """A model whose scores are all 0 needs log2(vocabulary) bits, windows or carried."""
    made, config = small("text")
    run = Run.start(config, RunFolder(tmp_path), made)
    for parameter in (run.model.head.weight, run.model.head.bias):
        parameter.assign_(np.zeros(parameter.shape))
    bits = evaluate_text(run.model, made, limit=40)
    assert bits["windows"] == pytest.approx(np.log2(len(made.vocabulary)), rel=1e-5)
    assert bits["carried"] == pytest.approx(np.log2(len(made.vocabulary)), rel=1e-5)


def test_carried_bits_are_those_of_one_long_window(tmp_path):
    made, config = small("text")
    run = Run.start(config, RunFolder(tmp_path), made)
    bits = evaluate_text(run.model, made, limit=20)["carried"]  # 16 windows, then 4: the state is handed over once
    inputs, targets = made.held_out_windows(limit=20)
    logits, _ = run.model(inputs.reshape(1, -1))
    assert bits == pytest.approx(cross_entropy(logits, targets.reshape(1, -1)).item() / np.log(2), rel=1e-5)


# Recipes.


def test_a_preset_is_the_tasks_and_set_overrides_it():
    made = task("s3")
    config = recipe(made, changes={"R": 1, "layers": 2})
    assert config.preset == "state_tracking"
    assert config.model["mixer_options"]["R"] == 1 and config.model["layers"] == 2
    assert config.set == {"R": 1, "layers": 2}
    assert recipe(made).model["mixer_options"]["convolution"] == 0
    assert recipe(task("text", length=32)).model["mixer"] == "gated_delta_product"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"changes": {"head": 3}}, "--set changes an option"),
        ({"preset": "nonsense"}, "presets are paper, state_tracking"),
        ({"mixer": "nonsense"}, "mixer is one of"),
        ({"changes": {"heads": 0}}, None),
        ({"changes": {"D": 0}}, "D is 1 or more"),
        ({"training": {"steps": 0}}, "steps is 1 or more"),
        ({"training": {"lr": -1.0}}, "lr is a positive number"),
        ({"changes": {"R": "two"}}, None),
        ({"changes": {"activation": "relu"}}, None),
        ({"changes": {"chunk": 3}}, None),
        ({"changes": {"convolution": -1}}, None),
    ],
)
def test_wrong_settings_are_refused_before_anything_is_written(tmp_path, wrong, message):
    made = task("s3")
    with pytest.raises(ConfigError, match=message):
        Run.start(recipe(made, **wrong), RunFolder(tmp_path), made)
    assert not list(tmp_path.iterdir())


def test_changes_are_json_or_else_text():
    assert parse_changes(["R=1", "forget_gate=true", "convolution_init=uniform", "norm_eps=1e-6"]) == {
        "R": 1,
        "forget_gate": True,
        "convolution_init": "uniform",
        "norm_eps": 1e-6,
    }
    with pytest.raises(ConfigError, match="NAME=VALUE"):
        parse_changes(["R"])


def test_minutes_become_steps():
    made, config = small()
    assert fitted_to(0.001, config, made).steps >= 1
    assert fitted_to(100.0, config, made).steps > config.steps


def test_a_config_survives_json():
    _, config = small("text")
    assert RunConfig(**json.loads(json.dumps(config.to_json()))).to_json() == config.to_json()


def test_the_same_seed_gives_the_same_model_and_another_seed_another():
    _, config = small()
    model = ModelConfig.from_json(config.model)
    one, two, other = (LanguageModel(model, rng=stream(seed, "weights")).state_dict() for seed in (0, 0, 1))
    assert all(np.array_equal(one[name], two[name]) for name in one)
    assert not np.array_equal(one["embedding.weight"], other["embedding.weight"])
