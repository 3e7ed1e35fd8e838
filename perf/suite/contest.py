"""contest.py - rows in which servers take part: all of the field, and one floor a second time.

All servers of a row are started before its first round, on fresh ports, and warmed up by one turn of
the load that is not counted; or, for what leaves traces (memory), anew for each measurement."""
import dataclasses

import field
from suite import loads
from suite.engine import AGAIN, CAN_FAIL, TWIN, Entrant, Row

TWICE = "floor-epoll"  # who takes part twice


def entries_twice(run, kind):
    """{name: (family, entry)}, the twin among them."""
    result = {name: (entry.family, entry) for name, entry in run.entries(kind).items()}
    if TWICE in result:
        result[TWICE + AGAIN] = (TWIN, result[TWICE][1])
    return result


@dataclasses.dataclass
class Contest:
    """How the servers of a row are started and what is done to them: load(run, server) gives
    {key: value}."""

    load: object
    kind: str = field.HTTP
    mode: str = field.KEEP
    shards: int = 1
    fresh: bool = False  # a server of its own for each measurement

    def start(self, run, name, entry):
        cpus = loads.cpus_for(run, self.shards)[0]
        server = entry.start(run.place, cpus, mode=self.mode, boost=run.options.boost)
        server.name = name
        return server

    def once_alone(self, run, name, entry):
        with self.start(run, name, entry) as server:
            return self.load(run, server)

    def enter(self, run, stack):
        entrants = {}
        for name, (family, entry) in entries_twice(run, self.kind).items():
            run.progress.show(run.head, f"starting {name}")
            entrants[name] = Entrant(family)
            try:
                entrants[name].measure = self.measure_of(run, stack, name, entry)
            except CAN_FAIL as error:
                entrants[name].fail(error)
                run.say(f"{name}: no result: {entrants[name].error}")
        return entrants

    def measure_of(self, run, stack, name, entry):
        if self.fresh:
            return lambda: self.once_alone(run, name, entry)
        server = stack.enter_context(self.start(run, name, entry))
        self.load(run, server)  # warms it up
        return lambda: self.load(run, server)

    def row(self, run, name, title, metrics, seconds=None, **more):
        seconds = seconds or run.options.seconds + 0.2
        return Row(name, title, metrics, self.enter, len(entries_twice(run, self.kind)), seconds,
                   prepare=0 if self.fresh else seconds + 0.3, **more)
