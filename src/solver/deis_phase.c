/* tAB-DEIS in phase space, for which there is no paper: exponential Adams-Bashforth with 2x2
 * blocks.
 *
 *   z_s = Psi(s, t) z_t + sum_j C_j eps_j,
 *   C_j = -int_s^t Psi(s, r) (1/2) G G^T N_r^-T l_j(r) dr
 *
 * from dz/dt = F z + (1/2) G G^T N^-T eps, with the noise coordinates N = L or R of
 * solver/noisefactor.h and l_j the Lagrange basis in t. Psi(s, r) = exp(F1 (B(s) - B(r))) holds for
 * any beta(t), because F1 is constant. Order 0 with N = L is lambda-DDIM at lambda = 0.
 *
 * The first steps are of low order. Along R the prediction is all but constant near t = 1, where
 * they are taken, so that their error shows only past a thousand steps and the order is that of the
 * polynomial, order + 1. L turns there as fast as anywhere, and the start leaves order 2 at once.
 */
#include "solver/deis_phase.h"

solver_claims deis_phase_claims(int order, noise_factor factor) {
    const bool flow = factor == FACTOR_FLOW;
    solver_claims claims = {.order = order + 1, .from = 80, .to = 640, .exact = flow};
    if (!flow) claims.from = 160;
    if (!flow && order > 1) claims.order = 2;
    if (flow && order > 1) { /* at Gamma = 0 they come into their own late */
        claims.limit = 2;
        claims.from = 320;
        claims.to = 1280;
    }
    return claims;
}

typedef struct {
    const process *p;
    const rows *builder;
    noise_factor factor;
    double s;
    const double *node;
    int nodes, j;
} weight;

static void integrand(double r, void *user, double *out) {
    const weight *w = user;
    const double span = phase_integral(w->p, w->s) - phase_integral(w->p, r);
    const double scale = -0.5 * phase_beta(w->p, r) * quad_lagrange(w->node, w->nodes, w->j, r);
    const blk push =
        blk_mul(phase_noise1(w->p), noise_inverse(w->builder, w->factor, r, w->node[w->j]));
    const blk c = blk_scale(scale, blk_mul(phase_transition(w->p, span), push));
    for (int i = 0; i < 4; i++) out[i] = c.v[i];
}

/* Along R the integral is R_s - Psi R_t, because Sigma^-1 R = R^-T. */
blk deis_phase_hold(const rows *r, noise_factor factor, double t, double s) {
    const process *p = r->process;
    weight w = {p, r, factor, s, &t, 1, 0};
    blk c = blk_2x2(0, 0, 0, 0);
    if (factor == FACTOR_FLOW) {
        const blk psi = phase_transition(p, phase_integral(p, s) - phase_integral(p, t));
        return blk_add(noise_along_flow(p, s, t),
                       blk_scale(-1, blk_mul(psi, noise_along_flow(p, t, t))));
    }
    noise_integrate(integrand, &w, s, t, 4, c.v);
    return c;
}

val deis_phase_fill(const problem *pb, rows *r, val z, int order, noise_factor factor) {
    const process *p = pb->process;
    val y[DEIS_PHASE_ORDER_MAX + 1] = {0}; /* newest first */
    for (int n = 0; n < pb->steps && r->status == DFL_OK; n++) {
        const double t = pb->t[n], s = pb->t[n + 1];
        double node[DEIS_PHASE_ORDER_MAX + 1];
        for (int j = DEIS_PHASE_ORDER_MAX; j > 0; j--) y[j] = y[j - 1];
        y[0] = rows_predict(r, z, t);
        weight w = {p, r, factor, s, node, (n < order ? n : order) + 1, 0};
        for (int j = 0; j < w.nodes; j++) node[j] = pb->t[n - j];
        const double span = phase_integral(p, s) - phase_integral(p, t);
        term terms[DEIS_PHASE_ORDER_MAX + 2] = {{z, phase_transition(p, span)}};
        for (w.j = 0; w.j < w.nodes; w.j++) {
            blk c = blk_2x2(0, 0, 0, 0);
            noise_integrate(integrand, &w, s, t, 4, c.v);
            terms[1 + w.j] = (term){y[w.j], blk_mul(c, noise_from_output(r, factor, node[w.j]))};
        }
        z = rows_lin(r, terms, (size_t)w.nodes + 1);
        rows_step(r, z, s, w.nodes);
    }
    return z;
}
