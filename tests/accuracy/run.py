"""make accuracy: accuracy beside published figures, one Markdown table a data set, in SQL from end to end.

Usage: run.py BUILD [--sets SET,...] [--only ALGORITHM,...] [--tune]

REC_DATA is the folder of the data sets; REC_EXTENSION another recommend.so than BUILD's. settings.json holds, for every
set and row, the options. --tune chooses them again from grids.json, on the validation part of train only, and writes
settings.json. Every measurement runs in a process of its own, so that its peak memory is its own."""
import argparse, itertools, json, os, sys

import common, sequences, sessions, shop, topn

MODULES = {name: module for module in (topn, sequences, sessions, shop) for name in module.SETS}


def task_load(path, extension, name, folder):
    db = common.connect(path, extension)
    MODULES[name].load(db, name, folder)


def task_measure(path, extension, name, options, part):
    db = common.connect(path, extension)
    result = MODULES[name].measure(db, name, options, part)
    db.execute("DROP TABLE IF EXISTS m")
    return result


def ready(name, args):
    """The set's database, made when it is not there, or None."""
    module = MODULES[name]
    folder = os.path.join(os.environ.get("REC_DATA", ""), module.SETS[name]) if module.SETS[name] else args.build
    if module.SETS[name] and (not os.environ.get("REC_DATA") or not os.path.isdir(folder)):
        print(f"SKIP {name}: no data ({'REC_DATA is not set' if not os.environ.get('REC_DATA') else folder + ' is missing'})")
        return None
    path = os.path.join(args.build, "accuracy", f"{name}.db")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if not os.path.exists(path):
        if os.path.exists(path + ".new"):
            os.remove(path + ".new")
        if common.in_process("load", path + ".new", args.extension, name, folder) is None:
            sys.exit(f"{name}: loading failed")
        os.rename(path + ".new", path)
    return path


def cells(module, result):
    """One measurement, as table cells."""
    texts = [f"{result[key] * times:.{digits}f}" for key, _, digits, times in module.METRICS]
    return texts + [f"{result['train_s']:.1f}", f"{result['judge_s']:.1f}", f"{result['bytes'] / 1e6:.1f}", f"{result['rss'] / 2**20:.0f}"]


def heading(module, name, first):
    head = [first] + [label for _, label, _, _ in module.METRICS] + ["train s", "judge s", "model MB", "peak MiB"]
    print(f"\n### {name}\n\n| " + " | ".join(head) + " |\n|" + "---|" * len(head), flush=True)


def tune(name, path, args, settings, grids):
    """Chooses the options of every row that has a grid, by the best module.GOAL on the validation part."""
    module = MODULES[name]
    heading(module, f"{name}: trials on the validation part", "trial")
    for label, grid in grids.get(name, {}).items():
        if args.only and label not in args.only:
            continue
        best = None
        for values in itertools.product(*grid.values()):
            options = {**settings[name].get(label, {}), **dict(zip(grid, values))}
            result = common.in_process("measure", path, args.extension, name, options, "valid")
            trial = f"{label} " + " ".join(f"{key}={value}" for key, value in zip(grid, values))
            if result is None:
                print(f"| {trial} | failed |", flush=True)
                continue
            print(f"| {trial} | " + " | ".join(cells(module, result)) + " |", flush=True)
            if best is None or result[module.GOAL] > best[0]:
                best = result[module.GOAL], options
        if best:
            settings[name][label] = best[1]
            save(name, label, best[1])


def read(name):
    with open(os.path.join(common.HERE, name)) as text:
        return json.load(text)


def save(name, label, chosen):
    """Puts one row's options into settings.json, which has a line a row."""
    settings, sets = read("settings.json"), []
    settings[name][label] = chosen
    for name, rows in settings.items():
        lines = ",\n".join(f"    {json.dumps(label)}: {json.dumps(options)}" for label, options in rows.items())
        sets.append(f"  {json.dumps(name)}: {{\n{lines}\n  }}")
    with open(os.path.join(common.HERE, "settings.json"), "w") as out:
        out.write("{\n" + ",\n".join(sets) + "\n}\n")


def table(name, path, args, settings):
    module = MODULES[name]
    heading(module, name + (" (validation part)" if args.part == "valid" else ""), "algorithm")
    for label, options in settings[name].items():
        if args.only and label not in args.only:
            continue
        result = common.in_process("measure", path, args.extension, name, options, args.part)
        print(f"| {label} | " + (" | ".join(cells(module, result)) if result else "failed") + " |", flush=True)
    for label, *values in module.PUBLISHED.get(name, []):
        shown = [f"{value:.{digits}f}" if value is not None else "" for value, (_, _, digits, _) in zip(values, module.METRICS)]
        print(f"| published: {label} | " + " | ".join(shown) + " |" + " |" * (len(module.METRICS) - len(shown)) + " | | | |", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build")
    parser.add_argument("--sets", default="")
    parser.add_argument("--only", default="")
    parser.add_argument("--tune", action="store_true")
    parser.add_argument("--part", default="test", choices=("test", "valid"))
    args = parser.parse_args()
    args.only = [label for label in args.only.split(",") if label]
    args.extension = os.environ.get("REC_EXTENSION") or os.path.join(args.build, "recommend.so")
    settings, grids = read("settings.json"), read("grids.json")
    for name in [name for name in args.sets.split(",") if name] or MODULES:
        if name not in MODULES:
            sys.exit(f"no set {name} ({', '.join(MODULES)})")
        path = ready(name, args)
        if path and args.tune:
            tune(name, path, args, settings, grids)
        if path:
            table(name, path, args, settings)


if len(sys.argv) > 1 and sys.argv[1] == "--task":
    common.answer({"load": task_load, "measure": task_measure}[sys.argv[2]](*json.loads(sys.argv[3])))
else:
    main()
