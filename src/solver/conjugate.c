/* Conjugate integrators, lambda-DDIM: Euler's method on zhat = A z, after a change of variables
 * that takes the linear part and a multiple lambda of B out of the way. One step from t to s,
 * h = t - s:
 *
 *   z_s = R ((I - h B) z_t + W eps),   R = A_s^-1 A_t,
 *   W = -int_s^t A_t^-1 A_r (1/2) G G^T N_r^-T dr,   dA/dr = A (B - F)
 *
 * A_p^-1 A_q = exp(int_p^q (B - F)) where B - F commutes with itself over time: B a multiple of I,
 * or beta constant. Elsewhere it is the power series of the differential equation. B is per unit of
 * time, not scaled by beta(t).
 *
 * On a scalar process exp(-int_r^t (B - F)) g^2/(2b) = a_t e^(lambda (r - t)) rho'(r), so that
 *   W = -a_t (rho_t - rho_s + int_s^t (e^(lambda (r - t)) - 1) rho'(r) dr).
 *
 * type 1: B = lambda I; type 2: B = lambda times the all-ones matrix; or any 2x2 matrix by
 * `matrix`. lambda = 0 is the exponential integrator (DDIM on a scalar process). N:
 * solver/noisefactor.h.
 *
 * Pandey, Rudolph and Mandt, arXiv 2310.07894, section 3.1. Reconstructed: their samplers' code is
 * not public for PSLD, and "all-ones" is our reading of their B in type 2. Works from one-step
 * matrices: A_t itself grows to 1e3 and more. Order 1, one evaluation per step. */
#include "solver/solver.h"

#include <math.h>
#include <string.h>

#include "solver/noisefactor.h"
#include "solver/overrho.h"

static const opt_row options[] = {
    {"type", OPT_INT, "2", 1, 2, NULL, "B: 1 is lambda times identity, 2 lambda times all-ones"},
    {"lambda", OPT_REAL, "1", -100, 100, "auto", "strength of B, per unit of time; auto: as tuned"},
    {"matrix", OPT_LIST, NULL, -1000, 1000, NULL,
     "B itself, four numbers, instead of type and lambda"},
    NOISE_FACTOR_OPTION,
    {0},
};

static solver_claims claims(const opts *o, const process *p) {
    const bool plain = opt_real(o, "lambda") == 0 && !opt_get(o, "matrix")->set;
    const bool follows = p->row->components == 1 || opt_choice(o, "factor") == FACTOR_FLOW;
    return (solver_claims){.order = 1, .from = 320, .to = 1280, .exact = plain && follows};
}

typedef struct {
    const process *p;
    const rows *builder;
    noise_factor factor;
    blk B;         /* a number on a scalar process */
    bool commutes; /* B - F with itself at other times */
    double t, h;   /* start of the step; length */
} conjugation;

/* B - F in phase space */
static blk generator(const conjugation *c, double r) {
    return blk_add(c->B, blk_scale(-phase_beta(c->p, r), phase_drift1(c->p)));
}

/* X at r = from + d of dX/dr = X (C_0 + (r - from) C_1), X = I at from: the recurrence
   (k + 1) X_{k+1} = X_k C_0 + X_{k-1} C_1 for the coefficients of its power series. */
static blk series(blk C_0, blk C_1, double d) {
    enum { TERMS = 24 };
    blk before = blk_2x2(0, 0, 0, 0), last = blk_2x2(1, 0, 0, 1), sum = last; /* X_k d^k */
    for (int k = 0; k < TERMS; k++) {
        const blk slope = blk_scale(d * d, blk_mul(before, C_1));
        const blk next = blk_scale(1.0 / (k + 1), blk_add(blk_scale(d, blk_mul(last, C_0)), slope));
        before = last;
        last = next;
        sum = blk_add(sum, next);
    }
    return sum;
}

static double largest(blk a) {
    double most = 0;
    for (int i = 0; i < 4; i++) most = fmax(most, fabs(a.v[i]));
    return most;
}

/* A_from^-1 A_to in phase space. beta is linear in time, so that the series is exact; its pieces are
   short enough for the terms that are left out to be below rounding. More than PIECES_MAX would end
   beyond all numbers: infinity says so at once. */
static blk carried(const conjugation *c, double from, double to) {
    enum { PIECES_MAX = 20000 };
    const double D = phase_integral(c->p, to) - phase_integral(c->p, from), span = to - from;
    if (c->commutes)
        return blk_exp(blk_add(blk_scale(span, c->B), blk_scale(-D, phase_drift1(c->p))));
    const blk first = generator(c, from), last = generator(c, to);
    const blk slope = blk_scale(1 / span, blk_add(last, blk_scale(-1, first)));
    const double size = 2 * fabs(span) * fmax(largest(first), largest(last));
    if (!(size < PIECES_MAX)) return blk_2x2(INFINITY, 0, 0, INFINITY);
    const int pieces = 1 + (int)size;
    blk X = blk_2x2(1, 0, 0, 1);
    for (int i = 0; i < pieces; i++)
        X = blk_mul(X, series(generator(c, from + span * i / pieces), slope, span / pieces));
    return X;
}

static blk one_step(const conjugation *c, double s) {
    if (c->p->row->components == 2) return carried(c, s, c->t);
    const double psi = process_at(c->p, s).a / process_at(c->p, c->t).a;
    return blk_real(psi * exp(c->B.v[0] * c->h));
}

static void integrand(double r, void *user, double *out) {
    const conjugation *c = user;
    const blk push = blk_mul(phase_noise1(c->p), noise_inverse(c->builder, c->factor, r, c->t));
    const blk w = blk_scale(-0.5 * phase_beta(c->p, r), blk_mul(carried(c, c->t, r), push));
    for (int i = 0; i < 4; i++) out[i] = w.v[i];
}

static double bent(double r, double rho, const void *user) {
    const conjugation *c = user;
    (void)rho;
    return expm1(c->B.v[0] * (r - c->t));
}

/* int (e^(lambda (r - t)) - 1) rho'(r) dr over [s, t]: over rho, which on flow grows without bounds
   in a short time, with a piece of its own between the kinks of a table. */
static double integral(const conjugation *c, double s) {
    double sum = 0, from = s, rho = process_at(c->p, s).rho;
    for (size_t i = 0; i <= c->p->nknots; i++) {
        const double to = i < c->p->nknots ? c->p->knots[i] : c->t;
        if (!(to > from && to <= c->t)) continue;
        const double next = process_at(c->p, to).rho;
        sum += rho_integrate(c->p, bent, c, rho, next, 48);
        from = to;
        rho = next;
    }
    return sum;
}

/* W */
static blk weight(conjugation *c, double s) {
    blk W = blk_2x2(0, 0, 0, 0);
    if (c->p->row->components == 2) {
        noise_integrate(integrand, c, s, c->t, 4, W.v);
        return W;
    }
    const scalar_at at = process_at(c->p, c->t), to = process_at(c->p, s);
    return blk_real(-at.a * (at.rho - to.rho + integral(c, s)));
}

static dfl_status read_B(const problem *pb, conjugation *c) {
    const opt_value *matrix = opt_get(pb->o, "matrix");
    const bool scalar = pb->process->row->components == 1;
    const double lambda = opt_real(pb->o, "lambda");
    const bool ones = opt_int(pb->o, "type") == 2;
    blk *const B = &c->B;
    *B = scalar ? blk_real(lambda) : blk_2x2(lambda, ones ? lambda : 0, ones ? lambda : 0, lambda);
    if (matrix->set) {
        if (scalar || matrix->nlist != 4)
            return fail(DFL_E_COMBINATION,
                        "solver conjugate: matrix takes four numbers, row by row, "
                        "and a phase-space process");
        if (lambda != 1 || !ones)
            return fail(DFL_E_COMBINATION,
                        "solver conjugate: matrix is B itself: leave out type and lambda");
        memcpy(B->v, matrix->list, sizeof B->v);
    }
    if (scalar) return DFL_OK;
    const phase_par *par = phase_parameters(pb->process);
    const bool multiple = B->v[1] == 0 && B->v[2] == 0 && B->v[0] == B->v[3];
    c->commutes = multiple || par->beta_0 == par->beta_1;
    return DFL_OK;
}

/* Where (1 - lambda h) e^(lambda h) leaves the unit circle, and where the exponents run away. */
static void warn(const problem *pb, rows *r) {
    const double lambda = opt_real(pb->o, "lambda"), h = solver_longest_step(pb);
    if (opt_get(pb->o, "matrix")->set) return;
    if (fabs(1 - lambda * h) > 1 && lambda > 0)
        rows_warn(r,
                  "conjugate: |1 - lambda h| = %.3g is above 1 at the longest step; expect growth "
                  "(lambda=%g)",
                  fabs(1 - lambda * h), lambda);
    if (fabs(lambda) * (pb->t[0] - pb->t[pb->steps]) > 50)
        rows_warn(r, "conjugate: lambda=%g times the time span is above 50", lambda);
}

static val step(const problem *pb, rows *r, conjugation *c, val z, int n) {
    const double s = pb->t[n + 1];
    c->t = pb->t[n];
    c->h = c->t - s;
    const blk R = one_step(c, s);
    blk on_z = blk_mul(R, blk_add(blk_real(1), blk_scale(-c->h, c->B)));
    blk on_y = blk_mul(R, weight(c, s));
    if (c->p->row->components == 2)
        on_y = blk_mul(on_y, noise_from_output(r, c->factor, c->t));
    else { /* eps in x and the raw output */
        const rows_split split = rows_split_at(r, c->t);
        on_z = blk_add(on_z, blk_scale(split.n_x, on_y));
        on_y = blk_scale(split.n_y, on_y);
    }
    const term terms[] = {{z, on_z}, {rows_predict(r, z, c->t), on_y}};
    return rows_lin(r, terms, 2);
}

static val fill(const problem *pb, rows *r, val z) {
    conjugation c = {
        .p = pb->process, .builder = r, .factor = (noise_factor)opt_choice(pb->o, "factor")};
    rows_fail(r, read_B(pb, &c));
    noise_check(r, c.factor);
    warn(pb, r);
    const bool plain = r->out->components == 1 && c.B.v[0] == 0; /* DDIM */
    for (int n = 0; n < pb->steps && r->status == DFL_OK; n++) {
        const double s = pb->t[n + 1];
        z = plain ? solver_first_order(pb, r, z, n, 1, 0) : step(pb, r, &c, z, n);
        rows_step(r, z, s, 1);
    }
    return z;
}

const solver_row solver_conjugate = {
    .is = {"conjugate", "conjugate integrator, lambda-DDIM (reconstructed)",
           "arXiv:2310.07894 section 3.1", options},
    .spaces = SOLVER_SCALAR | SOLVER_PHASE,
    .claims = claims,
    .fill = fill,
};
