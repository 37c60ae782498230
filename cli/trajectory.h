/* The states a run passes through, kept for an .npz: "states" [steps + 1][n][sample shape], with
   an axis of 2 before the shape in phase space, and "t" [steps + 1]. */
#ifndef CLI_TRAJECTORY_H
#define CLI_TRAJECTORY_H

#include "io/io.h"
#include "model/model.h"

typedef struct {
    unsigned char *states;
    double *t;
    size_t steps, count, row; /* row: bytes of one state */
    uint64_t first;
} trajectory;

dfl_status trajectory_open(trajectory *k, size_t steps, size_t count, size_t row, uint64_t first);

/* As an observer sees it; states beyond the plan's steps are not kept. */
void trajectory_add(trajectory *k, size_t step, double t, uint64_t first, size_t count,
                    const void *state);

dfl_status trajectory_write(const trajectory *k, const char *path, const card *c, array_type type,
                            int components);
void trajectory_free(trajectory *k);

#endif
