/* Runs of a student with its states and predictions kept: whole ones, and branches off them. */
#include <stdlib.h>
#include <string.h>

#include "study/refine.h"

dfl_status refine_pass_new(const fit *f, size_t first, size_t count, refine_pass *out) {
    const size_t states = mem_product(f->steps + 1, count, f->state);
    const size_t answers = mem_product(f->steps + 1, count, f->answer);
    *out = (refine_pass){first, count, mem_array(states, sizeof(double)),
                         mem_array(answers, sizeof(double))};
    if (!out->x || !out->e) return fail_memory();
    memcpy(out->x, f->target + first * f->state, count * f->state * sizeof(double));
    return DFL_OK;
}

void refine_pass_free(refine_pass *p) {
    free(p->x);
    free(p->e);
    *p = (refine_pass){0};
}

static dfl_status predict(const fit *f, size_t n, double t, size_t first, size_t count,
                          const double *x, double *to) {
    dfl_plan *plan = NULL;
    dfl_status status = fit_probe(f, t, f->clean[n], &plan);
    if (status == DFL_OK) status = fit_predict(f, plan, first, count, x, to);
    dfl_plan_free(plan);
    return status;
}

dfl_status refine_begin(const fit *f, refine_pass *p) {
    return predict(f, 0, f->t[0], p->first, p->count, p->x, p->e);
}

dfl_status refine_follow(const fit *f, const double *point, refine_pass *p) {
    const size_t size = p->count * f->state, wide = p->count * f->answer;
    for (size_t n = 0; n < f->steps; n++) {
        double *const x = p->x + n * size;
        fit_inputs in = {.count = p->count, .x = x};
        for (size_t k = 0; k <= n && k < FIT_TERMS; k++) in.past[k] = p->e + (n - k) * wide;
        if (n > 0) TRY(predict(f, n, point[n], p->first, p->count, x, p->e + n * wide));
        fit_advance(f, n, refine_c(f, point, n), &in, x + size);
    }
    return DFL_OK;
}

/* State n of the pass, and prediction n, of the branch's samples. */
static const double *kept_state(const fit *f, const refine_branch *b, size_t n) {
    return b->pass->x + (n * b->pass->count + b->first) * f->state;
}

static const double *kept_answer(const fit *f, const refine_branch *b, size_t n) {
    return b->pass->e + (n * b->pass->count + b->first) * f->answer;
}

dfl_status refine_branch_run(const fit *f, const refine_branch *b, double *last) {
    const size_t size = b->count * f->state, wide = b->count * f->answer, end = f->steps - 1;
    for (size_t n = b->m; n < f->steps; n++) {
        fit_inputs in = {.count = b->count, .x = n == b->m ? kept_state(f, b, n) : b->x + n * size};
        if (n > b->m)
            TRY(predict(f, n, b->point[n], b->pass->first + b->first, b->count, in.x,
                        b->e + n * wide));
        for (size_t k = 0; k <= n && k < FIT_TERMS; k++)
            in.past[k] = n - k > b->m ? b->e + (n - k) * wide : kept_answer(f, b, n - k);
        fit_advance(f, n, refine_c(f, b->point, n), &in, n == end ? last : b->x + (n + 1) * size);
    }
    return DFL_OK;
}
