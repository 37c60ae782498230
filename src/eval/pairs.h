/* All pairs of rows of two sets, tile by tile: inner products or squared distances in double by one
   matrix product each, without a matrix of all of them. */
#ifndef DFL_PAIRS_H
#define DFL_PAIRS_H

#include "eval/metrics.h"

enum { PAIRS_SIDE = 256 };

/* Random numbers of metrics, as kinds of base/noise beside DFL_DRAW_... */
enum { METRIC_DRAW_SUBSET = 8, METRIC_DRAW_DIRECTION = 9, METRIC_DRAW_MEDIAN = 10 };

/* Rows of f in order, or those that index [n] names. */
typedef struct {
    const features *f;
    const uint32_t *index;
    size_t n;
} row_set;

typedef enum { PAIRS_PRODUCT, PAIRS_DISTANCE } pairs_kind;

typedef struct {
    size_t d;
    size_t i, ni, j, nj;  /* the tile: rows i .. i + ni of the left set, j .. j + nj of the right */
    double *left, *right; /* [PAIRS_SIDE][d] */
    double *norm_left, *norm_right; /* [PAIRS_SIDE] squared lengths */
    double *value;                  /* [ni][nj] */
    const metric_watch *watch;
    size_t done, total; /* rows of tiles, for the watch */
} pairs;

dfl_status pairs_new(size_t d, pairs *out);
void pairs_free(pairs *p);

/* What pairs_each() will count up `done` by, for n rows on the left. */
size_t pairs_work(size_t n);

/* Visits the tiles of a and b in order; b NULL: of a and itself, only those with j <= i, each pair
   of different tiles once. */
dfl_status pairs_each(pairs *p, pairs_kind kind, const row_set *a, const row_set *b,
                      void (*visit)(void *user, const pairs *p), void *user);

/* The squared distance of two rows of the tile by differences: exact where rows are equal, and the
   same whichever tile they stand in. */
double pairs_direct(const pairs *p, size_t i, size_t j);

/* Shuffles `size` of the n numbers in `order` to its front, each choice as likely; (seed, kind,
   draw) decide. */
void draw_subset(uint64_t seed, int kind, uint32_t draw, size_t size, size_t n, uint32_t *order);
uint32_t *identity_order(size_t n); /* 0 .. n - 1; NULL: no memory */

dfl_status metric_tick(const metric_watch *watch, size_t done, size_t total);

#endif
