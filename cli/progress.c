/* A progress bar: share done, samples, rate, time left; at most ten times a second. */
#include "progress.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/base.h"

enum { LINE = 79, BAR = 30 };

void progress_start(progress *p, bool wanted, size_t samples, size_t steps) {
    p->on = wanted && isatty(STDERR_FILENO);
    p->visible = false;
    p->began = seconds_now();
    p->drawn = p->began;
    p->done = 0;
    p->total = (double)samples * (double)(steps > 0 ? steps : 1);
    p->samples = samples;
}

static void time_left(double seconds, char *buf, size_t cap) {
    if (!(seconds < 360000.0)) {
        snprintf(buf, cap, "--:--");
        return;
    }
    const int s = (int)(seconds + 0.5);
    if (s < 3600)
        snprintf(buf, cap, "%d:%02d", s / 60, s % 60);
    else
        snprintf(buf, cap, "%d:%02d:%02d", s / 3600, s / 60 % 60, s % 60);
}

static void draw(progress *p, double now) {
    const double share = p->done < p->total ? p->done / p->total : 1.0;
    const double samples = share * (double)p->samples, spent = now - p->began;
    const double rate = spent > 0 ? samples / spent : 0;
    char bar[BAR + 1], left[16], line[LINE + 1];
    const int full = (int)(share * BAR);
    memset(bar, '.', BAR);
    memset(bar, '#', (size_t)full);
    bar[BAR] = 0;
    time_left(share > 0 ? spent * (1 - share) / share : 1e9, left, sizeof left);
    snprintf(line, sizeof line, "%3d%% [%s] %.0f/%zu  %.*f/s  ETA %s", (int)(100 * share), bar,
             samples, p->samples, rate < 100 ? 2 : 0, rate, left);
    fprintf(stderr, "\r%-*s", LINE, line);
    fflush(stderr);
    p->visible = true;
    p->drawn = now;
}

void progress_add(progress *p, size_t sample_steps) {
    p->done += (double)sample_steps;
    if (!p->on) return;
    const double now = seconds_now();
    if (now - p->drawn >= 0.1) draw(p, now);
}

void progress_hide(progress *p) {
    if (!p->visible) return;
    fprintf(stderr, "\r%*s\r", LINE, "");
    fflush(stderr);
    p->visible = false;
}

void progress_end(progress *p) {
    progress_hide(p);
    p->on = false;
}
