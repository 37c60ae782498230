/* Heun's method on the probability-flow ODE: Euler's step, then the mean of both slopes.
 *
 *   rho:  x* = (a_s/a_t) x + d e_t,  x_s = (a_s/a_t) x + d (e_t + e_s)/2,   d = a_s (rho_s - rho_t)
 *   t:    z* = z + h k_t,            z_s = z + h (k_t + k_s)/2,    k = F z - G G^T score/2
 *   with e_s, k_s evaluated at x*, z*.
 *
 * With s_churn > 0, in rho: before each step, where s_min <= rho <= s_max, rho is raised to
 * rho (1 + g), g = min(s_churn/N, sqrt(2) - 1), and noise s_noise sqrt(rho'^2 - rho^2) added to x/a
 * (algorithm 2).
 *
 * Karras et al., arXiv 2206.00364, algorithm 1, in their sigma = rho (also rhoRK-DEIS "2heun"). Two
 * evaluations per step; a step that lands on t = 0 is Euler's and costs one, as there. In phase
 * space only t; auto takes rho where there is one. Order 2. */
#include "solver/variable.h"

#include <math.h>

static const opt_row options[] = {
    VARIABLE_OPTION,
    {"s_churn", OPT_REAL, "0", 0, 1e6, NULL, "noise added over all steps; 0 is deterministic"},
    {"s_min", OPT_REAL, "0", 0, 1e9, NULL, "least sigma to churn at"},
    {"s_max", OPT_REAL, "1e9", 0, 1e9, NULL, "largest sigma to churn at"},
    {"s_noise", OPT_REAL, "1", 0.5, 2, NULL, "factor on the added noise"},
    {0},
};

static solver_claims claims(const opts *o, const process *p) {
    const bool in_rho = variable_is_rho(o, p), churn = in_rho && opt_real(o, "s_churn") > 0;
    return (solver_claims){.order = 2,
                           .from = 80,
                           .to = 320,
                           .stochastic = churn,
                           .exact = in_rho && (!churn || opt_real(o, "s_noise") == 1)};
}

static int steps(const opts *o, const process *p, int nfe, bool to_zero) {
    (void)o, (void)p;
    return (nfe + (to_zero ? 1 : 0)) / 2;
}

/* Raises the noise level of x from that of *t, and *t with it. */
static val churn(const problem *pb, rows *r, val x, double *t) {
    const scalar_at at = process_at(pb->process, *t);
    const double amount = fmin(opt_real(pb->o, "s_churn") / pb->steps, sqrt(2) - 1);
    if (!(amount > 0) || at.rho < opt_real(pb->o, "s_min") || at.rho > opt_real(pb->o, "s_max"))
        return x;
    const double most = process_at(pb->process, pb->process->t_hi).rho;
    const double rho = fmin(at.rho * (1 + amount), most);
    if (!(rho > at.rho)) return x;
    *t = rho == most ? pb->process->t_hi : process_time_of_rho(pb->process, rho);
    const scalar_at to =
        process_at(pb->process, *t); /* its rho, not the one asked of the inverse */
    const double sigma = opt_real(pb->o, "s_noise") * sqrt((to.rho - at.rho) * (to.rho + at.rho));
    return rows_lin2(r, to.a / at.a, x, to.a * sigma, rows_noise(r));
}

static val step_in_rho(const problem *pb, rows *r, val x, double t, double s) {
    const scalar_at at = process_at(pb->process, t), to = process_at(pb->process, s);
    const double psi = solver_psi(&at, &to), d = solver_gap(&at, &to);
    const val e = rows_eps(r, x, t), guess = rows_lin2(r, psi, x, d, e);
    if (s == 0) return guess;
    return rows_lin3(r, psi, x, d / 2, e, d / 2, rows_eps(r, guess, s));
}

static val step_in_t(rows *r, val z, double t, double s) {
    const double h = s - t;
    const rows_ode at = rows_ode_at(r, t);
    const term slope[] = {{z, blk_add(blk_real(1), blk_scale(h, at.on_z))},
                          {rows_predict(r, z, t), blk_scale(h, at.on_y)}};
    const val guess = rows_lin(r, slope, 2);
    if (s == 0) return guess;
    const rows_ode to = rows_ode_at(r, s);
    const term both[] = {{z, blk_add(blk_real(1), blk_scale(h / 2, at.on_z))},
                         {slope[1].v, blk_scale(h / 2, at.on_y)},
                         {guess, blk_scale(h / 2, to.on_z)},
                         {rows_predict(r, guess, s), blk_scale(h / 2, to.on_y)}};
    return rows_lin(r, both, 4);
}

static val fill(const problem *pb, rows *r, val z) {
    const bool rho = variable_is_rho(pb->o, pb->process);
    rows_fail(r, variable_check(pb, "heun"));
    if (!rho && opt_real(pb->o, "s_churn") > 0)
        rows_fail(r,
                  fail(DFL_E_COMBINATION, "solver heun: s_churn raises rho, which needs a scalar "
                                          "process and variable=rho"));
    for (int n = 0; n < pb->steps && r->status == DFL_OK; n++) {
        double t = pb->t[n];
        const double s = pb->t[n + 1];
        if (rho) z = churn(pb, r, z, &t);
        const bool infinite =
            rho && process_at(pb->process, t).a == 0; /* rho: first step of flows */
        z = rho && !infinite ? step_in_rho(pb, r, z, t, s) : step_in_t(r, z, t, s);
        rows_step(r, z, s, s == 0 ? 1 : 2);
    }
    return z;
}

static const char *const variants[] = {"variable=auto", "variable=rho", "variable=t", "s_churn=10",
                                       NULL};

const solver_row solver_heun = {
    .is = {"heun", "Heun's method on the probability-flow ODE",
           "arXiv:2206.00364 algorithm 1 (deterministic)", options},
    .spaces = SOLVER_SCALAR | SOLVER_PHASE,
    .claims = claims,
    .variants = variants,
    .steps = steps,
    .fill = fill,
};
