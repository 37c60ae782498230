/* Slopes of errors over step counts. */
#include "support/order.h"

#include <math.h>

ladder ladder_of(int from, int to) {
    ladder l = {.n = 0};
    for (int steps = from; steps <= to && l.n < LADDER_MAX; steps *= 2) l.steps[l.n++] = steps;
    return l;
}

double ladder_slope(const ladder *l) {
    double mx = 0, my = 0, xx = 0, xy = 0;
    for (size_t i = 0; i < l->n; i++) {
        mx += log(l->steps[i]) / (double)l->n;
        my += log(l->error[i]) / (double)l->n;
    }
    for (size_t i = 0; i < l->n; i++) {
        const double x = log(l->steps[i]) - mx;
        xx += x * x;
        xy += x * (log(l->error[i]) - my);
    }
    return -xy / xx;
}

double ladder_last(const ladder *l) {
    const size_t i = l->n - 1;
    return log(l->error[i - 1] / l->error[i]) / log((double)l->steps[i] / l->steps[i - 1]);
}
