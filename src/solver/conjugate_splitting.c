/* Conjugate splitting in phase space: the reduced splitting schemes with a conjugate Euler sub-step
 * of one component in place of each Euler sub-step, the network's output held fixed.
 *
 * A scheme is a word as in solver/splitting.c; X moves the position over [s, t], M the momentum
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
#include "solver/solver.h"

#include <math.h>
#include <string.h>

#include "process/phase.h"
#include "solver/noisefactor.h"
#include "solver/symbol.h"

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
    if (strchr(word_of(o), 'O'))
        return (solver_claims){.order = 1, .from = 80, .to = 320, .stochastic = true};
    return (solver_claims){.order = 1, .from = 320, .to = 1280};
}

static int steps(const opts *o, int nfe, bool to_zero) {
    (void)to_zero;
    return nfe / (strchr(word_of(o), 'E') ? 2 : 1);
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

/* The network's output that is held, and its map to eps. */
typedef struct {
    val y;
    blk eps;
} held;

static void move(const problem *pb, symbol *z, const held *e, substep s, double w) {
    const phase_par *par = phase_parameters(pb->process);
    const double lambda = opt_real(pb->o, "lambda"), half = phase_beta(pb->process, s.hi) / 2;
    const double r = opt_int(pb->o, "type") == 2 ? 1 : 0, h = s.hi - s.lo;
    const double damping = s.own ? par->nu : par->Gamma;
    const double q = s.own ? half : -half * par->Minv;
    s.p = pb->process;
    s.P = lambda + w * half * damping;
    s.c = w * half * damping * (s.own ? par->M : 1);
    const double Q = r * lambda + q, grow = exp(s.P * h);
    const double g = fabs(s.P * h) < 1e-12 ? Q * h : Q * expm1(s.P * h) / s.P;
    const double on_own = grow * (1 - h * lambda), on_other = g - h * lambda * grow * r;
    blk K = blk_2x2(0, 0, 0, 0);
    noise_integrate(integrand, &s, s.lo, s.hi, 2, K.v + 2 * s.own);
    symbol_apply(z, s.own ? blk_2x2(1, 0, on_other, on_own) : blk_2x2(on_own, on_other, 0, 1));
    if (s.c > 0) symbol_add(z, blk_mul(K, e->eps), e->y); /* else there may be no prediction */
}

/* Whether the letters up to the next evaluation need a prediction: see solver/splitting.c. */
static bool predicted(const phase_par *par, const char *rest) {
    for (const char *c = rest; *c && *c != 'e' && *c != 'E'; c++)
        if (*c == 'X' ? par->Gamma > 0 : *c != 'O' && par->nu > 0) return true;
    return false;
}

/* The momentum's factor exp(P h) amplifies every error of the prediction. */
static void warn(const problem *pb, rows *r, double w) {
    const phase_par *par = phase_parameters(pb->process);
    double h = 0;
    for (int n = 0; n < pb->steps; n++) h = fmax(h, pb->t[n] - pb->t[n + 1]);
    const double growth = w * phase_beta(pb->process, 1) * par->nu * h / 2;
    if (growth > 2)
        rows_warn(r,
                  "conjugate_splitting: the longest step multiplies errors of the momentum by "
                  "e^%.2g; take more steps",
                  growth);
}

static val fill(const problem *pb, rows *r, val start) {
    const phase_par *par = phase_parameters(pb->process);
    const char *word = word_of(pb->o);
    const double w = strchr(word, 'O') ? 2 : 1;
    if (par->beta_0 != par->beta_1)
        rows_fail(r, fail(DFL_E_COMBINATION,
                          "solver conjugate_splitting: beta must be constant; beta_0=%.17g, "
                          "beta_1=%.17g",
                          par->beta_0, par->beta_1));
    warn(pb, r, w);
    symbol z = symbol_of(start);
    for (int n = 0; n < pb->steps && r->status == DFL_OK; n++) {
        const double t = pb->t[n], s = pb->t[n + 1], middle = (t + s) / 2;
        held e = {0};
        for (const char *c = word; *c; c++) {
            switch (*c) {
            case 'e':
            case 'E':
                e.eps = rows_eps_map(r, *c == 'e' ? t : s);
                if (predicted(par, c + 1))
                    e.y = rows_predict(r, symbol_write(&z, r), *c == 'e' ? t : s);
                break;
            case 'X': move(pb, &z, &e, (substep){.own = 0, .lo = s, .hi = t}, w); break;
            case 'M': move(pb, &z, &e, (substep){.own = 1, .lo = s, .hi = t}, w); break;
            case 'K': move(pb, &z, &e, (substep){.own = 1, .lo = middle, .hi = t}, w); break;
            case 'k': move(pb, &z, &e, (substep){.own = 1, .lo = s, .hi = middle}, w); break;
            default: symbol_relax(&z, r, t, s, opt_real(pb->o, "lambda_s")); break;
            }
        }
        rows_step(r, symbol_write(&z, r), s, 1);
    }
    return symbol_write(&z, r);
}

const solver_row solver_conjugate_splitting = {
    .is = {"conjugate_splitting", "conjugate splitting, phase space (reconstructed)",
           "arXiv:2310.07894 section 3.4", options},
    .spaces = SOLVER_PHASE,
    .claims = claims,
    .steps = steps,
    .fill = fill,
};
