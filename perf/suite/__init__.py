"""The engine of ./dev bench: rounds, verdicts, and what is made of them.  perf/README.md says how."""
