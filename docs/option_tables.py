"""Writes the option tables of docs/reference/algorithms.md and predictor.md from rec_options, so that the reference cannot drift.

Usage: option_tables.py BUILD_DIR [--check]     --check changes nothing and fails when a table is out of date
"""
import os, re, sqlite3, sys

PAGES = [os.path.join(os.path.dirname(__file__), "reference", page) for page in ("algorithms.md", "predictor.md")]


def rows_of(db, algorithm):
    rows = db.execute("SELECT option, range, initial, meaning FROM rec_options(?)", (algorithm,)).fetchall()
    other = "popular" if algorithm != "popular" else "ials"
    common = {row[0] for row in db.execute("SELECT option FROM rec_options(?)", (other,))}
    return rows, [row for row in rows if row[0] in common]


def table(rows):
    lines = ["| option | range | default | meaning |", "|---|---|---|---|"]
    lines += [f"| `{name}` | {value_range.replace('|', ', ')} | `{initial}` | {meaning} |" for name, value_range, initial, meaning in rows]
    return "\n".join(lines)


def main():
    db = sqlite3.connect(":memory:")
    db.enable_load_extension(True)
    db.load_extension(os.path.abspath(os.path.join(sys.argv[1], "recommend")))

    def replace(match):
        name = match.group(1)
        rows, common = rows_of(db, "popular" if name == "common" else name)
        wanted = common if name == "common" else [row for row in rows if row not in common]
        return f"<!-- options:{name} -->\n{table(wanted)}\n<!-- /options -->"

    def replace_own(match):
        rows = db.execute("SELECT option, range, initial, meaning FROM rec_options(?)", (match.group(1),)).fetchall()
        return f"<!-- options:{match.group(1)} -->\n{table(rows)}\n<!-- /options -->"

    for path in PAGES:
        own = path.endswith("predictor.md")  # there an algorithm's options are its own alone
        with open(path, encoding="utf-8") as page:
            before = page.read()
        after = re.sub(r"<!-- options:(\w+) -->\n.*?<!-- /options -->", replace_own if own else replace, before, flags=re.S)
        if "--check" in sys.argv:
            if after != before:
                sys.exit(f"docs/reference/{os.path.basename(path)} is out of date: make docs")
            continue
        with open(path, "w", encoding="utf-8") as page:
            page.write(after)


main()
