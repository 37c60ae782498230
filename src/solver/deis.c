/* DEIS: exponential integrators that extrapolate the predicted noise by a polynomial.
 *
 * The polynomial of degree q = min(n, r) through the last q + 1 predictions:
 *   x_{n+1} = (a_{n+1}/a_n) x_n + sum_j C_nj eps_{n-j}
 *   C_nj = a_{n+1} int_{rho_n}^{rho_{n+1}} l_j drho,   l_j Lagrange on t_n, ..., t_{n-q}
 * tab: polynomial in t (eq. 15 of the paper); rhoab: in rho; lograb: in log rho (what diffusers
 * calls DEIS); ipndm: the weights of equal steps, whatever the grid, on d = b_s - (a_s/a_t) b_t.
 *
 * Zhang and Chen, arXiv 2204.13902, eq. (14) and (15). The released code takes a left Riemann sum
 * of 10000 points for the integral (quadrature=riemann); here it is exact to rounding. Order 0 is
 * DDIM. One evaluation per step; the low-order start bounds the order by 2 in the limit, which
 * shows only at many hundred steps where sampling starts from nearly pure noise (rho = 150), but at
 * once from rho = 15. `order` is the paper's r, so the method's order is r + 1. In phase space (tab
 * only): solver/deis_phase.c. Known value: vp_linear, 10 steps, power:kappa=2, t_end 1e-3, order 3,
 * step 3: C = -1.5387333853314507, 1.2236739535395929, -0.6328196702650146, 0.12856643945916985. */
#include "solver/solver.h"
#include "solver/deis_phase.h"
#include "solver/deis_weights.h"

enum { TAB, RHOAB, LOGRAB, IPNDM };

static const opt_row options[] = {
    {"kind", OPT_CHOICE, "tab", 0, 0, "tab|rhoab|lograb|ipndm",
     "what the predictions are a polynomial in"},
    {"order", OPT_INT, "3", 0, DEIS_ORDER_MAX, NULL, "degree of the polynomial; ipndm up to 3"},
    {"quadrature", OPT_CHOICE, "exact", 0, 0, "exact|riemann", "riemann: as in the released code"},
    NOISE_FACTOR_OPTION,
    {0},
};

/* Equal steps let iPNDM extrapolate without integrals, to second order at most. In rho and log rho
   the third-degree polynomial shows 3.3 to 5, by process. */
static solver_claims claims(const opts *o, const process *p) {
    const int order = (int)opt_int(o, "order"), kind = opt_choice(o, "kind");
    if (p->row->components == 2)
        return deis_phase_claims(order, (noise_factor)opt_choice(o, "factor"));
    const bool bound = order >= 3 && kind != TAB;
    solver_claims claims = {.order = bound ? 3.5 : order + 1,
                            .limit = order > 1 ? 2 : 0,
                            .least = bound,
                            .from = 40,
                            .to = order >= 3 ? 160 : 320,
                            .exact = opt_choice(o, "quadrature") == 0};
    if (kind == IPNDM && order > 0) claims.order = claims.limit = 2;
    if (kind == IPNDM) claims.least = false;
    return claims;
}

static val equal_steps(const problem *pb, rows *r, val x, int n, const deis_basis *b) {
    static const double weight[4][4] = {{1},
                                        {3.0 / 2, -1.0 / 2},
                                        {23.0 / 12, -16.0 / 12, 5.0 / 12},
                                        {55.0 / 24, -59.0 / 24, 37.0 / 24, -9.0 / 24}};
    const scalar_at at = process_at(pb->process, pb->t[n]);
    const scalar_at to = process_at(pb->process, pb->t[n + 1]);
    const double d = solver_gap(&at, &to);
    term terms[5] = {{x, blk_real(solver_psi(&at, &to))}};
    for (int j = 0; j < b->nodes; j++)
        terms[1 + j] = (term){b->eps[j], blk_real(d * weight[b->nodes - 1][j])};
    return rows_lin(r, terms, (size_t)b->nodes + 1);
}

static dfl_status check(const problem *pb, int kind, int order) {
    const bool phase = pb->process->row->components == 2;
    const bool riemann = opt_choice(pb->o, "quadrature") == 1;
    if (phase && riemann)
        return fail(DFL_E_COMBINATION, "solver deis: quadrature=riemann is for scalar processes");
    if (kind == IPNDM && order > 3)
        return fail(DFL_E_RANGE, "solver deis: kind=ipndm has orders 0 to 3, not %d", order);
    if (phase && (kind != TAB || order > DEIS_PHASE_ORDER_MAX))
        return fail(DFL_E_COMBINATION, "solver deis: in phase space kind=tab, order 0 to %d",
                    DEIS_PHASE_ORDER_MAX);
    if (kind == IPNDM && riemann)
        return fail(
            DFL_E_COMBINATION,
            "solver deis: quadrature=riemann is for the kinds that integrate; kind=ipndm has "
            "constant weights");
    if (kind == LOGRAB && (pb->t[pb->steps] == 0 || process_at(pb->process, pb->t[0]).a == 0))
        return fail(DFL_E_COMBINATION,
                    "solver deis: kind=lograb works in log rho, which is infinite at "
                    "t_end=0 and where the signal is 0; choose another kind");
    const bool in_rho = (kind == RHOAB && order > 0) || riemann;
    if (in_rho && process_at(pb->process, pb->t[0]).a == 0)
        return fail(DFL_E_COMBINATION,
                    "solver deis: kind=rhoab and quadrature=riemann cannot start where rho is "
                    "infinite; start lower or choose kind=tab with exact integrals");
    return DFL_OK;
}

static val fill(const problem *pb, rows *r, val x) {
    const int order = (int)opt_int(pb->o, "order"), kind = opt_choice(pb->o, "kind");
    const noise_factor factor = (noise_factor)opt_choice(pb->o, "factor");
    rows_fail(r, check(pb, kind, order));
    noise_check(r, factor);
    if (r->status != DFL_OK) return x;
    if (r->out->components == 2) return deis_phase_fill(pb, r, x, order, factor);
    deis_basis b = {.p = pb->process,
                    .variable = (deis_variable)kind,
                    .riemann = opt_choice(pb->o, "quadrature") == 1};
    for (int n = 0; n < pb->steps; n++) {
        const val y = rows_predict(r, x, pb->t[n]);
        deis_begin(&b, pb, n, order, rows_eps_of(r, x, y, pb->t[n]));
        if (b.nodes == 1 && (kind == IPNDM || !b.riemann))
            x = solver_first_order_from(pb, r, x, y, n, 1, 0);
        else if (kind == IPNDM)
            x = equal_steps(pb, r, x, n, &b);
        else
            x = deis_extrapolate(&b, pb, r, x, n);
        rows_step(r, x, pb->t[n + 1], b.nodes);
    }
    return x;
}

static const char *const variants[] = {"kind=tab,order=0",
                                       "kind=tab,order=1",
                                       "kind=tab,order=2",
                                       "kind=tab,order=3",
                                       "kind=rhoab,order=1",
                                       "kind=rhoab,order=2",
                                       "kind=rhoab,order=3",
                                       "kind=lograb,order=1",
                                       "kind=lograb,order=2",
                                       "kind=lograb,order=3",
                                       "kind=ipndm,order=1",
                                       "kind=ipndm,order=3",
                                       NULL};

const solver_row solver_deis = {
    .is = {"deis", "exponential integrator, extrapolates the predicted noise",
           "arXiv:2204.13902 eq. (14)-(15)", options},
    .spaces = SOLVER_SCALAR | SOLVER_PHASE,
    .claims = claims,
    .variants = variants,
    .fill = fill,
};
