/* Random numbers of a run from a file, or into one. docs/cli.md documents the layout. */
#ifndef CLI_REPLAY_H
#define CLI_REPLAY_H

#include "io/io.h"

/* The arrays of a noise file, by the kind of draw (DFL_DRAW_START ...). */
enum { DRAW_KINDS = 4 };

/* What a run draws, [planes][width] doubles: a plane is one draw number. */
typedef struct {
    double *data;
    size_t planes, cap, width;
} draw_store;

typedef struct {
    const char *path;       /* of the file replayed, NULL: built-in numbers */
    array file[DRAW_KINDS]; /* rank -1: not in the file */
    bool saving;
    draw_store store[DRAW_KINDS];
    uint64_t seed, first;
    size_t count;
    char message[256]; /* why draw_numbers failed */
} noise_source;

/* What draw_numbers returns to the run when it fails; the sentence is then in `message`. */
enum { NOISE_FAILED = 1000 };

/* Reads a noise file; samples there are counted from the run's first. */
dfl_status noise_open(noise_source *s, const char *path);

/* Samples the file holds, or 0 if it fixes no number. */
size_t noise_samples(const noise_source *s);

/* A dfl_noise_fn; user is a noise_source. */
int draw_numbers(void *user, int kind, uint32_t draw, uint64_t first, size_t count, size_t dim,
                 double *dst);

/* Writes the numbers drawn so far. */
dfl_status noise_save(const noise_source *s, const char *path);

void noise_free(noise_source *s);

/* Reads start states [n][state] and turns them into DFL_FLOAT32 or DFL_FLOAT64 numbers. */
dfl_status init_read(const char *path, array *out);
dfl_status init_convert(const char *path, array *a, size_t count, size_t state_dim, int dtype);

#endif
