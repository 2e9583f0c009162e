"""A model with LayerNorm, with RMSNorm and with CRMSNorm: three ways to compute one function."""

import inspect

import numpy as np
import pytest

import minilinear as ml
from minilinear.autograd import cross_entropy
from minilinear.delta import DeltaProduct
from minilinear.errors import ConfigError
from minilinear.mlp import FEED_FORWARDS, SwiGLU
from minilinear.models import (
    MIXERS,
    LanguageModel,
    ModelConfig,
    pre_crms,
    pre_rms,
    pre_rms_for_training,
)
from minilinear.models.pre_rms import ZeroMeanEmbedding, ZeroMeanLinear
from minilinear.nn import Buffer, Linear, Module
from minilinear.norms import CRMSNorm, LayerNorm, SimpleRMSNorm, layer_norm
from tests.nn.modules import check_gradients, double

CONVERSIONS = [pre_rms, pre_crms, pre_rms_for_training]
every_conversion = pytest.mark.parametrize("convert", CONVERSIONS)
OPTIONS = {"heads": 2, "key_dim": 4, "value_dim": 3}
VARIANTS = {
    "all that a mixer can have": {},
    "as little": {"convolution": 0, "activation": "none", "output_gate": False},
}
IDS = np.random.default_rng(0).integers(0, 11, (2, 9))


def model(variant="all that a mixer can have", **changes):
    """Float64, with gains, shifts and biases that are not where they start, and means that are not 0."""
    settings = {"vocabulary": 11, "D": 8, "layers": 3, "norm": "layer_norm", "chunk": 4}
    options = {"mixer_options": OPTIONS | VARIANTS[variant]}
    new = double(LanguageModel(ModelConfig(**settings | options | changes), rng=np.random.default_rng(0)))
    new.embedding.weight.assign_(new.embedding.weight.data + 0.3)
    for block in new.blocks:
        for writer in block.mixer.writers() + block.feed_forward.writers():
            writer.weight.assign_(writer.weight.data + 0.1)
    return new


def stream(model, ids):
    """x before each block and after the last."""
    x = model.embedding(ids)
    yield x.data
    for block in model.blocks:
        x, _ = block(x, form="recurrent", chunk=4)
        yield x.data


@every_conversion
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_logit_stays(convert, variant):
    before = model(variant)
    after = convert(before)
    assert type(after) is LanguageModel
    assert np.abs(after(IDS)[0].data - before(IDS)[0].data).max() < 1e-12
    state, other = before.initial_state(2), after.initial_state(2)
    for ids_t in IDS.T:
        (logits, state), (others, other) = before.step(ids_t, state), after.step(ids_t, other)
        assert np.abs(others.data - logits.data).max() < 1e-12


@every_conversion
@pytest.mark.parametrize("ffn", FEED_FORWARDS)
@pytest.mark.parametrize("mixer", MIXERS)
def test_every_layer_there_is_can_be_converted(convert, mixer, ffn):
    options = {name: n for name, n in OPTIONS.items() if name in inspect.signature(MIXERS[mixer]).parameters}
    before = model(mixer=mixer, mixer_options=options, ffn=ffn)
    assert np.abs(convert(before)(IDS)[0].data - before(IDS)[0].data).max() < 1e-12


@every_conversion
def test_writers_with_a_bias_are_converted_too(convert):
    before = model()
    rng = np.random.default_rng(4)
    for block in before.blocks:
        for layer in block.mixer, block.feed_forward:
            for linear in layer.writers() + layer.readers():
                linear.bias = ml.nn.Parameter(rng.standard_normal(linear.weight.shape[1]), decay=False)
    assert np.abs(convert(before)(IDS)[0].data - before(IDS)[0].data).max() < 1e-12


@every_conversion
def test_packed_sequences_and_every_epsilon_stay(convert):
    before = model()
    for block in before.blocks:
        block.mixer_norm.eps, block.feed_forward_norm.eps = 0.3, 0.05
    before.norm.eps = 0.2
    packed = {"cu_seqlens": (0, 4, 9)}
    assert np.abs(convert(before)(IDS[:1], **packed)[0].data - before(IDS[:1], **packed)[0].data).max() < 1e-12


@every_conversion
def test_the_model_that_was_given_stays_as_it_was(convert):
    before = model()
    saved, logits = before.state_dict(), before(IDS)[0].data
    after = convert(before)
    for p in after.parameters():
        p.assign_(p.data + 1)
    assert all((saved[name] == array).all() for name, array in before.state_dict().items())
    assert (before(IDS)[0].data == logits).all()
    assert not {id(p) for p in before.parameters()} & {id(p) for p in after.parameters()}
    assert type(before.norm) is LayerNorm
    assert before.config.norm == "layer_norm"


def test_the_stream_has_mean_zero():
    before, after = model(), pre_rms(model())
    training = pre_rms_for_training(before)
    for x, y, z in zip(*(stream(m, IDS) for m in (before, after, training))):
        assert np.abs(y.mean(-1)).max() < 1e-15
        assert np.abs(y - (x - x.mean(-1, keepdims=True))).max() < 1e-13
        assert np.abs(z - y).max() < 1e-13
        assert np.abs(x.mean(-1)).max() > 0.1


def test_the_short_stream_is_the_long_one_without_its_last_number():
    for y, z in zip(stream(pre_rms(model()), IDS), stream(pre_crms(model()), IDS)):
        assert z.shape == (2, 9, 7)
        assert np.abs(y[..., :-1] - z).max() < 1e-13


def test_the_configurations_say_what_they_are():
    rms, crms = pre_rms(model()), pre_crms(model())
    assert (rms.config.norm, rms.config.D) == ("simple_rms_norm", 8)
    assert (crms.config.norm, crms.config.D) == ("crms_norm", 7)
    for block in rms.blocks:
        assert type(block.mixer_norm) is type(block.feed_forward_norm) is SimpleRMSNorm
    for block in crms.blocks:
        assert type(block.mixer_norm) is type(block.feed_forward_norm) is CRMSNorm
    assert (type(rms.norm), type(crms.norm)) == (SimpleRMSNorm, CRMSNorm)
    assert not any(
        "norm" in name for name, _ in [*rms.named_parameters(), *crms.named_parameters()] if "mixer." not in name
    )


@every_conversion
def test_roles_and_parts_stay(convert):
    before, after = model(), convert(model())
    old = dict(before.named_parameters())
    for name, p in after.named_parameters():
        if name in old:
            assert (p.role, p.decay) == (old[name].role, old[name].decay)
            assert len(p.parts) == len(old[name].parts)
            assert not p.parts or sum(p.parts) == p.shape[-1]


@every_conversion
def test_float32_stays_float32(convert):
    config = ModelConfig(11, D=8, layers=2, norm="layer_norm", mixer_options=OPTIONS)
    before = LanguageModel(config, rng=np.random.default_rng(0))
    after = convert(before)
    assert {p.dtype for p in after.parameters()} == {np.dtype(np.float32)}
    logits = after(IDS)[0].data
    assert logits.dtype == np.float32
    assert np.abs(logits - before(IDS)[0].data).max() < 1e-5


@pytest.mark.parametrize(
    "layer",
    [
        DeltaProduct(8, **OPTIONS, rng=np.random.default_rng(0)),
        DeltaProduct(8, **OPTIONS | VARIANTS["as little"], rng=np.random.default_rng(0)),
        SwiGLU(8, rng=np.random.default_rng(0)),
    ],
    ids=["mixer", "bare mixer", "feed-forward"],
)
def test_a_layer_says_what_reads_and_what_writes(layer):
    readers, writers = layer.readers(), layer.writers()
    assert {linear.weight.shape[0] for linear in readers} == {8}
    assert {linear.weight.shape[1] for linear in writers} == {8}
    own = [value for value in vars(layer).values() if isinstance(value, Linear)]
    assert {id(linear) for linear in own} == {id(linear) for linear in readers + writers}


# Training


def sgd(model, steps, rate, batches):
    for ids in batches[:steps]:
        loss = cross_entropy(model(ids[:, :-1])[0], ids[:, 1:])
        for p, d in zip(model.parameters(), ml.grad(loss, model.parameters())):
            p.assign_(p.data - rate * d.data)
    return loss.item()


def test_training_goes_the_same_way():
    before = model(layers=2)
    after = pre_rms_for_training(before)
    start = before.state_dict()
    batches = np.random.default_rng(1).integers(0, 11, (50, 4, 8))
    batches[:, :, 1::2] = batches[:, :, ::2]  # something to learn
    losses = [sgd(m, 50, 0.1, batches) for m in (before, after)]
    assert abs(losses[0] - losses[1]) < 1e-9
    assert losses[0] < 2.3
    for name, array in before.state_dict().items():
        assert np.abs(array - after.state_dict()[name]).max() < 1e-9, name
        assert np.abs(array - start[name]).max() > 1e-5, name
    before.load_state_dict(after.state_dict())  # and what was trained becomes a plain Pre-RMS model
    assert np.abs(pre_rms(before)(IDS)[0].data - after(IDS)[0].data).max() < 1e-12


def test_training_the_plain_conversion_does_not():
    """Its writers get a mean again, which its norms see: this is what the other is for."""
    before = model(layers=2)
    after = pre_rms(before)
    batches = np.random.default_rng(1).integers(0, 11, (50, 4, 8))
    sgd(after, 50, 0.1, batches)
    assert max(np.abs(x.mean(-1)).max() for x in stream(after, IDS)) > 1e-3


@pytest.mark.parametrize("bias", [True, False])
def test_a_zero_mean_linear_gives_rows_of_mean_zero(bias):
    layer = double(ZeroMeanLinear(4, 6, bias=bias, rng=np.random.default_rng(0)))
    x = np.random.default_rng(1).standard_normal((3, 4))
    y = x @ layer.weight.data + (layer.bias.data if bias else 0)
    assert np.abs(layer(x).data - (y - y.mean(-1, keepdims=True))).max() < 1e-14
    check_gradients(layer, layer, [x])
    check_gradients(layer, layer, [x], order=2)


def test_a_zero_mean_embedding_gives_rows_of_mean_zero():
    layer = double(ZeroMeanEmbedding(5, 6, rng=np.random.default_rng(0)))
    rows = layer.weight.data[[1, 4, 1]]
    assert np.abs(layer(np.array([1, 4, 1])).data - (rows - rows.mean(-1, keepdims=True))).max() < 1e-15
    check_gradients(layer, lambda: layer(np.arange(5)), [])


# A network by hand, without any of the library's layers


def test_the_algebra_of_the_conversion_by_hand():
    rng = np.random.default_rng(2)
    d, n = 8, 3
    up, down = rng.standard_normal((n, d, 16)), rng.standard_normal((n, 16, d))
    gain, shift, c = rng.standard_normal((n, d)), rng.standard_normal((n, d)), rng.standard_normal((n, d))
    first = x = rng.standard_normal((5, d))
    for i in range(n):
        x = x + np.tanh(layer_norm(x, gain[i], shift[i]) @ up[i]) @ down[i] + c[i]
    wanted = layer_norm(x)

    centred = lambda a: a - a.mean(-1, keepdims=True)
    z = centred(first)[:, :-1]
    for i in range(n):
        W, b = gain[i][:, None] * up[i], shift[i] @ up[i]
        W = W[:-1] - W[-1]
        z = z + np.tanh(CRMSNorm(d - 1)(z) @ W + b) @ centred(down[i])[:, :-1] + centred(c[i])[:-1]
    assert np.abs(CRMSNorm(d - 1)(z) - wanted[:, :-1]).max() < 1e-12


# What cannot be converted


@every_conversion
def test_another_norm_is_refused(convert):
    with pytest.raises(ConfigError, match=r'norm="layer_norm"\.\n  got: mixer_norm RMSNorm'):
        convert(model(norm="rms_norm"))
    last = model()
    last.norm = SimpleRMSNorm(8)
    with pytest.raises(ConfigError, match="got: norm SimpleRMSNorm"):
        convert(last)


@every_conversion
@pytest.mark.parametrize("kind", ["readers", "writers"])
def test_a_layer_that_does_not_say_what_reads_and_writes_is_refused(convert, kind):
    class Silent(Module):
        pass

    before = model()
    silent = Silent()
    setattr(silent, "writers" if kind == "readers" else "readers", lambda: [])
    before.blocks[1].feed_forward = silent
    with pytest.raises(TypeError, match=rf"{kind}\(\) returns a list\.\n  got: Silent\n  fix"):
        convert(before)


def test_one_number_cannot_lose_one():
    with pytest.raises(ConfigError, match=r"D is 2 or more\.\n  got: 1\n  fix: pre_rms"):
        pre_crms(model(D=1))


def test_buffers_are_copied():
    before = model()
    before.blocks[0].seen = Buffer(np.zeros(3))
    after = pre_rms(before)
    assert after.blocks[0].seen is not before.blocks[0].seen
    assert after.state_dict()["blocks.0.seen"].tolist() == [0, 0, 0]
