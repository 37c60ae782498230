/* Measured orders. */
#ifndef DFL_TEST_ORDER_H
#define DFL_TEST_ORDER_H

#include <stddef.h>

enum { LADDER_MAX = 16 };

/* Step counts from, 2 from, 4 from, ... up to `to`, with the error at each. */
typedef struct {
    size_t n;
    int steps[LADDER_MAX];
    double error[LADDER_MAX];
} ladder;

ladder ladder_of(int from, int to);
/* Slope of -log error against log steps: least squares over all of them, and of the last pair. */
double ladder_slope(const ladder *l);
double ladder_last(const ladder *l);

#endif
