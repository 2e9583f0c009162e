from minilinear import recurrence
from minilinear.recurrence.householder import chunk_backward, chunk_forward


def forward(q, k, v, beta, S):
    """The outputs and the state after the chunk, by the definition."""
    q, k, v, beta = (x[None, :, None] for x in (q, k, v, beta))
    o, final = recurrence.delta_rule(q, k, v, beta=beta, scale=1.0, initial_state=S[None, None], form="recurrent")
    return o[0, :, 0], final[0, 0]


def library(q, k, v, beta, S, do, dS):
    """The library's hand-derived backward, of one chunk of one head."""
    inputs = (q[None, :, None], *(x[None, :, None, None] for x in (k, v, beta)), None, None, S[None, None])
    options = {"scale": 1.0, "chunk": 8, "cu_seqlens": None}
    outs = chunk_forward(*inputs, **options)
    cotangents = (do[None, :, None], dS[None, None], *[None] * 5)
    dq, dk, dv, dbeta, _, _, dS0 = chunk_backward(cotangents, outs, inputs, [True] * 7, **options)
    return dq[0, :, 0], *(x[0, :, 0, 0] for x in (dk, dv, dbeta)), dS0[0, 0]
