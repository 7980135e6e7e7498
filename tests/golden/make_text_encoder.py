"""tests/golden/text_encoder: a tiny BERT with drawn weights, in the files that encoders are published in, and what the
transformers library makes of texts: their tokens and their vectors.

    make_text_encoder.py FOLDER        needs transformers and torch of PyPI"""
import json
import os
import struct
import sys
import unicodedata

import numpy as np
import torch
from transformers import BertConfig, BertModel, BertTokenizerFast

DIM, LAYERS, HEADS, INNER, PLACES, LENGTH = 32, 2, 2, 48, 40, 24
TEXTS = [
    "", " ", "lantern", "Hanging metal heart lantern", "HANGING METAL HEART LANTERN", "lanterns lanterned unlanterned",
    "Crème brûlée, naïve façade", "Cre\u0300me de\u0301ja\u0300 vu", "İstanbul straße Σίσυφος ΌΣΟΣ", "don't stop-me: £5.50 (50% off!)",
    "\tone\ntwo\r\nthree\u00a0four\u2003five\u2028six", "zero\u200bwidth\u200djoin\ufeffer so\u00adft", "null\x01bell\x07delete\x7fend",
    "東京タワー 日本語 です", "한국어 조합", "\u1112\u1161\u11ab글", "Ελλάδα; τι\u037e", "ﬁne ﬂour ½ ² Ⅷ", "\U0001d400\U0001d401 math", "I ♥ 🐱 cats",
    "مرحبا بالعالم", "नमस्ते दुनिया", "สวัสดี", "[SEPARATE] [cls", "a" * 100, "a" * 101, "lantern " * 40, "x" * 30 + " " + "é" * 100,
    "\u212bngstr\u00f6m \u2126 \uf900", "snow\u2019s \u201cquoted\u201d \u2014 dash\u2026", "12,345.67 3x4 A4", "_under_score^caret`tick~", "e\u0301\u0327\u0328x",
]


def vocabulary():
    """Marks, then every character of the texts as the tokenizer leaves it, at the beginning and within a word, and some longer
    pieces."""
    plain = "".join(c for text in TEXTS for c in unicodedata.normalize("NFD", text.lower()) if unicodedata.category(c)[0] not in "CZ" and unicodedata.category(c) != "Mn")
    some = sorted(set(plain) - set("ﬂ½♥東ส"))  # a few are unknown
    longer = ["lantern", "##ern", "##s", "##ed", "un", "hang", "##ing", "metal", "heart", "##rt", "creme", "##eme", "str", "cat", "lant", "two", "a" * 40, "##" + "a" * 60]
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + some + ["##" + c for c in some if c.isalnum()] + longer
    return list(dict.fromkeys(pieces))


def save_tensors(path, tensors):
    """model.safetensors: words as float16, the places as bfloat16, all else as float32."""
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for name, tensor in tensors.items():
        kind = "F16" if "word_" in name else "BF16" if "position_embeddings" in name else "F32"
        part = {"F16": lambda t: t.numpy().astype("<f2").tobytes(), "F32": lambda t: t.numpy().astype("<f4").tobytes(),
                "BF16": lambda t: (t.numpy().astype("<f4").view("<u4") >> 16).astype("<u2").tobytes()}[kind](tensor)
        header[name] = {"dtype": kind, "shape": list(tensor.shape), "data_offsets": [len(data), len(data) + len(part)]}
        data += part
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)


def main(folder):
    os.makedirs(os.path.join(folder, "1_Pooling"), exist_ok=True)
    pieces = vocabulary()
    with open(os.path.join(folder, "vocab.txt"), "w", encoding="utf-8", newline="\n") as file:
        file.write("\n".join(pieces) + "\n")
    config = BertConfig(vocab_size=len(pieces), hidden_size=DIM, num_hidden_layers=LAYERS, num_attention_heads=HEADS, intermediate_size=INNER,
                        max_position_embeddings=PLACES)
    torch.manual_seed(5)
    model = BertModel(config, add_pooling_layer=False).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.copy_(torch.randn_like(weight) * .3 + ("LayerNorm.weight" in name))
            if "word_" in name:
                weight.copy_(weight.half().float())
            if "position_embeddings" in name:
                weight.copy_(torch.from_numpy((weight.numpy().view("<u4") & 0xffff0000).view("<f4")))
    save_tensors(os.path.join(folder, "model.safetensors"), {k: v for k, v in model.state_dict().items() if "position_ids" not in k})
    files = {"config.json": {"_name_or_path": "tests/tiny", "model_type": "bert", "hidden_act": "gelu", "hidden_size": DIM, "num_hidden_layers": LAYERS,
                             "num_attention_heads": HEADS, "intermediate_size": INNER, "vocab_size": len(pieces), "max_position_embeddings": PLACES,
                             "layer_norm_eps": 1e-12, "position_embedding_type": "absolute"},
             "tokenizer_config.json": {"do_lower_case": True}, "sentence_bert_config.json": {"max_seq_length": LENGTH},
             "1_Pooling/config.json": {"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True},
             "modules.json": [{"type": "sentence_transformers.models." + t} for t in ("Transformer", "Pooling", "Normalize")]}
    for name, content in files.items():
        with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
            json.dump(content, file)
    tokenizer = BertTokenizerFast(os.path.join(folder, "vocab.txt"), do_lower_case=True)
    model = model.double()
    answers = []
    for text in TEXTS:
        tokens = tokenizer(text, truncation=True, max_length=LENGTH)["input_ids"]
        with torch.no_grad():
            states = model(torch.tensor([tokens])).last_hidden_state[0]
        mean, first = states.mean(0), states[0]
        answers.append({"text": text, "tokens": tokens, "mean": [float("%.8g" % x) for x in mean / mean.norm()], "first": [float("%.8g" % x) for x in first / first.norm()]})
    with open(os.path.join(folder, "answers.json"), "w", encoding="utf-8") as file:
        file.write("[" + ",\n".join(json.dumps(a) for a in answers) + "]\n")


if __name__ == "__main__":
    main(sys.argv[1])
