"""report.py - one HTML file that needs nothing else: figures, tables, and the machine."""
import html
import os
import tempfile

from suite import keep, machine, plots, results as res, table

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1c1c1c; background: #fff; margin: 2em auto;
       max-width: 1080px; padding: 0 1em; }
h1 { font-size: 1.7em; } h2 { font-size: 1.25em; border-top: 1px solid #ddd; padding-top: 1em;
       margin-top: 2em; }
table { border-collapse: collapse; margin: .6em 0 1em; font-size: .87em; }
th, td { padding: .2em .7em; text-align: right; border-bottom: 1px solid #eee;
         font-variant-numeric: tabular-nums; }
th:first-child, td:first-child { text-align: left; }
th { font-weight: 600; background: #f7f7f7; }
.first { background: #e4f4e4; } .tie { background: #e6f2fb; } .behind { background: #fbe5e3; }
.bad { color: #a05000; } .dim { color: #666; font-size: .87em; }
.count { display: inline-block; padding: .2em .8em; margin-right: .5em; border-radius: .3em; }
nav a { margin-right: .8em; } svg { max-width: 100%; height: auto; margin: .4em 0; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1em 1em; font-size: .87em; }
dt { color: #666; } dd { margin: 0; overflow-wrap: anywhere; }
code { background: #f4f4f4; padding: .1em .3em; }
"""


def text(value):
    return html.escape(str(value))


def cell(row, name):
    colour = table.cell_colour(row, name)
    found = row.servers.get(name)
    title = ""
    if found is not None and found.invalid:
        title = f' title="{text(found.invalid)}"'
    elif found is not None:
        title = f' title="{text(", ".join(f"{value:.6g}" for value in found.values))}"'
    return f'<td{f" class={colour}" if colour else ""}{title}>{text(table.cell_text(found))}</td>'


def grid(rows):
    names = table.order(rows)
    if len(rows) > len(names):
        head, body = names, [(row.title, [cell(row, name) for name in names]) for row in rows]
    else:
        head = [row.title for row in rows]
        body = [(name, [cell(row, name) for row in rows]) for name in names]
    yield "<table><tr><th></th>" + "".join(f"<th>{text(word)}</th>" for word in head) + "</tr>"
    for first, cells in body:
        yield f"<tr><td>{text(first)}</td>{''.join(cells)}</tr>"
    yield "</table>"


def verdicts(rows):
    lines = [f'<li><span class="{verdict.place}">{text(name)}, {text(row.title)}: '
             f"{text(table.ratio_text(verdict))}</span> "
             f'<span class="dim">noise {verdict.noise:.1%}</span></li>'
             for row in rows for name, verdict in res.judge(row).items()]
    if lines:
        yield "<details><summary>weir beside the best of the others</summary><ul>"
        yield from lines
        yield "</ul></details>"


def section(results, name, drawn):
    about = results.series[name]
    yield f'<h2 id="{text(name)}">{text(name)}: {text(about["title"])}</h2>'
    yield f"<p>{text(about['how'])}</p>"
    if about["skipped"]:
        yield f'<p class="bad">Left out: {text(about["skipped"])}</p>'
    if about["noise"]:
        steady = ", ".join(f"CPU {cpu} ±{each['spread']:.1%}, worst +{each['worst']:.0%}"
                           for cpu, each in about["noise"].items())
        yield f'<p class="dim">A fixed loop before the series: {text(steady)}.</p>'
    yield from drawn
    for metric, rows in table.grouped(results.of(name)):
        better = "less is better" if metric.better == res.LOWER else "more is better"
        told = "" if metric.judged else "; told, not judged"
        yield f"<h3>{text(metric.title)}, {text(metric.unit)} <span class=dim>({better}{told})</span></h3>"
        yield from grid(rows)
        yield from verdicts(rows)
    for line in table.invalid_lines(results.of(name), lambda line, _: line):
        yield f'<p class="bad">{text(line.strip())}</p>'


def behind(results, why):
    rows = res.behind(results.rows)
    if not rows:
        return
    yield "<h2>Behind</h2><ul>"
    for row in rows:
        name, verdict = res.verdict(row)
        yield (f"<li><code>{text(row.key)}</code> {text(row.title)}, {text(row.metric.title)}: {text(name)} "
               f"is {text(table.ratio_text(verdict))}. "
               f"{text(why.get(row.key, keep.NO_REASON))}</li>")
    yield "</ul>"


def page(results, drawings, no_drawings, why):
    counts = table.tally(results)
    yield "<!doctype html><html lang=en><head><meta charset=utf-8>"
    yield '<meta name=viewport content="width=device-width">'
    yield f"<title>weir: perf suite, {text(results.started)}</title><style>{STYLE}</style></head><body>"
    yield "<h1>weir beside its peers</h1>"
    yield (f"<p><code>{text(results.command)}</code>, {text(results.started)}, "
           f"{results.seconds / 60:.0f} minutes.</p><p>")
    for place, words in ((res.FIRST, "first"), (res.TIE, "tied"), (res.BEHIND, "behind")):
        yield f'<span class="count {place}">{counts[place]} {words}</span>'
    yield ("</p><p class=dim>Cells are the median of the rounds and how far the quartiles are from it; bars "
           "have the quartiles. Judged is weir beside the best of the others, by the ratios within the "
           "rounds; what lies within the noise - of one floor that runs twice, or of a fixed loop - "
           "is a tie. A run with errors is no result.</p>")
    if no_drawings:
        yield f'<p class="bad">There are no plots: {text(no_drawings)}</p>'
    yield "<nav>" + "".join(f'<a href="#{text(name)}">{text(name)}</a>' for name in results.series) + "</nav>"
    yield from behind(results, why)
    for name in results.series:
        yield from section(results, name, drawings.get(name, []))
    yield '<h2 id="machine">The machine</h2><dl>'
    for what, value in machine.lines(results.machine):
        yield f"<dt>{text(what)}</dt><dd>{text(value)}</dd>"
    yield "</dl></body></html>"


def write(path, results):
    with tempfile.TemporaryDirectory() as folder:
        data = os.path.join(folder, "results.json")
        res.write(data, results)
        drawings, why = plots.draw(data)
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join(page(results, drawings, why, keep.reasons())) + "\n")
