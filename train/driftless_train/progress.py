"""One progress line on stderr; silent when stderr is not a terminal or when told to be quiet."""

import sys
import time


class Progress:
    """Rate and time to go. `total` and values count the same unit (steps, images)."""

    def __init__(self, quiet=False, stream=sys.stderr):
        self.on = not quiet and stream.isatty()
        self.stream, self.began, self.first, self.last = stream, time.monotonic(), None, 0.0

    def show(self, done, total, seconds_left, unit, text=""):
        """At most two updates a second. total or seconds_left may be None."""
        now = time.monotonic()
        if self.first is None:
            self.first = done
        if not self.on or now - self.last < 0.5:
            return
        self.last = now
        rate = (done - self.first) / max(now - self.began, 1e-9)
        left = [] if seconds_left is None else [seconds_left]
        if total is not None and rate > 0:
            left.append((total - done) / rate)
        eta = f", {clock(min(left))} to go" if left else ""
        of = "" if total is None else f"/{total}"
        self.stream.write(f"\r\033[K{done}{of} {unit}, {rate:.1f}/s{eta}{text}")
        self.stream.flush()

    def close(self):
        """End the line."""
        if self.on and self.last:
            self.stream.write("\n")


def clock(seconds):
    """Seconds as h:mm:ss."""
    seconds = int(max(seconds, 0))
    return f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
