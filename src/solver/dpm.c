/* DPM-Solver and DPM-Solver++, orders 1 to 3, singlestep and multistep, and its ancestral form.
 *
 * In the notation of solver/expo.h, base = (A_s/A_t) x + C E(z) m0, q = g_1:
 *   singlestep 2   midpoint  base + C E/(2 r1) (m1 - m0);   heun  base + C q/r1 (m1 - m0)
 *   singlestep 3   x2 = ... + C_2 (r2/r1) q(r2 z)(m1 - m0); midpoint  base + C q/r2 (m2 - m0);
 *                  heun  base + C q D1 + C g_2 D2 with D1, D2 from both differences
 *   multistep 2    D = (m0 - m1)/r0:  midpoint  base + C E D/2;  heun  base + C q D
 *   multistep 3    base + C q D1 + C g_2 D2 from two differences back
 *
 * Lu et al., arXiv 2206.00927 (dpmsolver: noise form) and 2211.01095 (dpmsolver++: data form);
 * solver_type is named as in diffusers (its "midpoint" and "heun" are the authors' "dpmsolver" and
 * "taylor"). The released D2 of multistep 3 is half of what the expansion needs, so it is of order
 * 2; `corrected=1` doubles it, for order 3. r of singlestep stages comes from an inner grid of the
 * same kind, as released; on grids without a formula, and with stages=even, they are even in
 * lambda (1/2; 1/3 and 2/3), as the paper has them. A run may end at t = 0: its last step, of
 * infinite length in lambda, is of order 1 and lands on the predicted x_0.
 *
 * eta > 0 (singlestep; k-diffusion's "2S ancestral" at 1) draws part of the noise afresh, as
 * DDIM(eta) does: the step above leads to rho' = rho_s sqrt(1 - fresh^2), fresh = eta
 * sqrt(1 - (rho_s/rho_t)^2), and b_s fresh z is added; its stages are even. */
#include "solver/solver.h"

#include <math.h>

#include "grid/grid.h"
#include "solver/budget.h"
#include "solver/expo.h"

enum { NOISE_FORM, DATA_FORM };
enum { MIDPOINT, HEUN };
enum { MULTISTEP, SINGLESTEP, SINGLESTEP_FIXED };

static const opt_row options[] = {
    {"algorithm_type", OPT_CHOICE, "dpmsolver++", 0, 0, "dpmsolver|dpmsolver++",
     "noise or data form"},
    {"method", OPT_CHOICE, "multistep", 0, 0, "multistep|singlestep|singlestep_fixed",
     "singlestep spends any budget (DPM-Solver-fast)"},
    {"order", OPT_INT, "2", 1, 3, NULL, "order of the steps"},
    {"solver_type", OPT_CHOICE, "midpoint", 0, 0, "midpoint|heun", "form of the correction"},
    {"lower_order_final", OPT_BOOL, "1", 0, 0, NULL,
     "multistep: lower order at the end below 10 steps"},
    {"corrected", OPT_BOOL, "0", 0, 0, NULL, "multistep 3: the second difference at full size"},
    {"stages", OPT_CHOICE, "grid", 0, 0, "grid|even",
     "singlestep: where the grid would put them, or even in log-SNR"},
    {"eta", OPT_REAL, "0", 0, 1, NULL, "singlestep: part of the noise drawn afresh"},
    {0},
};

typedef struct {
    const problem *pb;
    bool data, heun, lower_final, corrected, even;
    int method, order;
    double eta;
} dpm;

static dpm read(const problem *pb, const opts *o) {
    return (dpm){.pb = pb,
                 .data = opt_choice(o, "algorithm_type") == DATA_FORM,
                 .heun = opt_choice(o, "solver_type") == HEUN,
                 .lower_final = opt_bool(o, "lower_order_final"),
                 .corrected = opt_bool(o, "corrected"),
                 .even = opt_choice(o, "stages") == 1,
                 .method = opt_choice(o, "method"),
                 .order = (int)opt_int(o, "order"),
                 .eta = opt_real(o, "eta")};
}

/* The first step of a multistep run is of order 1: what it leaves is the limit of order 3. */
static solver_claims claims(const opts *o, const process *p) {
    (void)p;
    const dpm d = read(NULL, o);
    const bool third = d.method == MULTISTEP && d.order == 3;
    return (solver_claims){.order = third && !d.corrected ? 2 : d.order,
                           .limit = third ? 2 : 0,
                           .least = third && !d.corrected,
                           .from = third ? 80 : 40,
                           .to = 320,
                           .stochastic = d.eta > 0,
                           .exact = true};
}

static int steps(const opts *o, const process *p, int nfe, bool to_zero) {
    (void)p;
    const dpm d = read(NULL, o);
    if (d.method == MULTISTEP) return nfe;
    return outer_grid_steps(nfe, d.order, d.method == SINGLESTEP_FIXED, to_zero);
}

/* The limit of order 1 at t = 0. */
static val clean(const dpm *d, rows *r, val x, double t, val m0) {
    const scalar_at at = process_at(d->pb->process, t);
    return d->data ? m0 : rows_lin2(r, 1 / at.a, x, -at.rho, m0);
}

/* ---- singlestep ------------------------------------------------------------------------------ */

/* Stage fractions of lambda: from an inner grid, or evenly. */
static dfl_status fractions(const dpm *d, double t, double s, int order, double r[2]) {
    double u[4];
    for (int j = 0; j < order - 1; j++) r[j] = (j + 1.0) / order;
    if (d->even || d->eta > 0) return DFL_OK;
    const dfl_status status = grid_between(d->pb->process, d->pb->grid, t, s, order, u);
    if (status == DFL_E_COMBINATION) return DFL_OK; /* no formula */
    TRY(status);
    const double from = process_at(d->pb->process, t).rho;
    const double span = log(from / process_at(d->pb->process, s).rho);
    for (int j = 0; j < order - 1; j++)
        r[j] = log(from / process_at(d->pb->process, u[j + 1]).rho) / span;
    return DFL_OK;
}

/* A stage at fraction f of the step: x' = ratio x + C E(f z) m0 + bend (m1 - m0). */
static val stage(const dpm *d, rows *r, val x, const scalar_at *at, double time, val m0, val m1,
                 double slope) {
    const scalar_at to = process_at(d->pb->process, time);
    const expo e = expo_between(at, &to, d->data);
    const double bend = e.C * slope * e.q;
    return rows_lin3(r, e.ratio, x, e.C * e.E - bend, m0, bend, m1);
}

static val last_of_two(const dpm *d, rows *r, val x, const expo *e, double r1, val m0, val m1) {
    const double c = e->C * (d->heun ? e->q / r1 : e->E / (2 * r1));
    return rows_lin3(r, e->ratio, x, e->C * e->E - c, m0, c, m1);
}

static val last_of_three(const dpm *d, rows *r, val x, const expo *e, const double f[2],
                         const val m[3]) {
    if (!d->heun) {
        const double c = e->C * e->q / f[1];
        return rows_lin3(r, e->ratio, x, e->C * e->E - c, m[0], c, m[2]);
    }
    /* D1 = (r2 D10 - r1 D11)/(r2 - r1), D2 = 2 (D11 - D10)/(r2 - r1), D1i = (m_i - m0)/r_i */
    const double gap = f[1] - f[0], q = e->C * e->q, q2 = 2 * e->C * e->q2;
    const double c1 = (q * f[1] - q2) / (gap * f[0]), c2 = (q2 - q * f[0]) / (gap * f[1]);
    const term terms[] = {{x, blk_real(e->ratio)},
                          {m[0], blk_real(e->C * e->E - c1 - c2)},
                          {m[1], blk_real(c1)},
                          {m[2], blk_real(c2)}};
    return rows_lin(r, terms, 4);
}

/* From (x, t) to the noise level `to`, between the times t and s of the grid. */
static val singlestep(const dpm *d, rows *r, val x, double t, double s, const scalar_at *to,
                      int order) {
    const process *p = d->pb->process;
    const scalar_at at = process_at(p, t);
    const expo e = expo_between(&at, to, d->data);
    double f[2];
    val m[3] = {expo_predict(r, x, t, d->data)};
    if (s == 0) return clean(d, r, x, t, m[0]);
    if (order == 1) return rows_lin2(r, e.ratio, x, e.C * e.E, m[0]);
    rows_fail(r, fractions(d, t, s, order, f));
    if (expo_stage_time(p, &at, e.h, f[order - 2]) == 0)
        rows_fail(r, fail(DFL_E_COMBINATION,
                          "solver dpm: process %s has no times for the stages below rho=%.3g, "
                          "where eta=%.15g leads; end above t_end=%s",
                          p->row->is.name, p->rho_lo, d->eta, real_text(d->pb->t[d->pb->steps]).s));
    if (r->status != DFL_OK) return x;
    const double s1 = expo_stage_time(p, &at, e.h, f[0]);
    const val x1 = stage(d, r, x, &at, s1, m[0], m[0], 0);
    m[1] = expo_predict(r, x1, s1, d->data);
    if (order == 2) return last_of_two(d, r, x, &e, f[0], m[0], m[1]);
    const double s2 = expo_stage_time(p, &at, e.h, f[1]);
    const val x2 = stage(d, r, x, &at, s2, m[0], m[1], f[1] / f[0]);
    m[2] = expo_predict(r, x2, s2, d->data);
    return last_of_three(d, r, x, &e, f, m);
}

/* One step from t to s, and what of its noise is drawn. */
static val ancestral(const dpm *d, rows *r, val x, double t, double s, int order) {
    const scalar_at at = process_at(d->pb->process, t), to = process_at(d->pb->process, s);
    const double q = to.rho / at.rho, fresh = d->eta * sqrt((1 - q) * (1 + q));
    scalar_at down = to; /* in the target's units: its x/a */
    down.rho *= solver_kept(d->eta, q);
    down.b = down.a * down.rho;
    x = singlestep(d, r, x, t, s, d->eta > 0 ? &down : &to, order);
    return fresh * to.b > 0 ? rows_lin2(r, 1, x, fresh * to.b, rows_noise(r)) : x;
}

static val run_singlestep(const dpm *d, rows *r, val x) {
    outer_steps outer;
    rows_fail(r, outer_new(d->pb, d->order, d->method == SINGLESTEP_FIXED,
                           d->pb->t[d->pb->steps] == 0, &outer));
    for (int i = 0; i < outer.n && r->status == DFL_OK; i++) {
        x = ancestral(d, r, x, outer.t[i], outer.t[i + 1], outer.order[i]);
        rows_step(r, x, outer.t[i + 1], outer.order[i]);
    }
    outer_free(&outer);
    return x;
}

/* ---- multistep ------------------------------------------------------------------------------- */

static val multistep(const dpm *d, rows *r, val x, int j, int order, const val m[3]) {
    const problem *pb = d->pb;
    scalar_at at[4]; /* at[a] at t_{j - a} */
    for (int a = 0; a <= order; a++) at[a] = process_at(pb->process, pb->t[j - a]);
    const expo e = expo_between(&at[1], &at[0], d->data);
    double c1 = 0, c2 = 0;
    if (order == 2) {
        const double r0 = log(at[2].rho / at[1].rho) / e.h;
        c1 = -e.C * (d->heun ? e.q : e.E / 2) / r0;
    } else if (order == 3) {
        /* D1 = D10 + r0/(r0 + r1) (D10 - D11), D2 = (D10 - D11)/(r0 + r1) */
        const double r0 = log(at[2].rho / at[1].rho) / e.h, r1 = log(at[3].rho / at[2].rho) / e.h;
        const double twice = d->corrected ? 2 : 1;
        const double bend = (e.C * e.q * r0 + twice * e.C * e.q2) / (r0 + r1);
        const double d10 = e.C * e.q + bend, d11 = -bend;
        c1 = -d10 / r0 + d11 / r1;
        c2 = -d11 / r1;
    }
    const term terms[] = {{x, blk_real(e.ratio)},
                          {m[0], blk_real(e.C * e.E - c1 - c2)},
                          {m[1], blk_real(c1)},
                          {m[2], blk_real(c2)}};
    return rows_lin(r, terms, 1 + (size_t)order);
}

static val run_multistep(const dpm *d, rows *r, val x) {
    const problem *pb = d->pb;
    val m[3] = {0};
    for (int j = 1; j <= pb->steps && r->status == DFL_OK; j++) {
        const int left = pb->steps + 1 - j;
        int order = j < d->order ? j : d->order;
        if (d->lower_final && pb->steps < 10 && left < order) order = left;
        m[2] = m[1];
        m[1] = m[0];
        m[0] = expo_predict(r, x, pb->t[j - 1], d->data);
        if (pb->t[j] == 0) order = 1;
        x = pb->t[j] == 0 ? clean(d, r, x, pb->t[j - 1], m[0]) : multistep(d, r, x, j, order, m);
        rows_step(r, x, pb->t[j], order);
    }
    return x;
}

static val fill(const problem *pb, rows *r, val x) {
    const dpm d = read(pb, pb->o);
    const int last = pb->steps;
    if (d.method == MULTISTEP && last < d.order)
        rows_fail(r, fail(DFL_E_RANGE, "solver dpm: multistep of order %d needs at least %d steps",
                          d.order, d.order));
    if (d.method == MULTISTEP && d.eta > 0)
        rows_fail(r, fail(DFL_E_COMBINATION, "solver dpm: eta is for singlestep methods; choose "
                                             "solver sde_dpm for a multistep one with noise"));
    rows_fail(r, expo_check_start(pb, "dpm"));
    return d.method == MULTISTEP ? run_multistep(&d, r, x) : run_singlestep(&d, r, x);
}

static const char *const variants[] = {"order=1",
                                       "order=2",
                                       "order=3",
                                       "order=3,corrected=1",
                                       "order=2,solver_type=heun",
                                       "order=2,method=singlestep",
                                       "order=3,method=singlestep",
                                       "order=3,method=singlestep,solver_type=heun",
                                       "order=2,method=singlestep,stages=even",
                                       "order=2,method=singlestep,eta=1",
                                       "order=1,method=singlestep,eta=0.5",
                                       "algorithm_type=dpmsolver,order=2",
                                       "algorithm_type=dpmsolver,order=2,method=singlestep_fixed",
                                       "algorithm_type=dpmsolver,order=3,method=singlestep",
                                       NULL};

const solver_row solver_dpm = {
    .is = {"dpm", "DPM-Solver and DPM-Solver++", "arXiv:2206.00927, 2211.01095", options},
    .spaces = SOLVER_SCALAR,
    .claims = claims,
    .variants = variants,
    .steps = steps,
    .fill = fill,
};
