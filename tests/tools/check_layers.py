"""check_layers.py ROOT BENCH_NATIVE - that perf/layers.py counts what it says it counts.

    repeats      two runs execute the same instructions, place by place
    EXCHANGE     the layers add up to all that callgrind counted, and those that must work do
    unknown      a file without a layer is an error that names it
    samples      every place that the program was seen at has a layer
"""
import os
import shutil
import sys

import tap

FEW, MANY = 320, 960
MUST = {  # layers that an exchange cannot do without
    "http": ["device in", "Ethernet in", "IP in", "checksums in", "flow look-up", "TCP receive",
             "sockets", "fibers and scheduler", "HTTP parser", "HTTP, the rest", "application",
             "checksums and copy out", "TCP transmit", "path and IP out", "device out",
             "packets and pools"],
    "echo": ["device in", "IP in", "TCP receive", "sockets", "fibers and scheduler",
             "TCP transmit", "path and IP out", "device out"],
    "bulk_in": ["device in", "IP in", "checksums in", "TCP receive", "sockets"],
    "bulk_out": ["checksums and copy out", "TCP transmit", "path and IP out", "device out"],
}


def check_repeats(layers, program, home_of):
    first, second = (layers.callgrind(program, "http", FEW, home_of) for _ in range(2))
    return "" if first == second and first[1] else f"{first[0]} and {second[0]} units, " + str(
        {place: (cost, second[1][place]) for place, cost in first[1].items()
         if second[1][place] != cost})


def check_exchange(layers, program, exchange, home_of):
    before, less = layers.callgrind(program, exchange, FEW, home_of)
    after, more = layers.callgrind(program, exchange, MANY, home_of)
    sums = layers.by_layer(more)
    trouble = [f"{layer} costs nothing" for layer in MUST[exchange] if sums[layer] <= 0]
    if sum(sums.values()) != sum(more.values()):
        trouble.append(f"layers: {sum(sums.values())}, places: {sum(more.values())}")
    if after <= before or sum(more.values()) - sum(less.values()) < 100 * (after - before):
        trouble.append(f"{after - before} units cost {sum(more.values()) - sum(less.values())}")
    return "\n".join(trouble)


def check_unknown(layers):
    place = layers.Place("net/native/tcp_input.c", "net/native/tcp_input.c", "weir_tcp_input")
    if layers.layer_of(place) != "TCP receive":
        return f"{place.file} belongs to {layers.layer_of(place)}"
    known, layers.LAYERS = layers.LAYERS, [x for x in layers.LAYERS if x[0] != "TCP receive"]
    try:
        return f"without its layer it belongs to {layers.layer_of(place)}"
    except layers.Failed as error:
        return "" if place.file in str(error) else f"not named: {error}"
    finally:
        layers.LAYERS = known


def check_samples(layers, program):
    sums = layers.nanoseconds(program, "http", 200000)
    if min(sums.values()) < 0 or sum(sums.values()) <= 0:
        return f"{sums}"
    return ""


def main():
    root, program = sys.argv[1:3]
    sys.path.insert(0, os.path.join(root, "perf"))
    import layers  # from perf/, only now in the path
    report = tap.Tap()
    report.case("a file without a layer is named", check_unknown(layers))
    if not shutil.which("addr2line") or not shutil.which("nm"):
        report.skip("layers", "addr2line or nm is not installed")
        sys.exit(report.done())
    report.case("every place that is sampled has a layer", check_samples(layers, program))
    if not shutil.which("valgrind"):
        report.skip("counts", "valgrind is not installed")
        sys.exit(report.done())
    home_of = layers.homes(program)
    report.case("counts repeat exactly", check_repeats(layers, program, home_of))
    for exchange in layers.EXCHANGES:
        report.case(f"{exchange}: the layers add up",
                    check_exchange(layers, program, exchange, home_of))
    sys.exit(report.done())


main()
