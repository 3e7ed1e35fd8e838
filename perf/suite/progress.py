"""progress.py - a bar with the time that is left, on a terminal; elsewhere a line per row."""
import shutil
import sys
import time

BAR = 24


def clock(seconds):
    seconds = max(0, int(seconds + 0.5))
    hours, rest = divmod(seconds, 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60}:{rest % 60:02}"


class Progress:
    """`total` and what step is given are seconds that things are thought to take; the time left is
    corrected by what they have taken so far."""

    def __init__(self, total, stream=None, now=time.monotonic):
        self.stream = stream or sys.stderr
        self.now = now
        self.total, self.done, self.start = total, 0.0, now()
        self.bar = self.stream.isatty()
        self.headed = None

    def left(self):
        """Seconds, or None while too little is known."""
        if self.done <= 0:
            return None
        return (self.now() - self.start) / self.done * max(0.0, self.total - self.done)

    def line(self, label, width):
        share = min(1.0, self.done / self.total) if self.total > 0 else 1.0
        full = int(share * BAR)
        left = self.left()
        text = f"[{'#' * full}{'.' * (BAR - full)}] {share:4.0%}  " + \
            (f"{clock(left)} left  " if left is not None else "") + label
        return text[:max(20, width - 1)]

    def show(self, head, detail=""):
        """What is being measured: the row, and who in it."""
        if self.bar:
            width = shutil.get_terminal_size().columns
            print("\r\033[K" + self.line(f"{head} {detail}".strip(), width), end="",
                  file=self.stream, flush=True)
        elif head != self.headed:
            left = self.left()
            print(f"bench: {head}" + (f" ({clock(left)} left)" if left is not None else ""),
                  file=self.stream, flush=True)
        self.headed = head

    def step(self, seconds):
        self.done += seconds

    def skip(self, seconds):
        """What will not be done after all."""
        self.total -= seconds

    def say(self, text):
        """A line of its own."""
        print(("\r\033[K" if self.bar else "") + f"bench: {text}", file=self.stream, flush=True)

    def end(self):
        if self.bar:
            print("\r\033[K", end="", file=self.stream, flush=True)
