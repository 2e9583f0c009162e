"""What training takes of a machine, and what a preset for a GPU is."""

import math

import numpy as np
import pytest

import minilinear as ml
from minilinear.errors import ConfigError
from minilinear.models import MIXERS
from minilinear.training import Run, RunFolder
from minilinear.training.recipes import prepare
from minilinear.training.usage import LAUNCH, RATES, peak_memory, too_small, width_for_a_gpu
from tests.gpu import fake_cupy


@pytest.mark.parametrize("precision", RATES)
@pytest.mark.parametrize("tokens", [1, 2048, 8192])
def test_at_the_width_a_product_takes_as_long_as_its_launch(tokens, precision):
    D = width_for_a_gpu(tokens, precision)
    seconds = lambda D: 2 * tokens * D * D / RATES[precision]
    assert seconds(D - 1) < LAUNCH <= seconds(D)
    assert too_small(D, tokens, precision) is None
    assert f"D = {D - 1}, below {D}" in too_small(D - 1, tokens, precision)
    assert "not measured" in too_small(D - 1, tokens, precision)


def test_memory_is_that_of_the_process_or_of_the_gpu_s_pool():
    before, of = peak_memory()
    assert of == "of this process"
    held = np.ones(40 << 20)  # 320 MiB, touched
    assert peak_memory()[0] >= max(before, held.nbytes)
    with fake_cupy.installed(), ml.use("cupy"):
        assert peak_memory() == (3 << 20, "of the GPU's pool")


def test_tokens_a_second_are_of_this_sitting(tmp_path):
    made, config = prepare("digits", {"D": 8, "heads": 2}, training={"steps": 3, "batch": 2})
    run = Run(config, RunFolder(tmp_path), made)
    assert run.tokens_per_second is None
    run.seconds = 1000.0  # of an earlier sitting
    progress = [run.advance() for _ in range(2)]
    inputs, _ = run._batch()
    assert progress[0].tokens == math.prod(inputs.shape[:2]) < inputs.size  # rows, not numbers
    assert run.tokens_per_second == pytest.approx(2 * progress[0].tokens / (run.seconds - 1000))


def test_the_preset_for_a_gpu():
    made, config = prepare("text", {}, preset="text-gpu")
    model = config.model
    assert made.length == 1024
    assert (model["D"], model["layers"], model["mixer"], config.batch) == (768, 12, "gated_delta_net", 8)
    assert model["mixer_options"] == {"heads": 6, "key_dim": 128, "value_dim": 128}
    assert model["D"] >= width_for_a_gpu(made.length * config.batch, "bf16")
    shorter, _ = prepare("text", {}, preset="text-gpu", task_options={"length": 64})
    assert shorter.length == 64
    with pytest.raises(ConfigError, match="text-gpu is for the task text"):
        prepare("s3", {}, preset="text-gpu")
    assert prepare("text", {})[0].length == 256  # the usual one is as it was


@pytest.mark.parametrize("mixer", MIXERS)
def test_the_preset_for_a_gpu_takes_any_mixer(mixer, tmp_path):
    settings = {"mixer": mixer, "D": 32, "layers": 1, "hidden": 8}
    made, config = prepare("text", settings, preset="text-gpu", task_options={"length": 8}, training={"batch": 1})
    assert np.isfinite(Run(config, RunFolder(tmp_path), made).advance().loss)
