#!/usr/bin/python3
"""The examples of the manual are tests: every ```sql block of README.md, docs/reference/*.md and the pages below is run, and what the
sqlite3 shell prints for it, errors included, must equal the ```text block that follows.

    tests/docs_examples.py BUILD [--accept] [PAGE ...]

A page is one shell session (list mode, separator |) in which the extension is loaded; its blocks run in order. A page
with a block whose first line begins with "-- shop" runs on a copy of the sample shop, which sql/shop.sql builds once
into a temporary folder; other pages begin with an empty database. A block without a ```text block must only not
fail. Blocks that begin with ```sql noexec are not run. The "near line 7" of an error is left out, as the shell leaves
it out for somebody who types.

--accept writes the outputs into the pages: read the difference before you commit it.
Prints "FAIL page: block n" and a diff for each difference, and as its last line "N passed, N failed"."""
import difflib
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
SECONDS = 600  # for one page
BLOCK = re.compile(r"^```sql\n(.*?)^```\n(?:\n*^```text\n(.*?)^```\n)?", re.M | re.S)
MARK = "@@block %d@@"


def shell(database, script, folder):
    """What the sqlite3 shell prints for a script, errors in their place."""
    done = subprocess.run(["sqlite3", "-batch", "-init", "/dev/null", database], input=script, cwd=folder, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=SECONDS, encoding="utf-8")
    return done.stdout


class Runner:
    def __init__(self, build, folder):
        self.library = (ROOT / build / "recommend").resolve()
        self.folder = pathlib.Path(folder)
        (self.folder / "sql").symlink_to(ROOT / "sql")  # for .read sql/...
        (self.folder / "encoder").symlink_to(ROOT / "tests" / "golden" / "text_encoder")  # for the command load

    def shop(self):
        """A fresh copy of the sample shop."""
        original = self.folder / "shop.db"
        if not original.exists():
            with open(ROOT / "sql" / "shop.sql", encoding="utf-8") as script:
                subprocess.run(["sqlite3", "-init", "/dev/null", original], stdin=script, stdout=subprocess.DEVNULL,
                               cwd=ROOT, check=True)
        shutil.copy(original, self.folder / "page.db")
        return str(self.folder / "page.db")

    def outputs(self, blocks):
        """The output of each block, run in one session; None for those that were not reached."""
        for old in self.folder.glob("page.db*"):
            old.unlink()
        needs_shop = any(block.startswith("-- shop") for block in blocks)
        script = [f".load {self.library}\n"]
        for i, block in enumerate(blocks):
            script += [f'.print "{MARK % i}"\n', block]
        script.append(f'.print "{MARK % len(blocks)}"\n')
        text = shell(self.shop() if needs_shop else ":memory:", "".join(script), self.folder)
        text = re.sub(r"^((?:Runtime|Parse) error|Error:?) near line \d+", r"\1", text, flags=re.M)
        parts = re.split(r"^@@block \d+@@\n", text, flags=re.M)
        if parts[0]:
            raise SystemExit(f"{parts[0]}0 passed, 1 failed")
        if len(parts) == len(blocks) + 2:
            return parts[1:-1]
        # A statement without its semicolon swallows the marks after it.
        parts[-1] += "(a statement is not finished)\n"
        return parts[1:] + [None] * (len(blocks) + 1 - len(parts))


def difference(want, got):
    lines = difflib.unified_diff(want.splitlines(), got.splitlines(), "the page says", "the shell prints", lineterm="")
    return "\n".join(f"    {line}" for line in lines)


def check_page(runner, path, accept):
    """(passed, failed) of a page."""
    page = path.read_text(encoding="utf-8")
    name = path.relative_to(ROOT)
    passed = failed = 0
    found = list(BLOCK.finditer(page))
    new, end = [], 0
    for n, (match, got) in enumerate(zip(found, runner.outputs([match[1] for match in found]) if found else []), 1):
        want = match[2]
        got = "(not reached)\n" if got is None else got
        good = got == want if want is not None else not re.search(r"^(Runtime|Parse) error|^Error", got, re.M)
        passed, failed = passed + good, failed + (not good)
        if not good and not accept:
            print(f"FAIL {name}: block {n}\n" + difference(want or "", got))
        new += [page[end:match.start(2)], got] if want is not None else [page[end:match.end()]]
        end = match.end(2) if want is not None else match.end()
    new = "".join(new) + page[end:]
    if accept:
        path.write_text(new, encoding="utf-8")
        return len(found), 0
    return passed, failed


def main(build, *arguments):
    pages = [ROOT / page for page in arguments if page != "--accept"]
    how_to = [ROOT / "docs" / f"{page}.md" for page in ("tutorial", "tutorial.zh-CN", "troubleshooting", "first-run", "events", "search", "deployment", "replicas")]
    pages = pages or [ROOT / "README.md", ROOT / "README.zh-CN.md", *sorted((ROOT / "docs" / "reference").glob("*.md")), *how_to]
    passed = failed = 0
    with tempfile.TemporaryDirectory() as folder:
        runner = Runner(build, folder)
        for path in pages:
            counts = check_page(runner, path, "--accept" in arguments)
            passed, failed = passed + counts[0], failed + counts[1]
            sys.stdout.flush()
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("docs_examples.py BUILD [--accept] [PAGE ...]")
    sys.exit(main(*sys.argv[1:]))
