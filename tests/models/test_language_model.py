"""A language model reads a sequence at once or token by token, and both are the same model."""

import itertools
import json

import numpy as np
import pytest

import minilinear as ml
from minilinear.errors import ConfigError
from minilinear.models import FEED_FORWARDS, MIXERS, NORMS, PRESETS, Block, LanguageModel, ModelConfig, sample
from tests.nn.modules import check_gradients, double
from tests.recurrence.cases import FORMS, close

OPTIONS = {"heads": 2, "key_dim": 4, "value_dim": 3}
every_mixer = pytest.mark.parametrize("mixer", MIXERS)
OF_ONE_SIZE = [mixer for mixer in MIXERS if mixer != "softmax"]  # whose state does not grow


def config(**changes):
    return ModelConfig(**{"vocabulary": 11, "D": 8, "layers": 2, "mixer_options": OPTIONS, "chunk": 4} | changes)


def model_and_ids(T=9, B=2, **changes):
    rng = np.random.default_rng(0)
    return double(LanguageModel(config(**changes), rng=rng)), rng.integers(0, 11, (B, T))


def flat(state):
    """Every array in the states of all layers."""
    return [ml.tensor(a).data for layer in state for a in layer]


# Values


@every_mixer
def test_the_model_is_what_it_is_made_of(mixer):
    model, ids = model_and_ids(mixer=mixer)
    x = model.embedding.weight.data[ids]
    norm = lambda x, layer: x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-5) * layer.weight.data
    for block in model.blocks:
        x = x + block.mixer(norm(x, block.mixer_norm))[0].data
        x = x + block.feed_forward(norm(x, block.feed_forward_norm)).data
    logits = norm(x, model.norm) @ model.head.weight.data + model.head.bias.data
    got, state = model(ids)
    assert got.shape == (2, 9, 11)
    assert len(state) == 2
    close(got.data, logits, 1e-12)


@every_mixer
def test_all_forms_agree(mixer):
    model, ids = model_and_ids(mixer=mixer)
    wanted, _ = model(ids, form="recurrent")
    for form in FORMS:
        close(model(ids, form=form)[0].data, wanted.data, 1e-11)


@every_mixer
def test_a_loop_of_steps_is_the_forward(mixer):
    model, ids = model_and_ids(mixer=mixer)
    logits, final = model(ids)
    state = model.initial_state(2)
    for t in range(9):
        logits_t, state = model.step(ids[:, t], state)
        close(logits_t.data, logits.data[:, t], 1e-11)
    for a, b in zip(flat(state), flat(final), strict=True):
        close(a, b, 1e-11)


@every_mixer
def test_a_run_can_be_handed_over_at_every_token(mixer):
    model, ids = model_and_ids(mixer=mixer)
    logits, _ = model(ids)
    for t in range(10):
        head, state = model(ids[:, :t])
        tail, _ = model(ids[:, t:], state)
        close(np.concatenate([head.data, tail.data], 1), logits.data, 1e-11)


@every_mixer
def test_packed_sequences_are_separate_runs(mixer):
    model, ids = model_and_ids(mixer=mixer, B=1, T=12)
    starts = (0, 1, 1, 5, 12)
    logits, state = model(ids, cu_seqlens=starts)
    for i, (a, b) in enumerate(itertools.pairwise(starts)):
        alone, final = model(ids[:, a:b])
        close(logits.data[:, a:b], alone.data, 1e-11)
        if mixer in OF_ONE_SIZE:
            for x, y in zip(flat(state), flat(final), strict=True):
                close(x[i : i + 1], y, 1e-11)


@pytest.mark.parametrize("mixer", OF_ONE_SIZE)
def test_the_state_has_one_size_at_every_length(mixer):
    model, _ = model_and_ids(mixer=mixer)
    for T in (1, 2, 30):
        _, state = model(np.zeros((3, T), int))
        assert sum(a.size for a in flat(state)) == 3 * model.state_floats(T)
        assert [a.shape for a in flat(state)] == [a.shape for a in flat(model.initial_state(3))]


@every_mixer
def test_gradients_of_every_parameter_are_the_slopes(mixer):
    model, ids = model_and_ids(T=5, mixer=mixer)
    check_gradients(model, lambda: model(ids)[0], [])


@every_mixer
def test_the_same_generator_gives_the_same_model_in_float32(mixer):
    a, b = (LanguageModel(config(mixer=mixer), rng=np.random.default_rng(3)) for _ in range(2))
    ids = np.arange(10)[None]
    assert (a(ids)[0].data == b(ids)[0].data).all()
    assert a(ids)[0].dtype == np.float32
    assert {p.dtype for p in a.parameters()} == {np.dtype(np.float32)}
    assert any(".blocks." in f".{name}" for name, _ in a.named_parameters())


def test_ids_outside_the_vocabulary_are_named():
    model, ids = model_and_ids()
    with pytest.raises(ValueError, match="integers from 0 to 10"):
        model(ids + 5)


def test_a_block_adds_what_its_layers_make_of_the_norm():
    class Twice:
        def __call__(self, x, state, *, cu_seqlens, form, chunk):
            return 2 * x, (state, cu_seqlens, form, chunk)

        def step(self, x_t, state):
            return 2 * x_t, "stepped"

    block = Block(Twice(), lambda x: 3 * x, lambda: lambda x: x + 1)
    x = np.ones((1, 1, 1))  # 1 + 2 (1 + 1) = 5, then 5 + 3 (5 + 1) = 23
    y, state = block(x, "before", cu_seqlens=(0, 1), form="f", chunk=4)
    assert y.item() == 23
    assert state == ("before", (0, 1), "f", 4)
    y, state = block.step(x[:, 0], "before")
    assert (y.item(), state) == (23, "stepped")


# Generating


@every_mixer
def test_at_temperature_zero_it_says_what_the_forward_finds_likeliest(mixer):
    model, ids = model_and_ids(mixer=mixer)
    model.head.bias.assign_(0 * model.head.bias.data)  # or it would say the same token for ever
    rng = np.random.default_rng(2)
    for p in model.parameters():
        if p.ndim == 2:
            p.assign_(rng.standard_normal(p.shape))
    prompt = ids[0, :2]
    said = list(itertools.islice(model.generate(prompt, rng=np.random.default_rng(0), temperature=0), 8))
    assert len(set(said)) > 1
    known = list(prompt)
    for token in said:
        assert token == model(np.array(known)[None])[0].data[0, -1].argmax()
        assert type(token) is int
        known.append(token)


def test_generating_records_no_graph():
    model, ids = model_and_ids()
    next(model.generate(ids[0], rng=np.random.default_rng(0)))
    assert all(p.grad is None for p in model.parameters())
    seen = []
    model.step, step = (lambda *a: seen.append(step(*a)) or seen[-1]), model.step
    list(itertools.islice(model.generate(ids[0].tolist(), rng=np.random.default_rng(0)), 3))
    assert len(seen) == 2
    assert not any(logits.requires_grad for logits, _ in seen)


def test_the_same_generator_says_the_same():
    model, ids = model_and_ids()
    talk = lambda seed, **o: list(itertools.islice(model.generate(ids[0], rng=np.random.default_rng(seed), **o), 12))
    assert talk(0) == talk(0)
    assert talk(0) != talk(1)
    assert talk(0, top_k=1) == talk(1, temperature=0)


SCORES = np.log(np.array([0.5, 0.3, 0.15, 0.05]))


def frequencies(n=20_000, **options):
    rng = np.random.default_rng(0)
    return np.bincount([sample(SCORES, rng, **options) for _ in range(n)], minlength=4) / n


@pytest.mark.parametrize(
    ("options", "p"),
    [
        ({}, [0.5, 0.3, 0.15, 0.05]),
        ({"temperature": 0}, [1, 0, 0, 0]),
        ({"temperature": 0.5}, [0.685, 0.247, 0.062, 0.007]),  # the squares
        ({"top_k": 2}, [0.625, 0.375, 0, 0]),
        ({"top_k": 1}, [1, 0, 0, 0]),
        ({"top_k": 9}, [0.5, 0.3, 0.15, 0.05]),
    ],
)
def test_tokens_are_drawn_with_their_probability(options, p):
    np.testing.assert_allclose(frequencies(2000 if options.get("top_k") == 1 else 20_000, **options), p, atol=0.012)


@pytest.mark.parametrize("options", [{"temperature": -1}, {"top_k": 0}])
def test_options_that_draw_nothing_are_refused(options):
    with pytest.raises(ConfigError, match=r"temperature is 0 or more, and top_k 1 or more\.\n  got: temperature"):
        sample(SCORES, np.random.default_rng(0), **options)


def test_large_scores_do_not_overflow():
    with np.errstate(all="raise", under="ignore"):
        assert sample(np.array([-1e4, 1e4, 0], np.float32), np.random.default_rng(0)) == 1
        assert sample(np.array([0, 1.0], np.float32), np.random.default_rng(0), temperature=1e-6) == 1


# Configuration


def test_a_configuration_survives_json():
    for c in (config(), config(hidden=24, mixer_options=PRESETS["delta_product"]["language"]), ModelConfig(5)):
        assert ModelConfig.from_json(json.loads(json.dumps(c.to_json()))) == c


def test_a_configuration_decides_the_shape():
    a = LanguageModel(config(), rng=np.random.default_rng(0))
    b = LanguageModel(ModelConfig.from_json(config().to_json()), rng=np.random.default_rng(1))
    b.load_state_dict(a.state_dict())
    ids = np.arange(10)[None]
    assert (a(ids)[0].data == b(ids)[0].data).all()
    assert LanguageModel(config(hidden=16), rng=np.random.default_rng(0)).blocks[0].feed_forward.down.weight.shape == (
        16,
        8,
    )


@pytest.mark.parametrize("name", ["mixer", "ffn", "norm"])
def test_an_unknown_part_is_refused_with_the_names_there_are(name):
    known = {"mixer": MIXERS, "ffn": FEED_FORWARDS, "norm": NORMS}[name]
    with pytest.raises(
        ConfigError, match=rf"{name} is one of {', '.join(known)}(, or a plan of them)?\.\n  got: 'magic'\n  fix"
    ):
        config(**{name: "magic"})


@pytest.mark.parametrize("name", ["vocabulary", "D", "layers"])
def test_sizes_are_one_or_more(name):
    with pytest.raises(ConfigError, match=rf"{name} is 1 or more\.\n  got: 0"):
        config(**{name: 0})


def test_unknown_mixer_options_are_refused_with_the_ones_there_are():
    with pytest.raises(ConfigError, match=r"has the options .*key_dim.*\n  got: hands"):
        config(mixer_options={"hands": 3})


def test_a_state_has_a_part_for_each_block():
    model = LanguageModel(config(layers=2), rng=np.random.default_rng(0))
    with pytest.raises(ValueError, match="each of the 2 blocks"):
        model.step(np.array([1]), model.initial_state(1)[:1])


@pytest.mark.parametrize("prompt", [[], [[1, 2]]])
def test_a_prompt_is_a_row_of_ids(prompt):
    model = LanguageModel(config(), rng=np.random.default_rng(0))
    with pytest.raises(ValueError, match="row of token ids"):
        next(model.generate(prompt, rng=np.random.default_rng(0)))


def test_a_foreign_configuration_is_refused():
    with pytest.raises(ConfigError, match="not the configuration of a model"):
        ModelConfig.from_json(config().to_json() | {"n_embd": 3})


@pytest.mark.parametrize("norm", NORMS)
def test_every_norm_makes_a_model(norm):
    model, ids = model_and_ids(norm=norm)
    model.eval()
    logits, state = model(ids)[0].data, model.initial_state(2)
    for t in range(9):
        logits_t, state = model.step(ids[:, t], state)
        close(logits_t.data, logits[:, t], 1e-11)


@pytest.mark.parametrize(("mixer", "preset"), [(m, p) for m, presets in PRESETS.items() for p in presets])
def test_every_preset_makes_a_model(mixer, preset):
    model = LanguageModel(config(D=64, mixer=mixer, mixer_options=PRESETS[mixer][preset]), rng=np.random.default_rng(0))
    assert np.isfinite(model(np.arange(9)[None])[0].data).all()
