/* The back end: runs a plan on a batch of samples. It knows no solver by name. */
#ifndef DFL_RUN_H
#define DFL_RUN_H

#include <stdatomic.h>

#include "model/model.h"
#include "plan/plan.h"
#include "run/start.h"

/* ---- vec.c: the only loops over state data; type is DFL_FLOAT32 or DFL_FLOAT64 --------------- */

size_t vec_size(int type);
void vec_from_double(int type, void *dst, const double *src, size_t n);
void vec_to_double(int type, double *dst, const void *src, size_t n);
bool vec_is_finite(int type, const void *src, size_t n);
void vec_clip(int type, void *dst, const void *src, size_t n, double lo, double hi);
void vec_select(int type, void *dst, const void *const src[3], size_t n);
/* The q-quantile of abs(src), interpolated linearly; scratch holds n numbers. */
double vec_quantile(int type, const void *src, size_t n, double q, double *scratch);

/* One fused pass, dst <- sum of c_i src_i, over `count` samples whose values lie `stride` numbers
   apart and have halves of `dim` numbers. dst may be any of the sources. */
typedef struct {
    int type;
    size_t count, stride, dim;
    void *dst;
    int components; /* of dst */
    size_t n;
    const void *src[PLAN_SOURCES_MAX];
    uint8_t from[PLAN_SOURCES_MAX]; /* components of each source */
    const term *terms;              /* [n] */
} lin_job;

void lin_run(const lin_job *job);

/* ---- mix.c: mixture kernels (DDIM-GMM, arXiv 2311.04938), ready for a sample size ------------ */

typedef struct mix mix;

/* Draws or copies the tables of all kernels of a plan for samples of `dim` numbers. */
typedef dfl_status (*mix_normals_fn)(void *user, uint32_t table, size_t n, double *dst);
dfl_status mix_new(const dfl_plan *plan, size_t dim, mix_normals_fn normals, void *user, mix **out);
void mix_free(mix *m);
/* x[dim] holds unit normals (ignored where sigma = 0) and becomes delta_k + A_k x, with component k
   picked by u in [0, 1). */
void mix_apply(const mix *m, int kernel, double u, double *x);

/* ---- run.c, exec.c --------------------------------------------------------------------------- */

/* Options of a run, for whatever runs: the executor here, adaptive integration in study. */
typedef struct {
    uint64_t seed;
    int type; /* DFL_FLOAT32 or DFL_FLOAT64 */
    size_t batch;
    start_wish start;
} run_settings;

dfl_status run_read_settings(const char *text_options, run_settings *out);
void run_settings_free(run_settings *set); /* fine after a failure to read */

/* A batch of samples in the middle of a plan: all that the executor goes on from. */
typedef struct {
    uint64_t first;
    size_t count; /* 0: no batch */
    size_t pc, step;
    dfl_request request; /* what is asked, if the row at pc is an evaluation */
} execution;

/* What dfl_run_begin was asked for; everything is the caller's. */
typedef struct {
    bool open;  /* begun, and neither finished nor failed */
    bool asked; /* a request is out, its output still to come */
    uint64_t first;
    size_t count, done; /* done: samples before the batch in progress */
    const int64_t *labels;
    const char *start;
    char *samples;
} run_order;

struct dfl_run {
    const dfl_plan *plan;
    dfl_model *model;
    uint64_t seed;
    int type;
    size_t batch;
    size_t dim;    /* numbers in half a state */
    size_t stride; /* numbers from sample to sample in a slot */
    char *slots;   /* [nslots][batch][stride] */
    char *input,
        *output;        /* dense copies for the model, where slots are wider than values; or NULL */
    int64_t *labels;    /* [batch] */
    double *scratch;    /* [stride] */
    start_law *start;   /* where samples begin */
    mix *mix;           /* NULL without MIX rows, and until the first sample */
    const void **given; /* [nnames] */
    dfl_observe_fn observe;
    void *observe_user;
    dfl_noise_fn noise;
    void *noise_user;
    atomic_int cancelled;
    double model_seconds;
    run_order order;
    execution now;
};

/* Goes on with run->now to the next evaluation, or to the end: *request is then NULL. */
dfl_status exec_next(dfl_run *run, const dfl_request **request);
/* To be called when the request's output has been filled. */
dfl_status exec_answered(dfl_run *run);
/* The batch's numbers of a value. */
void *exec_value(const dfl_run *run, val v);
/* Random numbers of one sample, built in or replaced by the caller's. */
dfl_status run_draw(const dfl_run *run, int kind, uint32_t draw, uint64_t sample, size_t n,
                    double *dst);

/* For observers that show progress: of all evaluations, those between this step and the one before,
   in even shares. */
size_t step_share(size_t evaluations, size_t step, size_t steps);

#endif
