"""Runs every test_* function of the modules beside this file against BUILD_DIR/recommend.so.

Usage: run.py BUILD_DIR [PART_OF_A_NAME]     last line: "N passed, N failed[, N skipped]"

A test takes one argument, a Shop (support.py) with a fresh temporary folder, and fails by any exception; unittest.SkipTest
skips it with a word. Each module runs in a process of its own: where a test ends that process (a crash) or does not end
(LIMIT seconds without a word), the test has failed, and a new process goes on with those after it."""
import glob, importlib, os, queue, signal, subprocess, sys, tempfile, threading, traceback, unittest

HERE = os.path.dirname(os.path.abspath(__file__))
LIMIT = 120


def why(error):
    """The place in the tests and what went wrong, in one line and perhaps an indented rest."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if os.path.basename(frame.filename).startswith("test_")]
    place = f" ({os.path.basename(frames[-1].filename)}:{frames[-1].lineno})" if frames else ""
    kind = "" if isinstance(error, AssertionError) else f"{type(error).__name__}: "
    return f"{kind}{error}{place}"


def tests_of(name, part):
    sys.path.insert(0, HERE)
    sys.dont_write_bytecode = True
    return [(test, function) for test, function in vars(importlib.import_module(name)).items() if test.startswith("test_") and part in test]


def run_module(name, part, first):
    """Lines "begin NAME", then "passed", "skipped REASON" or "failed REASON" (newlines as tabs) for each test from `first` on."""
    import support
    for test, function in tests_of(name, part)[first:]:
        print(f"begin {test}", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            try:
                function(support.Shop(folder))
                said = "passed"
            except unittest.SkipTest as reason:
                said = f"skipped {reason}"
            except Exception as error:
                said = "failed " + why(error).replace("\n", "\t")
        print(said, flush=True)


def read_lines(stream, lines):
    for line in stream:
        lines.put(line.rstrip("\n"))
    lines.put(None)


def follow(process, name, counts):
    """Count and print what the process says. Gives how many tests it began, and the one it did not end."""
    lines, begun, test = queue.Queue(), 0, None
    threading.Thread(target=read_lines, args=(process.stdout, lines), daemon=True).start()
    while True:
        try:
            line = lines.get(timeout=LIMIT)
        except queue.Empty:
            process.send_signal(signal.SIGABRT)  # faulthandler shows where
            line = lines.get()
        if line is None:
            return begun, test
        word, _, rest = line.partition(" ")
        if word == "begin":
            begun, test = begun + 1, rest
        elif word in counts and test:
            counts[word] += 1
            if word != "passed":
                print(f"{'FAIL' if word == 'failed' else 'SKIP'} {name}.{test}: " + rest.replace("\t", "\n"), flush=True)
            test = None


def main(build, part=""):
    os.environ["REC_EXTENSION"] = os.path.abspath(os.path.join(build, "recommend"))
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    for path in sorted(glob.glob(os.path.join(HERE, "test_*.py"))):
        name, first, test = os.path.basename(path)[:-3], 0, "?"
        while test:
            with tempfile.TemporaryFile("w+") as errors:
                process = subprocess.Popen([sys.executable, "-X", "faulthandler", __file__, "--module", name, part, str(first)], stdout=subprocess.PIPE, stderr=errors, text=True)
                begun, test = follow(process, name, counts)
                code = process.wait()
                first += begun
                if code and not test:
                    test = "(the module)" if not begun else "(the end of the module)"
                if test:
                    errors.seek(0)
                    counts["failed"] += 1
                    print(f"FAIL {name}.{test}: the process ended with code {code}\n{errors.read()[-2000:]}", flush=True)
                    if not begun:
                        break
    print(f"{counts['passed']} passed, {counts['failed']} failed" + (f", {counts['skipped']} skipped" if counts["skipped"] else ""))
    return 1 if counts["failed"] else 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--module"]:
        run_module(sys.argv[2], sys.argv[3] if len(sys.argv) > 3 else "", int(sys.argv[4]) if len(sys.argv) > 4 else 0)
    elif len(sys.argv) < 2:
        sys.exit("run.py BUILD_DIR [PART_OF_A_NAME]")
    else:
        sys.exit(main(*sys.argv[1:3]))
