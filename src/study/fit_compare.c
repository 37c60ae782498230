/* The fitted plan and classical solvers on held-out starts, with the same evaluations, each on its
   usual grid and on the student's. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "study/fit.h"

/* Deterministic solvers with the grid they are usually run on. */
typedef struct {
    const char *solver, *grid;
    bool few; /* those that were best or are best known, on the bootstrap network or on mixtures in
                 phase space (docs/results) */
} known;

static const known scalar[] = {
    {"ddim", "uniform", true},
    {"deis:order=3", "power:kappa=2", true},
    {"deis:kind=lograb,order=2", "logsnr", true},
    {"dpm:order=2", "logsnr", true},
    {"unipc:order=3", "power:kappa=2", true},
    {"scire:variant=v1,order=2,method=multistep,profile=main", "nsr", true},
    {"euler:variable=t", "uniform", false},
    {"heun", "karras", false},
    {"deis:order=1", "power:kappa=2", false},
    {"deis:order=2", "power:kappa=2", false},
    {"deis:kind=rhoab,order=2", "power:kappa=2", false},
    {"deis:kind=lograb,order=3", "logsnr", false},
    {"deis:kind=ipndm", "karras", false},
    {"deis_sn:order=2", "power:kappa=2", false},
    {"rhork:tableau=2heun", "power:kappa=2", false},
    {"rhork:tableau=3kutta", "power:kappa=2", false},
    {"scire:variant=v1,order=2", "nsr", false},
    {"scire:variant=v2,order=2", "nsr", false},
    {"scire:variant=v2,order=2,method=multistep,profile=main", "nsr", false},
    {"scire:variant=ei,order=2", "nsr", false},
    {"dpm:algorithm_type=dpmsolver,order=2,method=singlestep", "logsnr", false},
    {"dpm:algorithm_type=dpmsolver,order=3,method=singlestep", "logsnr", false},
    {"dpm:order=2,method=singlestep", "logsnr", false},
    {"dpm:order=3,method=singlestep,solver_type=heun", "logsnr", false},
    {"dpm:order=3", "logsnr", false},
    {"unipc:order=2,solver_type=bh1", "logsnr", false},
    {"unipc:order=2", "logsnr", false},
    {"conjugate:type=1,lambda=0.1", "power:kappa=2", false},
};

/* lambda: 0, and what was best at 10 evaluations on most mixtures. */
static const known phase[] = {
    {"deis:order=3,factor=flow", "power:kappa=2", true},
    {"deis:order=1,factor=flow", "power:kappa=2", true},
    {"deis:order=0,factor=flow", "uniform", true},
    {"conjugate:type=1,lambda=-0.5,factor=flow", "uniform", true},
    {"conjugate:type=1,lambda=1.5", "uniform", true},
    {"splitting:scheme=rse", "power:kappa=2", true},
    {"deis:order=2,factor=flow", "power:kappa=2", false},
    {"deis:order=0", "uniform", false},
    {"deis:order=1", "power:kappa=2", false},
    {"deis:order=2", "power:kappa=2", false},
    {"deis:order=3", "power:kappa=2", false},
    {"conjugate:type=2,lambda=1.5", "uniform", false},
    {"conjugate:type=2,lambda=-0.5,factor=flow", "uniform", false},
    {"conjugate_splitting:scheme=cse,type=1,lambda=1", "uniform", false},
    {"conjugate_splitting:scheme=cse,type=2,lambda=2", "uniform", false},
    {"conjugate_splitting:scheme=cse,type=1,lambda=0", "uniform", false},
    {"conjugate_splitting:scheme=cvv,type=1,lambda=1", "uniform", false},
    {"conjugate_splitting:scheme=cvv,type=2,lambda=2", "uniform", false},
    {"splitting:scheme=nse", "power:kappa=2", false},
    {"splitting:scheme=nvv", "power:kappa=2", false},
    {"splitting:scheme=rvv", "power:kappa=2", false},
    {"euler", "uniform", false},
    {"heun", "uniform", false},
};

enum { SCALAR = sizeof scalar / sizeof *scalar, PHASE = sizeof phase / sizeof *phase };
enum { NONE = 0, FEW = 1 };

static dfl_status rival_plan(const fit *f, const fit_rival *r, dfl_plan **out) {
    text spec = {0};
    text_add(&spec, "solver=%s nfe=%zu grid=%s%s", r->solver, f->steps, r->grid ? r->grid : f->grid,
             f->tail.data);
    const dfl_status status = spec.failed ? fail_memory() : dfl_plan_new(f->model, spec.data, out);
    text_free(&spec);
    return status;
}

/* A solver that a budget is too small for, or that has no such grid, stays in the table. */
static dfl_status add_rival(fit *f, const char *solver, const char *grid) {
    fit_rival *const r = &f->rivals[f->nrivals];
    dfl_plan *plan = NULL;
    *r = (fit_rival){.solver = solver, .grid = grid, .rms = INFINITY, .median = INFINITY};
    const dfl_status status = rival_plan(f, r, &plan);
    if (status == DFL_E_MEMORY) return status;
    if (status != DFL_OK) snprintf(r->why, sizeof r->why, "%s", dfl_last_message());
    if (plan) r->nfe = plan->nfe;
    dfl_plan_free(plan);
    f->nrivals++;
    return DFL_OK;
}

dfl_status fit_choose_rivals(fit *f) {
    const int which = opt_choice(&f->spec, "compare");
    const known *const all = f->components == 2 ? phase : scalar;
    const size_t n = f->components == 2 ? PHASE : SCALAR;
    free(f->rivals);
    f->nrivals = 0;
    f->rivals = mem_array(2 * n, sizeof *f->rivals);
    if (!f->rivals) return fail_memory();
    for (size_t i = 0; i < n && which != NONE; i++) {
        const bool whole = strstr(all[i].solver, "factor=flow") != NULL; /* needs both halves */
        if ((which == FEW && !all[i].few) || (whole && f->answers < f->components)) continue;
        TRY(add_rival(f, all[i].solver, all[i].grid));
        if (strcmp(all[i].grid, f->grid) != 0) TRY(add_rival(f, all[i].solver, NULL));
    }
    return DFL_OK;
}

/* ---- distances --------------------------------------------------------------------------------- */

/* RMS over all numbers, and the median over samples of their RMS; in phase space of positions. */
static dfl_status measure(const fit *f, const double *x, fit_rival *out) {
    const size_t n = f->held_out, dim = f->dim;
    const double *truth = f->target + (f->steps * f->starts + f->samples) * f->state;
    double *const each = mem_array(n, sizeof *each), all = 0;
    if (!each) return fail_memory();
    for (size_t i = 0; i < n; i++) {
        double sum = 0;
        for (size_t d = 0; d < dim; d++) {
            const double gap = x[i * dim + d] - truth[i * f->state + d];
            sum += gap * gap;
        }
        each[i] = sqrt(sum / (double)dim);
        all += sum / (double)dim;
    }
    sort_reals(each, n);
    out->rms = sqrt(all / (double)n);
    out->median = n % 2 ? each[n / 2] : (each[n / 2 - 1] + each[n / 2]) / 2;
    free(each);
    return DFL_OK;
}

static dfl_status try_plan(const fit *f, const dfl_plan *plan, double *x, fit_rival *out) {
    const fit_draw draw = {.plan = plan, .first = f->samples, .count = f->held_out};
    const dfl_status status = fit_sample(f, &draw, x);
    out->rms = out->median = INFINITY;
    if (status == DFL_E_NONFINITE) return DFL_OK; /* diverged */
    TRY(status);
    return measure(f, x, out);
}

static int better(const void *left, const void *right) {
    const fit_rival *a = left, *b = right;
    const double x = *a->why ? INFINITY : a->rms, y = *b->why ? INFINITY : b->rms;
    if (x != y) return (x > y) - (x < y);
    const int order = strcmp(a->solver, b->solver);
    return order ? order : (a->grid != NULL) - (b->grid != NULL);
}

dfl_status fit_compare(fit *f) {
    double *const x = mem_array(mem_product(f->held_out, f->dim, 1), sizeof *x);
    if (!x) return fail_memory();
    f->own = (fit_rival){.solver = "fitted", .nfe = f->plan->nfe};
    dfl_status status = try_plan(f, f->plan, x, &f->own);
    if (status == DFL_OK && !isfinite(f->own.rms))
        status = fail(DFL_E_NONFINITE, "the fitted plan diverges on the held-out starts; take more "
                                       "samples, a larger ridge or constraint=consistency");
    for (size_t i = 0; i < f->nrivals && status == DFL_OK; i++) {
        fit_rival *const r = &f->rivals[i];
        dfl_plan *plan = NULL;
        if (*r->why) continue;
        status = rival_plan(f, r, &plan);
        if (status == DFL_OK) status = try_plan(f, plan, x, r);
        dfl_plan_free(plan);
    }
    free(x);
    if (status == DFL_OK) qsort(f->rivals, f->nrivals, sizeof *f->rivals, better);
    return status;
}
