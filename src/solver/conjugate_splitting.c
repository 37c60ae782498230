/* Conjugate splitting in phase space: the reduced splitting schemes with a conjugate Euler sub-step
 * of one component in place of each Euler sub-step, the network's output held fixed.
 *
 * A scheme is a word of solver/scheme.h; X moves the position over [s, t], M the momentum
 * over [s, t], K and k over the later and the earlier half. Over [lo, hi], h = hi - lo, own
 * component u, the other v, and r = 0 for type 1, 1 for type 2:
 *
 *   P = lambda + w d,   Q = r lambda + q,   e = exp(P h),   g = Q expm1(P h) / P
 *   u <- e u + g v - h lambda e (u + r v) + K eps
 *   K = -int_lo^hi exp(P (t - lo)) c (row of L_t^-T) dt
 *   position:  d = beta Gamma/2,  q = -beta M^-1/2,  c = w beta Gamma/2
 *   momentum:  d = beta nu/2,     q = beta/2,        c = w beta M nu/2
 *
 * w = 1 on the ODE (CSE, CVV), 2 on the SDE (COBA). beta must be constant.
 *
 * Pandey, Rudolph and Mandt, arXiv 2310.07894, section 3.4; reconstructed, component by component
 * (the other conceivable reading diverges). The factors e grow like exp(w beta nu h / 2): unusable
 * at 10 evaluations. Order 1. */
#include "solver/scheme.h"

#include <math.h>

#include "solver/noisefactor.h"

static const char *const words[] = {"eMX", "eKXEk", "OeMX"};

static const opt_row options[] = {
    {"scheme", OPT_CHOICE, "cvv", 0, 0, "cse|cvv|coba",
     "order of the sub-steps; coba is stochastic"},
    {"type", OPT_INT, "2", 1, 2, NULL, "1: lambda on the own component, 2: on the other one, too"},
    {"lambda", OPT_REAL, "1", -100, 100, "auto", "strength, per unit of time; auto: as tuned"},
    {"lambda_s", OPT_REAL, "1", 0, 10, "auto",
     "coba: scales the position noise; 1 is the true SDE"},
    {0},
};

static const char *word_of(const opts *o) {
    return words[opt_choice(o, "scheme")];
}

static solver_claims claims(const opts *o, const process *p) {
    (void)p;
    return scheme_claims(word_of(o));
}

static int steps(const opts *o, int nfe, bool to_zero) {
    (void)to_zero;
    return scheme_steps(word_of(o), nfe);
}

/* One component's sub-step over [lo, hi]. */
typedef struct {
    const process *p;
    int own; /* 0 position, 1 momentum */
    double lo, hi, P, c;
} substep;

static void integrand(double t, void *user, double *out) {
    const substep *s = user;
    const blk n = noise_inverse(s->p, FACTOR_CHOLESKY, t, 0);
    const double scale = -exp(s->P * (t - s->lo)) * s->c;
    for (int j = 0; j < 2; j++) out[j] = scale * n.v[s->own * 2 + j];
}

static void sub_step(const scheme *at, symbol *z, int own, double lo, double hi) {
    const process *p = at->pb->process;
    const phase_par *par = at->par;
    const double lambda = opt_real(at->pb->o, "lambda"), half = phase_beta(p, hi) / 2;
    const double r = opt_int(at->pb->o, "type") == 2 ? 1 : 0, h = hi - lo;
    const double d = half * (own ? par->nu : par->Gamma);
    const double q = own ? half : -half * par->Minv;
    substep s = {p, own, lo, hi, lambda + at->w * d, at->w * d * (own ? par->M : 1)};
    const double Q = r * lambda + q, grow = exp(s.P * h);
    const double g = fabs(s.P * h) < 1e-12 ? Q * h : Q * expm1(s.P * h) / s.P;
    const double on_own = grow * (1 - h * lambda), on_other = g - h * lambda * grow * r;
    blk K = blk_2x2(0, 0, 0, 0);
    noise_integrate(integrand, &s, lo, hi, 2, K.v + 2 * own);
    symbol_apply(z, own ? blk_2x2(1, 0, on_other, on_own) : blk_2x2(on_own, on_other, 0, 1));
    if (s.c > 0) symbol_add(z, blk_mul(K, rows_eps_map(at->r, at->asked)), at->y);
}

static void move(const scheme *at, symbol *z, char letter) {
    const double middle = (at->t + at->s) / 2;
    const double lo = letter == 'K' ? middle : at->s, hi = letter == 'k' ? middle : at->t;
    sub_step(at, z, letter != 'X', lo, hi);
}

/* The momentum's factor exp(P h) amplifies every error of the prediction. */
static void warn(const problem *pb, rows *r) {
    const double growth = scheme_share(word_of(pb->o)) * phase_beta(pb->process, 1) *
                          phase_parameters(pb->process)->nu * solver_longest_step(pb) / 2;
    if (growth > 2)
        rows_warn(r,
                  "conjugate_splitting: the longest step multiplies errors of the momentum by "
                  "e^%.2g; take more steps",
                  growth);
}

static val fill(const problem *pb, rows *r, val start) {
    const phase_par *par = phase_parameters(pb->process);
    if (par->beta_0 != par->beta_1)
        rows_fail(r, fail(DFL_E_COMBINATION,
                          "solver conjugate_splitting: beta must be constant; beta_0=%.17g, "
                          "beta_1=%.17g",
                          par->beta_0, par->beta_1));
    warn(pb, r);
    return scheme_fill(pb, r, start, word_of(pb->o), move);
}

const solver_row solver_conjugate_splitting = {
    .is = {"conjugate_splitting", "conjugate splitting, phase space (reconstructed)",
           "arXiv:2310.07894 section 3.4", options},
    .spaces = SOLVER_PHASE,
    .claims = claims,
    .steps = steps,
    .fill = fill,
};
