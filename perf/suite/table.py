"""table.py - results for the terminal: one table per series and metric.

Servers go down and rows across, or the other way round where there are more rows.  A cell is the
median and how far the quartiles are from it.  Below stands what came of it for weir."""
import sys

from suite.results import BEHIND, FIRST, FLOOR, PEER, TIE, WEIR, judge, quartiles

COLOURS = {FIRST: "32", TIE: "36", BEHIND: "31", "head": "1", "bad": "33", "dim": "2"}
WIDTH = 98


class Paint:
    """Colours for a terminal, and for nothing else."""

    def __init__(self, stream):
        self.on = stream.isatty()

    def __call__(self, text, colour):
        return f"\033[{COLOURS[colour]}m{text}\033[0m" if self.on and text.strip() else text


def number(value):
    """Three or four digits that matter."""
    if value is None:
        return "-"
    if value == 0:
        return "0"
    size = abs(value)
    if size >= 1e9:
        return f"{value / 1e9:.3g}G"
    if size >= 1e7:
        return f"{value / 1e6:.3g}M"
    if size >= 1000:
        return f"{value:,.0f}"
    return f"{value:.0f}" if size >= 100 else f"{value:.1f}" if size >= 10 else \
        f"{value:.2f}" if size >= 0.1 else f"{value:.3g}"


def deviation(cell):
    """How far the quartiles are from the median, in percent; nothing for a single value."""
    if len(cell.values) < 2 or not cell.median:
        return ""
    low, high = quartiles(cell.values)
    return f"±{100 * max(high - cell.median, cell.median - low) / abs(cell.median):.0f}%"


def cell_text(cell):
    if cell is None:
        return "-"
    if not cell.good:
        return f"{cell.errors} errors" if cell.errors > 1 else "no result"
    return f"{number(cell.median)} {deviation(cell)}".strip()


def cell_colour(row, name):
    cell = row.servers.get(name)
    if cell is not None and not cell.good:
        return "bad"
    verdicts = judge(row)
    if name in verdicts:
        return verdicts[name].place
    return None


def ratio_text(verdict):
    """In words, for people."""
    if verdict.ratio is None:
        return f"{verdict.place} ({verdict.against})"
    if verdict.place == TIE:
        return f"tie with {verdict.against} (x {verdict.ratio:.2f})"
    if verdict.place == FIRST:
        how = f"x {1 / verdict.ratio:.2f}" if verdict.ratio > 0 else "far"
        return f"first, {how} ahead of {verdict.against}"
    return f"behind {verdict.against} by x {verdict.ratio:.2f}"


def order(rows):
    """All names in some rows: weir, the floors, the peers; the twin is not shown."""
    names = {}
    for row in rows:
        for name, cell in row.servers.items():
            names.setdefault(name, cell.family)
    rank = {WEIR: 0, FLOOR: 1, PEER: 2, "baseline": 3}
    return sorted((name for name, family in names.items() if family in rank),
                  key=lambda name: rank[names[name]])


def grouped(rows):
    """[(metric, rows)] of a series."""
    metrics = {}
    for row in rows:
        metrics.setdefault((row.metric.key, row.metric.unit), []).append(row)
    return [(group[0].metric, group) for group in metrics.values()]


def grid(rows, paint):
    """Lines of text."""
    names = order(rows)
    if len(rows) > len(names):
        width = max(len(row.title) for row in rows)
        head = [""] + names
        body = [[row.title] + [(cell_text(row.servers.get(name)), cell_colour(row, name))
                               for name in names] for row in rows]
    else:
        width = max([len(name) for name in names] + [5])
        head = [""] + [row.title for row in rows]
        body = [[name] + [(cell_text(row.servers.get(name)), cell_colour(row, name))
                          for row in rows] for name in names]
    columns = [max([len(head[at])] + [len(line[at][0]) for line in body])
               for at in range(1, len(head))]
    lines = []
    for begin, end in pages(columns, WIDTH - width - 2):
        lines.append("  " + " " * width + "".join(
            f"  {head[at + 1]:>{columns[at]}}" for at in range(begin, end)).rstrip())
        for line in body:
            text = f"  {line[0]:{width}}"
            for at in range(begin, end):
                content, colour = line[at + 1]
                padded = f"{content:>{columns[at]}}"
                text += "  " + (paint(padded, colour) if colour else padded)
            lines.append(text.rstrip())
    return lines


def pages(columns, room):
    """(begin, end) of columns that fit beside each other."""
    begin = 0
    while begin < len(columns):
        end, used = begin, 0
        while end < len(columns) and (end == begin or used + columns[end] + 2 <= room):
            used += columns[end] + 2
            end += 1
        yield begin, end
        begin = end


def verdict_lines(rows, paint):
    """What came of it, for each weir."""
    for row in rows:
        for name, verdict in judge(row).items():
            text = f"{name}, {row.title}: {ratio_text(verdict)}; noise {verdict.noise:.1%}"
            yield "    " + paint(text, verdict.place)


def invalid_lines(rows, paint):
    seen = set()
    for row in rows:
        for name, cell in row.servers.items():
            if cell.invalid and (row.row, name) not in seen:
                seen.add((row.row, name))
                yield "    " + paint(f"no result: {name}, {row.title}: {cell.invalid}", "bad")


def series_lines(results, name, paint):
    about, rows = results.series[name], results.of(name)
    yield ""
    yield paint(f"{name}: {about['title']}", "head")
    if about["skipped"]:
        yield "  " + paint(f"left out: {about['skipped']}", "bad")
    if about["noise"]:
        yield "  " + paint("a fixed loop before: " + ", ".join(
            f"CPU {cpu} ±{each['spread']:.1%}, worst +{each['worst']:.0%}"
            for cpu, each in about["noise"].items()), "dim")
    for metric, group in grouped(rows):
        better = "less is better" if metric.better == "lower" else "more is better"
        told = "" if metric.judged else "; told, not judged"
        yield ""
        yield f"  {metric.title}, {metric.unit} ({better}{told})"
        yield from grid(group, paint)
        yield from verdict_lines(group, paint)
    yield from invalid_lines(rows, paint)


def tally(results):
    """{place: how many rows}, by the weir that users get by default."""
    counts = {FIRST: 0, TIE: 0, BEHIND: 0}
    for row in results.rows:
        for verdict in list(judge(row).values())[:1]:
            counts[verdict.place] += 1
    return counts


def show(results, stream=None):
    stream = stream or sys.stdout
    paint = Paint(stream)
    for name in results.series:
        for line in series_lines(results, name, paint):
            print(line, file=stream)
    counts = tally(results)
    if sum(counts.values()):
        print(f"\nweir in {sum(counts.values())} contests: {counts[FIRST]} first, {counts[TIE]} tied, "
              f"{counts[BEHIND]} behind", file=stream)
    stream.flush()
