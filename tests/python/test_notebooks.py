"""The notebooks of docs/notebooks: each from a clean kernel, in an empty folder, against the outputs that are committed with it.

Texts must be equal but for their numbers, which may differ by 2 % and three units of the last digit that is printed (OpenBLAS sums
as the CPU likes); a cell tagged "timing" is only run. REC_ACCEPT=1 writes the new outputs: look at the plots before you commit them."""
import glob
import os
import re
import unittest

os.environ["PLOOMBER_STATS_ENABLED"] = "false"  # jupysql would tell its makers
try:
    import nbformat
    import sql  # noqa: F401 -- jupysql
    from nbclient import NotebookClient
except ImportError as missing:
    nbformat, MISSING = None, missing

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e[-+]?\d+)?")


def shown(cell):
    """What a cell printed and returned, as texts, and how many plots it drew."""
    texts = ["".join(o.text) if o.output_type == "stream" else "".join(o.data.get("text/plain", "")) for o in cell.outputs if o.output_type != "error"]
    plots = sum("image/png" in o.get("data", {}) for o in cell.outputs)
    return "\n".join(text for text in texts if "<Figure" not in text), plots


def unit(number):
    """Of the last digit: .01 of 0.25; 0 of a whole number."""
    return 10. ** -len(number.split(".")[1].split("e")[0]) if "." in number else 0.


def alike(text, committed):
    if re.sub(r"[\s-]+", " ", NUMBER.sub("#", text)) != re.sub(r"[\s-]+", " ", NUMBER.sub("#", committed)):
        return False
    return all(abs(float(a) - float(b)) <= .02 * abs(float(b)) + 3 * unit(b) for a, b in zip(NUMBER.findall(text), NUMBER.findall(committed)))


def run(folder, name):
    if nbformat is None:
        raise unittest.SkipTest(f"notebooks need Jupyter, pandas and jupysql ({MISSING})")
    path, = glob.glob(os.path.join(ROOT, "docs", "notebooks", name))
    committed = nbformat.read(path, 4)
    cells = [cell for cell in committed.cells if cell.cell_type == "code"]
    before = [shown(cell) for cell in cells]
    NotebookClient(committed, timeout=300, kernel_name="python3", resources={"metadata": {"path": folder}}).execute()
    if os.environ.get("REC_ACCEPT"):
        for cell in committed.cells:
            cell.metadata.pop("execution", None)
        nbformat.write(committed, path)
        return
    assert sum(plots for _, plots in before) >= 2
    for cell, (text, plots) in zip(cells, before):
        now, drawn = shown(cell)
        assert drawn == plots and ("timing" in cell.metadata.get("tags", []) or alike(now, text)), f"{cell.source}\nprinted {now}\nnot     {text}"


def test_notebook_a_first_recommender(folder):
    run(folder, "1_*.ipynb")


def test_notebook_choosing_and_tuning(folder):
    run(folder, "2_*.ipynb")


def test_notebook_vector_search(folder):
    run(folder, "3_*.ipynb")


def test_notebook_a_models_life(folder):
    run(folder, "4_*.ipynb")


def test_notebook_predictors(folder):
    run(folder, "5_*.ipynb")
