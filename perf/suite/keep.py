"""keep.py - perf/RESULTS.md: the last full run, with the command that made it.

Why a row is behind is written by hand in perf/behind.md, a line per row, and taken from there:

    - `http/1000/cpu`: the reason
"""
import os
import re

from suite import machine, table
from suite.results import BEHIND, FIRST, TIE, behind, judge, verdict

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
RESULTS, REASONS = os.path.join(HERE, "RESULTS.md"), os.path.join(HERE, "behind.md")
NO_REASON = "no reason is written down yet: perf/behind.md"


def reasons(path=REASONS):
    """{key of a row: why}"""
    text = machine.text_of(path)
    return {key: " ".join(why.split())
            for key, why in re.findall(r"^- `([^`]+)`: (.*(?:\n  .*)*)", text, re.M)}


def cell_markdown(row, name):
    text = table.cell_text(row.servers.get(name))
    place = judge(row).get(name)
    return f"**{text}**" if place and place.place in (FIRST, TIE) else text


def grid(rows):
    names = table.order(rows)
    if len(rows) > len(names):
        head, body = [""] + names, [[row.title] + [cell_markdown(row, name) for name in names]
                                    for row in rows]
    else:
        head, body = [""] + [row.title for row in rows], \
            [[name] + [cell_markdown(row, name) for row in rows] for name in names]
    yield "| " + " | ".join(head) + " |"
    yield "|---" + "|---:" * (len(head) - 1) + "|"
    for line in body:
        yield "| " + " | ".join(line) + " |"


def behind_lines(results, why):
    rows = behind(results.rows)
    if not rows:
        yield "In no row is weir behind."
        return
    for row in rows:
        name, found = verdict(row)
        yield (f"- `{row.key}`, {row.title}, {row.metric.title}: {name} is "
               f"{table.ratio_text(found)}. {why.get(row.key, NO_REASON)}")


def markdown(results, why):
    counts = table.tally(results)
    yield "# Results of the perf suite"
    yield ""
    yield f"Made by `{results.command} --keep`; not to be edited by hand (reasons stand in behind.md)."
    yield f"Run on {results.started}, {results.seconds / 60:.0f} minutes."
    yield ""
    yield "| | |"
    yield "|---|---|"
    for what, text in machine.lines(results.machine):
        yield f"| {what} | {text} |"
    yield ""
    yield ("Cells are the median of the rounds and how far the quartiles are from it. Bold: weir is "
           "first or tied. Judged is the weir that runs by default, the first of each table: "
           f"{counts[FIRST]} rows first, {counts[TIE]} tied, {counts[BEHIND]} behind.")
    yield ""
    yield "## Behind"
    yield ""
    yield from behind_lines(results, why)
    for name, about in results.series.items():
        yield ""
        yield f"## {name}: {about['title']}"
        yield ""
        yield about["how"]
        if about["skipped"]:
            yield ""
            yield f"Left out: {about['skipped']}."
        for metric, rows in table.grouped(results.of(name)):
            yield ""
            better = "less" if metric.better == "lower" else "more"
            yield f"{metric.title}, {metric.unit}; {better} is better" + \
                ("" if metric.judged else " (told, not judged)") + ":"
            yield ""
            yield from grid(rows)


def keep(results, path=RESULTS, why=None):
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join(markdown(results, reasons() if why is None else why)) + "\n")
