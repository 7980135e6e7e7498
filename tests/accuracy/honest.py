"""Does a search choose honestly? On ten random thirds of a shop's users: what algorithm=auto chooses, on the users' own test
pairs, which the search has not seen, beside the chosen algorithm as it is and item_knn as it is.

    honest.py BUILD SET [TRIALS]      SET: online-retail, gowalla, amazon-cds (REC_DATA=DIR)

One line a third: NDCG@10 of the three, the paired difference of the choice to each with its standard error, and what the
search said. The last line counts the thirds where the choice is worse by more than a standard error."""
import gzip, json, math, os, random, sqlite3, sys, time

CUT = 1320796800  # 2011-11-09, of Online Retail


def connect(build):
    db = sqlite3.connect(":memory:", isolation_level=None)
    db.enable_load_extension(True)
    db.load_extension(os.path.join(build, "recommend"))
    return db


def read_lists(path):
    with gzip.open(path, "rt") as text:
        return {int(user): [int(item) for item in items] for user, *items in (line.split() for line in text if line.strip())}


def read_shop(name, folder):
    """(user, item, time) of train and of test; time 0 where the set has none."""
    if name != "online-retail":
        train, test = (read_lists(os.path.join(folder, name, part)) for part in ("train.txt.gz", "test.txt.gz"))
        return [(u, i, 0) for u, items in train.items() for i in items], [(u, i) for u, items in test.items() for i in items]
    import calendar, csv
    events = []
    with gzip.open(os.path.join(folder, name, "online_retail.csv.gz"), "rt", encoding="utf-8", newline="") as text:
        for line in csv.DictReader(text):
            if line["CustomerID"] and int(line["Quantity"]) > 0 and not line["InvoiceNo"].startswith("C"):
                events.append((int(line["CustomerID"]), line["StockCode"], calendar.timegm(time.strptime(line["InvoiceDate"], "%Y-%m-%d %H:%M:%S"))))
    train = [event for event in events if event[2] < CUT]
    had = {event[:2] for event in train}
    return train, sorted({event[:2] for event in events if event[2] >= CUT} - had)


def values(db, options):
    db.execute("INSERT INTO m(m, arg) VALUES('train', ?)", (options,))
    return dict(db.execute("SELECT user, value FROM rec_evaluate_users('m', 'test', '{\"k\": 10, \"exclude_seen\": true}') WHERE metric = 'ndcg'"))


def paired(a, b):
    difference = [b[user] - a[user] for user in a if user in b]
    mean = sum(difference) / len(difference)
    return mean, math.sqrt(sum((d - mean) ** 2 for d in difference) / (len(difference) - 1) / len(difference))


def main(build, name, trials=10):
    train, test = read_shop(name, os.environ["REC_DATA"])
    users = sorted({event[0] for event in train})
    worse = {"its own defaults": 0, "item_knn": 0}
    for seed in range(10):
        third = set(random.Random(seed).sample(users, len(users) // 3))
        db = connect(build)
        db.execute("CREATE TABLE events(user INTEGER, item, t INTEGER)")
        db.execute("CREATE TABLE test(user INTEGER, item)")
        db.executemany("INSERT INTO events VALUES(?, ?, ?)", (event for event in train if event[0] in third))
        db.executemany("INSERT INTO test VALUES(?, ?)", (pair for pair in test if pair[0] in third))
        clock = "time=t, " if any(event[2] for event in train) else ""
        db.execute(f"CREATE VIRTUAL TABLE m USING rec_model(events=events, user=user, item=item, {clock}algorithm=item_knn)")
        began = time.perf_counter()
        said = json.loads(db.execute("SELECT rec_tune('m', ?)", (json.dumps({"algorithm": "auto", "trials": int(trials), "activate": "never", "seed": seed}),)).fetchone()[0])
        seconds = time.perf_counter() - began
        chosen, plain, knn = (values(db, json.dumps(options)) for options in (said["options"], {"algorithm": said["options"]["algorithm"]}, {"algorithm": "item_knn"}))
        line = [f"{sum(v.values()) / len(v):.4f}" for v in (chosen, plain, knn)]
        for what, other in (("its own defaults", plain), ("item_knn", knn)):
            mean, error = paired(other, chosen)
            worse[what] += mean < -error
            line.append(f"{mean:+.4f} +- {error:.4f}")
        print(name, seed, *line, f"{seconds:.0f} s", json.dumps(said["options"]), said["why"], sep=" | ", flush=True)
    print(name, "worse by more than a standard error:", worse)


if __name__ == "__main__":
    main(*sys.argv[1:])
