"""layers.py - what each layer of the native stack costs: instructions and nanoseconds."""
import os

import layers
from suite.engine import WEIR, Failed, Metric, ResultRow, Series
from suite.results import Cell

COUNT = Metric("instructions", "instructions", "per unit")
NS = Metric("ns", "ns", "per unit")


def collect(run):
    program = os.path.join(run.place.build, "perf", "bench_native")
    try:
        measured = layers.measure(program, seconds=run.options.seconds,
                                  cpus=",".join(map(str, run.options.cpus)),
                                  progress=run.progress.show)
    except layers.Failed as error:
        raise Failed(str(error)) from error
    run.layers = measured  # for --keep, which writes LAYERS.md
    return [row for exchange, entry in measured.items() for row in rows_of(exchange, entry)]


def rows_of(exchange, entry):
    for layer in [*entry["layers"], {"layer": "all", **{
            key: sum(row[key] for row in entry["layers"]) for key in ("instructions", "ns")}}]:
        if max(layer["instructions"], layer["ns"]) < 0.05:
            continue
        for metric in (COUNT, NS):
            row = ResultRow("layers", f"{exchange}/{layer['layer']}", f"{exchange}: {layer['layer']}",
                            metric)
            row.servers["weir"] = Cell(WEIR, [layer[metric.key]])
            yield row


SERIES = Series(
    "layers", "the native stack by layer", collect=collect, plot="none",
    seconds=lambda run: 60 + 24 * run.options.seconds,
    how="Instructions by callgrind, below the server's turns only; nanoseconds by samples of where "
        "the same program was. perf/LAYERS.md keeps them as a table.")
