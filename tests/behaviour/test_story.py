"""sql/life.sql: the life of a model over the sample shop, as the page tells it."""
import os, subprocess

from support import EXTENSION, equal

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def run(path, script):
    done = subprocess.run(["sqlite3", "-bail", path], stdin=open(os.path.join(ROOT, "sql", script)), capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0 and not done.stderr, done.stdout + done.stderr
    return done.stdout


def test_the_story_of_a_model(shop):
    path = shop.path("life.db")
    run(path, "shop.sql")
    with open(shop.path("life.sql"), "w") as file:  # the extension that is tested
        file.write(open(os.path.join(ROOT, "sql", "life.sql")).read().replace(".load build/recommend", f".load {EXTENSION}"))
    done = subprocess.run(["sqlite3", "-bail", path], stdin=open(shop.path("life.sql")), capture_output=True, text=True)
    assert done.returncode == 0 and not done.stderr, done.stdout + done.stderr
    chapters = {}
    for line in done.stdout.splitlines():
        if line.startswith("== "):
            rows = chapters[line[3]] = []
        else:
            rows.append(line.split(" | "))
    first, second, third, fourth, fifth, sixth, seventh = (chapters[str(i)] for i in range(1, 8))
    equal(first[0][3], "1")
    assert float(first[0][2]) > 1.5 * float(first[0][1]), "neighbours know more than the popular list"
    equal([row[:3] for row in first[1:3]], [["1", "popular", "1"], ["2", "item_knn", "0"]])
    canary = {row[0]: row for row in second[:2]}
    equal(canary["canary"][5], "too few users")
    assert 0.05 < int(canary["canary"][2]) / (int(canary["canary"][2]) + int(canary["control"][2])) < 0.16
    autumn = {(row[0], row[2]): row for row in second[2:6]}
    equal((autumn["neighbours", "conversion"][8], autumn["popular", "conversion"][8]), ("better", "control"))
    assert autumn["neighbours", "revenue"][8] in ("undecided", "not harmed")
    assert float(autumn["neighbours", "conversion"][7]) > 0.001
    equal(second[6], ["active now", "2", "promote", "anna"])
    risky = {row[0]: row for row in third[:2]}
    equal(risky["risky"][6], "worse")
    assert float(risky["risky"][5]) < 0
    equal((third[2][0], third[2][2:]), ("stop", ["guard rail", "conversion falls"]))
    equal(third[3], ["everybody has version", "2"])
    teams = {row[0]: row for row in fourth}
    assert int(teams["a"][2]) < 0.2 * sum(int(row[1]) for (arm, metric), row in autumn.items() if metric == "conversion")
    assert float(teams["a"][7]) > 0 and float(teams["a"][8]) < 0.01, teams
    equal([row[1:] for row in fifth], [["1", "control", "canary"], ["2", "neighbours", "experiment"], ["2", "", "stop"]])
    equal([row[0] for row in sixth], ["events", "lists", "outcomes", "left"])
    equal(sixth[-1], ["left", "0"])
    equal(seventh[0][:2], ["chain", "1"])
    equal((seventh[1][:3], seventh[1][4]), (["chain", "0", "row"], "it was changed"))
