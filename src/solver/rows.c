/* The builder: what a solver calls to write rows. */
#include "solver/rows.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
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
            rows_fail(r, fail(DFL_E_NONFINITE,
                              "a coefficient is not finite (row %zu, term %zu); the process, times "
                              "and solver do not go together",
                              r->out->nrows, i));
            return 0;
        }
    if (count == 0) {
        rows_fail(r, fail(DFL_E_INTERNAL, "a row without terms (row %zu)", r->out->nrows));
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

void rows_step(rows *r, val x, double t, int order) {
    if (r->status != DFL_OK) return;
    row w = {.op = ROW_STEP, .dst = -1, .nsrc = 1, .t = t, .order = order};
    process_marginal(r->process, t, &w.at);
    const term source = {x, blk_real(1)};
    rows_fail(r, program_add_row(r->out, &w, &source));
}

/* What an evaluation at (x, t) looks like to the network. */
typedef struct {
    double a, b, scale; /* the state's label, and the factor of the network's input */
    double cx, cn;      /* the raw output: cx x_0 + cn n */
    val y;
} answer;

/* EVAL at (x, t), with the input scaling of preconditioned networks in a row of its own. */
static answer ask(rows *r, val x, double t) {
    const scalar_at at = process_at(r->process, t);
    answer got = {.a = at.a, .b = at.b, .scale = netform_input_scale(r->form, at.a, at.b)};
    netform_gives(r->form, at.a, at.b, &got.cx, &got.cn);
    row w = {.op = ROW_EVAL, .nsrc = 1, .t = t, .tau = netform_time(r->form, t, at.a, at.b)};
    if (!isfinite(w.tau) || !isfinite(got.scale) || !isfinite(got.cx) || !isfinite(got.cn)) {
        rows_fail(r, fail(DFL_E_COMBINATION,
                          "the network cannot be evaluated at t=%.17g: its time or its prediction "
                          "type has no finite value there; end at a larger t_end",
                          t));
        return got;
    }
    const bool integers = r->form->time_dtype == NET_INT32 || r->form->time_dtype == NET_INT64;
    if (integers && fabs(w.tau - nearbyint(w.tau)) > 1e-6) {
        rows_fail(r, fail(DFL_E_COMBINATION,
                          "the network takes integer times, and t=%.17g is %.17g in its time; this "
                          "solver needs a network with real times here",
                          t, w.tau));
        return got;
    }
    if (integers) w.tau = nearbyint(w.tau);
    w.at.a[0] = got.scale * at.a;
    w.at.b[0] = got.scale * at.b;
    w.gives.cx[0] = got.cx;
    w.gives.cn[0] = got.cn;
    const term scaled = {x, blk_real(got.scale)};
    const term input = {rows_lin(r, &scaled, 1), blk_real(1)};
    got.y = write_row(r, &w, &input, 1);
    return got;
}

/* With input u = a' x_0 + b' n and output y = cx x_0 + cn n, D = a' cn - b' cx:
   x_0 = (cn u - b' y) / D,  n = (a' y - cx u) / D. In terms of x = u / scale. */
static val convert(rows *r, val x, double t, bool want_eps) {
    const answer got = ask(r, x, t);
    if (r->status != DFL_OK) return 0;
    const double a = got.scale * got.a, b = got.scale * got.b;
    const double D = a * got.cn - b * got.cx;
    const double on_x = (want_eps ? -got.cx : got.cn) * got.scale / D;
    const double on_y = (want_eps ? a : -b) / D;
    if (isfinite(on_x) && isfinite(on_y)) return rows_lin2(r, on_x, x, on_y, got.y);
    rows_fail(r, fail(DFL_E_COMBINATION,
                      "at t=%.17g this network's output does not determine the %s a solver needs "
                      "there; choose other end times",
                      t, want_eps ? "noise" : "clean data"));
    return 0;
}

/* ---- phase space -------------------------------------------------------------------------------
 */

/* The network predicts L-whitened noise (epsilon) or the score, of both halves or of one. */
static blk half_selector(const netform *form) { /* k x 2: eps -> the half that is predicted */
    if (form->half == NET_X) return (blk){1, 2, {1, 0}};
    if (form->half == NET_M) return (blk){1, 2, {0, 1}};
    return blk_2x2(1, 0, 0, 1);
}

static blk factor_at(const rows *r, double t) {
    marginal m;
    process_marginal(r->process, t, &m);
    return blk_2x2(m.b[0], m.b[1], m.b[2], m.b[3]);
}

blk rows_eps_map(const rows *r, double t) {
    const blk spread = blk_transpose(half_selector(r->form)); /* the half not predicted is unused */
    if (r->form->predicts == PRED_EPSILON) return spread;
    return blk_scale(-1, blk_mul(blk_transpose(factor_at(r, t)), spread));
}

blk rows_score_map(const rows *r, double t) {
    const blk spread = blk_transpose(half_selector(r->form));
    if (r->form->predicts == PRED_SCORE) return spread;
    return blk_scale(-1, blk_mul(blk_transpose(blk_inverse(factor_at(r, t))), spread));
}

static val ask_phase(rows *r, val z, double t) {
    if (r->status != DFL_OK) return 0;
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
    row w = {.op = ROW_EVAL, .nsrc = 1, .t = t, .tau = netform_time(form, t, 1, 1)};
    process_marginal(r->process, t, &w.at);
    const blk pick = half_selector(form);
    const blk gives =
        form->predicts == PRED_EPSILON
            ? pick
            : blk_scale(-1, blk_mul(pick, blk_transpose(blk_inverse(factor_at(r, t)))));
    for (int i = 0; i < gives.m * gives.n; i++) w.gives.cn[i] = gives.v[i];
    const term input = {z, blk_real(1)};
    return write_row(r, &w, &input, gives.m);
}

val rows_predict(rows *r, val z, double t) {
    return r->out->components == 1 ? rows_eps(r, z, t) : ask_phase(r, z, t);
}

/* dz/dt = F z - G G^T s / 2, with s = -eps/b or S y. */
rows_ode rows_ode_at(const rows *r, double t) {
    const blk G = process_noise(r->process, t), GG = blk_mul(G, blk_transpose(G));
    const blk s =
        r->out->components == 1 ? blk_real(-1 / process_at(r->process, t).b) : rows_score_map(r, t);
    return (rows_ode){process_drift(r->process, t), blk_scale(-0.5, blk_mul(GG, s))};
}

/* ---- predictions -------------------------------------------------------------------------------
 */

val rows_eps(rows *r, val x, double t) {
    return convert(r, x, t, true);
}

val rows_x0(rows *r, val x, double t) {
    return convert(r, x, t, false);
}
