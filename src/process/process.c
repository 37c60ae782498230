/* The registry of processes, and what holds for all of them. */
#include "process/process.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define PROCESS(symbol) extern const process_row process_##symbol;
#include "process/process.def"
#undef PROCESS

static const family_row *const rows[] = {
#define PROCESS(symbol) &process_##symbol.is,
#include "process/process.def"
#undef PROCESS
};
const family process_family = {
    .singular = "process", .rows = rows, .n = sizeof rows / sizeof rows[0]};

dfl_status process_new(const char *spec, process **out) {
    *out = NULL;
    process *p = mem_array(1, sizeof *p);
    if (!p) return fail_memory();
    const family_row *row;
    dfl_status status = family_parse(&process_family, spec, &row, &p->options);
    if (status == DFL_OK) {
        p->row = (const process_row *)row;
        p->t_hi = 1;
        status = p->row->init(p, &p->options);
    }
    if (status != DFL_OK) {
        process_free(p);
        return status;
    }
    *out = p;
    return DFL_OK;
}

void process_free(process *p) {
    if (!p) return;
    opts_free(&p->options);
    free(p->knots);
    free(p->table);
    free(p->own);
    free(p);
}

dfl_status process_check_time(const process *p, const char *what, double t) {
    if (t == 0 || (t >= p->t_lo && t <= p->t_hi)) return DFL_OK;
    return fail(DFL_E_RANGE, "%s=%s: process %s knows times from %s to %s, and 0 (clean data)",
                what, real_text(t).s, p->row->is.name, real_text(p->t_lo).s, real_text(p->t_hi).s);
}

scalar_at process_at(const process *p, double t) {
    scalar_at at = {.a = 1, .lambda = INFINITY};
    if (t > 0) p->row->at(p, t, &at);
    return at;
}

double process_time_of_rho(const process *p, double rho) {
    return rho > 0 ? p->row->time_of_rho(p, rho) : 0;
}

void process_marginal(const process *p, double t, marginal *m) {
    memset(m, 0, sizeof *m);
    if (p->row->marginal) {
        p->row->marginal(p, t, m);
        return;
    }
    const scalar_at at = process_at(p, t);
    m->a[0] = at.a;
    m->b[0] = at.b;
}

blk process_drift(const process *p, double t) {
    return p->row->drift ? p->row->drift(p, t) : blk_real(process_at(p, t).drift);
}

blk process_noise(const process *p, double t) {
    return p->row->noise ? p->row->noise(p, t) : blk_real(sqrt(process_at(p, t).g2));
}

blk process_prior(const process *p, double t) {
    return p->row->prior ? p->row->prior(p, t) : blk_real(1);
}

blk process_factor(const process *p, double t, score_matching matching) {
    return p->row->factor(p, t, matching);
}

void process_from_log(double L, double slope, scalar_at *out) {
    out->a = exp(-L / 2);
    out->b = sqrt(-expm1(-L));
    out->rho = sqrt(expm1(L));
    out->lambda = -log(out->rho);
    out->drift = -slope / 2;
    out->g2 = slope;
    out->da = -slope / 2 * out->a;
    out->db = slope / 2 * out->a * out->a / out->b;
}

void process_from_rho(double rho, double slope, scalar_at *out) {
    const double square = 1 + rho * rho;
    out->a = 1 / sqrt(square);
    out->b = rho / sqrt(square);
    out->rho = rho;
    out->lambda = -log(rho);
    out->drift = -rho * slope / square;
    out->g2 = 2 * rho * slope / square;
    out->da = out->drift * out->a;
    out->db = slope * out->a / square;
}
