"""The series of ./dev bench, one module each, in the order they are run and shown in."""
import importlib

NAMES = ["micro", "http", "echo", "conns", "churn", "memory", "latency", "scale", "cross", "idle",
         "bulk", "native", "instructions", "runtimes", "layers", "dpdk"]


def load(name):
    return importlib.import_module(f"series.{name}").SERIES
