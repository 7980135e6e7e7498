"""The order of the house: who may include and call whom, by the sources and their objects.

    house.py BUILD            the rules; prints what breaks them, nothing where all is well
    house.py BUILD --table    files, floors, arrows, backward arrows and circles by room and wing

A unit is a source file. An arrow goes from the file that uses a symbol to the file that defines it.
Rooms and wings are floors: an arrow may stay on its floor or go to a lower one that its floor may
use (ALLOWED), and within a floor no circle leads back to a file.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

# Every floor, the lowest first, and the floors below that it may use.
BELOW_SQL = ["base", "math", "ann", "metrics", "serve", "nn", "learn", "models", "eval"]
ALLOWED = {
    "base": [],
    "math": ["base"],
    "ann": ["base", "math"],
    "metrics": ["base", "math"],
    "serve": ["base"],
    "nn": ["base", "math"],
    "learn": ["base", "math", "ann", "metrics", "nn"],
    "models": ["base", "math", "ann", "nn"],
    "eval": BELOW_SQL,
    "sqlite/host": BELOW_SQL,
    "sqlite/functions": BELOW_SQL + ["sqlite/host"],
    "sqlite/index": BELOW_SQL + ["sqlite/host"],
    "sqlite/versions": BELOW_SQL + ["sqlite/host"],
    "sqlite/life": BELOW_SQL + ["sqlite/host", "sqlite/versions"],
    "sqlite/encoder": BELOW_SQL + ["sqlite/host"],
    "sqlite/model": BELOW_SQL + ["sqlite/host", "sqlite/versions", "sqlite/life", "sqlite/encoder"],
    "sqlite/predictor": BELOW_SQL + ["sqlite/host", "sqlite/functions", "sqlite/versions"],
    "sqlite/evaluation": BELOW_SQL
    + ["sqlite/host", "sqlite/versions", "sqlite/life", "sqlite/encoder", "sqlite/model"],
}
ALLOWED["sqlite"] = list(ALLOWED)

# A list names what its floor has and is read by those it names: its arrows lead anywhere.
LISTS = {"models/registry", "learn/learners", "ann/engines"}
# SQLite's table of functions, a variable of the entry point's file.
NOT_OURS = {"sqlite3_api"}


def floor_of(unit):
    return os.path.dirname(unit)


def symbols(build):
    """Per unit ("ann/exact"): what its object defines, and what it asks others for."""
    root = Path(build, "obj", "ext")
    defined, wanted = {}, {}
    for path in sorted(root.rglob("*.o")):
        unit = str(path.relative_to(root))[:-2]
        lines = subprocess.run(["nm", path], capture_output=True, text=True, check=True).stdout
        own, others = set(), set()
        for line in lines.splitlines():
            kind, name = line.split()[-2:]
            (others if kind == "U" else own).add(name)
            if kind.islower() and kind not in "vw":
                own.discard(name)
        defined[unit], wanted[unit] = own, others
    return defined, wanted


def arrows(build):
    defined, wanted = symbols(build)
    home = {n: unit for unit, names in defined.items() for n in names if n not in NOT_OURS}
    return {
        unit: sorted({home[n] for n in names if n in home and home[n] != unit})
        for unit, names in wanted.items()
        if unit not in LISTS
        and any(Path("ext", unit + suffix).exists() for suffix in (".c", ".cpp"))
    }


def circles(graph):
    """Strongly connected components of several units (Tarjan 1972)."""
    index, low, stack, found = {}, {}, [], []

    def visit(unit):
        index[unit] = low[unit] = len(index)
        stack.append(unit)
        for other in graph.get(unit, []):
            if other not in index:
                visit(other)
                low[unit] = min(low[unit], low[other])
            elif other in stack:
                low[unit] = min(low[unit], index[other])
        if low[unit] == index[unit]:
            at = stack.index(unit)
            if len(stack) - at > 1:
                found.append(sorted(stack[at:]))
            del stack[at:]

    for unit in graph:
        if unit not in index:
            visit(unit)
    return found


def depth(graph):
    """How many units stand on each other, on one floor; a circle counts as one."""
    group = {unit: tuple(circle) for circle in circles(graph) for unit in circle}
    known = {}

    def of(unit):
        own = group.get(unit, (unit,))
        if own not in known:
            known[own] = 0
            others = [o for u in own for o in graph.get(u, []) if o in graph and o not in own]
            known[own] = 1 + max((of(o) for o in others), default=0)
        return known[own]

    return max((of(unit) for unit in graph), default=0)


def may_use(unit, other):
    return floor_of(other) == floor_of(unit) or floor_of(other) in ALLOWED[floor_of(unit)]


def includes():
    """(file, what it includes), as paths below ext/."""
    for path in sorted(Path("ext").rglob("*.[ch]*")):
        for name in re.findall(r'^#include "([^"]+)"', path.read_text(), re.MULTILINE):
            yield str(path)[4:], os.path.normpath(os.path.join(str(path.parent)[4:], name))


def breaches(graph):
    for file, other in includes():
        if not may_use(file, other):
            yield f"{file} includes {other}"
    for unit, others in graph.items():
        for other in others:
            if not may_use(unit, other):
                yield f"{unit} calls {other}"
    for circle in circles(graph):
        yield "a circle: " + ", ".join(circle)


def table(graph):
    print(f"{'floor':20}{'files':>6}{'lines':>8}{'depth':>7}{'arrows':>8}{'backward':>10}{'circles':>9}")
    for floor in dict.fromkeys(map(floor_of, sorted(graph))):
        own = {u: o for u, o in graph.items() if floor_of(u) == floor}
        inside = {u: [o for o in others if o in own] for u, others in own.items()}
        lines = sum(
            len(Path("ext", u + s).read_text().splitlines())
            for u in own
            for s in (".c", ".cpp")
            if Path("ext", u + s).exists()
        )
        backward = sum(
            not may_use(unit, o) for unit, others in own.items() for o in others
        )
        count = sum(len(others) for others in own.values())
        print(
            f"{floor:20}{len(own):6}{lines:8}{depth(inside):7}{count:8}{backward:10}{len(circles(inside)):9}"
        )


def main():
    graph = arrows(sys.argv[1])
    if "--table" in sys.argv:
        table(graph)
        for circle in circles(graph):
            print("circle:", ", ".join(circle))
        return 0
    found = list(breaches(graph))
    print("\n".join(found))
    return 1 if found else 0


sys.exit(main())
