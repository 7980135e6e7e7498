"""Sequences: Amazon Beauty, Sports, Toys (5-core), leave one out, all items ranked.

Protocol (S3-Rec): a user's last item is the test, the one before it the validation; similarities are trained on items[:-2],
the history at test is items[:-1], its items are masked, all others are ranked; HR@10 and NDCG@10, mean over users. At
validation the history is items[:-2]. Time is a running number from the end, a day an item, so that `until` cuts both and
half_life counts items. One visitor of one item stands just before the cut: half_life counts from the newest event of the
training, and else the last item of the history could not weigh more than the one before."""
import gzip, os

import common

SETS = {"beauty": "amazon-sequences", "sports": "amazon-sequences", "toys": "amazon-sequences"}
METRICS = [("hit@10", "HR@10", 4, 1), ("ndcg@10", "NDCG@10", 4, 1)]
GOAL = "ndcg@10"
DAY, LAST = 86400, 1000

# Published rows; the neural ones learn from items[:-2] too.
PUBLISHED = {
    "beauty": [("PopRec", .0152, .0068), ("GRU4Rec", .0283, .0137), ("BERT4Rec", .0347, .0170), ("SASRec (BCE)", .0605, .0318), ("S3-Rec", .0647, .0327),
               ("TIGER", .0648, .0384), ("HSTU", .0945, .0543), ("SASRec (full cross-entropy)", .0986, .0597), ("FMLP-Rec (full cross-entropy)", .0992, .0597),
               ("BSARec, five seeds", .1002, .0610), ("BSARec, its authors", .1008, .0611)],
    "sports": [("PopRec", .0094, .0053), ("GRU4Rec", .0204, .0110), ("BERT4Rec", .0191, .0099), ("SASRec (BCE)", .0350, .0192), ("S3-Rec", .0385, .0204),
               ("TIGER", .0400, .0225), ("HSTU", .0587, .0332), ("BSARec, five seeds", .0603, .0348)],
    "toys": [("PopRec", .0113, .0061), ("GRU4Rec", .0176, .0084), ("BERT4Rec", .0203, .0099), ("SASRec (BCE)", .0675, .0374), ("S3-Rec", .0700, .0376), ("HSTU", .0997, .0598),
             ("BSARec, five seeds", .1078, .0663)],
}


def load(db, name, folder):
    """events(user, item, t): the last item of every user at LAST days, the one before it a day earlier."""
    db.execute("CREATE TABLE events(user INTEGER, item INTEGER, t INTEGER)")
    db.execute("BEGIN")
    with gzip.open(os.path.join(folder, name + ".txt.gz"), "rt") as lines:
        for line in lines:
            user, *items = map(int, line.split())
            db.executemany("INSERT INTO events VALUES(?, ?, ?)", ((user, item, DAY * (LAST + 1 - len(items) + i)) for i, item in enumerate(items)))
    db.execute("INSERT INTO events SELECT 0, min(item), ? FROM events", (DAY * (LAST - 1) - 1,))
    db.execute("COMMIT")
    db.executescript(f"""
        CREATE INDEX events_user ON events(user, t, item);
        CREATE VIEW valid AS SELECT * FROM events WHERE t = {DAY * (LAST - 1)};
        CREATE VIEW test AS SELECT * FROM events WHERE t = {DAY * LAST};""")


def measure(db, name, options, part):
    result = common.train(db, "events=events, user=user, item=item, time=t", {"scale": "binary", **options, "until": DAY * (LAST - 1)})
    result.update(common.evaluate(db, part, 10, until=DAY * (LAST - (part == "valid"))))
    return result
