/* The builder: what a solver calls to write rows. */
#include "solver/rows.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TERMS_MAX = 64 };

void rows_warn(rows *r, const char *format, ...) {
    if (!r->warnings) return;
    char sentence[256];
    va_list args;
    va_start(args, format);
    vsnprintf(sentence, sizeof sentence, format, args);
    va_end(args);
    text_add(r->warnings, "%s\n", sentence);
}

void rows_fail(rows *r, dfl_status status) {
    if (r->status == DFL_OK) r->status = status;
}

/* Appends a row that writes a new value of `components`; returns the value. */
static val write_row(rows *r, row *w, const term *terms, int components) {
    if (r->status != DFL_OK) return 0;
    val dst = 0;
    rows_fail(r, program_add_value(r->out, components, &dst));
    w->dst = dst;
    if (r->status == DFL_OK) rows_fail(r, program_add_row(r->out, w, terms));
    return r->status == DFL_OK ? dst : 0;
}

/* Merges repeated values and drops zeros; returns how many terms are left. */
static size_t tidy(const term *in, size_t n, term *out) {
    size_t count = 0;
    for (size_t i = 0; i < n; i++) {
        size_t at = 0;
        while (at < count && out[at].v != in[i].v) at++;
        if (at == count)
            out[count++] = in[i];
        else
            out[at].c = blk_add(out[at].c, in[i].c);
    }
    size_t kept = 0;
    for (size_t i = 0; i < count; i++)
        if (!blk_is_zero(out[i].c)) out[kept++] = out[i];
    return kept;
}

static dfl_status undetermined(double t, const char *what) {
    return fail(DFL_E_COMBINATION,
                "at t=%s this network's output does not determine the %s, which the solver needs "
                "there; choose another t_start or t_end, or a network with another prediction type",
                real_text(t).s, what);
}

/* Why the step from the latest evaluation has no finite coefficients. */
static dfl_status not_finite(const rows *r) {
    if (r->out->components == 1) {
        const rows_split split = rows_split_at(r, r->t);
        if (!isfinite(split.x0_x) || !isfinite(split.x0_y)) return undetermined(r->t, "clean data");
        if (!isfinite(split.n_x) || !isfinite(split.n_y)) return undetermined(r->t, "noise");
    }
    const char *name = r->process->row->is.name;
    if (r->t > 0 && !isfinite(process_drift(r->process, r->t).v[0]))
        return fail(DFL_E_COMBINATION,
                    "process %s has no finite drift at t=%s, and this solver's step needs it; "
                    "choose a smaller t_start or another solver",
                    name, real_text(r->t).s);
    return fail(DFL_E_NONFINITE,
                "the solver's step from t=%s on process %s has an infinite coefficient; choose "
                "other times, more steps or milder options",
                real_text(r->t).s, name);
}

val rows_lin(rows *r, const term *terms, size_t n) {
    if (r->status != DFL_OK) return 0;
    if (n > TERMS_MAX) {
        rows_fail(r, fail(DFL_E_INTERNAL, "a row of %zu terms; %d are allowed", n, TERMS_MAX));
        return 0;
    }
    term kept[TERMS_MAX];
    const size_t count = tidy(terms, n, kept);
    for (size_t i = 0; i < count; i++)
        if (!blk_is_finite(kept[i].c)) {
            rows_fail(r, not_finite(r));
            return 0;
        }
    if (count == 0) {
        rows_fail(r, fail(DFL_E_COMBINATION,
                          "the coefficients of the step from t=%s cancel on process %s, and "
                          "nothing is left of state and outputs",
                          real_text(r->t).s, r->process->row->is.name));
        return 0;
    }
    if (count == 1 && blk_is_one(kept[0].c)) return kept[0].v;
    const blk c = kept[0].c;
    row w = {.op = ROW_LIN, .nsrc = count};
    return write_row(r, &w, kept, c.m ? c.m : r->out->comp[kept[0].v]);
}

val rows_lin2(rows *r, double c0, val v0, double c1, val v1) {
    const term terms[] = {{v0, blk_real(c0)}, {v1, blk_real(c1)}};
    return rows_lin(r, terms, 2);
}

val rows_lin3(rows *r, double c0, val v0, double c1, val v1, double c2, val v2) {
    const term terms[] = {{v0, blk_real(c0)}, {v1, blk_real(c1)}, {v2, blk_real(c2)}};
    return rows_lin(r, terms, 3);
}

val rows_noise(rows *r) {
    row w = {.op = ROW_NOISE, .draw = r->draws++};
    return write_row(r, &w, NULL, r->out->components);
}

val rows_mix(rows *r, mix_kernel *k) {
    const size_t kernel = r->out->nkernels;
    const term noise = {k->sigma > 0 ? rows_noise(r) : 0, blk_real(1)};
    if (r->status != DFL_OK) {
        free(k->pi);
        free(k->data);
        return 0;
    }
    rows_fail(r, program_add_kernel(r->out, k));
    row w = {.op = ROW_MIX, .nsrc = k->sigma > 0, .draw = r->picks++, .index = (int)kernel};
    return write_row(r, &w, &noise, r->out->components);
}

void rows_step(rows *r, val x, double t, int order) {
    if (r->status != DFL_OK) return;
    row w = {.op = ROW_STEP, .dst = -1, .nsrc = 1, .t = t, .order = order};
    process_marginal(r->process, t, &w.at);
    const term source = {x, blk_real(1)};
    rows_fail(r, program_add_row(r->out, &w, &source));
}

/* ---- scalar processes ------------------------------------------------------------------------ */

/* What an evaluation at time t is, seen from the network: input u = scale x = a x_0 + b n, output
   y = cx x_0 + cn n. On variance-exploding processes the network lives in x/a. */
typedef struct {
    double tau, scale, a, b, cx, cn;
} exchange;

static exchange exchange_at(const rows *r, double t) {
    const scalar_at at = process_at(r->process, t);
    const bool unit = r->process->row->unit_signal;
    const double a = unit ? 1 : at.a, b = unit ? at.rho : at.b;
    exchange e = {.tau = netform_time(r->form, t, a, b),
                  .scale = netform_input_scale(r->form, a, b) * (unit ? 1 / at.a : 1)};
    e.a = e.scale * at.a;
    e.b = e.scale * at.b;
    netform_gives(r->form, a, b, &e.cx, &e.cn);
    return e;
}

/* x_0 = (cn u - b y) / D and n = (a y - cx u) / D with D = a cn - b cx, in terms of x = u / scale.
 */
rows_split rows_split_at(const rows *r, double t) {
    const exchange e = exchange_at(r, t);
    const double D = e.a * e.cn - e.b * e.cx;
    rows_split split = {e.cn * e.scale / D, -e.b / D, -e.cx * e.scale / D, e.a / D, e.scale};
    if (e.cx == 0) split.n_x = 0, split.n_y = 1 / e.cn; /* whatever else it says or not */
    if (e.cn == 0) split.x0_x = 0, split.x0_y = 1 / e.cx;
    return split;
}

static dfl_status check_exchange(const rows *r, double t, exchange *e) {
    if (!isfinite(e->tau) || !isfinite(e->scale) || !isfinite(e->cx) || !isfinite(e->cn))
        return fail(DFL_E_COMBINATION,
                    "the network cannot be evaluated at t=%s: its time or its prediction type "
                    "has no finite value there; choose other end times",
                    real_text(t).s);
    if (r->form->time_dtype != NET_INT32 && r->form->time_dtype != NET_INT64) return DFL_OK;
    if (fabs(e->tau - nearbyint(e->tau)) > 1e-6)
        return fail(DFL_E_COMBINATION,
                    "the network takes integer times, and t=%s is %s in its time; this solver "
                    "needs a network with real times here",
                    real_text(t).s, real_text(e->tau).s);
    e->tau = nearbyint(e->tau);
    return DFL_OK;
}

/* EVAL at (x, t), with the input scaling in a row of its own. */
static val ask_scalar(rows *r, val x, double t) {
    r->t = t;
    exchange e = exchange_at(r, t);
    if (r->status == DFL_OK) r->status = check_exchange(r, t, &e);
    row w = {.op = ROW_EVAL, .nsrc = 1, .t = t, .tau = e.tau};
    w.at.a[0] = e.a;
    w.at.b[0] = e.b;
    w.gives.cx[0] = e.cx;
    w.gives.cn[0] = e.cn;
    const term scaled = {x, blk_real(e.scale)};
    const term input = {rows_lin(r, &scaled, 1), blk_real(1)};
    return write_row(r, &w, &input, 1);
}

/* One of the two predictions from the raw output y. */
static val convert(rows *r, val x, val y, double t, double on_x, double on_y, const char *what) {
    if (isfinite(on_x) && isfinite(on_y)) return rows_lin2(r, on_x, x, on_y, y);
    rows_fail(r, undetermined(t, what));
    return 0;
}

val rows_x0_of(rows *r, val x, val y, double t) {
    const rows_split split = rows_split_at(r, t);
    return convert(r, x, y, t, split.x0_x, split.x0_y, "clean data");
}

/* x_0 from the network's own output y, thresholded if asked. */
static val clean_of(rows *r, val x, val y, double t) {
    const val x0 = rows_x0_of(r, x, y, t);
    if (!(r->limit_quantile > 0) || r->status != DFL_OK) return x0;
    row w = {.op = ROW_LIMIT, .nsrc = 1, .lo = r->limit_quantile, .hi = r->limit_floor};
    const term source = {x0, blk_real(1)};
    return write_row(r, &w, &source, 1);
}

/* What a network would have answered whose x_0 were the thresholded one: u = a x_0 + b n stays, so
   n = (u - a x_0)/b, and y = cx x_0 + cn n. */
static val limited(rows *r, val x, val y, double t) {
    const exchange e = exchange_at(r, t);
    const val x0 = clean_of(r, x, y, t);
    const double on_n = e.cn / e.b;
    return rows_lin2(r, on_n * e.scale, x, e.cx - on_n * e.a, x0);
}

static val predict_scalar(rows *r, val x, double t) {
    const val y = ask_scalar(r, x, t);
    return r->limit_quantile > 0 && r->status == DFL_OK ? limited(r, x, y, t) : y;
}

val rows_eps_of(rows *r, val x, val y, double t) {
    const rows_split split = rows_split_at(r, t);
    return convert(r, x, y, t, split.n_x, split.n_y, "noise");
}

val rows_eps(rows *r, val x, double t) {
    return rows_eps_of(r, x, predict_scalar(r, x, t), t);
}

val rows_x0(rows *r, val x, double t) {
    return clean_of(r, x, ask_scalar(r, x, t), t);
}

/* ---- phase space ----------------------------------------------------------------------------- */

/* The network predicts L-whitened noise (epsilon) or the score, of both halves or of one; L is that
   of its training, the label's b or a smaller one. */
static blk half_selector(const netform *form) { /* k x 2: eps -> the half that is predicted */
    if (form->half == NET_X) return (blk){1, 2, {1, 0}};
    if (form->half == NET_M) return (blk){1, 2, {0, 1}};
    return blk_2x2(1, 0, 0, 1);
}

blk rows_factor(const rows *r, double t) {
    return process_factor(r->process, t, r->form->matching);
}

/* score = (this) eps, of both halves */
static blk to_score(blk factor) {
    return blk_scale(-1, blk_transpose(blk_inverse(factor)));
}

blk rows_eps_map(const rows *r, double t) {
    const blk spread = blk_transpose(half_selector(r->form)); /* the half not predicted is unused */
    if (r->form->predicts == PRED_EPSILON) return spread;
    return blk_scale(-1, blk_mul(blk_transpose(rows_factor(r, t)), spread));
}

blk rows_score_map(const rows *r, double t) {
    const blk spread = blk_transpose(half_selector(r->form));
    if (r->form->predicts == PRED_SCORE) return spread;
    return blk_mul(to_score(rows_factor(r, t)), spread);
}

/* The output in terms of the label's noise n, whose score is -b^-T n: eps = L^T b^-T n. */
static blk output_of_noise(const rows *r, double t) {
    const blk pick = half_selector(r->form);
    const blk score = to_score(process_factor(r->process, t, MATCH_HYBRID));
    if (r->form->predicts == PRED_SCORE) return blk_mul(pick, score);
    if (r->form->matching == MATCH_HYBRID) return pick;
    return blk_scale(-1, blk_mul(pick, blk_mul(blk_transpose(rows_factor(r, t)), score)));
}

/* A network of one half is enough only where G G^T score, all that any solver needs, is without the
   other half. */
static dfl_status check_half(const rows *r, double t) {
    const net_half half = r->form->half;
    if (half == NET_BOTH) return DFL_OK;
    const int other = half == NET_X ? 1 : 0;
    const blk G = process_noise(r->process, t);
    const blk push = r->form->predicts == PRED_SCORE ? G : blk_mul(G, to_score(rows_factor(r, t)));
    if (push.v[other] == 0 && push.v[2 + other] == 0) return DFL_OK;
    return fail(DFL_E_COMBINATION,
                "the network answers the %s half only, which is not enough here: x alone needs "
                "nu = 0 and, for epsilon, factor=upper; m alone needs Gamma = 0 and, for epsilon, "
                "factor=lower",
                half == NET_X ? "x" : "m");
}

static val ask_phase(rows *r, val z, double t) {
    if (r->status != DFL_OK) return 0;
    r->t = t;
    const netform *form = r->form;
    if ((form->predicts != PRED_EPSILON && form->predicts != PRED_SCORE) ||
        form->precond != PRECOND_NONE || form->map != TIME_LINEAR) {
        rows_fail(r, fail(DFL_E_COMBINATION,
                          "in phase space a network predicts epsilon or score, without "
                          "preconditioning, and takes a linear time_map"));
        return 0;
    }
    if (t == 0) {
        rows_fail(r, fail(DFL_E_COMBINATION,
                          "in phase space the network has no answer at t = 0; "
                          "choose t_end above 0, or a solver without a stage there"));
        return 0;
    }
    rows_fail(r, check_half(r, t));
    row w = {.op = ROW_EVAL, .nsrc = 1, .t = t, .tau = netform_time(form, t, 1, 1)};
    process_marginal(r->process, t, &w.at);
    const blk gives = output_of_noise(r, t);
    for (int i = 0; i < gives.m * gives.n; i++) w.gives.cn[i] = gives.v[i];
    const term input = {z, blk_real(1)};
    return write_row(r, &w, &input, gives.m);
}

val rows_predict(rows *r, val z, double t) {
    return r->out->components == 1 ? predict_scalar(r, z, t) : ask_phase(r, z, t);
}

/* dx/dt = a' x_0 + b' n, or in phase space F z - G G^T s / 2 with s = S y. */
rows_ode rows_ode_at(const rows *r, double t) {
    if (r->out->components == 1) {
        const scalar_at at = process_at(r->process, t);
        const rows_split split = rows_split_at(r, t);
        return (rows_ode){blk_real(at.da * split.x0_x + at.db * split.n_x),
                          blk_real(at.da * split.x0_y + at.db * split.n_y)};
    }
    const blk G = process_noise(r->process, t), GG = blk_mul(G, blk_transpose(G));
    return (rows_ode){process_drift(r->process, t),
                      blk_scale(-0.5, blk_mul(GG, rows_score_map(r, t)))};
}
