"""tests/golden/encoder.json: outputs, loss and gradients of the encoder of ext/nn/encoder.h by PyTorch's autograd, in double.

    make_encoder.py OUT        needs Debian's python3-torch"""
import json
import math
import sys

import torch
import torch.nn.functional as F

DIM, BLOCKS, LENGTH, MIX, SHARPNESS = 16, 2, 9, .6, 7.
LENGTHS = (9, 1, 4)
CANDIDATES = 12


def shapes():
    """Names and shapes in the order of encoder_weights: all vectors, then all matrices."""
    yield from (("in.gain", (DIM,)), ("in.bias", (DIM,)))
    for b in range(BLOCKS):
        for norm in ("attention", "filter", "out"):
            yield from ((f"{b}.{norm}.gain", (DIM,)), (f"{b}.{norm}.bias", (DIM,)))
        yield from ((f"{b}.b_qkv", (3 * DIM,)), (f"{b}.b_out", (DIM,)), (f"{b}.b1", (4 * DIM,)), (f"{b}.b2", (DIM,)),
                    (f"{b}.beta", (DIM,)), (f"{b}.distance", (LENGTH,)))
    for b in range(BLOCKS):
        yield from ((f"{b}.qkv", (DIM, 3 * DIM)), (f"{b}.out", (DIM, DIM)), (f"{b}.w1", (DIM, 4 * DIM)), (f"{b}.w2", (4 * DIM, DIM)))


def norm(x, w, name):
    return F.layer_norm(x, (DIM,), w[name + ".gain"], w[name + ".bias"], eps=1e-12)


def block(x, w, b):
    n = len(x)
    q, k, v = (x @ w[f"{b}.qkv"] + w[f"{b}.b_qkv"]).split(DIM, dim=1)
    back = torch.arange(n)[:, None] - torch.arange(n)[None, :]
    logits = q @ k.T / math.sqrt(DIM) + w[f"{b}.distance"][back.clamp(min=0)]
    attended = logits.masked_fill(back < 0, -math.inf).softmax(1) @ v
    g = norm(x + attended @ w[f"{b}.out"] + w[f"{b}.b_out"], w, f"{b}.attention")
    turn = 2 * math.pi * back.double() / LENGTH
    taps = torch.where(back >= 0, (1 + 2 * torch.cos(turn) + 2 * torch.cos(2 * turn)) / LENGTH, torch.zeros(()).double())
    low = taps @ x
    f = norm(x + low + w[f"{b}.beta"] ** 2 * (x - low), w, f"{b}.filter")
    h = MIX * f + (1 - MIX) * g
    inner = h @ w[f"{b}.w1"] + w[f"{b}.b1"]
    return norm(h + (inner * torch.sigmoid(1.702 * inner)) @ w[f"{b}.w2"] + w[f"{b}.b2"], w, f"{b}.out")


def encode(x, w):
    x = norm(x, w, "in")
    for b in range(BLOCKS):
        x = block(x, w, b)
    return x


def main(out):
    torch.manual_seed(5)
    # numbers that float32 holds exactly
    draw = lambda *shape: torch.randn(*shape).double().mul(1024).round().div(1024).requires_grad_()
    # a norm and a matrix may both be called b.out: the norm's parts have a suffix
    w = {name: draw(*shape) for name, shape in shapes()}
    tokens = sum(LENGTHS)
    x, e, bias = draw(tokens, DIM), draw(CANDIDATES, DIM), draw(CANDIDATES).detach()
    target = [(7 * t + 3) % CANDIDATES for t in range(tokens)]
    h = torch.cat([encode(part, w) for part in x.split(LENGTHS)])
    logits = SHARPNESS * F.normalize(h, dim=1) @ F.normalize(e, dim=1).T + bias
    loss = F.cross_entropy(logits, torch.tensor(target))
    loss.backward()
    flat = lambda tensors: [float(f"{value:.9g}") for tensor in tensors for value in tensor.detach().reshape(-1).tolist()]
    json.dump({"dim": DIM, "blocks": BLOCKS, "length": LENGTH, "mix": MIX, "sharpness": SHARPNESS, "lengths": LENGTHS, "target": target,
               "weights": flat(w.values()), "input": flat([x]), "e": flat([e]), "bias": flat([bias]), "output": flat([h]),
               "loss": loss.item(), "d_weights": flat(p.grad for p in w.values()), "d_input": flat([x.grad]), "d_e": flat([e.grad])},
              open(out, "w"), separators=(",", ":"))


main(sys.argv[1])
