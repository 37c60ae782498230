/* Runs of a student with its states and predictions kept: whole ones, and branches off them. */
#include <stdlib.h>
#include <string.h>

#include "study/refine.h"

dfl_status refine_pass_new(const fit *f, size_t first, size_t count, refine_pass *out) {
    const size_t states = mem_product(f->steps + 1, count, f->dim);
    *out = (refine_pass){first, count, mem_array(states, sizeof(double)),
                         mem_array(states, sizeof(double))};
    if (!out->x || !out->e) return fail_memory();
    memcpy(out->x, f->target + first * f->dim, count * f->dim * sizeof(double));
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

/* The executor's sums: from left to right. past[k]: prediction n - k. */
static void advance(const fit *f, const double *c, size_t n, size_t count, const double *x,
                    const double *const *past, double *to) {
    const size_t terms = fit_terms(f, n);
    for (size_t i = 0; i < count * f->dim; i++) {
        double sum = c[0] * x[i];
        for (size_t k = 1; k < terms; k++) sum += c[k] * past[k - 1][i];
        to[i] = sum;
    }
}

dfl_status refine_begin(const fit *f, refine_pass *p) {
    return predict(f, 0, f->t[0], p->first, p->count, p->x, p->e);
}

dfl_status refine_follow(const fit *f, const double *point, refine_pass *p) {
    const size_t size = p->count * f->dim;
    for (size_t n = 0; n < f->steps; n++) {
        const double *past[FIT_TERMS];
        for (size_t k = 0; k <= n && k < FIT_TERMS; k++) past[k] = p->e + (n - k) * size;
        if (n > 0)
            TRY(predict(f, n, point[n], p->first, p->count, p->x + n * size, p->e + n * size));
        advance(f, refine_c(f, point, n), n, p->count, p->x + n * size, past,
                p->x + (n + 1) * size);
    }
    return DFL_OK;
}

/* Where state or prediction n of the branch stands: in the pass as far as they are the same. */
static const double *kept(const fit *f, const refine_branch *b, const double *from, size_t n) {
    return from + (n * b->pass->count + b->first) * f->dim;
}

dfl_status refine_branch_run(const fit *f, const refine_branch *b, double *last) {
    const size_t size = b->count * f->dim, end = f->steps - 1;
    for (size_t n = b->m; n < f->steps; n++) {
        const double *past[FIT_TERMS];
        const double *const x = n == b->m ? kept(f, b, b->pass->x, n) : b->x + n * size;
        if (n > b->m)
            TRY(predict(f, n, b->point[n], b->pass->first + b->first, b->count, x,
                        b->e + n * size));
        for (size_t k = 0; k <= n && k < FIT_TERMS; k++)
            past[k] = n - k > b->m ? b->e + (n - k) * size : kept(f, b, b->pass->e, n - k);
        advance(f, refine_c(f, b->point, n), n, b->count, x, past,
                n == end ? last : b->x + (n + 1) * size);
    }
    return DFL_OK;
}
