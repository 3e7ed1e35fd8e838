"""plots.py RESULTS.json - draws them: prints a JSON object {series: [SVG, ...]}.

A program of its own: matplotlib may be installed for another Python than the one that measures."""
import io
import json
import math
import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
PYTHONS = [sys.executable, "/usr/bin/python3"]
OURS = {"weir": "#0b5fc0", "weir-uring": "#0b5fc0", "weir-epoll": "#58a4ee"}
FLOORS = ["#6a6a6a", "#a5a5a5", "#c9c9c9"]
PEERS = ["#d1495b", "#e0912f", "#5a9a4a", "#8a5fb0", "#30998f", "#b07848", "#c06aa0", "#8f8f2f"]
PERCENTILES = {"p50": 50, "p90": 90, "p99": 99, "p99.9": 99.9, "p99.99": 99.99}
PER_LINE = 3
MANY = 6  # rows; more of them are drawn as ratios


def draw(path):
    """({series: [SVG]}, why there are none)"""
    why = ""
    for python in dict.fromkeys(PYTHONS):
        try:
            ran = subprocess.run([python, os.path.join(HERE, "plots.py"), path],
                                 stdin=subprocess.DEVNULL, capture_output=True, text=True,
                                 timeout=300, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            why = str(error)
            continue
        if ran.returncode == 0:
            return json.loads(ran.stdout), ""
        why = (ran.stderr.strip().splitlines() or ["it said nothing"])[-1]
    return {}, "matplotlib is not installed (python3-matplotlib)" if "matplotlib" in why else why


# --- from here on with matplotlib ---

def colours(results, names):
    """{name: colour}"""
    taken, peers, floors = {}, iter(PEERS * 4), iter(FLOORS * 4)
    for name in names:
        family = results.family[name]
        taken[name] = OURS.get(name) or (next(floors) if family == "floor" else next(peers))
    return taken


class Drawing:
    """The results of one file, and matplotlib."""

    def __init__(self, data, pyplot):
        self.plt = pyplot
        self.series = data["series"]
        self.rows = data["rows"]
        self.family = {}
        for row in self.rows:
            for name, cell in row["servers"].items():
                if cell["family"] != "twin":
                    self.family.setdefault(name, cell["family"])
        rank = {"weir": 0, "floor": 1, "peer": 2}
        self.names = sorted(self.family, key=lambda name: rank.get(self.family[name], 3))
        self.colour = colours(self, self.names)

    def cells(self, row):
        """[(name, cell)] with a result."""
        return [(name, row["servers"][name]) for name in self.names
                if name in row["servers"] and row["servers"][name]["median"] is not None]

    def groups(self, series):
        """The rows of each metric that somebody takes part in."""
        found = {}
        for row in self.rows:
            if row["series"] == series and self.cells(row):
                found.setdefault((row["metric"], row["unit"]), []).append(row)
        return list(found.values())

    def all(self):
        return {name: list(self.of(name, about)) for name, about in self.series.items()}

    def of(self, name, about):
        if about["plot"] == "percentiles":
            yield from self.percentiles(name)
        groups = [] if about["plot"] == "none" else self.groups(name)
        for rows in groups:
            if about["plot"] == "lines" and len(rows) > 1:
                yield self.lines(rows, about["x_title"])
            elif len(rows) > MANY and all(len(self.cells(row)) == 1 for row in rows):
                yield self.single(rows)
            elif len(rows) > MANY:
                yield self.ratios(rows)
            elif about["plot"] != "percentiles" or rows[0]["metric"] in ("cpu", "rate"):
                yield self.bars(rows)

    # --- each kind of plot ---

    def bars(self, rows):
        across = min(PER_LINE, len(rows))
        down = math.ceil(len(rows) / across)
        most = max(len(self.cells(row)) for row in rows)
        figure, axes = self.plt.subplots(down, across, squeeze=False,
                                         figsize=(3.6 * across + 0.4, down * (0.26 * most + 1.1)))
        for at, axis in enumerate(axes.flat):
            if at < len(rows):
                self.bars_of(axis, rows[at])
            else:
                axis.axis("off")
        return self.finish(figure, rows[0])

    def bars_of(self, axis, row):
        cells = self.cells(row)[::-1]
        values = [cell["median"] for _, cell in cells]
        axis.barh([name for name, _ in cells], values, height=0.72,
                  color=[self.colour[name] for name, _ in cells], xerr=spread(cells),
                  error_kw={"elinewidth": 1, "capsize": 2, "ecolor": "#222222"})
        axis.set_title(row["title"], fontsize=9, loc="left")
        if min(values) > 0 and max(values) > 60 * min(values):
            axis.set_xscale("log")
        else:
            axis.set_xlim(left=0)

    def lines(self, rows, x_title):
        figure, axis = self.plt.subplots(figsize=(7.4, 3.8))
        for name in self.names:
            points = [(row["x"], row["servers"][name]) for row in rows
                      if row["servers"].get(name, {}).get("median") is not None]
            if points:
                self.line_of(axis, name, points)
        xs = sorted({row["x"] for row in rows})
        if max(xs) >= 50 * min(xs):
            axis.set_xscale("log")
        axis.set_xticks(xs)
        axis.set_xticklabels([f"{x:,.0f}" for x in xs])
        axis.minorticks_off()
        axis.set_ylim(bottom=0)
        axis.set_xlabel(x_title)
        axis.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
        return self.finish(figure, rows[0])

    def line_of(self, axis, name, points):
        axis.errorbar([x for x, _ in points], [cell["median"] for _, cell in points],
                      yerr=spread([(name, cell) for _, cell in points]), label=name,
                      color=self.colour[name], marker="o", markersize=3.5, capsize=2,
                      linewidth=2 if self.family[name] == "weir" else 1.2,
                      linestyle="--" if self.family[name] == "floor" else "-")

    def single(self, rows):
        """One server only: its rows below each other."""
        figure, axis = self.plt.subplots(figsize=(7.4, 0.24 * len(rows) + 1))
        cells = [self.cells(row)[0] for row in rows][::-1]
        axis.barh([row["title"] for row in rows][::-1], [cell["median"] for _, cell in cells],
                  height=0.72, color=[self.colour[name] for name, _ in cells], xerr=spread(cells),
                  error_kw={"elinewidth": 1, "capsize": 2, "ecolor": "#222222"})
        axis.set_xscale("log")
        return self.finish(figure, rows[0])

    def ratios(self, rows):
        """Many rows: how many times weir's figure the others' are."""
        figure, axis = self.plt.subplots(figsize=(7.4, 0.27 * len(rows) + 1))
        titles = [f"{row['row']}" for row in rows][::-1]
        for name in self.names:
            points = [(at, ratio) for at, row in enumerate(rows[::-1])
                      if (ratio := self.ratio(row, name))]
            if points:
                axis.plot([ratio for _, ratio in points], [at for at, _ in points], "o",
                          color=self.colour[name], label=name)
        axis.set_yticks(range(len(rows)))
        axis.set_yticklabels(titles)
        axis.set_xscale("log")
        axis.axvline(1, color=OURS["weir"], linewidth=2)
        axis.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
        return self.finish(figure, rows[0], "times weir's figure: who stands right of the line is behind weir"
                           if rows[0]["better"] == "lower" else "times weir's figure")

    def ratio(self, row, name):
        cells = dict(self.cells(row))
        weir = next((cell for who, cell in cells.items() if self.family[who] == "weir"), None)
        if weir is None or name not in cells or self.family[name] == "weir" or \
                min(weir["median"], cells[name]["median"]) <= 0:
            return None
        return cells[name]["median"] / weir["median"]

    def percentiles(self, series):
        """A curve per server, an axis per row; both scales by powers of ten."""
        rows = {}
        for row in self.rows:
            if row["series"] == series and row["metric"] in PERCENTILES:
                rows.setdefault(row["row"], {})[row["metric"]] = row
        if not rows:
            return
        figure, axes = self.plt.subplots(1, len(rows), squeeze=False, sharey=True,
                                         figsize=(3.4 * len(rows) + 1.2, 4.2))
        for axis, metrics in zip(axes.flat, rows.values()):
            self.percentiles_of(axis, metrics)
        axes.flat[0].set_ylabel("latency, us")
        labels = {label: handle for axis in axes.flat
                  for handle, label in zip(*axis.get_legend_handles_labels())}
        axes.flat[-1].legend(labels.values(), labels.keys(), fontsize=8, frameon=False,
                             loc="center left", bbox_to_anchor=(1.0, 0.5))
        yield self.finish(figure, None, "")

    def percentiles_of(self, axis, metrics):
        at = {key: -math.log10(1 - percent / 100) for key, percent in PERCENTILES.items()}
        for name in self.names:
            points = [(at[key], row["servers"][name]) for key, row in metrics.items()
                      if row["servers"].get(name, {}).get("median")]
            if points:
                self.line_of(axis, name, points)
        axis.set_yscale("log")
        axis.set_xticks(list(at.values()))
        axis.set_xticklabels(list(PERCENTILES), fontsize=8)
        axis.set_title(next(iter(metrics.values()))["title"], fontsize=9, loc="left")

    def finish(self, figure, row, title=None):
        if title is None:
            better = "less is better" if row["better"] == "lower" else "more is better"
            title = f"{row['metric_title']}, {row['unit']} ({better})"
        for axis in figure.axes:
            axis.grid(True, color="#e6e6e6", linewidth=0.7)
            axis.set_axisbelow(True)
            axis.tick_params(labelsize=8, length=2)
            for side in ("top", "right"):
                axis.spines[side].set_visible(False)
        if title:
            figure.suptitle(title, fontsize=10, x=0.01, ha="left")
        figure.tight_layout()
        text = io.StringIO()
        figure.savefig(text, format="svg", bbox_inches="tight", metadata={"Date": None})
        self.plt.close(figure)
        return clean(text.getvalue())


def spread(cells):
    """How far below and above the median the quartiles are."""
    return [[max(0, cell["median"] - cell["spread"][0]) for _, cell in cells],
            [max(0, cell["spread"][1] - cell["median"]) for _, cell in cells]]


def clean(svg):
    """To stand within HTML: without what only a file of its own needs."""
    svg = svg[svg.index("<svg"):]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.S)
    return re.sub(r' xmlns(?::xlink)?="[^"]*"', "", svg).replace("xlink:href", "href")


def main():
    import matplotlib  # pylint: disable=import-outside-toplevel
    matplotlib.use("svg")
    from matplotlib import pyplot  # pylint: disable=import-outside-toplevel
    matplotlib.rcParams.update({"svg.fonttype": "none", "font.family": "sans-serif",
                                "svg.hashsalt": "weir", "figure.max_open_warning": 0})
    with open(sys.argv[1], encoding="utf-8") as file:
        data = json.load(file)
    json.dump(Drawing(data, pyplot).all(), sys.stdout)


if __name__ == "__main__":
    main()
