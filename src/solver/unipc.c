/* UniPC: a multistep predictor whose corrector reuses the next step's evaluation.
 *
 * In the notation of solver/expo.h, step j of order o, B(z) = z (bh1) or e^z - 1 (bh2):
 *   predictor  xp = base + C B sum_{i<o} a_i D_i            D_i = (m_i - m0)/r_i
 *   corrector  x  = base + C B (sum_{i<o} c_i D_i + c_o (mt - m0)),  mt = m(xp, t_j), r_o = 1
 *   r_i = (lambda(t_{j-1-i}) - lambda(t_{j-1}))/h;  V c = b, V_ki = r_i^(k-1), b_k = k! g_k / B
 * a and c of two unknowns and one are 1/2 where the paper fixes them. The history keeps mt,
 * evaluated at xp; the corrected x is not evaluated again, and the last step is not corrected.
 *
 * Zhao et al., arXiv 2302.04867, algorithm 1 and 2. One evaluation per step. Order p + 1 only with
 * lower_order_final=0: by default the last step is an uncorrected one of order 1, and its local
 * error h^2 is what is left in the limit, for every p; the first step's is h^3, which bounds p = 3
 * by order 3 there. A last step to t = 0 is of order 1, exactly, in data form with bh2. */
#include "solver/solver.h"

#include <math.h>

#include "solver/expo.h"

static const opt_row options[] = {
    {"order", OPT_INT, "2", 1, 3, NULL, "order p of the predictor; p + 1 where it is corrected"},
    {"solver_type", OPT_CHOICE, "bh2", 0, 0, "bh1|bh2", "B(z): z or e^z - 1"},
    {"predict_x0", OPT_BOOL, "1", 0, 0, NULL, "data form; 0 is noise form"},
    {"lower_order_final", OPT_BOOL, "1", 0, 0, NULL, "lower order in the last steps"},
    {0},
};

enum { ORDER_MAX = 3 };

/* p = 1 shows order 2; p = 2 shows 3 without the last step of order 1, which otherwise leaves 2.
   What p = 3 shows over tens of steps is 3 to 5, on its way down to what the first steps leave. */
static solver_claims claims(const opts *o, const process *p) {
    (void)p;
    const int order = (int)opt_int(o, "order");
    const bool bound = order == 3 || (order == 2 && opt_bool(o, "lower_order_final"));
    return (solver_claims){.order = bound ? 2 : order + 1,
                           .limit = order > 1 ? 2 : 0,
                           .least = bound,
                           .from = 40,
                           .to = order == 1 ? 320 : 160,
                           .exact = true};
}

/* Solves the n x n system in place by elimination with pivots; n <= 3. */
static dfl_status solve(double V[ORDER_MAX][ORDER_MAX], double *b, int n) {
    for (int k = 0; k < n; k++) {
        int pivot = k;
        for (int i = k + 1; i < n; i++)
            if (fabs(V[i][k]) > fabs(V[pivot][k])) pivot = i;
        if (V[pivot][k] == 0)
            return fail(DFL_E_COMBINATION, "solver unipc: two times coincide in lambda");
        for (int j = 0; j < n; j++) {
            const double swap = V[k][j];
            V[k][j] = V[pivot][j];
            V[pivot][j] = swap;
        }
        const double swap = b[k];
        b[k] = b[pivot];
        b[pivot] = swap;
        for (int i = k + 1; i < n; i++) {
            const double f = V[i][k] / V[k][k];
            for (int j = k; j < n; j++) V[i][j] -= f * V[k][j];
            b[i] -= f * b[k];
        }
    }
    for (int k = n - 1; k >= 0; k--) {
        for (int j = k + 1; j < n; j++) b[k] -= V[k][j] * b[j];
        b[k] /= V[k][k];
    }
    return DFL_OK;
}

/* The weights of n unknowns with abscissae rr. */
static dfl_status weights(const double *rr, int n, double z, double B, double *c) {
    double V[ORDER_MAX][ORDER_MAX], factorial = 1;
    for (int k = 1; k <= n; k++) {
        factorial *= k;
        c[k - 1] = factorial * expo_g(k, z) / B;
        for (int i = 0; i < n; i++) V[k - 1][i] = pow(rr[i], k - 1);
    }
    return solve(V, c, n);
}

/* x from the base step and weighted differences; m[0] is m0, m[i] i steps older; extra is mt. */
static val combine(rows *r, val x, const expo *e, double B, const double *rr, const double *c,
                   int o, const val *m, double c_extra, val extra) {
    term terms[ORDER_MAX + 2] = {{x, blk_real(e->ratio)}};
    double on_m0 = e->C * e->E - e->C * B * c_extra;
    size_t n = 2;
    for (int i = 1; i < o; i++) {
        const double weight = e->C * B * c[i - 1] / rr[i - 1];
        on_m0 -= weight;
        terms[n++] = (term){m[i], blk_real(weight)};
    }
    terms[1] = (term){m[0], blk_real(on_m0)};
    if (c_extra != 0) terms[n++] = (term){extra, blk_real(e->C * B * c_extra)};
    return rows_lin(r, terms, n);
}

typedef struct {
    bool data, bh2, lower_final;
    int order;
} unipc;

/* Step j: from state x at t_{j-1} with history m to t_j; the history is moved on. */
static val step(const problem *pb, const unipc *u, rows *r, val x, int j, val *m) {
    const int left = pb->steps + 1 - j;
    int o = j < u->order ? j : u->order;
    if (u->lower_final && left < o) o = left;
    const scalar_at from = process_at(pb->process, pb->t[j - 1]);
    const scalar_at to = process_at(pb->process, pb->t[j]);
    const expo e = expo_between(&from, &to, u->data);
    const double B = u->bh2 ? e.E : e.z;
    double rr[ORDER_MAX], a[ORDER_MAX] = {0.5}, c[ORDER_MAX] = {0.5};
    for (int i = 1; i < o; i++)
        rr[i - 1] = log(from.rho / process_at(pb->process, pb->t[j - 1 - i]).rho) / e.h;
    rr[o - 1] = 1;
    if (o == 3) rows_fail(r, weights(rr, 2, e.z, B, a));
    const val xp = combine(r, x, &e, B, rr, a, o, m, 0, 0);
    if (j == pb->steps) {
        rows_step(r, xp, pb->t[j], o);
        return xp;
    }
    if (o > 1) rows_fail(r, weights(rr, o, e.z, B, c));
    const val mt = expo_predict(r, xp, pb->t[j], u->data);
    const val corrected = combine(r, x, &e, B, rr, c, o, m, c[o - 1], mt);
    rows_step(r, corrected, pb->t[j], o);
    m[2] = m[1];
    m[1] = m[0];
    m[0] = mt;
    return corrected;
}

static dfl_status check(const problem *pb, const unipc *u) {
    if (pb->steps < u->order)
        return fail(DFL_E_RANGE, "solver unipc: order %d needs at least %d steps", u->order,
                    u->order);
    if (pb->t[pb->steps] == 0 && !(u->data && u->bh2))
        return fail(DFL_E_COMBINATION,
                    "solver unipc: t_end=0 has a limit in data form with bh2 only");
    return expo_check_start(pb, "unipc");
}

static val fill(const problem *pb, rows *r, val x) {
    const unipc u = {opt_bool(pb->o, "predict_x0"), opt_choice(pb->o, "solver_type") == 1,
                     opt_bool(pb->o, "lower_order_final"), (int)opt_int(pb->o, "order")};
    const bool zero = pb->t[pb->steps] == 0;
    rows_fail(r, check(pb, &u));
    val m[3] = {r->status == DFL_OK ? expo_predict(r, x, pb->t[0], u.data) : 0};
    for (int j = 1; j <= pb->steps && r->status == DFL_OK; j++) {
        if (zero && j == pb->steps) { /* the limit: x_0 as predicted last */
            x = m[0];
            rows_step(r, x, 0, 1);
        } else
            x = step(pb, &u, r, x, j, m);
    }
    return x;
}

static const char *const variants[] = {"order=1",
                                       "order=2",
                                       "order=3",
                                       "order=1,solver_type=bh1",
                                       "order=2,solver_type=bh1",
                                       "order=2,lower_order_final=0",
                                       "order=3,predict_x0=0",
                                       "order=2,predict_x0=0,solver_type=bh1",
                                       NULL};

const solver_row solver_unipc = {
    .is = {"unipc", "multistep predictor and corrector", "arXiv:2302.04867", options},
    .spaces = SOLVER_SCALAR,
    .claims = claims,
    .variants = variants,
    .fill = fill,
};
