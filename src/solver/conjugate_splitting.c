/* Conjugate splitting in phase space: the reduced splitting schemes with a conjugate Euler sub-step
 * of one component in place of each Euler sub-step, the network's output held fixed.
 *
 * A scheme is a word of solver/scheme.h; X moves the position over [s, t], M the momentum
 * over [s, t], K and k over the later and the earlier half. Over [lo, hi], h = hi - lo, own
 * component u, the other v, and r = 0 for type 1, 1 for type 2:
 *
 *   a(t) = exp(int_lo^t (lambda + w d)),   e = a(hi),   g = int_lo^hi a (r lambda + q) dt
 *   u <- e u + g v - h lambda e (u + r v) + K eps,   K = -int_lo^hi a c (row of L_t^-T) dt
 *   position:  d = beta Gamma/2,  q = -beta M^-1/2,  c = w beta Gamma/2
 *   momentum:  d = beta nu/2,     q = beta/2,        c = w beta M nu/2
 *
 * w = 1 on the ODE (CSE, CVV), 2 on the SDE (COBA); beta may vary. One component moves at a time, so
 * that a is a number and the order of times no matter.
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

static int steps(const opts *o, const process *p, int nfe, bool to_zero) {
    (void)to_zero;
    return scheme_steps(word_of(o), phase_parameters(p), nfe);
}

/* One component's sub-step over [lo, hi]. */
typedef struct {
    const rows *builder;
    int own; /* 0 position, 1 momentum */
    double lo, lambda, r;
    double d, q, c; /* over beta, d with its w */
} substep;

static double growth(const substep *s, double t) {
    const process *p = s->builder->process;
    return exp(s->lambda * (t - s->lo) + s->d * (phase_integral(p, t) - phase_integral(p, s->lo)));
}

/* K's two entries, and g. */
static void integrand(double t, void *user, double *out) {
    const substep *s = user;
    const blk n = noise_inverse(s->builder, FACTOR_CHOLESKY, t, 0);
    const double beta = phase_beta(s->builder->process, t), a = growth(s, t);
    for (int j = 0; j < 2; j++) out[j] = -a * s->c * beta * n.v[s->own * 2 + j];
    out[2] = a * (s->r * s->lambda + s->q * beta);
}

static void sub_step(const scheme *at, symbol *z, int own, double lo, double hi) {
    const phase_par *par = at->par;
    const double half = at->w / 2, h = hi - lo;
    substep s = {.builder = at->r,
                 .own = own,
                 .lo = lo,
                 .lambda = opt_real(at->pb->o, "lambda"),
                 .r = opt_int(at->pb->o, "type") == 2 ? 1 : 0,
                 .d = half * (own ? par->nu : par->Gamma),
                 .q = own ? 0.5 : -par->Minv / 2,
                 .c = half * (own ? par->M * par->nu : par->Gamma)};
    double sum[3];
    noise_integrate(integrand, &s, lo, hi, 3, sum);
    const double e = growth(&s, hi);
    const double on_own = e * (1 - h * s.lambda), on_other = sum[2] - h * s.lambda * e * s.r;
    const blk K = own ? blk_2x2(0, 0, sum[0], sum[1]) : blk_2x2(sum[0], sum[1], 0, 0);
    symbol_apply(z, own ? blk_2x2(1, 0, on_other, on_own) : blk_2x2(on_own, on_other, 0, 1));
    if (s.c > 0) symbol_add(z, blk_mul(K, rows_eps_map(at->r, at->asked)), at->y);
}

static void move(const scheme *at, symbol *z, char letter) {
    const double middle = (at->t + at->s) / 2;
    const double lo = letter == 'K' ? middle : at->s, hi = letter == 'k' ? middle : at->t;
    sub_step(at, z, letter != 'X', lo, hi);
}

/* The momentum's factor e amplifies every error of the prediction. */
static void warn(const problem *pb, rows *r) {
    const double share = scheme_share(word_of(pb->o)) * phase_parameters(pb->process)->nu / 2;
    double most = 0;
    for (int n = 0; n < pb->steps; n++)
        most = fmax(most, share * (phase_integral(pb->process, pb->t[n]) -
                                   phase_integral(pb->process, pb->t[n + 1])));
    if (most > 2)
        rows_warn(r,
                  "conjugate_splitting: one step multiplies errors of the momentum by e^%.2g; take "
                  "more steps",
                  most);
}

static val fill(const problem *pb, rows *r, val start) {
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
