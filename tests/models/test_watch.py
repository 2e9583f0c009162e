"""What is watched is what happens: states are those that stepping leaves, eigenvalues solve their equation."""

import numpy as np
import pytest

from minilinear.autograd import no_grad
from minilinear.models import PLACEMENTS, Classifier, LanguageModel, ModelConfig
from minilinear.models.watch import watch, watch_layer
from tests.mixers.cases import ALL, IDS, draw, make
from tests.nn.modules import double
from tests.recurrence.cases import close

OPTIONS = {"heads": 2, "key_dim": 4, "value_dim": 3}


def language_model(**changes):
    config = ModelConfig(**{"vocabulary": 7, "D": 8, "layers": 2, "mixer_options": OPTIONS, "chunk": 4} | changes)
    return double(LanguageModel(config, rng=np.random.default_rng(0)))


@pytest.mark.parametrize(("mixer", "variant"), ALL, ids=IDS)
def test_every_state_is_the_one_that_stepping_leaves(mixer, variant):
    layer, x = make(mixer, variant), draw(T=7)
    seen = watch_layer(layer, x)
    state = layer.initial_state(len(x))
    with no_grad():
        for t in range(x.shape[1]):
            _, state = layer.step(x[:, t], state)
            close(seen.states[:, t], state.memory.data if hasattr(state.memory, "_node") else state.memory, 1e-10)


@pytest.mark.parametrize(("mixer", "variant"), ALL, ids=IDS)
def test_eigenvalues_are_those_of_the_transitions(mixer, variant):
    seen = watch_layer(make(mixer, variant), draw(T=3))
    A, found = seen.transitions, seen.eigenvalues
    assert found.shape == A.shape[:-1] and found.dtype == np.complex128
    for power in (1, 2, 3):  # the sums of their powers are the traces of A's powers
        trace = np.trace(np.linalg.matrix_power(A, power), axis1=-2, axis2=-1)
        close((found**power).sum(-1).real, trace, 1e-9)
        close((found**power).sum(-1).imag, 0 * trace, 1e-9)


def test_one_reflection_has_the_eigenvalue_one_minus_beta():
    seen = watch_layer(make("delta_net", "no activation, negative"), draw(T=5))
    least = np.sort(seen.eigenvalues.real, -1)
    close(least[..., 0], np.minimum(1 - seen.beta, 1), 1e-4)  # keys are of length 1 up to the norm's 1e-6
    close(least[..., 1:], np.ones_like(least[..., 1:]), 1e-4)
    assert seen.alpha is None


@pytest.mark.parametrize("mixer", ["simple_gla", "mamba2"])
def test_a_gate_that_may_be_negative_is_shown_with_its_sign(mixer):
    layer = make(mixer, "negative")
    seen = watch_layer(layer, 20 * draw(T=6))
    assert (seen.alpha < 0).any() and (seen.alpha > 0).any()
    close(seen.transitions[..., 0, 0], seen.alpha, 1e-12)


def test_gates_of_channels_and_of_several_writes_keep_their_axes():
    assert watch_layer(make("kda", "default"), draw(T=5)).alpha.shape == (2, 5, 2, 4)
    assert watch_layer(make("gated_delta_product", "three steps"), draw(T=5)).beta.shape == (2, 5, 3, 2)
    assert watch_layer(make("linear", "default"), draw(T=5)).beta is None


@pytest.mark.parametrize("placement", PLACEMENTS)
@pytest.mark.parametrize("mixer", ["delta_product", "gated_delta_net"])
def test_in_a_model_each_layer_is_watched_on_what_it_really_reads(placement, mixer):
    model = language_model(placement=placement, mixer=mixer)
    ids = np.random.default_rng(1).integers(7, size=(2, 6))
    seen = watch(model, ids)
    state = model.initial_state(2)
    with no_grad():
        for t in range(6):
            _, state = model.step(ids[:, t], state)
            for layer, after in zip(seen, state, strict=True):
                close(layer.states[:, t], after.memory.data if hasattr(after.memory, "_node") else after.memory, 1e-10)


def test_layers_without_a_memory_are_passed_over():
    options = {"delta_net": OPTIONS, "softmax": {"heads": 2, "key_dim": 4}}
    model = language_model(mixer="softmax+delta_net+none", mixer_options=options, layers=4)
    ids = np.arange(5)[None]
    assert [(seen.block, seen.mixer) for seen in watch(model, ids)] == [(2, "delta_net")]
    assert watch(language_model(mixer="softmax", mixer_options={"heads": 2}), ids) == []


def test_rows_of_numbers_are_read_too():
    config = ModelConfig(3, kind="classifier", features=5, D=8, layers=1, mixer_options=OPTIONS)
    model = Classifier(config, rng=np.random.default_rng(0))
    (seen,) = watch(model, np.ones((2, 4, 5), np.float32))
    assert seen.states.shape == (2, 4, 2, 4, 3) and np.isfinite(seen.states).all()
