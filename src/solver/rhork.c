/* Explicit Runge-Kutta methods on dv/drho = eps(a v), v = x/a: rhoRK-DEIS, and any other tableau.
 *
 *   k_i = eps at rho_n + c_i h from v_n + h sum_{m<i} a_im k_m;  v_{n+1} = v_n + h sum_i b_i k_i
 *
 * Zhang and Chen, arXiv 2204.13902, section 3.3, with the released tableaus; in x as
 * x_i = (a_i/a_n) x_n + a_i h sum a_im k_m. Stages at c = 0 and c = 1 take the grid's own time.
 * Order and evaluations per step are the tableau's. Needs t_end > 0 where a stage sits at c = 1. */
#include "solver/solver.h"

enum { STAGES_MAX = 4 };

typedef struct {
    int stages, order;
    double c[STAGES_MAX], a[STAGES_MAX][STAGES_MAX], b[STAGES_MAX];
} tableau;

static const tableau tableaus[] = {
    {1, 1, {0}, {{0}}, {1}},
    {2, 2, {0, 1}, {{0}, {1}}, {0.5, 0.5}},
    {3, 3, {0, 0.5, 1}, {{0}, {0.5}, {-1, 2}}, {1.0 / 6, 4.0 / 6, 1.0 / 6}},
    {3, 3, {0, 0.5, 0.75}, {{0}, {0.5}, {0, 0.75}}, {2.0 / 9, 1.0 / 3, 4.0 / 9}},
    {3, 3, {0, 1.0 / 3, 2.0 / 3}, {{0}, {1.0 / 3}, {0, 2.0 / 3}}, {0.25, 0, 0.75}},
    {3, 3, {0, 8.0 / 15, 2.0 / 3}, {{0}, {8.0 / 15}, {0.25, 5.0 / 12}}, {0.25, 0, 0.75}},
    {3, 3, {0, 1, 0.5}, {{0}, {1}, {0.25, 0.25}}, {1.0 / 6, 1.0 / 6, 2.0 / 3}},
    {4,
     4,
     {0, 0.5, 0.5, 1},
     {{0}, {0.5}, {0, 0.5}, {0, 0, 1}},
     {1.0 / 6, 1.0 / 3, 1.0 / 3, 1.0 / 6}},
};

static const opt_row options[] = {
    {"tableau", OPT_CHOICE, "3kutta", 0, 0, "1euler|2heun|3kutta|3ral|3heun|3vdh|3ssprk|4rk",
     "method; the digit is its order"},
    {0},
};

static const tableau *tableau_of(const opts *o) {
    return &tableaus[opt_choice(o, "tableau")];
}

static solver_claims claims(const opts *o, const process *p) {
    (void)p;
    const int order = tableau_of(o)->order;
    return (solver_claims){
        .order = order, .from = order == 3 ? 160 : 40, .to = order == 3 ? 640 : 160, .exact = true};
}

static int steps(const opts *o, const process *p, int nfe, bool to_zero) {
    (void)to_zero, (void)p;
    return nfe / tableau_of(o)->stages;
}

static double stage_time(const problem *pb, int n, double c) {
    if (c == 0) return pb->t[n];
    if (c == 1) return pb->t[n + 1];
    const double rho = process_at(pb->process, pb->t[n]).rho;
    const double h = process_at(pb->process, pb->t[n + 1]).rho - rho;
    return process_time_of_rho(pb->process, rho + c * h);
}

/* x at time `target` from h-weighted slopes k[0..stages). */
static val combine(const problem *pb, rows *r, val x, int n, double c, const double *weight,
                   const val *k, int stages) {
    const double target = stage_time(pb, n, c);
    const scalar_at at = process_at(pb->process, pb->t[n]), to = process_at(pb->process, target);
    /* the stage's own length over c, so that the inverse map's rounding stays out of the state */
    const double h = (to.rho - at.rho) / c;
    term terms[STAGES_MAX + 1] = {{x, blk_real(to.a / at.a)}};
    for (int i = 0; i < stages; i++) terms[1 + i] = (term){k[i], blk_real(to.a * h * weight[i])};
    return rows_lin(r, terms, (size_t)stages + 1);
}

static val fill(const problem *pb, rows *r, val x) {
    const tableau *m = tableau_of(pb->o);
    if (process_at(pb->process, pb->t[0]).a == 0)
        rows_fail(r, fail(DFL_E_COMBINATION,
                          "solver rhork: rho is infinite at t_start=%s; start lower",
                          real_text(pb->t[0]).s));
    bool at_end = false;
    for (int i = 0; i < m->stages; i++) at_end = at_end || m->c[i] == 1;
    if (pb->t[pb->steps] == 0 && m->stages > 1 && pb->process->rho_lo > 0)
        rows_fail(r,
                  fail(DFL_E_COMBINATION,
                       "solver rhork: process %s has no times for the stages below rho=%.3g; end "
                       "above t_end=0",
                       pb->process->row->is.name, pb->process->rho_lo));
    if (at_end && pb->t[pb->steps] == 0)
        rows_fail(r,
                  fail(DFL_E_COMBINATION,
                       "solver rhork: this tableau evaluates at the end of a step, which t_end=0 "
                       "does not allow; end above 0"));
    for (int n = 0; n < pb->steps && r->status == DFL_OK; n++) {
        val k[STAGES_MAX];
        for (int i = 0; i < m->stages; i++) {
            const double t = stage_time(pb, n, m->c[i]);
            k[i] = rows_eps(r, i ? combine(pb, r, x, n, m->c[i], m->a[i], k, i) : x, t);
        }
        x = combine(pb, r, x, n, 1, m->b, k, m->stages);
        rows_step(r, x, pb->t[n + 1], m->order);
    }
    return x;
}

const solver_row solver_rhork = {
    .is = {"rhork", "Runge-Kutta methods in rho (rhoRK-DEIS)", "arXiv:2204.13902 section 3.3",
           options},
    .spaces = SOLVER_SCALAR,
    .claims = claims,
    .steps = steps,
    .fill = fill,
};
