/* Where a run begins: standard normals as the plan scales them; an auxiliary density at the plan's
   first time T; or the probability-flow map of a Gaussian from t = 1 to T ("teleport"). All of it
   happens to start states, before a plan: a plan's coefficients depend on no data and on no number
   of dimensions, a map in the eigenbasis of the data does. */
#ifndef DFL_START_H
#define DFL_START_H

#include "model/model.h"
#include "run/mismatch.h"

/* As options say it; owned texts. */
typedef struct {
    char *prior, *moments; /* paths or NULL */
    int map;               /* START_DRAW, START_FLOW */
} start_wish;

enum { START_DRAW, START_FLOW };

/* What starts are for. */
typedef struct {
    const card *card;
    const char *process; /* option text; NULL: not known */
    int components;
    double t, a, b; /* the first state, x half */
    blk scale;      /* of its normals */
} start_place;

/* Sample i's standard normals, z [n]. */
typedef dfl_status (*start_normals)(void *user, uint64_t sample, size_t n, double *z);

typedef struct start_law start_law;

/* E_IO, E_FORMAT: files; E_COMBINATION: they do not go with model, time or one another. */
dfl_status start_open(const start_wish *wish, const start_place *at, start_law **out);
void start_free(start_law *s);

/* Reads a prior and checks that it goes with a model's samples: their number, shape, classes, scale. */
dfl_status start_prior(const card *c, const char *path, prior **out);
/* The time that a prior was fitted at, on a process (option text); *fitted false: on clean data, which
   serves every time. E_COMBINATION: the process is never in that state. */
dfl_status start_time_of_prior(const char *path, const char *process, bool *fitted, double *t);

/* Whether start_state is to be asked, or normals are scaled as ever. */
bool start_is_own(const start_law *s);

/* The start state x [dim] of a sample. A prior's draws come from the seed, a map's from the normals:
   both are a function of seed and index (and label) alone. */
typedef struct {
    uint64_t seed, sample;
    int64_t label;
} start_key;
dfl_status start_state(const start_law *s, const start_key *key, start_normals normals, void *user,
                       double *x);

/* ---- start_print.c --------------------------------------------------------------------------- */

/* Measures the mismatch, once. It takes up to seconds (START_TRIES log-densities), so that only those
   who tell of it ask.
   E_MEMORY; E_RANGE, E_NONFINITE: laws that are not densities. */
dfl_status start_measure(start_law *s);

/* These measure first, if need be. A JSON object (docs/cli.md); a line for people; warnings, one a
   line, perhaps none. */
dfl_status start_json(start_law *s, text *out);
dfl_status start_print(start_law *s, text *out);
dfl_status start_warn(start_law *s, text *out);

/* ---- for start*.c ---------------------------------------------------------------------------- */

enum { START_DENSE_MAX = 1024, START_FLOW_MAX = 4096, START_TRIES = 1000 };

struct start_law {
    const card *card; /* of the model, which is there as long */
    size_t d;
    int components;
    double t, a, b, scale;
    double size;        /* of the card's numbers */
    const char *source; /* of moments: "card", "data_moments", "prior"; NULL: none */
    double *mean, *cov; /* of clean data, [d], [d][d], or NULL */
    prior *clean, *at;  /* as read, and at T; NULL: none */
    int64_t classes, null_class;
    bool flow;
    double t1, a1, b1, scale1; /* where a map begins */
    size_t maps;               /* 1, or 1 + classes */
    double *shift, *matrix;    /* x_T = shift + matrix x_1: [maps][d], [maps][d][d]; the first is
                                  of all data, the next of class 0 */
    bool measured;             /* then the rest is known */
    mismatch off;              /* of the start in use from the law at T */
    double plain, plain_error; /* KL(prior at T || N(0, scale^2 I)); NAN */
    const gate_row *gate;      /* of the prior for this T, or NULL */
    gate_row gate_row;
};

/* Size of a card's numbers: root mean square of its moments, or the larger end of its range; and
   what stands out of noise at the start: a/b times that size. */
double start_data_size(const card *c);

/* From Gaussian moments mean [d], cov [d][d] of clean data: shift [d] and matrix [d][d] of the
   probability flow from (a1, b1) to (a2, b2). Song et al., arXiv 2011.13456, section 4.3, on
   N(mean, cov), where the flow is linear. */
typedef struct {
    double a1, b1, a2, b2;
} flow_ends;
dfl_status start_flow_map(size_t d, const normal_law *data, const flow_ends *ends, double *shift,
                          double *matrix);

/* ---- start_map.c: what a map needs besides a law that start.c has begun ----------------------- */

dfl_status start_open_map(start_law *s, const start_wish *wish, const start_place *at);
/* label -1: by the map of all data. */
dfl_status start_map_state(const start_law *s, int64_t label, uint64_t sample,
                           start_normals normals, void *user, double *x);
/* Makes room for mean and cov. */
dfl_status start_reserve_moments(start_law *s);

#endif
