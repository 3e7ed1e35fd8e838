"""results.py - what was measured: rows of servers, their spread, and who is ahead.

A row is one metric of one exercise.  Each server has one value per round; the rounds go over all
servers in turn, so values of the same round belong together, and a ratio of two servers is the
median of the ratios within the rounds.  The spread is the quartiles.

Noise is measured, not guessed: one floor runs twice in each row of servers, and within the quartiles
of the ratios of these two nothing can be told (A/A).  Where nobody runs twice it is what a fixed spin
loop showed before the series.  What does not depend on time, bytes and instructions, has none.  Two
are tied when their ratio lies within the noise, when the quartiles of their own ratios have 1 between
them, or when they differ by less than the metric can tell.
"""
import dataclasses
import json
import statistics

SCHEMA = 1
LOWER, HIGHER = "lower", "higher"
ROUNDED = 1e-9  # what a ratio may be off for having been computed
WEIR, FLOOR, PEER, TWIN = "weir", "floor", "peer", "twin"
FIRST, TIE, BEHIND = "first", "tie", "behind"


class Bad(Exception):
    """A file that holds no results; the text is one line."""


@dataclasses.dataclass(frozen=True)
class Metric:
    key: str
    unit: str
    title: str
    better: str = LOWER
    judged: bool = True  # False: told, but no contest (the load may be what limits it)
    least: float = 0.0   # smaller differences are none


@dataclasses.dataclass
class Cell:
    """What one server did."""

    family: str
    values: list = dataclasses.field(default_factory=list)
    errors: int = 0
    invalid: str = None  # why there is no result

    @property
    def good(self):
        return self.invalid is None and bool(self.values)

    @property
    def median(self):
        return statistics.median(self.values)


@dataclasses.dataclass
class ResultRow:
    series: str
    row: str
    title: str
    metric: Metric
    x: float = None      # where the row stands on a line of a plot
    noise: float = 0.0   # of ratios, see above
    servers: dict = dataclasses.field(default_factory=dict)  # name: Cell

    @property
    def key(self):
        return f"{self.series}/{self.row}/{self.metric.key}"

    def good(self, *families):
        return {name: cell for name, cell in self.servers.items()
                if cell.good and (not families or cell.family in families)}

    def best(self):
        """The name of the best of all but the twin, or None."""
        found = self.good(WEIR, FLOOR, PEER)
        return _best(found, self.metric) if found else None


@dataclasses.dataclass(frozen=True)
class Verdict:
    place: str
    against: str   # the best of the others
    ratio: float   # to it; above 1: so many times worse, whatever the metric
    noise: float   # within which the ratio would be a tie


def quartiles(values):
    """(first, third); of one value: the value."""
    if len(values) < 2:
        return values[0], values[0]
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, high


def _best(cells, metric):
    pick = min if metric.better == LOWER else max
    return pick(cells, key=lambda name: cells[name].median)


def worse_by(metric, value, base):
    """How many times worse a value is; None when it cannot be said."""
    top, bottom = (value, base) if metric.better == LOWER else (base, value)
    if bottom > 0:
        return top / bottom
    return 1.0 if top == bottom else None


def paired(metric, cell, base):
    """The ratios within the rounds."""
    ratios = [worse_by(metric, v, b) for v, b in zip(cell.values, base.values)]
    return [ratio for ratio in ratios if ratio is not None]


def noise_of_twins(metric, cell, twin):
    """How far from 1 the quartiles of the ratios of the same server with itself are."""
    ratios = [ratio for ratio in paired(metric, twin, cell) if ratio > 0]
    return max(apart(bound) for bound in quartiles(ratios)) if ratios else 0.0


def apart(ratio):
    """How far a ratio is from 1, to either side: of 0.8 and 1.25, 0.25."""
    return max(ratio, 1 / ratio) - 1 if ratio > 0 else float("inf")


def compare_cells(metric, cell, base, noise):
    """(place, ratio) of one cell beside another of the same row."""
    ratios = paired(metric, cell, base)
    ratio = statistics.median(ratios) if ratios else None
    if abs(cell.median - base.median) <= metric.least:
        return TIE, ratio if ratio is not None else 1.0
    if ratio is None:  # one of the two is zero
        ahead = (cell.median < base.median) == (metric.better == LOWER)
        return (FIRST if ahead else BEHIND), None
    low, high = quartiles(ratios)
    if apart(ratio) <= noise + ROUNDED or (len(ratios) > 1 and low <= 1 <= high):
        return TIE, ratio
    return (FIRST if ratio < 1 else BEHIND), ratio


def judge(row):
    """{name: Verdict} of each weir in a row that others are in, too."""
    others = row.good(FLOOR, PEER)
    if not row.metric.judged or not others:
        return {}
    against = _best(others, row.metric)
    verdicts = {}
    for name, cell in row.good(WEIR).items():
        place, ratio = compare_cells(row.metric, cell, others[against], row.noise)
        verdicts[name] = Verdict(place, against, ratio, row.noise)
    return verdicts


def verdict(row):
    """(name, Verdict) of the weir that users get by default - the first of the row - or None."""
    return next(iter(judge(row).items()), None)


def behind(rows):
    """The rows in which that one is behind."""
    return [row for row in rows if (v := verdict(row)) and v[1].place == BEHIND]


# --- as JSON ---

def cell_to_json(cell):
    low, high = quartiles(cell.values) if cell.good else (None, None)
    return {"family": cell.family, "values": cell.values, "errors": cell.errors,
            "invalid": cell.invalid, "median": cell.median if cell.good else None,
            "spread": [low, high]}


def row_to_json(row):
    verdicts = {name: dataclasses.asdict(v) for name, v in judge(row).items()}
    return {"series": row.series, "row": row.row, "title": row.title, "x": row.x,
            "metric": row.metric.key, "metric_title": row.metric.title, "unit": row.metric.unit,
            "better": row.metric.better, "judged": row.metric.judged, "least": row.metric.least,
            "noise": row.noise,
            "servers": {name: cell_to_json(cell) for name, cell in row.servers.items()},
            "verdicts": verdicts, "verdict": next(iter(verdicts.values()), None)}


def row_from_json(data):
    metric = Metric(data["metric"], data["unit"], data["metric_title"], data["better"],
                    data["judged"], data["least"])
    if metric.better not in (LOWER, HIGHER):
        raise ValueError(f"better is {metric.better}")
    row = ResultRow(data["series"], data["row"], data["title"], metric, data["x"], data["noise"])
    for name, cell in data["servers"].items():
        row.servers[name] = Cell(cell["family"], [float(v) for v in cell["values"]],
                                 cell["errors"], cell["invalid"])
    return row


@dataclasses.dataclass
class Results:
    """A whole run."""

    command: str = ""
    started: str = ""
    seconds: float = 0.0
    options: dict = dataclasses.field(default_factory=dict)
    machine: dict = dataclasses.field(default_factory=dict)
    series: dict = dataclasses.field(default_factory=dict)  # name: what is known of it, see engine
    rows: list = dataclasses.field(default_factory=list)

    def of(self, series):
        return [row for row in self.rows if row.series == series]

    def to_json(self):
        return {"schema": SCHEMA, "spread": "quartiles", "command": self.command,
                "started": self.started, "seconds": self.seconds, "options": self.options,
                "machine": self.machine, "series": self.series,
                "rows": [row_to_json(row) for row in self.rows]}

    @classmethod
    def from_json(cls, data):
        if not isinstance(data, dict) or "schema" not in data:
            raise ValueError("no results of ./dev bench")
        if data["schema"] != SCHEMA:
            raise ValueError(f"schema {data['schema']}, and this is schema {SCHEMA}")
        return cls(data["command"], data["started"], data["seconds"], data["options"],
                   data["machine"], data["series"], [row_from_json(row) for row in data["rows"]])


def write(path, results):
    with open(path, "w", encoding="utf-8") as file:
        json.dump(results.to_json(), file, indent=1)
        file.write("\n")


def read(path):
    """Bad, with one line, for a file that cannot be used."""
    try:
        with open(path, encoding="utf-8") as file:
            return Results.from_json(json.load(file))
    except OSError as error:
        raise Bad(f"{path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        what = f"no {error}" if isinstance(error, KeyError) else str(error).split("\n", maxsplit=1)[0]
        raise Bad(f"{path}: {what}") from error
