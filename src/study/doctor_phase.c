/* The prediction in phase space. Of a state z = a x_0 + L n, in u = L^-1 z = alpha x_0 + n with
 * alpha = L^-1 a, all that is said about x_0 is along alpha, as on a scalar process with
 * rho = 1/|alpha|; along the unit vector w across it, u is the noise. So for any data
 *
 *   E[n | z] changes by w s, and by nothing else, where n changes by w s,
 *   E[x_0 | z] = alpha . (u - E[n | z]) / |alpha|^2.
 *
 * The output is y = cn E[n | z] with a cn that prediction_type, score_matching, output_half and factor
 * determine; the first line finds what is wrong with it. Near t = 1 hybrid and denoising score
 * matching are the same, near 0 they are not. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "process/phase.h"
#include "study/doctor_probe.h"

/* ---- the state --------------------------------------------------------------------------------- */

typedef struct {
    blk factor, whiten; /* L and its inverse */
    double alpha[2];
} place;

static place place_at(const process *p, double t) {
    marginal at;
    process_marginal(p, t, &at);
    const double *b = at.b, *a = at.a;
    place here = {.factor = blk_2x2(b[0], b[1], b[2], b[3])};
    here.whiten = blk_inverse(here.factor);
    const double *w = here.whiten.v;
    here.alpha[0] = w[0] * a[0] + w[1] * a[1];
    here.alpha[1] = w[2] * a[0] + w[3] * a[1];
    return here;
}

double doctor_phase_rho(const process *p, double t) {
    const place here = place_at(p, t);
    return 1 / hypot(here.alpha[0], here.alpha[1]);
}

/* The unit vector across alpha. */
static void across(const place *here, double w[2]) {
    const double size = hypot(here->alpha[0], here->alpha[1]);
    w[0] = -here->alpha[1] / size;
    w[1] = here->alpha[0] / size;
}

/* Share of the momentum's variance that came since t = 0. */
static double fresh_share(const process *p, double t) {
    return phase_covariance_given_both(p, t).mm / phase_covariance(p, t).mm;
}

/* Where a rising function of time passes `level`, by halving in log t. */
static double time_of(const process *p, double (*f)(const process *, double), double level) {
    double lo = log(p->t_lo), hi = log(p->t_hi);
    for (int i = 0; i < 60; i++) {
        const double middle = (lo + hi) / 2;
        if (f(p, exp(middle)) < level)
            lo = middle;
        else
            hi = middle;
    }
    return exp(lo);
}

double doctor_phase_time(const process *p, double rho) {
    return time_of(p, doctor_phase_rho, rho);
}

double doctor_phase_early(const process *p) {
    return time_of(p, fresh_share, 0.25);
}

/* Numbers k of sample i: two halves of an array that holds them one after the other. */
static double half_of(const probe *p, const double *z, size_t i, size_t k, int half) {
    return z[i * p->state + (size_t)half * p->dim + k];
}

/* cn, one row for each half of the output. */
static blk stated(const probe *p) {
    const double *cn = p->gives.cn;
    if (p->output == p->dim) return (blk){1, 2, {cn[0], cn[1]}};
    return blk_2x2(cn[0], cn[1], cn[2], cn[3]);
}

static blk picked(net_half half) {
    if (half == NET_BOTH) return blk_2x2(1, 0, 0, 1);
    return (blk){1, 2, {half == NET_X, half == NET_M}};
}

/* ---- pure noise -------------------------------------------------------------------------------- */

enum { NAME = 96 };

static bool near_to(blk found, blk right, double share) {
    for (int i = 0; i < right.m; i++)
        for (int j = 0; j < 2; j++) {
            const double size = hypot(right.v[2 * i], right.v[2 * i + 1]);
            if (!(fabs(found.v[2 * i + j] - right.v[2 * i + j]) <= share * size)) return false;
        }
    return true;
}

/* A network that takes or gives m first sees L^-1 with exchanged columns, and has exchanged rows. */
static void looks_like(const probe *p, const place *here, blk found, char name[NAME]) {
    static const char *const types[] = {"epsilon", "score"};
    const blk swap = blk_2x2(0, 1, 1, 0);
    const net_half half = p->model->card.form.half;
    snprintf(name, NAME, "neither epsilon nor score");
    for (int k = 0; k < 8; k++) {
        const bool score = k & 1, input = k & 2, output = k & 4;
        blk c = input ? blk_mul(here->whiten, blk_mul(swap, here->factor)) : blk_2x2(1, 0, 0, 1);
        if (score) c = blk_scale(-1, blk_mul(blk_transpose(here->whiten), c));
        if (output) c = blk_mul(swap, c);
        if (!near_to(found, blk_mul(picked(half), c), 0.25)) continue;
        snprintf(name, NAME, "%s%s%s", types[score], input ? " of a state with m first" : "",
                 !output            ? ""
                 : half == NET_BOTH ? ", answered with m's half first"
                                    : ", of the other half");
        return;
    }
}

/* As plans print blocks: [1 0; 0 1]. */
static void add_block(text *out, blk c) {
    static const char *const before[] = {"[", " ", "; ", " "};
    for (int i = 0; i < 2 * c.m; i++) {
        const double size = hypot(c.v[i / 2 * 2], c.v[i / 2 * 2 + 1]);
        text_add(out, "%s%.3g", before[i], fabs(c.v[i]) < 0.005 * size ? 0 : c.v[i]);
    }
    text_add(out, "]");
}

/* How often n_x and n_m are in the output, and what is left of it, at most of its halves, in units of
   what was to be there. */
static blk gains(const probe *p, blk right, double *left) {
    blk found = right;
    *left = 0;
    for (int h = 0; h < right.m; h++) {
        double yx = 0, ym = 0, xx = 0, xm = 0, mm = 0, yy = 0;
        for (size_t i = 0; i < p->n; i++)
            for (size_t k = 0; k < p->dim; k++) {
                const double x = half_of(p, p->noise, i, k, 0), m = half_of(p, p->noise, i, k, 1);
                const double y = p->y[i * p->output + (size_t)h * p->dim + k];
                yx += y * x, ym += y * m, yy += y * y;
                xx += x * x, xm += x * m, mm += m * m;
            }
        const double det = xx * mm - xm * xm;
        double *const c = found.v + 2 * h, *const r = right.v + 2 * h;
        c[0] = (mm * yx - xm * ym) / det;
        c[1] = (xx * ym - xm * yx) / det;
        const double rest = fmax(yy - c[0] * yx - c[1] * ym, 0) / (double)(p->n * p->dim);
        *left = fmax(*left, sqrt(rest) / hypot(r[0], r[1]));
    }
    return found;
}

dfl_status doctor_phase_noise(probe *p, double t) {
    const place here = place_at(p->process, t);
    const blk right = stated(p);
    double left;
    char name[NAME];
    text words = {0};
    const blk found = gains(p, right, &left);
    if (near_to(found, right, 0.25) && left <= 0.25) return DFL_OK;
    looks_like(p, &here, found, name);
    text_add(&words, "for pure noise at t = %.6g the output should be ", t);
    add_block(&words, right);
    text_add(&words, " times the noise of x and m; it is ");
    add_block(&words, found);
    text_add(&words, " times the noise, with %.2g beside it", left);
    const dfl_status status =
        words.failed
            ? fail_memory()
            : doctor_find(p->doctor, CHECK_PREDICTION, DFL_ERROR,
                          "%s\nthe output looks like %s; correct prediction_type or output_half, "
                          "or the process and time_map; states are (x, m), x first",
                          words.data, name);
    text_free(&words);
    return status;
}

/* ---- samples in noise -------------------------------------------------------------------------- */

/* Predicted noise of both halves from the output, or of one in its own unit. */
static blk to_noise(blk cn) {
    return cn.m == 2 ? blk_inverse(cn) : blk_real(1 / hypot(cn.v[0], cn.v[1]));
}

static double noise_in(const probe *p, blk noise_of, const double *y, int half) {
    const double *v = noise_of.v + 2 * half;
    return noise_of.m == 0 ? v[0] * y[0] : v[0] * y[0] + v[1] * y[p->dim];
}

void doctor_phase_fit(const probe *p, double t, probe_fit *fit) {
    const place here = place_at(p->process, t);
    const blk cn = stated(p), noise_of = to_noise(cn), c = blk_mul(noise_of, cn);
    const double *l = here.whiten.v;
    double d[2] = {0}, dd = 0; /* of x_0 in what is predicted */
    probe_slope clean = {0}, noise[2] = {{0}};
    for (int h = 0; h < c.m; h++) {
        d[h] = c.v[2 * h] * here.alpha[0] + c.v[2 * h + 1] * here.alpha[1];
        dd += d[h] * d[h];
    }
    for (size_t i = 0; i < p->n; i++)
        for (size_t k = 0; k < p->dim; k++) {
            const double x = half_of(p, p->x, i, k, 0), m = half_of(p, p->x, i, k, 1);
            const double u[2] = {l[0] * x + l[1] * m, l[2] * x + l[3] * m};
            const double n[2] = {half_of(p, p->noise, i, k, 0), half_of(p, p->noise, i, k, 1)};
            const double *y = p->y + i * p->output + k;
            double x0 = 0;
            for (int h = 0; h < c.m; h++) {
                const double *of = c.v + 2 * h;
                const double guess = noise_in(p, noise_of, y, h);
                probe_slope_add(&noise[h], guess, of[0] * n[0] + of[1] * n[1]);
                x0 += d[h] / dd * (of[0] * u[0] + of[1] * u[1] - guess);
            }
            probe_slope_add(&clean, x0, p->clean[i * p->dim + k]);
        }
    double size;
    fit->clean = probe_slope_of(&clean, &size);
    fit->noise = probe_slope_of(&noise[0], &fit->size);
    if (c.m == 1) return;
    const double other = probe_slope_of(&noise[1], &size);
    if (!(fabs(log(other)) <= fabs(log(fit->noise)))) fit->noise = other, fit->size = size;
}

/* ---- what the state determines ----------------------------------------------------------------- */

/* n <- n - 2 w (w . n): another standard normal, which differs across alpha alone. */
static void reflect(probe *p, const double w[2]) {
    for (size_t i = 0; i < p->n; i++)
        for (size_t k = 0; k < p->dim; k++) {
            double *const x = p->noise + i * p->state + k, *const m = x + p->dim;
            const double twice = 2 * (w[0] * *x + w[1] * *m);
            *x -= twice * w[0];
            *m -= twice * w[1];
        }
}

/* How much of w s is in the noise of the halves that are answered. */
static blk known_in(blk cn, const double w[2]) {
    return blk_mul(to_noise(cn), blk_mul(cn, (blk){2, 1, {w[0], w[1]}}));
}

/* `moved` [n][output] is to be cn w (w . n): how far it is off, relative to that. */
static double known_error(const probe *p, const double w[2], blk cn, const double *moved) {
    const blk noise_of = to_noise(cn), right = known_in(cn, w);
    double sum = 0, size = 0;
    for (size_t i = 0; i < p->n; i++)
        for (size_t k = 0; k < p->dim; k++) {
            const double s =
                w[0] * half_of(p, p->noise, i, k, 0) + w[1] * half_of(p, p->noise, i, k, 1);
            const double *y = moved + i * p->output + k;
            for (int h = 0; h < cn.m; h++) {
                const double off = noise_in(p, noise_of, y, h) - right.v[h] * s;
                sum += off * off;
                size += right.v[h] * right.v[h] * s * s;
            }
        }
    return sqrt(sum / size);
}

/* Another statement about epsilon that fits, or "": of the factor, of the training, of both. */
static void fits_better(const probe *p, const place *here, double t, const double w[2],
                        double error, const double *moved, char name[NAME]) {
    const netform *form = &p->model->card.form;
    const bool stated_upper = phase_parameters(p->process)->upper;
    error /= 3;
    name[0] = 0;
    if (form->predicts != PRED_EPSILON) return;
    for (int k = 1; k < 4; k++) {
        const bool other_factor = k & 1, other_matching = k & 2;
        if (other_factor && form->half != NET_BOTH) continue; /* it has no choice */
        const bool upper = stated_upper != other_factor;
        const bool denoising = (form->matching == MATCH_DENOISING) != other_matching;
        const phase_cov s = denoising ? phase_covariance_given_both(p->process, t)
                                      : phase_covariance(p->process, t);
        const blk factor = phase_factor(phase_widened(p->process, s), upper);
        const blk cn = blk_mul(blk_transpose(factor), blk_transpose(here->whiten));
        const double off = known_error(p, w, blk_mul(picked(form->half), cn), moved);
        if (!(off < error)) continue;
        error = off / 2;
        snprintf(name, NAME,
                 "the output fits score_matching \"%s\" with factor \"%s\": have the "
                 "card say so",
                 denoising ? "dsm" : "hsm", upper ? "upper" : "lower");
    }
}

static dfl_status judge_known(const probe *p, double t, const double *moved, bool *go) {
    const place here = place_at(p->process, t);
    const blk cn = stated(p);
    double w[2];
    char name[NAME];
    across(&here, w);
    const blk seen = known_in(cn, w);
    if (hypot(seen.v[0], seen.v[1]) < 0.2) return DFL_OK; /* hardly in the half that is answered */
    const double error = known_error(p, w, cn, moved);
    if (error <= 0.2) return DFL_OK;
    *go = false;
    fits_better(p, &here, t, w, error, moved, name);
    return doctor_find(
        p->doctor, CHECK_PREDICTION, error <= 0.4 && !*name ? DFL_WARNING : DFL_ERROR,
        "at t = %.6g the part of the noise that follows from the state alone is off by %.2g of its "
        "size\n%s",
        t, error,
        *name
            ? name
            : "compare prediction_type, score_matching, process and time_map of the card with how "
              "the network was trained");
}

dfl_status doctor_phase_known(probe *p, double t, bool *go) {
    const size_t all = p->n * p->output;
    const place here = place_at(p->process, t);
    double w[2], *const moved = mem_array(all, sizeof *moved);
    if (!moved) return fail_memory();
    memcpy(moved, p->y, all * sizeof *moved);
    across(&here, w);
    reflect(p, w);
    probe_mix(p, t);
    dfl_status status = probe_ask(p, t, NULL, go);
    if (status == DFL_OK && *go) {
        for (size_t i = 0; i < all; i++) moved[i] = (p->y[i] - moved[i]) / 2;
        status = judge_known(p, t, moved, go);
    }
    free(moved);
    return status;
}
