"""compare.py - two runs: what got faster and what got slower, beyond the noise.

The rounds of two runs do not belong together, so the medians are compared: they differ when their
ratio is beyond the noise of either run and their quartiles do not overlap."""
import sys

from suite import table
from suite.results import BEHIND, FIRST, ROUNDED, apart, quartiles, worse_by

FASTER, SLOWER, SAME = "better", "worse", "same"
SERIOUS = ("cpu", "kernel", "compiler", "flags", "tcp_congestion_control")  # of the machine


def changed(row, cell, before, noise):
    """(what, ratio: how many times worse)"""
    metric = row.metric
    ratio = worse_by(metric, cell.median, before.median)
    if abs(cell.median - before.median) <= metric.least or ratio == 1:
        return SAME, ratio
    low, high = quartiles(cell.values)
    low_before, high_before = quartiles(before.values)
    overlap = low <= high_before and low_before <= high
    if overlap or (ratio is not None and apart(ratio) <= noise + ROUNDED):
        return SAME, ratio
    less = cell.median < before.median
    return (FASTER if less == (metric.better == "lower") else SLOWER), ratio


def compare(old, new):
    """[(row, server, what, ratio, cell before, cell now)] of all that both have."""
    before = {row.key: row for row in old.rows}
    found = []
    for row in new.rows:
        if row.key not in before:
            continue
        earlier = before[row.key]
        for name, cell in row.good().items():
            base = earlier.servers.get(name)
            if base is not None and base.good and cell.family != "twin":
                noise = max(row.noise, earlier.noise)
                found.append((row, name, *changed(row, cell, base, noise), base, cell))
    return found


def differences(old, new):
    """What of the machine is not the same."""
    return [f"{what.replace('_', ' ')}: {old.machine.get(what)}, then {new.machine.get(what)}"
            for what in SERIOUS if old.machine.get(what) != new.machine.get(what)]


def broken(old, new):
    """What had a result and has none any more, and the other way round."""
    before = {(row.key, name): cell for row in old.rows for name, cell in row.servers.items()}
    for row in new.rows:
        for name, cell in row.servers.items():
            base = before.get((row.key, name))
            if base is not None and base.good != cell.good:
                yield (f"{row.key} {name}: " +
                       ("has a result now" if cell.good else f"no result any more: {cell.invalid}"))


def line(row, name, ratio, before, cell):
    how = f"x {ratio:.3f}" if ratio is not None else ""
    return (f"  {row.key:34} {name:16} {table.number(before.median):>10} -> "
            f"{table.number(cell.median):>10} {row.metric.unit:10} {how}").rstrip()


def show(old, new, stream=None):
    stream = stream or sys.stdout
    paint = table.Paint(stream)
    for text in differences(old, new):
        print(paint(f"another machine: {text}", "bad"), file=stream)
    found = compare(old, new)
    for what, place in ((SLOWER, BEHIND), (FASTER, FIRST)):
        hits = [each for each in found if each[2] == what]
        if hits:
            print(paint(f"{what}:", "head"), file=stream)
        for row, name, _, ratio, before, cell in sorted(hits, key=lambda each: -(each[3] or 0)):
            print(paint(line(row, name, ratio, before, cell), place), file=stream)
    for text in broken(old, new):
        print(paint(f"  {text}", "bad"), file=stream)
    counts = {what: sum(each[2] == what for each in found) for what in (FASTER, SLOWER, SAME)}
    print(f"{len(found)} figures in both: {counts[FASTER]} better, {counts[SLOWER]} worse, "
          f"{counts[SAME]} the same within the noise (x: how many times worse, below 1 is better)",
          file=stream)
