/* DEIS: exponential integrators that extrapolate the predicted noise by a polynomial.
 *
 * tAB of order r, the polynomial in t of degree q = min(n, r) through the last q + 1 predictions:
 *   x_{n+1} = (a_{n+1}/a_n) x_n + sum_j C_nj eps_{n-j}
 *   C_nj = a_{n+1} int_{rho_n}^{rho_{n+1}} l_j(t(rho)) drho,   l_j Lagrange on t_n, ..., t_{n-q}
 *
 * Zhang and Chen, arXiv 2204.13902, eq. (14) and (15). The released code takes a left Riemann sum
 * of 10000 points for the integral; here it is exact to rounding. Order 0 is DDIM. One evaluation
 * per step; the low-order start bounds the order by 2 in the limit, which shows only at many
 * hundred steps where sampling starts from nearly pure noise (rho = 150), but at once from rho
 * = 15. Here `order` is the paper's r, so the method's order is r + 1. Known value: vp_linear, 10
 * steps, power:kappa=2, t_end 1e-3, order 3, step 3: C = -1.5387333853314507, 1.2236739535395929,
 * -0.6328196702650146, 0.12856643945916985. */
#include "solver/solver.h"
#include "solver/deis_phase.h"

#include <math.h>

enum { ORDER_MAX = DEIS_ORDER_MAX };

static const opt_row options[] = {
    {"kind", OPT_CHOICE, "tab", 0, 0, "tab", "tab: Adams-Bashforth, polynomial in t"},
    {"order", OPT_INT, "3", 0, ORDER_MAX, NULL, "degree of the polynomial"},
    NOISE_FACTOR_OPTION,
    {0},
};

static solver_claims claims(const opts *o, const process *p) {
    const int order = (int)opt_int(o, "order");
    if (p->row->components == 2)
        return deis_phase_claims(order, (noise_factor)opt_choice(o, "factor"));
    return (solver_claims){.order = order + 1,
                           .limit = order > 1 ? 2 : 0,
                           .from = 40,
                           .to = order == 3 ? 160 : 320,
                           .exact = true};
}

/* The integrand l_j, in whichever variable the piece is integrated. */
typedef struct {
    const process *p;
    double node[ORDER_MAX + 1];
    int nodes, j;
} basis;

static double in_rho(double rho, void *user) {
    const basis *l = user;
    return quad_lagrange(l->node, l->nodes, l->j, process_time_of_rho(l->p, rho));
}

static double in_log_rho(double u, void *user) { /* drho = rho du */
    const double rho = exp(u);
    return rho * in_rho(rho, user);
}

static double in_root_t(double root, void *user) { /* drho = rho'(t) 2 sqrt(t) d sqrt(t) */
    const basis *l = user;
    const scalar_at at = process_at(l->p, root * root);
    const double slope = at.g2 / (2 * at.a * at.b);
    return 2 * root * slope * quad_lagrange(l->node, l->nodes, l->j, root * root);
}

/* Over [lo, hi] in rho, lo > 0, where t(rho) is smooth: rho may span decades, and t has its
   singularities at rho = +-i, so in log rho, in pieces of length up to 2. Short pieces, such as a
   table's segments, need few points. */
static double over_decades(basis *l, double lo, double hi, int points) {
    const double u = log(lo), length = log(hi) - u;
    const int pieces = length > 2 ? (int)ceil(length / 2) : 1;
    if (length < 0.05) points = 5;
    double sum = 0;
    for (int i = 0; i < pieces; i++)
        sum += quad_gauss(in_log_rho, l, u + length * i / pieces, u + length * (i + 1) / pieces,
                          points);
    return sum;
}

static double over_segment(basis *l, double lo, double hi) {
    if (lo > 0) return over_decades(l, lo, hi, 16);
    const double middle = hi < 1 ? hi : 1;
    const double sum = quad_gauss(in_rho, l, 0, middle, 16);
    return hi > middle ? sum + over_decades(l, middle, hi, 16) : sum;
}

/* A table's t(rho) has kinks: one piece for each of its segments inside [s, t]. */
static double over_knots(basis *l, double t, double s) {
    double sum = 0, from = process_at(l->p, s).rho;
    for (size_t i = 0; i < l->p->nknots; i++) {
        if (!(l->p->knots[i] > s && l->p->knots[i] < t)) continue;
        const double to = process_at(l->p, l->p->knots[i]).rho;
        sum += over_segment(l, from, to);
        from = to;
    }
    return sum + over_segment(l, from, process_at(l->p, t).rho);
}

/* Down to t = 0, where rho ~ sqrt(t), in sqrt(t). */
static double over_smooth(basis *l, double t, double s) {
    if (s == 0) return quad_gauss(in_root_t, l, 0, sqrt(t), 48);
    return over_decades(l, process_at(l->p, s).rho, process_at(l->p, t).rho, 48);
}

static val fill(const problem *pb, rows *r, val x) {
    const int order = (int)opt_int(pb->o, "order");
    if (r->out->components == 2)
        return deis_phase_fill(pb, r, x, order, (noise_factor)opt_choice(pb->o, "factor"));
    val eps[ORDER_MAX + 1] = {0}; /* newest first */
    for (int n = 0; n < pb->steps; n++) {
        const double t = pb->t[n], s = pb->t[n + 1];
        const scalar_at at = process_at(pb->process, t), to = process_at(pb->process, s);
        for (int j = ORDER_MAX; j > 0; j--) eps[j] = eps[j - 1];
        eps[0] = rows_eps(r, x, t);
        basis l = {.p = pb->process, .nodes = (n < order ? n : order) + 1};
        for (int j = 0; j < l.nodes; j++) l.node[j] = pb->t[n - j];
        term terms[ORDER_MAX + 2] = {{x, blk_real(solver_psi(&at, &to))}};
        for (l.j = 0; l.j < l.nodes; l.j++) {
            const double integral =
                pb->process->nknots ? over_knots(&l, t, s) : over_smooth(&l, t, s);
            terms[1 + l.j] = (term){eps[l.j], blk_real(-to.a * integral)};
        }
        x = rows_lin(r, terms, (size_t)l.nodes + 1);
        rows_step(r, x, s, l.nodes);
    }
    return x;
}

const solver_row solver_deis = {
    .is = {"deis", "exponential integrator, extrapolates the predicted noise",
           "arXiv:2204.13902 eq. (14)-(15)", options},
    .spaces = SOLVER_SCALAR | SOLVER_PHASE,
    .claims = claims,
    .fill = fill,
};
