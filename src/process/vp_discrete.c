/* Variance preserving, given by a table of N betas (DDPM). Table index i is time t = (i + 1) / N.
 *
 *   alpha_bar_i = prod_{j <= i} (1 - beta_j),  a = sqrt(alpha_bar),  b = sqrt(1 - alpha_bar)
 *
 * Between the table's times: log_alpha interpolates log a linearly (DPM-Solver, arXiv 2206.00927,
 * appendix), alpha_bar and alpha_bar_prepended interpolate alpha_bar linearly (DEIS and DEIS-SN,
 * as released). The last one counts t in (0, 1/N), down to alpha_bar = 1 at t = 0, as part of the
 * model; for the first two the model ends at 1/N, and the piece below only carries a last step that
 * lands on clean data. 1 - alpha_bar is accumulated by itself, so that nothing cancels.
 *
 * rescale_betas_zero_snr moves and stretches sqrt(alpha_bar) so that the first entry stays and the
 * last becomes 0 (Lin et al., arXiv 2305.08891, algorithm 1). In place of that 0 stands 2^-24, as in
 * diffusers' multistep schedulers, or where the entry before is smaller still, the continuation of
 * the last two: the log-SNR stays finite and falls.
 * Known value: alpha_bar_999 = 4.0358297653756754e-05 for the default betas. */
#include "process/process.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LOG_ALPHA, ALPHA_BAR, ALPHA_BAR_PREPENDED };
enum { LINEAR, SCALED_LINEAR, SQUAREDCOS, SIGMOID };

static const opt_row options[] = {
    {"num_train_timesteps", OPT_INT, "1000", 2, 100000, NULL, "length N of the table"},
    {"beta_schedule", OPT_CHOICE, "linear", 0, 0, "linear|scaled_linear|squaredcos_cap_v2|sigmoid",
     "how the betas are made"},
    {"beta_start", OPT_REAL, "0.0001", 1e-12, 0.999, NULL, "first beta (not of squaredcos_cap_v2)"},
    {"beta_end", OPT_REAL, "0.02", 1e-12, 0.999, NULL, "last beta (not of squaredcos_cap_v2)"},
    {"trained_betas", OPT_LIST, NULL, 0, 0, NULL, "the betas themselves, instead of a schedule"},
    {"rescale_betas_zero_snr", OPT_INT, "0", 0, 1, NULL, "1: last alpha_bar to (almost) 0"},
    {"interpolation", OPT_CHOICE, "log_alpha", 0, 0, "log_alpha|alpha_bar|alpha_bar_prepended",
     "between table times"},
    {0},
};

static double cosine_bar(double t) {
    const double c = cos((t + 0.008) / 1.008 * 1.57079632679489661923);
    return c * c;
}

static double beta_of(const opts *o, size_t i, size_t n) {
    const double first = opt_real(o, "beta_start"), last = opt_real(o, "beta_end");
    const double w = (double)i / (double)(n - 1);
    switch (opt_choice(o, "beta_schedule")) {
    case LINEAR: return first + w * (last - first);
    case SCALED_LINEAR: {
        const double root = sqrt(first) + w * (sqrt(last) - sqrt(first));
        return root * root;
    }
    case SIGMOID: return first + (last - first) / (1 + exp(6 - 12 * w));
    default: {
        const double m = (double)n;
        return fmin(1 - cosine_bar((double)(i + 1) / m) / cosine_bar((double)i / m), 0.999);
    }
    }
}

static double *table_L(const process *p) {
    return p->table;
}
static double *table_A(const process *p) {
    return p->table + p->nknots;
}
static double *table_U(const process *p) {
    return p->table + 2 * p->nknots;
} /* 1 - alpha_bar */

/* Index i of the table (from 1) is alpha_bar = exp(-L). */
static void set_entry(process *p, size_t i, double L) {
    table_L(p)[i] = L;
    table_A(p)[i] = exp(-L);
    table_U(p)[i] = -expm1(-L);
}

/* With s = sqrt(alpha_bar), s_1 its first and s_n its last entry: s becomes
   s_1 - (s_1 - s) s_1/(s_1 - s_n), whose distance from 1 is a sum of positive terms. */
static void rescale_zero_snr(process *p, size_t n) {
    const double *L = table_L(p);
    const double first_L = L[1], first = exp(-first_L / 2), fall = -expm1(-first_L / 2);
    const double span = -first * expm1(-(L[n] - first_L) / 2);
    for (size_t i = 2; i < n; i++) {
        const double below = -first * expm1(-(L[i] - first_L) / 2) * first / span;
        set_entry(p, i, -2 * log1p(-(fall + below)));
    }
    set_entry(p, n, fmax(24 * log(2), 2 * L[n - 1] - L[n - 2]));
}

static dfl_status init(process *p, const opts *o) {
    const opt_value *trained = opt_get(o, "trained_betas");
    const opt_value *length = opt_get(o, "num_train_timesteps");
    const size_t n = trained->set ? trained->nlist : (size_t)length->number;
    if (n < 2 || (trained->set && length->given && n != (size_t)length->number))
        return fail(DFL_E_COMBINATION,
                    "process vp_discrete: trained_betas has %zu entries; it needs at least 2, and "
                    "as many as num_train_timesteps",
                    n);
    p->mode = opt_choice(o, "interpolation");
    p->t_lo = p->mode == ALPHA_BAR_PREPENDED ? 1e-12 : 1 / (double)n;
    p->nknots = n + 1;
    p->knots = mem_array(n + 1, sizeof(double));
    p->table = mem_array(3 * (n + 1), sizeof(double));
    if (!p->knots || !p->table) return fail_memory();
    table_A(p)[0] = 1;
    double L = 0;
    for (size_t i = 0; i < n; i++) {
        const double beta = trained->set ? trained->list[i] : beta_of(o, i, n);
        if (!(beta > 0 && beta < 1))
            return fail(DFL_E_RANGE,
                        "process vp_discrete: beta %zu is %s; every beta must be inside (0, 1)", i,
                        real_text(beta).s);
        L -= log1p(-beta);
        if (L > 700)
            return fail(DFL_E_RANGE,
                        "process vp_discrete: alpha_bar underflows at index %zu of %zu", i, n);
        p->knots[i + 1] = (double)(i + 1) / (double)n;
        set_entry(p, i + 1, L);
    }
    if (opt_int(o, "rescale_betas_zero_snr") == 1) rescale_zero_snr(p, n);
    return DFL_OK;
}

/* The segment [i, i + 1] of a rising table that holds x (the last one if x is beyond it). */
static size_t segment_of(const double *rising, size_t n, double x) {
    size_t lo = 0, hi = n - 1;
    while (hi - lo > 1) {
        const size_t mid = (lo + hi) / 2;
        if (rising[mid] <= x)
            lo = mid;
        else
            hi = mid;
    }
    return lo;
}

static void at(const process *p, double t, scalar_at *out) {
    const size_t i = segment_of(p->knots, p->nknots, t);
    const double span = p->knots[i + 1] - p->knots[i], w = (t - p->knots[i]) / span;
    const double *L = table_L(p), *A = table_A(p), *U = table_U(p);
    if (p->mode == LOG_ALPHA) {
        const double rise = L[i + 1] - L[i];
        process_from_log(w < 1 ? L[i] + w * rise : L[i + 1], rise / span, out);
        return;
    }
    const double signal = w < 1 ? A[i] + w * (A[i + 1] - A[i]) : A[i + 1];
    const double noise = w < 1 ? U[i] + w * (U[i + 1] - U[i]) : U[i + 1];
    /* of the one that has its digits: alpha_bar falls to 0, 1 - alpha_bar rises to 1 */
    const double rise = U[i + 1] < 0.5 ? U[i + 1] - U[i] : A[i] - A[i + 1];
    const double slope = rise / span / signal;
    out->a = sqrt(signal);
    out->b = sqrt(noise);
    out->rho = out->b / out->a;
    out->lambda = -log(out->rho);
    out->drift = -slope / 2;
    out->g2 = slope;
    out->da = -slope / 2 * out->a;
    out->db = slope / 2 * signal / out->b;
}

/* Inverts whichever of L, alpha_bar, 1 - alpha_bar still has all its digits at this rho. */
static double time_of_rho(const process *p, double rho) {
    const double square = rho * rho, L = log1p(square);
    const size_t i = segment_of(table_L(p), p->nknots, L);
    const double *from = p->mode == LOG_ALPHA ? table_L(p) : square < 1 ? table_U(p) : table_A(p);
    const double value = p->mode == LOG_ALPHA ? L
                         : square < 1         ? square / (1 + square)
                                              : 1 / (1 + square);
    const double w = (value - from[i]) / (from[i + 1] - from[i]);
    return p->knots[i] + w * (p->knots[i + 1] - p->knots[i]);
}

const process_row process_vp_discrete = {
    .is = {"vp_discrete", "variance preserving, a table of betas (DDPM)",
           "arXiv:2006.11239 section 2; arXiv:2102.09672 eq. (17) for squaredcos_cap_v2", options},
    .components = 1,
    .reference_grid = "power:kappa=2",
    .reference_options = "num_train_timesteps=10000,beta_start=1e-5,beta_end=0.002",
    .reference_start = 0.95, /* behind the gap that the cosine's last, capped betas leave */
    .init = init,
    .at = at,
    .time_of_rho = time_of_rho,
};
