/* Two sets of features compared: the metrics of the program, with the floor that real data has
   against itself. */
#ifndef DFL_COMPARE_H
#define DFL_COMPARE_H

#include "eval/metrics.h"
#include "eval/moments.h"

/* What is asked for; docs/cli.md explains each. */
enum { METRIC_FID, METRIC_KID, METRIC_IS, METRIC_PR, METRIC_DC, METRIC_SW, METRIC_MMD, METRICS };
extern const char *const metric_keys[METRICS];
enum { METRIC_ROWS = 9 }; /* pr and dc are two numbers each */

/* A set, whole and in two halves; what is missing is zero. */
typedef struct {
    uint64_t n; /* 0: not known */
    gaussian g;
    double inception; /* score; NaN: none */
    features x;
    gaussian half[2];
    features half_x[2];
} side;

typedef struct {
    int metric;
    const char *key, *name;
    double value, error, floor; /* NaN: none */
} metric_row;

typedef struct {
    metric_row row[METRIC_ROWS];
    size_t n;
} metric_list;

/* Whether a metric needs features, not only moments. */
bool metric_needs_features(int metric);
size_t metric_least(int metric); /* samples of each side, without which it cannot be had */

/* What is compared; `real` is NULL where there is none, and only the inception score can be had. */
typedef struct {
    unsigned wanted; /* bits of metrics */
    const side *made, *real;
    const metric_watch *watch;
} comparison;

/* The rows of the metrics that are wanted. One that these samples do not allow, E_RANGE, gets a line in
   `notes` in place of its rows; where `notes` is NULL it ends the comparison. */
dfl_status compare(const comparison *c, text *notes, metric_list *out);

#endif
