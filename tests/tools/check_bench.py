"""check_bench.py ROOT BUILD - the perf suite: verdicts, files, tables, report, and a brief real run.

Nothing here depends on how fast anything is: the figures are made up, and of the real run only the
form is looked at.
"""
import io
import json
import os
import re
import subprocess
import sys
import tempfile

import tap

ROOT, BUILD = sys.argv[1:3]
sys.path.insert(0, os.path.join(ROOT, "perf"))
# from perf/, only now in the path
from suite import compare, keep, noise, plots, report, results, table  # noqa: E402
from suite.progress import Progress  # noqa: E402
import instructions  # noqa: E402

CPU = results.Metric("cpu", "us", "CPU per request")
RATE = results.Metric("rate", "1/s", "requests per second", results.HIGHER)
SECONDS = 240


def row_of(metric=CPU, noise_level=0.02, row="64", series="http", **servers):
    """weir=[...], floor=[...], peer=[...]: values of each."""
    made = results.ResultRow(series, row, f"row {row}", metric, noise=noise_level)
    for name, values in servers.items():
        made.servers[name] = results.Cell(name.split("_")[0], values)
    return made


def results_of(*rows):
    made = results.Results("./dev bench http", "2026-01-01 00:00 UTC", 12.5, {"rounds": 3},
                           {"cpu": "a CPU <&>", "kernel": "Linux", "servers": {"weir": "0.1.0"}})
    for row in rows:
        made.series.setdefault(row.series, {
            "title": "requests", "how": "by wrk", "plot": "bars", "x_title": "", "skipped": None,
            "noise": {"0": {"spread": 0.01, "worst": 0.02}}, "notes": [], "seconds": 1})
        made.rows.append(row)
    return made


def expect(got, wanted):
    return "" if got == wanted else f"{got!r}, not {wanted!r}"


# --- verdicts ---

def place(**kwargs):
    return results.judge(row_of(**kwargs))["weir"].place


def verdicts():
    wrong = [
        expect(place(weir=[5.0, 5.1, 5.0], floor=[6.0, 6.1, 6.0]), "first"),
        expect(place(weir=[6.0, 6.1, 6.0], floor=[5.0, 5.1, 5.0]), "behind"),
        expect(place(weir=[6.0, 6.1, 6.0], floor=[5.0, 5.1, 5.0], metric=RATE), "first"),
        # at the edge of the noise and just beyond it
        expect(place(weir=[102.0] * 3, floor=[100.0] * 3, noise_level=0.02), "tie"),
        expect(place(weir=[102.1] * 3, floor=[100.0] * 3, noise_level=0.02), "behind"),
        expect(place(weir=[100.0] * 3, floor=[102.1] * 3, noise_level=0.02), "first"),
        # no noise known, but the rounds do not agree
        expect(place(weir=[5.0, 7.0, 6.5], floor=[6.0, 6.0, 6.0], noise_level=0), "tie"),
        # a slow moment that met both is no difference
        expect(place(weir=[5.0, 50.0, 5.0], floor=[6.0, 60.0, 6.0]), "first"),
        # against the best of the others
        expect(results.judge(row_of(weir=[5.0], floor=[6.0], peer=[4.0]))["weir"].against, "peer"),
    ]
    return "\n".join(line for line in wrong if line)


def no_verdicts():
    told = results.Metric("rate", "1/s", "", results.HIGHER, judged=False)
    least = results.Metric("cpu", "%", "", least=0.05)
    broken = row_of(weir=[5.0], floor=[6.0])
    broken.servers["weir"] = results.Cell("weir", [], 7, "errors: timeout 7")
    alone = row_of(weir=[5.0])
    wrong = [
        expect(results.judge(row_of(metric=told, weir=[1.0], floor=[2.0])), {}),
        expect(results.judge(broken), {}),
        expect(results.judge(alone), {}),
        expect(place(metric=least, weir=[0.05], floor=[0.0]), "tie"),
        expect(place(metric=least, weir=[0.06], floor=[0.0]), "behind"),
        expect(place(metric=least, weir=[0.0], floor=[0.06]), "first"),
    ]
    return "\n".join(line for line in wrong if line)


def twins():
    cell, again = results.Cell("floor", [100.0, 100.0, 100.0]), results.Cell("twin", [90.0, 100.0, 110.0])
    low = results.noise_of_twins(CPU, cell, again)
    same = results.noise_of_twins(CPU, cell, results.Cell("twin", [100.0] * 3))
    return expect((round(low, 3), same), (0.053, 0.0))


def the_default_counts():
    row = row_of(weir=[5.0], weir_epoll=[1.0], floor=[4.0])
    return expect((results.verdict(row)[0], len(results.behind([row])), table.tally(results_of(row))),
                  ("weir", 1, {"first": 0, "tie": 0, "behind": 1}))


# --- files ---

def schema():
    made = results_of(row_of(weir=[5.0, 6.0], floor=[4.0, 4.5]))
    data = json.loads(json.dumps(made.to_json()))
    row = data["rows"][0]
    wanted = {"series", "row", "title", "x", "metric", "metric_title", "unit", "better", "judged",
              "least", "noise", "servers", "verdicts", "verdict"}
    wrong = [expect(data["schema"], results.SCHEMA), expect(set(row), wanted),
             expect(set(row["servers"]["weir"]),
                    {"family", "values", "errors", "invalid", "median", "spread"}),
             expect(row["servers"]["weir"]["median"], 5.5),
             expect(row["servers"]["weir"]["spread"], [5.25, 5.75]),
             expect(row["verdict"]["place"], "behind"), expect(row["verdict"]["against"], "floor"),
             expect(results.Results.from_json(data).to_json(), made.to_json())]
    return "\n".join(line for line in wrong if line)


def written(folder, name, made):
    path = os.path.join(folder, name)
    results.write(path, made)
    return path


def bench(*argv, env=None):
    return subprocess.run([sys.executable, os.path.join(ROOT, "perf", "bench.py"), *argv],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
                          timeout=SECONDS, env=env)


def comparing():
    old = results_of(row_of(weir=[5.0] * 3, floor=[4.0] * 3), row_of(row="1000", weir=[9.0] * 3),
                     row_of(row="gone", weir=[1.0]), row_of(metric=RATE, row="r", weir=[100.0] * 3))
    new = results_of(row_of(weir=[6.0] * 3, floor=[4.04] * 3), row_of(row="1000", weir=[7.0] * 3),
                     row_of(metric=RATE, row="r", weir=[80.0] * 3))
    found = {(row.key, name): what for row, name, what, *_ in compare.compare(old, new)}
    return expect(found, {("http/64/cpu", "weir"): compare.SLOWER,
                          ("http/64/cpu", "floor"): compare.SAME,
                          ("http/1000/cpu", "weir"): compare.FASTER,
                          ("http/r/rate", "weir"): compare.SLOWER})


def comparing_spread():
    """Medians far apart are the same as long as the rounds overlap."""
    old = results_of(row_of(weir=[5.0, 6.0, 9.0], noise_level=0))
    new = results_of(row_of(weir=[5.5, 7.5, 8.0], noise_level=0))
    return expect([what for _, _, what, *_ in compare.compare(old, new)], [compare.SAME])


def comparing_files():
    with tempfile.TemporaryDirectory() as folder:
        old = written(folder, "old", results_of(row_of(weir=[5.0] * 3)))
        new = written(folder, "new", results_of(row_of(weir=[6.0] * 3)))
        ran = bench("compare", old, new)
        wrong = expect(ran.returncode, 0)
        for words in ("worse:", "http/64/cpu", "5.00", "6.00", "0 better, 1 worse"):
            wrong += "" if words in ran.stdout else f"'{words}' is not in:\n{ran.stdout}{ran.stderr}"
    return wrong


def comparing_nonsense():
    with tempfile.TemporaryDirectory() as folder:
        good = written(folder, "good", results_of(row_of(weir=[5.0])))
        files = {"text": "no JSON", "list": "[]", "empty": "{}", "binary": "\ud800",
                 "later": '{"schema": 99}', "half": f'{{"schema": {results.SCHEMA}}}',
                 "rows": json.dumps({**results_of().to_json(), "rows": [{"series": 1}]})}
        wrong = []
        for name, text in files.items():
            with open(os.path.join(folder, name), "w", encoding="utf-8",
                      errors="surrogatepass") as file:
                file.write(text)
        for name in [*files, "missing"]:
            wrong.append(refused(bench("compare", good, os.path.join(folder, name))))
        wrong.append(refused(bench("compare", good)))
    return "\n".join(line for line in wrong if line)


def refused(ran):
    if ran.returncode == 2 and not ran.stdout and ran.stderr.count("\n") == 1:
        return ""
    return f"{ran.args[2:]}: status {ran.returncode}\n{ran.stdout}{ran.stderr}"


def refusals():
    mistakes = [["nonsense"], ["--rounds", "0"], ["--rounds", "x"], ["--seconds", "0"],
                ["--seconds", "601"], ["--idle", "0"], ["--cpus", "0"], ["--cpus", "a,b"],
                ["--cpus", "0,0"], ["--cpus", "0,100000"], ["--servers", "apache"],
                ["--peer", "nothing"], ["--json", "/nowhere/file"], ["--no-such"],
                ["baseline", "more"], ["compare"]]
    with tempfile.TemporaryDirectory() as folder:
        return "\n".join(line for line in (refused(bench(*words, *(
            ["--build", folder] if words[0] != "compare" else []))) for words in mistakes) if line)


# --- what people see ---

class Terminal(io.StringIO):
    def isatty(self):
        return True


def shown(made, stream):
    table.show(made, stream)
    return stream.getvalue()


def tables():
    broken = row_of(row="1000", weir=[5.0, 5.0], floor=[6.0, 6.0], peer=[1.0])
    broken.servers["peer"] = results.Cell("peer", [], 3, "errors: timeout 3")
    made = results_of(row_of(weir=[5.0, 5.0], floor=[6.0, 6.0], peer=[7.0, 9.0]), broken)
    plain = shown(made, io.StringIO())
    wrong = [] if "\033" not in plain else ["colours where there is no terminal"]
    if "\033[32m" not in shown(made, Terminal()):
        wrong.append("no colours on a terminal")
    for words in ("requests", "row 64", "row 1000", "5.00 ±0%", "8.00 ±6%", "first, x 1.20 ahead of floor",
                  "3 errors", "no result: peer, row 1000: errors: timeout 3",
                  "2 contests: 2 first, 0 tied, 0 behind"):
        if words not in plain:
            wrong.append(f"'{words}' is not in:\n{plain}")
    long = [line for line in plain.splitlines() if len(line) > 100]
    return "\n".join(wrong + long)


def many_rows():
    """More rows than servers: rows go down; wide tables are cut into pages."""
    made = results_of(*(row_of(row=f"{at}", weir=[1.0 + at]) for at in range(5)))
    text = shown(made, io.StringIO())
    wide = results_of(row_of(**{f"peer_{'x' * 20}{at}": [1.0] for at in range(12)}),
                      *(row_of(row=f"{'y' * 30}{at}", peer_0=[1.0]) for at in range(9)))
    most = max(len(line) for line in shown(wide, io.StringIO()).splitlines())
    return expect([bool(re.search(rf"^ +row {at} +{1 + at}\.00$", text, re.M)) for at in range(5)],
                  [True] * 5) + expect(most <= 100, True)


def progress():
    """A bar and the time that is left on a terminal; elsewhere a line per row."""
    time = iter(range(0, 1000, 10))
    terminal, pipe = Terminal(), io.StringIO()
    bar = Progress(100, terminal, now=lambda: next(time))
    bar.step(25)
    bar.show("http: 64", "1/3 weir")
    lines = Progress(100, pipe, now=lambda: 0)
    for name in ("a", "b"):
        lines.show("http: 64", name)
    wrong = [] if "[######.................." in terminal.getvalue() else ["no bar"]
    wrong += [] if " 25%  0:30 left  http: 64 1/3 weir" in terminal.getvalue() else ["no time left"]
    wrong += [] if pipe.getvalue() == "bench: http: 64\n" else [repr(pipe.getvalue())]
    return "\n".join(wrong) and f"{wrong}: {terminal.getvalue()!r}"


def outside(page):
    """What a page would have to fetch."""
    return re.findall(r"""(?:src|href)\s*=\s*["']?(?!#)[^\s>"']+|url\((?!#)[^)]*\)|@import[^;]*|<script""",
                      page)


def reports():
    percentiles = [row_of(results.Metric(key, "us", key), series="latency", row="50", weir=[5.0, 6.0],
                          floor=[5.0, 7.0]) for key in ("p50", "p99", "p99.99")]
    lines = [row_of(series="conns", row=str(x), weir=[5.0 + x], floor=[6.0]) for x in (1, 1000)]
    for row, x in zip(lines, (1, 1000)):
        row.x = x
    made = results_of(row_of(weir=[5.0, 6.0], floor=[4.0, 4.5]), *percentiles, *lines)
    made.series["latency"]["plot"], made.series["conns"]["plot"] = "percentiles", "lines"
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "report.html")
        report.write(path, made)
        with open(path, encoding="utf-8") as file:
            page = file.read()
        drawn, why = plots.draw(written(folder, "results", made))
    wrong = outside(page)
    if "a CPU &lt;&amp;&gt;" not in page or "<&>" in page:
        wrong.append("the machine's text is not escaped")
    if drawn:
        wrong += [f"no plot of {name}" for name in made.series if not drawn[name]]
        wrong += [] if page.count("<svg") == sum(map(len, drawn.values())) else ["plots are missing"]
    else:
        wrong += [] if why in page else [f"the page does not say why there are no plots: {why}"]
    return "\n".join(wrong)


def kept():
    made = results_of(row_of(weir=[5.0] * 2, floor=[4.0] * 2),
                      row_of(row="1000", weir=[5.0] * 2, floor=[4.0] * 2))
    with tempfile.TemporaryDirectory() as folder:
        reasons = os.path.join(folder, "behind.md")
        with open(reasons, "w", encoding="utf-8") as file:
            file.write("# Why\n\n- `http/64/cpu`: the moon\n  was full\n- `x/y/z`: other\n")
        path = os.path.join(folder, "RESULTS.md")
        keep.keep(made, path, keep.reasons(reasons))
        with open(path, encoding="utf-8") as file:
            text = file.read()
    wrong = [words for words in (
        "`./dev bench http --keep`", "| kernel | Linux |", "behind floor by x 1.25. the moon was full",
        f"`http/1000/cpu`, row 1000, CPU per request: weir is behind floor by x 1.25. {keep.NO_REASON}")
        if words not in text]
    return "\n".join(wrong and wrong + [text])


def reasons_are_of_rows():
    """behind.md names rows by series that exist."""
    import series  # pylint: disable=import-outside-toplevel
    return "\n".join(key for key in keep.reasons()
                     if key.split("/")[0] not in series.NAMES or key.count("/") != 2)


def probe():
    cpu = min(os.sched_getaffinity(0))
    found = noise.probe([cpu, cpu], 3)
    if list(found) != [str(cpu)] or found[str(cpu)]["spread"] < 0 or \
            noise.level(found) != found[str(cpu)]["spread"]:
        return f"{found}"
    return ""


# --- the baseline ---

def own_cost():
    """Of a program's own code: not of libraries, and not what callees cost as well."""
    lines = ["ob=(1) /a/prog\n", "fl=(1) a.c\n", "fn=(1) main\n", "16 100\n", "cob=(2) /lib/libc\n",
             "cfn=(2) memcpy\n", "calls=5 0\n", "+1 5000\n", "+2 7\n", "ob=(2)\n", "fn=(2)\n",
             "* 4000\n", "ob=(1)\n", "fn=(3) helper\n", "-3 11\n", "\n", "totals: 4118\n"]
    return expect(instructions.own_cost(lines, "/a/prog"), 118)


def worse():
    kept_counts = {"call": 1000.0}
    wrong = [expect(instructions.worse("call", value, kept_counts), "") for value in (500, 1000, 1030)]
    said = instructions.worse("call", 1031, kept_counts)
    wrong.append("" if "1031.0" in said and "+3.1%" in said else f"of 1031: {said!r}")
    wrong.append("" if "not in the baseline" in instructions.worse("new", 1, kept_counts) else "new")
    return "\n".join(line for line in wrong if line)


def other_kinds():
    kind = {"compiler": "gcc 12", "avx2": True}
    return expect(instructions.other_kind(kind, dict(kind)), "") or \
        expect(instructions.other_kind({"compiler": "gcc 13", "avx2": True}, kind),
               "compiler is gcc 13, the baseline's gcc 12")


# --- a real run ---

def run_briefly(folder):
    path, page = os.path.join(folder, "r.json"), os.path.join(folder, "r.html")
    ran = bench("idle", "memory", "--build", BUILD, "--servers", "weir-uring,weir-epoll", "--quick",
                "--rounds", "1", "--seconds", "0.2", "--idle", "50", "--json", path, "--html", page)
    if ran.returncode != 0:
        return f"status {ran.returncode}\n{ran.stdout}{ran.stderr}", None
    return "" if os.path.getsize(page) > 1000 else "no report", results.read(path)


def briefly():
    with tempfile.TemporaryDirectory() as folder:
        wrong, made = run_briefly(folder)
    if wrong:
        return wrong
    rows = {row.key: row for row in made.rows}
    trouble = expect(set(rows), {"idle/100/cpu", "memory/idle/bytes"})
    for key, row in rows.items():
        families = {cell.family for cell in row.good().values()}
        if not {"weir", "floor", "twin"} <= families:
            trouble += f"\n{key}: {row.servers}"
    return trouble


def loaded():
    """One round of the load by weir-load, with what it cost."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "r.json")
        ran = bench("echo", "--build", BUILD, "--servers", "weir-epoll", "--rounds", "1", "--seconds",
                    "0.1", "--json", path, "--html", os.path.join(folder, "r.html"))
        if ran.returncode != 0:
            return f"status {ran.returncode}\n{ran.stdout}{ran.stderr}"
        made = results.read(path)
    row = next(row for row in made.rows if row.key == "echo/64/cpu")
    cell = row.servers["weir-epoll"]
    good = cell.good and cell.median > 0 and row.good("floor")
    return "" if good else f"{row.servers}\n{ran.stderr}"


def main():
    report_ = tap.Tap()
    for case in (verdicts, no_verdicts, twins, the_default_counts, schema, comparing, comparing_spread,
                 comparing_files, comparing_nonsense, refusals, tables, many_rows, progress, reports,
                 kept, reasons_are_of_rows, probe, own_cost, worse, other_kinds):
        report_.case(case.__name__.replace("_", " "), case())
    if len(os.sched_getaffinity(0)) < 2:
        report_.skip("a run", "needs two CPUs")
    else:
        for case in (briefly, loaded):
            report_.case(case.__name__.replace("_", " "), case())
    sys.exit(report_.done())


main()
