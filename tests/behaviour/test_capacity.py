"""docs/capacity.py: its numbers are those of docs/capacity.md's formulas, worked out here by hand, and its words say what is too much."""
import json
import os
import subprocess
import sys

from support import equal

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def ask(*arguments):
    done = subprocess.run([sys.executable, f"{ROOT}/docs/capacity.py", *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def numbers(*arguments):
    return json.loads(ask("--json", *arguments))


def test_formulas(shop):
    said = numbers("--users", 2e6, "--events", 50, "--lists-a-day", 10, "--peak", 3, "--cores", 8, "--lists-a-core", 1000, "--load", .5, "--items", 10000, "--factors", 32)
    equal(round(said["lists_a_second_wanted"], 3), round(2e6 * 10 / 86400 * 3, 3))
    equal(said["lists_a_second"], 8000)
    equal(said["file_gb"], 2e6 * 50 * 87 / 1e9)
    equal(said["version_mb"], (4 * 32 + 30) * 10000 / 1e6)
    equal((said["shards"], said["machines"], said["training_samples"]), (1, 1, 1))
    equal(numbers("--processes", 2, "--cores", 8, "--lists-a-core", 100)["lists_a_second"], 200)
    equal(numbers("--processes", 9, "--cores", 8, "--lists-a-core", 100)["lists_a_second"], 800)
    # 694 lists a second want 500 each at half load: two machines
    equal(numbers("--users", 2e6, "--lists-a-day", 10, "--peak", 3, "--cores", 1, "--lists-a-core", 1000, "--load", .5)["machines"], 2)


def test_what_is_too_much_is_said(shop):
    assert "MORE than the 1 GB" in ask("--items", 1e6, "--memory-gb", 1)
    assert "split by customer" in ask("--users", 1e8) and "train on 1 customer in" in ask("--users", 1e8)
    assert "serve from replicas" in ask("--users", 1e7, "--lists-a-day", 100)
    equal(numbers("--users", 1e8)["shards"], 6)
    done = subprocess.run([sys.executable, f"{ROOT}/docs/capacity.py", "--users", "many"], capture_output=True, text=True)
    assert done.returncode == 2 and "--users" in done.stderr


def test_the_page_has_what_it_says(shop):
    with open(f"{ROOT}/docs/capacity.md", encoding="utf-8") as page:
        rows = [line.split("|")[1:-1] for line in page if line.startswith("| 1") and "machines" not in line]
    for users, files, machines, size, _ in ([cell.strip() for cell in row] for row in rows if len(row) == 5):
        said = numbers("--users", users.replace(",", ""))
        equal((said["shards"], said["machines"]), (int(files), int(machines)), users)
        assert abs(said["file_gb"] - float(size.split()[0])) < .5, (users, size, said["file_gb"])
