/* The verifier: a plan from a file is a stranger's program and is accepted only if nothing is wrong
   with it. Plans of our own solvers pass through here, too. */
#include "plan/plan.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    const program *code;
    uint8_t *uses;  /* [nvalues] 0, 1, 2 (= more than once) */
    uint8_t *noise; /* [nvalues] written by NOISE */
} verifier;

__attribute__((format(printf, 3, 4))) static dfl_status bad(const verifier *v, size_t i,
                                                            const char *format, ...) {
    char sentence[256];
    va_list args;
    va_start(args, format);
    vsnprintf(sentence, sizeof sentence, format, args);
    va_end(args);
    return fail(DFL_E_FORMAT, "plan row %zu (%s): %s", i, plan_ops[v->code->rows[i].op], sentence);
}

static bool finite_marginal(const marginal *m) {
    for (int i = 0; i < 2; i++)
        if (!isfinite(m->a[i])) return false;
    for (int i = 0; i < 4; i++)
        if (!isfinite(m->b[i])) return false;
    return true;
}

static bool finite_gives(const netgives *g) {
    for (int i = 0; i < 2; i++)
        if (!isfinite(g->cx[i])) return false;
    for (int i = 0; i < 4; i++)
        if (!isfinite(g->cn[i])) return false;
    return true;
}

/* How many sources a kind takes: {least, most}. */
static const size_t sources[ROW_KINDS][2] = {
    [ROW_EVAL] = {1, 1},   [ROW_LIN] = {1, PLAN_SOURCES_MAX},
    [ROW_NOISE] = {0, 0},  [ROW_STEP] = {1, 1},
    [ROW_MIX] = {0, 1},    [ROW_CLIP] = {1, 1},
    [ROW_LIMIT] = {1, 1},  [ROW_GIVEN] = {0, 0},
    [ROW_SELECT] = {3, 3},
};

static dfl_status check_sources(verifier *v, size_t i) {
    const row *r = &v->code->rows[i];
    if (r->nsrc < sources[r->op][0] || r->nsrc > sources[r->op][1])
        return bad(v, i, "has %zu sources; %zu to %zu are allowed", r->nsrc, sources[r->op][0],
                   sources[r->op][1]);
    for (size_t j = 0; j < r->nsrc; j++) {
        const val s = v->code->terms[r->src + j].v;
        if (s < 0 || (size_t)s >= v->code->nvalues || (r->dst >= 0 && s >= r->dst))
            return bad(v, i, "reads value %d, which is not written before", s);
        if (v->uses[s] < 2 && r->op != ROW_STEP) v->uses[s]++;
        if (r->op == ROW_STEP && !v->uses[s]) v->uses[s] = 1;
    }
    return DFL_OK;
}

static dfl_status check_lin(const verifier *v, size_t i) {
    const row *r = &v->code->rows[i];
    const int dst = v->code->comp[r->dst];
    for (size_t j = 0; j < r->nsrc; j++) {
        const term *s = &v->code->terms[r->src + j];
        const int from = v->code->comp[s->v];
        if (!blk_is_finite(s->c)) return bad(v, i, "coefficient %zu is not finite", j);
        const bool fits = s->c.m ? s->c.m == dst && s->c.n == from : dst == from;
        if (!fits)
            return bad(v, i, "coefficient %zu does not take %d components to %d", j, from, dst);
    }
    return DFL_OK;
}

static dfl_status check_same_shape(const verifier *v, size_t i) {
    const row *r = &v->code->rows[i];
    for (size_t j = 0; j < r->nsrc; j++)
        if (v->code->comp[v->code->terms[r->src + j].v] != v->code->comp[r->dst])
            return bad(v, i, "source %zu and result differ in components", j);
    return DFL_OK;
}

static dfl_status check_mix(const verifier *v, size_t i) {
    const row *r = &v->code->rows[i];
    if (r->index < 0 || (size_t)r->index >= v->code->nkernels)
        return bad(v, i, "kernel %d; there are %zu", r->index, v->code->nkernels);
    if (r->nsrc == 0 && v->code->kernels[r->index].sigma != 0)
        return bad(v, i, "needs a noise source, because its kernel's sigma is not 0");
    if (r->nsrc && !v->noise[v->code->terms[r->src].v])
        return bad(v, i, "its source must come from a NOISE row");
    return check_same_shape(v, i);
}

static dfl_status check_fields(verifier *v, size_t i) {
    const row *r = &v->code->rows[i];
    if (r->op == ROW_EVAL || r->op == ROW_STEP) {
        if (!isfinite(r->t) || r->t < 0 || !isfinite(r->tau))
            return bad(v, i, "t must be finite and not negative, tau finite");
        if (!finite_marginal(&r->at) || !finite_gives(&r->gives))
            return bad(v, i, "at and gives must be finite");
        if (v->code->comp[v->code->terms[r->src].v] != v->code->components)
            return bad(v, i, "its source must have as many components as the state");
    }
    if ((r->op == ROW_NOISE || r->op == ROW_MIX) && r->draw >= PLAN_DRAWS_MAX)
        return bad(v, i, "draw %u; draws are below %u", r->draw, PLAN_DRAWS_MAX);
    if (r->op == ROW_NOISE) v->noise[r->dst] = 1;
    if (r->op == ROW_LIN) return check_lin(v, i);
    if (r->op == ROW_MIX) return check_mix(v, i);
    if (r->op == ROW_CLIP && !(isfinite(r->lo) && isfinite(r->hi) && r->lo < r->hi))
        return bad(v, i, "needs finite lo < hi");
    if (r->op == ROW_LIMIT && !(r->lo > 0 && r->lo <= 1 && r->hi > 0 && isfinite(r->hi)))
        return bad(v, i, "needs a quantile in (0, 1] and a finite floor above 0");
    if (r->op == ROW_GIVEN && (r->index < 0 || (size_t)r->index >= v->code->nnames))
        return bad(v, i, "its name is not one of the plan's");
    return r->op == ROW_CLIP || r->op == ROW_LIMIT || r->op == ROW_SELECT ? check_same_shape(v, i)
                                                                          : DFL_OK;
}

static dfl_status check_rows(verifier *v) {
    size_t next = v->code->ninputs;
    for (size_t i = 0; i < v->code->nrows; i++) {
        const row *r = &v->code->rows[i];
        const bool writes = r->op != ROW_STEP;
        if (writes && ((size_t)r->dst != next || next >= v->code->nvalues))
            return bad(v, i, "writes value %d; values are numbered in order, the next is %zu",
                       r->dst, next);
        if (writes) next++;
        TRY(check_sources(v, i));
        TRY(check_fields(v, i));
        if (!writes && (size_t)v->code->terms[r->src].v >= next)
            return bad(v, i, "reads value %d, which is not written before",
                       v->code->terms[r->src].v);
    }
    return next == v->code->nvalues ? DFL_OK
                                    : fail(DFL_E_FORMAT,
                                           "plan: %zu values are written, %zu are "
                                           "declared",
                                           next, v->code->nvalues);
}

static dfl_status check_kernel(const mix_kernel *k, size_t number) {
    double sum = 0;
    bool positive = k->K >= 1 && k->K <= PLAN_MIX_MAX && k->pi;
    for (int i = 0; positive && i < k->K; i++) {
        positive = k->pi[i] > 0 && k->pi[i] <= 1;
        sum += k->pi[i];
    }
    if (!positive || fabs(sum - 1) > 1e-9)
        return fail(DFL_E_RANGE, "plan kernel %zu: pi must be 1 to %d positive numbers of sum 1",
                    number, PLAN_MIX_MAX);
    if (!(k->s >= 0 && isfinite(k->s) && k->sigma >= 0 && isfinite(k->sigma)))
        return fail(DFL_E_RANGE, "plan kernel %zu: s and sigma must be finite, not negative",
                    number);
    if (k->law == OFFSETS_DATA && (!k->data || k->ndata == 0 || k->ndata % (size_t)k->K))
        return fail(DFL_E_FORMAT, "plan kernel %zu: data must hold K rows of equal length", number);
    for (size_t i = 0; i < k->ndata; i++)
        if (!isfinite(k->data[i]))
            return fail(DFL_E_NONFINITE, "plan kernel %zu: data[%zu] is not finite", number, i);
    return DFL_OK;
}

static dfl_status check_lists(const program *code) {
    if (code->components != 1 && code->components != 2)
        return fail(DFL_E_RANGE, "plan: components=%d; 1 or 2 are allowed", code->components);
    if (code->nrows == 0 || code->nrows > PLAN_ROWS_MAX)
        return fail(DFL_E_RANGE, "plan: %zu rows; 1 to %d are allowed", code->nrows, PLAN_ROWS_MAX);
    if (code->ninputs == 0 || code->ninputs > PLAN_LISTS_MAX || code->noutputs == 0 ||
        code->noutputs > PLAN_LISTS_MAX || code->nnames > PLAN_LISTS_MAX)
        return fail(DFL_E_RANGE, "plan: 1 to %d inputs and outputs and up to %d names are allowed",
                    PLAN_LISTS_MAX, PLAN_LISTS_MAX);
    if (code->ninputs > code->nvalues) return fail(DFL_E_FORMAT, "plan: fewer values than inputs");
    for (size_t i = 0; i < code->ninputs; i++) {
        const plan_input *in = &code->inputs[i];
        const bool shape =
            in->scale.m == 0 || (in->scale.m == code->components && in->scale.n == in->scale.m);
        if ((size_t)in->id != i || !isfinite(in->t) || in->t < 0 || !finite_marginal(&in->at) ||
            !blk_is_finite(in->scale) || !shape)
            return fail(
                DFL_E_FORMAT,
                "plan input %zu: ids are numbered from 0; t, at and scale must be finite and "
                "fit the components",
                i);
    }
    for (size_t i = 0; i < code->noutputs; i++)
        if (code->outputs[i] < 0 || (size_t)code->outputs[i] >= code->nvalues)
            return fail(DFL_E_FORMAT, "plan output %zu: value %d is not written", i,
                        code->outputs[i]);
    if (code->nkernels > PLAN_KERNELS_MAX)
        return fail(DFL_E_RANGE, "plan: %zu kernels; up to %d are allowed", code->nkernels,
                    PLAN_KERNELS_MAX);
    size_t table = 0;
    for (size_t i = 0; i < code->nkernels; i++) {
        TRY(check_kernel(&code->kernels[i], i));
        table += code->kernels[i].ndata;
    }
    return table <= PLAN_TABLE_MAX
               ? DFL_OK
               : fail(DFL_E_RANGE, "plan: kernel tables hold %zu numbers; up to %zu are allowed",
                      table, PLAN_TABLE_MAX);
}

static int by_value(const void *a, const void *b) {
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* Two rows with one key would draw the same numbers. */
static dfl_status check_draws(const program *code, row_op op) {
    uint32_t *draws = mem_array(code->nrows, sizeof *draws);
    if (!draws) return fail_memory();
    size_t n = 0;
    for (size_t i = 0; i < code->nrows; i++)
        if (code->rows[i].op == op) draws[n++] = code->rows[i].draw;
    qsort(draws, n, sizeof *draws, by_value);
    dfl_status status = DFL_OK;
    for (size_t i = 1; i < n && status == DFL_OK; i++)
        if (draws[i] == draws[i - 1])
            status =
                fail(DFL_E_FORMAT, "plan: draw %u stands in two %s rows", draws[i], plan_ops[op]);
    free(draws);
    return status;
}

static dfl_status check_uses(verifier *v) {
    const program *code = v->code;
    for (size_t i = 0; i < code->noutputs; i++)
        if (v->uses[code->outputs[i]] < 2) v->uses[code->outputs[i]]++;
    for (size_t i = 0; i < code->nvalues; i++)
        if (!v->uses[i]) return fail(DFL_E_FORMAT, "plan: value %zu is written and never used", i);
    for (size_t i = 0; i < code->nrows; i++)
        if (code->rows[i].op == ROW_MIX && code->rows[i].nsrc &&
            v->uses[code->terms[code->rows[i].src].v] > 1)
            return bad(v, i, "the noise it consumes is used elsewhere, too");
    return DFL_OK;
}

dfl_status plan_verify(const program *code) {
    TRY(check_lists(code));
    verifier v = {code, mem_array(code->nvalues, 1), mem_array(code->nvalues, 1)};
    dfl_status status = v.uses && v.noise ? check_rows(&v) : fail_memory();
    if (status == DFL_OK) status = check_uses(&v);
    free(v.uses);
    free(v.noise);
    if (status == DFL_OK) status = check_draws(code, ROW_NOISE);
    return status == DFL_OK ? check_draws(code, ROW_MIX) : status;
}
