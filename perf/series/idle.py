"""idle.py - what a server costs that has nothing to do."""
import measure
from suite.contest import Contest
from suite.engine import Metric, Series

CONNS, SECONDS, QUICK_SECONDS = 100, 10, 3
SHARE = Metric("cpu", "%", "share of one CPU", least=0.05)


def rows(run):
    seconds = QUICK_SECONDS if run.options.quick else SECONDS
    contest = Contest(lambda run, server: {"cpu": 100 * measure.idle_cpu(server, seconds, CONNS)},
                      shards=len(set(run.options.cpus)), fresh=True)
    return [contest.row(run, "100", "100 idle connections", [SHARE], seconds=seconds + 2,
                        rounds=1)]


SERIES = Series(
    "idle", "an idle server", rows=rows,
    how="Two shards, 100 connections that were served once: the CPU time of all threads together "
        "over some seconds. Differences of less than 0.05% are none.")
