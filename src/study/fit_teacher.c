/* The teacher's states, all of its steps, in blocks of samples: a block is one .npy of doubles
   [samples][steps + 1][numbers of a state], named by a digest of model, guidance, plan and seed,
   so that an interrupted fit goes on with the next block and other students use the same. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/io.h"
#include "run/run.h"
#include "study/fit.h"
#include "study/refine.h"

enum { BLOCK = 64, NAME = 16 };
#define BLOCK_BYTES ((size_t)1 << 34)

typedef struct {
    const fit *f;
    size_t first, count;
    double *states; /* [count][teacher->steps + 1][state] */
} block;

static size_t block_states(const fit *f) {
    return f->teacher->steps + 1;
}

static size_t block_count(const fit *f, size_t first) {
    const size_t left = f->starts - first;
    return left < BLOCK ? left : BLOCK;
}

dfl_status fit_teacher_name(fit *f) {
    text all = {0};
    TRY(model_identify(f->model, f->teacher_digest));
    fit_start_name(f, &all);
    text_add(&all, "%s seed %s\n", f->teacher_digest, opt_text(&f->spec, "seed"));
    plan_write(f->teacher, &all);
    if (!all.failed) digest_bytes(all.data, all.len, f->teacher_digest);
    const dfl_status status = all.failed ? fail_memory() : DFL_OK;
    text_free(&all);
    return status;
}

static dfl_status block_path(const fit *f, size_t first, text *out) {
    text_add(out, "%s/teacher-%.*s-%zu-%zu.npy", f->work, NAME, f->teacher_digest, first,
             block_count(f, first));
    return out->failed ? fail_memory() : DFL_OK;
}

/* ---- one block --------------------------------------------------------------------------------- */

static int keep_state(void *user, size_t step, size_t steps, double t, uint64_t first, size_t count,
                      const void *state) {
    const block *b = user;
    const fit *f = b->f;
    const size_t size = f->state, nfe = f->teacher->nfe;
    (void)t;
    for (size_t i = 0; i < count; i++)
        memcpy(b->states + (((size_t)first - b->first + i) * (steps + 1) + step) * size,
               (const double *)state + i * size, size * sizeof(double));
    return f->fn ? f->fn(f->user, step_share(nfe, step, steps) * count) : 0;
}

static dfl_status draw_block(block *b) {
    double *const last = mem_array(mem_product(b->count, b->f->dim, 1), sizeof *last);
    if (!last) return fail_memory();
    const fit_draw draw = {.plan = b->f->teacher,
                           .first = b->first,
                           .count = b->count,
                           .observe = keep_state,
                           .user = b};
    const dfl_status status = fit_sample(b->f, &draw, last);
    free(last);
    return status;
}

static dfl_status save_block(const block *b, const char *path) {
    const size_t shape[] = {b->count, block_states(b->f), b->f->state};
    npy_writer *w = NULL;
    if (mkdir(b->f->work, 0777) != 0 && access(b->f->work, W_OK) != 0)
        return fail(DFL_E_IO, "%s: no folder that the teacher's states can be kept in", b->f->work);
    TRY(npy_create(path, ARRAY_F64, 3, shape, &w));
    const dfl_status status = npy_append(w, b->states, b->count);
    if (status == DFL_OK) return npy_commit(w);
    npy_discard(w);
    return status;
}

static dfl_status load_block(block *b, const char *path) {
    array read = {0};
    const size_t n = b->count * block_states(b->f) * b->f->state;
    TRY(npy_read(path, BLOCK_BYTES, &read));
    bool good = read.type == ARRAY_F64 && read.rank == 3 && read.shape[0] == b->count &&
                read.shape[1] == block_states(b->f) && read.shape[2] == b->f->state;
    for (size_t i = 0; i < n && good; i++) good = isfinite(((const double *)read.data)[i]);
    if (good) memcpy(b->states, read.data, n * sizeof(double));
    array_free(&read);
    if (good) return DFL_OK;
    return fail(DFL_E_FORMAT,
                "%s does not hold the teacher's states that its name promises; "
                "delete it, and they are made anew",
                path);
}

/* What the student is to meet: the states at its own times, if they are known. */
static void take_targets(fit *f, const block *b) {
    if (f->search) {
        fit_search_take(f, b->first, b->count, b->states);
        return;
    }
    const size_t size = f->state, states = block_states(f);
    for (size_t k = 0; k <= f->steps; k++)
        for (size_t i = 0; i < b->count; i++)
            memcpy(f->target + (k * f->starts + b->first + i) * size,
                   b->states + (i * states + f->at[k]) * size, size * sizeof(double));
}

static dfl_status get_block(block *b) {
    text path = {0};
    dfl_status status = b->f->work ? block_path(b->f, b->first, &path) : DFL_OK;
    const bool there = status == DFL_OK && b->f->work && access(path.data, F_OK) == 0;
    if (status == DFL_OK) status = there ? load_block(b, path.data) : draw_block(b);
    if (status == DFL_OK && b->f->work && !there) status = save_block(b, path.data);
    text_free(&path);
    return status;
}

/* ---- all of them ------------------------------------------------------------------------------- */

dfl_status fit_teach(fit *f) {
    const size_t size = mem_product(BLOCK, block_states(f), f->state);
    block b = {.f = f, .states = mem_array(size, sizeof(double))};
    dfl_status status = b.states ? DFL_OK : fail_memory();
    while (status == DFL_OK && b.first < f->starts) {
        b.count = block_count(f, b.first);
        status = get_block(&b);
        if (status == DFL_OK) take_targets(f, &b);
        b.first += b.count;
    }
    free(b.states);
    return status;
}

dfl_status fit_teacher_missing(const fit *f, size_t *samples) {
    *samples = 0;
    for (size_t first = 0; first < f->starts; first += BLOCK) {
        text path = {0};
        const dfl_status status = f->work ? block_path(f, first, &path) : DFL_OK;
        if (status == DFL_OK && (!f->work || access(path.data, F_OK) != 0))
            *samples += block_count(f, first);
        text_free(&path);
        TRY(status);
    }
    return DFL_OK;
}

dfl_status fit_forget(const fit *f) {
    for (size_t first = 0; f->work && first < f->starts; first += BLOCK) {
        text path = {0};
        const dfl_status status = block_path(f, first, &path);
        if (status == DFL_OK) unlink(path.data);
        text_free(&path);
        TRY(status);
    }
    TRY(fit_search_forget(f));
    if (f->work) TRY(refine_forget(f));
    if (f->work) rmdir(f->work);
    return DFL_OK;
}
