"""memory.py - resident bytes per idle keep-alive connection."""
import measure
from suite.contest import Contest
from suite.engine import Metric, Series

BYTES = Metric("bytes", "bytes", "resident memory per idle connection", least=16)
QUICK = 2000


def rows(run):
    count = min(run.options.idle, QUICK) if run.options.quick else run.options.idle
    contest = Contest(lambda run, server: {"bytes": measure.bytes_per_idle(server, count)}, fresh=True)
    return [contest.row(run, "idle", f"{count:,} idle connections", [BYTES],
                        seconds=1.0 + count / 4000, rounds=1 if run.options.quick else 3)]


SERIES = Series(
    "memory", "memory of idle connections", rows=rows,
    how="A fresh server answers some hundred requests on a few connections; then each of so many "
        "connections gets one answer and stays open. The growth of resident memory over all the "
        "server's processes, divided by their number. The kernel's sockets are not in it; "
        "differences of less than 16 bytes are none.")
