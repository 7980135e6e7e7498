"""The Python examples of docs/python.md and README.md, in the order in which a reader would run them, with the outputs that they state."""
import contextlib
import io
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def blocks(page):
    """(code, output) of each Python block; the output is the text block right after it, if there is one."""
    with open(os.path.join(ROOT, page), encoding="utf-8") as file:
        return re.findall(r"^```python\n(.*?)^```\n(?:```text\n(.*?)^```\n)?", file.read(), re.M | re.S)


def run(folder, page, change=lambda code: code):
    before = os.getcwd()
    os.chdir(folder)
    names = {"__name__": "page"}
    try:
        for code, output in blocks(page):
            said = io.StringIO()
            with contextlib.redirect_stdout(said):
                exec(compile(change(code), page, "exec"), names)
            assert not output or said.getvalue() == output, f"{code}\nprinted {said.getvalue()!r}\nnot     {output!r}"
    finally:
        os.chdir(before)


def test_the_page_of_the_package(folder):
    subprocess.run([sys.executable, "-m", "sqlite_recommend", "demo", os.path.join(folder, "shop.db")], check=True, capture_output=True)
    assert len(blocks("docs/python.md")) > 3
    run(folder, "docs/python.md")


def test_the_page_of_deployment(folder):
    subprocess.run([sys.executable, "-m", "sqlite_recommend", "demo", os.path.join(folder, "shop.db")], check=True, capture_output=True)
    run(folder, "docs/deployment.md")


def test_the_packages_readme(folder):
    import sqlite_recommend
    from sqlite_recommend.sample import load_shop
    db = sqlite_recommend.connect(os.path.join(folder, "shop.db"))
    load_shop(db)
    db.close()
    with contextlib.redirect_stderr(io.StringIO()):
        run(folder, "ext/python/README.md")
