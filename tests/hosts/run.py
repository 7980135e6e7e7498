"""Runs the programs of docs/hosts.md as they stand: each section's program is written to the file that it names, its shell block is run
beside shop.db with RECOMMEND set, and what it prints must be what the page says.

    run.py BUILD PATHS...      PATHS: folders that stand before PATH (Node and Datasette of PyPI)
Last line: "N passed, N failed[, N skipped]". A host that is not there is skipped with a word."""
import os
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
NEEDS = {"C": "cc", "Go": "go", "Rust": "/usr/bin/cargo", "Node.js": "node", "PHP": "php", "Perl": "perl", "Ruby": "ruby", "R": "Rscript", "Java": "java", "Tcl": "tclsh",
         "Datasette and sqlite-utils": "datasette", "sqlite3, the shell": "sqlite3"}


def sections(page):
    for part in re.split(r"^## ", page, flags=re.M)[1:]:
        title = part.split("\n", 1)[0]
        program = re.search(r"^`([\w.]+)`[^\n]*\n\n```[^\n]*\n(.*?)^```$", part, re.M | re.S)
        shell = re.search(r"^```sh\n(.*?)^```$", part, re.M | re.S)
        if program:
            yield title, program.group(1), program.group(2), shell.group(1)


def node_is_old():
    said = subprocess.run(["node", "--version"], capture_output=True, text=True).stdout
    return tuple(map(int, re.findall(r"\d+", said)[:2])) < (22, 13)


def main(build, *paths):
    os.environ["PATH"] = os.pathsep.join([*map(os.path.abspath, paths), os.environ["PATH"]])
    os.environ["RECOMMEND"] = os.path.abspath(os.path.join(build, "recommend"))
    with open(os.path.join(ROOT, "docs", "hosts.md"), encoding="utf-8") as file:
        page = file.read()
    expected = re.search(r"^```text\n(.*?)^```$", page, re.M | re.S).group(1)
    passed = failed = skipped = 0
    found = list(sections(page))
    assert {title for title, *_ in found} == set(NEEDS), set(NEEDS) ^ {title for title, *_ in found}
    for title, name, program, shell in found:
        if not shutil.which(NEEDS[title]) or (title == "Node.js" and node_is_old()):
            skipped += 1
            print(f"SKIP {title}: {NEEDS[title]} is not here" + (", or older than 22.13" if title == "Node.js" else ""))
            continue
        with tempfile.TemporaryDirectory() as folder:
            shutil.copy(os.path.join(build, "hosts.db"), os.path.join(folder, "shop.db"))
            with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
                file.write(program)
            done = subprocess.run(["bash", "-e", "-c", shell], cwd=folder, capture_output=True, text=True, timeout=300)
        if done.returncode == 0 and done.stdout == expected:
            passed += 1
        else:
            failed += 1
            print(f"FAIL {title}: code {done.returncode}\n{done.stdout}{done.stderr[-2000:]}")
    print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
