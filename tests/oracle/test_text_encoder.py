"""Text encoders against the transformers library (tests/golden/make_text_encoder.py): tokens by what vectors they make, vectors
of every storage, batches, and what a broken folder says."""
import json
import os
import shutil
import sqlite3
import struct
import tempfile

import numpy as np

from support import ROOT, claim, claim_each, close, connect, same

TINY = ROOT / "tests" / "golden" / "text_encoder"
ANSWERS = json.loads((TINY / "answers.json").read_text(encoding="utf-8"))


def _load(folder=TINY, **options):
    db = connect()
    db.execute(f"CREATE VIRTUAL TABLE tiny USING rec_encoder({', '.join(f'{k}={v}' for k, v in options.items())})")
    db.execute("INSERT INTO tiny(tiny, arg) VALUES('load', ?)", (str(folder),))
    return db


def _embed(db, text):
    return np.frombuffer(db.execute("SELECT rec_embed('tiny', ?)", (text,)).fetchone()[0], "<f4").astype(float)


@claim_each({answer["text"][:24].encode("unicode_escape").decode(): (answer,) for answer in ANSWERS})
def a_text_has_the_vector_of_its_tokens(answer):
    """The weights are drawn wide: another token anywhere moves the vector by far more than 1e-5."""
    close(_embed(_load(), answer["text"]), np.array(answer["mean"]), 2e-6, "vector", scale=1)


@claim
def a_token_that_differs_moves_the_vector():
    db = _load()
    assert np.abs(_embed(db, "hanging lantern") - _embed(db, "hanging lanterns")).max() > 1e-3


@claim
def the_first_token_is_the_vector_where_the_makers_say_so():
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(TINY, folder, dirs_exist_ok=True)
        with open(os.path.join(folder, "1_Pooling", "config.json"), "w") as file:
            json.dump({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, file)
        db = _load(folder)
    for answer in ANSWERS:
        close(_embed(db, answer["text"]), np.array(answer["first"]), 2e-6, "vector", scale=1)


@claim_each({"half": ("half", 2e-3), "int8": ("int8", 3e-2)})
def smaller_storage_costs_little(storage, most):
    db = _load(storage=storage)
    same(db.execute("SELECT storage, dim, layers, length, source FROM tiny").fetchone(), (storage, 32, 2, 24, "tiny"), "its row")
    for answer in ANSWERS:
        close(_embed(db, answer["text"]), np.array(answer["mean"]), most, "vector", scale=1)


@claim
def int8_is_what_plain_rounding_makes():
    """The first layer's inputs through the whole model in NumPy, from weights rounded a column."""
    db, weights = _load(storage="int8"), _tensors()
    for answer in ANSWERS[:12]:
        close(_embed(db, answer["text"]), _forward(weights, answer["tokens"]), 3e-5, "vector", scale=1)


def _tensors():
    with open(TINY / "model.safetensors", "rb") as file:
        size = struct.unpack("<Q", file.read(8))[0]
        header, data = json.loads(file.read(size)), file.read()
    out = {}
    for name, t in header.items():
        if name == "__metadata__":
            continue
        part = data[t["data_offsets"][0]:t["data_offsets"][1]]
        x = np.frombuffer(part, {"F32": "<f4", "F16": "<f2", "BF16": "<u2"}[t["dtype"]])
        if t["dtype"] == "BF16":
            x = (x.astype("<u4") << 16).view("<f4")
        out[name] = x.astype(np.float64).reshape(t["shape"])
    for name, x in out.items():  # a row of words, an output of a matrix: its largest number is 127
        if x.ndim == 2 and ("word_" in name or "encoder" in name):
            factor = np.abs(x).max(1, keepdims=True) / 127
            out[name] = np.sign(x) * np.floor(np.abs(x / factor) + .5) * factor
    return out


def _normed(x, w, name):
    x = x - x.mean(-1, keepdims=True)
    return x / np.sqrt((x ** 2).mean(-1, keepdims=True) + 1e-12) * w[name + ".weight"] + w[name + ".bias"]


def _forward(w, tokens, layers=2, head=16):
    from scipy.special import erf
    x = w["embeddings.word_embeddings.weight"][tokens] + w["embeddings.position_embeddings.weight"][:len(tokens)] + w["embeddings.token_type_embeddings.weight"][0]
    x = _normed(x, w, "embeddings.LayerNorm")
    for layer in (f"encoder.layer.{i}." for i in range(layers)):
        def dense(v, name):
            return v @ w[f"{layer}{name}.weight"].T + w[f"{layer}{name}.bias"]
        q, k, v = (dense(x, f"attention.self.{n}") for n in ("query", "key", "value"))
        heads = []
        for h in range(0, x.shape[1], head):
            s = q[:, h:h + head] @ k[:, h:h + head].T / np.sqrt(head)
            p = np.exp(s - s.max(1, keepdims=True))
            heads.append(p / p.sum(1, keepdims=True) @ v[:, h:h + head])
        x = _normed(x + dense(np.hstack(heads), "attention.output.dense"), w, layer + "attention.output.LayerNorm")
        z = dense(x, "intermediate.dense")
        x = _normed(x + dense(z * (1 + erf(z / np.sqrt(2))) / 2, "output.dense"), w, layer + "output.LayerNorm")
    mean = x.mean(0)
    return mean / np.linalg.norm(mean)


@claim
def a_table_has_the_vectors_of_its_texts_to_the_last_bit():
    db = _load()
    db.execute("CREATE TABLE things(id, name)")
    db.executemany("INSERT INTO things VALUES(?, ?)", [(i % 7, ANSWERS[i % len(ANSWERS)]["text"]) for i in range(1300)] + [("none", None)])
    got = db.execute("SELECT id, vector FROM rec_text_vectors('tiny', 'things', 'id', 'name')").fetchall()
    want = db.execute("SELECT id, rec_embed('tiny', name) FROM things WHERE name IS NOT NULL").fetchall()
    same(len(got), 1300, "rows: one has no text")
    same(got, want, "vectors of the table")


@claim
def one_row_says_what_is_loaded():
    db = _load(length=10)
    same(db.execute("SELECT source, dim, layers, words, length, storage, length(sha256), bytes > 1000 FROM tiny").fetchall(),
         [("tiny", 32, 2, len((TINY / "vocab.txt").read_text(encoding="utf-8").splitlines()), 10, "float", 64, 1)], "its row")
    close(_embed(db, "lantern"), np.array(next(a["mean"] for a in ANSWERS if a["text"] == "lantern")), 2e-6, "vector", scale=1)
    same(_embed(db, "lantern " * 8).tolist(), _embed(db, "lantern " * 50).tolist(), "what is past the length")


def _refused(folder, word, **options):
    try:
        _load(folder, **options)
    except sqlite3.Error as error:
        assert word in str(error), error
        return
    raise AssertionError("it was loaded")


def _patched(folder, name, change):
    with open(os.path.join(folder, name), encoding="utf-8") as file:
        content = json.load(file)
    change(content)
    with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
        json.dump(content, file)


BROKEN = {
    "relu": ("config.json", lambda c: c.update(hidden_act="relu"), "hidden_act is relu"),
    "roberta": ("config.json", lambda c: c.update(model_type="roberta"), "model_type is roberta"),
    "epsilon": ("config.json", lambda c: c.update(layer_norm_eps=1e-5), "layer_norm_eps"),
    "no dim": ("config.json", lambda c: c.pop("hidden_size"), "hidden_size must be a number"),
    "wide": ("config.json", lambda c: c.update(hidden_size=64), "has not the shape"),
    "heads": ("config.json", lambda c: c.update(num_attention_heads=3), "3 heads"),
    "layers": ("config.json", lambda c: c.update(num_hidden_layers=3), "has no encoder.layer.2"),
    "few words": ("config.json", lambda c: c.update(vocab_size=9), "more lines than config.json's vocab_size"),
    "many words": ("config.json", lambda c: c.update(vocab_size=9999), "has not the shape"),
    "dense": ("modules.json", lambda c: c.append({"type": "sentence_transformers.models.Dense"}), "modules.json"),
    "mean and max": ("1_Pooling/config.json", lambda c: c.update(pooling_mode_max_tokens=True), "1_Pooling/config.json"),
    "accents": ("tokenizer_config.json", lambda c: c.update(strip_accents=False), "strip_accents is not as do_lower_case is"),
    "Han": ("tokenizer_config.json", lambda c: c.update(tokenize_chinese_chars=False), "tokenize_chinese_chars"),
    "max": ("1_Pooling/config.json", lambda c: c.update(pooling_mode_mean_tokens=False), "1_Pooling/config.json"),
}


@claim_each(BROKEN)
def what_cannot_be_run_is_refused(name, change, word):
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(TINY, folder, dirs_exist_ok=True)
        _patched(folder, name, change)
        _refused(folder, word)


@claim
def a_vector_that_is_longer_than_all_else_is_loaded():
    """No more words and no wider an inner layer than the vector is long: what a matrix is read into must hold it."""
    d, words = 256, ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "cat"]
    draw, tensors = np.random.default_rng(3), {}
    shapes = {"embeddings.word_embeddings.weight": (5, d), "embeddings.position_embeddings.weight": (8, d), "embeddings.token_type_embeddings.weight": (2, d),
              "embeddings.LayerNorm.weight": (d,), "embeddings.LayerNorm.bias": (d,)}
    for name, (rows, columns) in {"attention.self.query": (d, d), "attention.self.key": (d, d), "attention.self.value": (d, d), "attention.output.dense": (d, d),
                                  "intermediate.dense": (16, d), "output.dense": (d, 16)}.items():
        shapes[f"encoder.layer.0.{name}.weight"], shapes[f"encoder.layer.0.{name}.bias"] = (rows, columns), (rows,)
    for name in ("attention.output.LayerNorm", "output.LayerNorm"):
        shapes[f"encoder.layer.0.{name}.weight"] = shapes[f"encoder.layer.0.{name}.bias"] = (d,)
    header, data = {}, b""
    for name, shape in shapes.items():
        tensors[name] = (draw.standard_normal(shape) * .2).astype("<f4")
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + tensors[name].nbytes]}
        data += tensors[name].tobytes()
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "config.json"), "w") as file:
            json.dump({"model_type": "bert", "hidden_act": "gelu", "hidden_size": d, "num_hidden_layers": 1, "num_attention_heads": 16, "intermediate_size": 16,
                       "vocab_size": 5, "max_position_embeddings": 8}, file)
        with open(os.path.join(folder, "vocab.txt"), "w") as file:
            file.write("\n".join(words))
        text = json.dumps(header).encode()
        with open(os.path.join(folder, "model.safetensors"), "wb") as file:
            file.write(struct.pack("<Q", len(text)) + text + data)
        close(_embed(_load(folder), "cat"), _forward({name: x.astype(float) for name, x in tensors.items()}, [2, 4, 3], layers=1, head=16), 3e-6, "vector", scale=1)


@claim
def a_folder_without_its_files_is_refused():
    _refused("/nowhere", "config.json cannot be read in that folder: No such file")
    _refused(TINY, "length 99 is more than the model's 40 places", length=99)
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(TINY, folder, dirs_exist_ok=True)
        tensors = (TINY / "model.safetensors").read_bytes()
        for size in (0, 7, 100, len(tensors) // 2, len(tensors) - 1):
            with open(os.path.join(folder, "model.safetensors"), "wb") as file:
                file.write(tensors[:size])
            _refused(folder, "model.safetensors")
        with open(os.path.join(folder, "model.safetensors"), "wb") as file:
            file.write(tensors[:-4] + struct.pack("<f", float("nan")))
        _refused(folder, "holds NaN or infinity")
        with open(os.path.join(folder, "vocab.txt"), "a", encoding="utf-8") as file:
            file.write("lantern\n")
        _refused(folder, "of the vocabulary are the same")
