/* SciRE-Solver: Taylor steps on the score integrand, derivatives by recursive differences (RD).
 *
 *   V1: y = x/a, w = rho,   F = eps        V2: y = x/b, w = 1/rho, F = predicted x_0
 *   dy/dw = F along the probability flow; h = w(s) - w(t), m0 = F(t):
 *   order 1  y' = y + h m0
 *   order 2  y' = y + h m0 + h/(2 r1 phi) (m1 - m0),   m1 at w + r1 h from y + r1 h m0
 *   order 3  y' = y + h m0 + h/(2 r2 phi) (m2 - m0),   m2 at w + r2 h from
 *            y + r2 h m0 + q (m1 - m0),  q = r2 h/(2 r1 phi), or consistent: r2^2 h/(2 r1 phi)
 *   phi = phi1(m) = sum_{k=1..m} (-1)^(k-1)/k!  (RD; m = 3: 2/3; m -> inf: 1 - 1/e),  1 (FD)
 * variant ei (SciREI-2) takes the difference on the exponential integrator in lambda.
 *
 * Li et al., arXiv 2308.07896. RD keeps the first term of the recursion only, which leaves the
 * derivative too large by 1/phi: every RD variant is of order 1 (with phi = 2/3 its error tends to
 * -1 times DDIM's at equal evaluations for order 2, -1.5 times for order 3), against the paper's
 * theorem 3.2; FD is of order 2, and FD with the consistent stage, Heun's third-order rule, of
 * order 3. Profiles: paper has one phi and fixed r; main and sd are the released root file and its
 * stable diffusion copy, whose phi changes from step to step (solver/scire_phi.c) and whose r on
 * tables comes from an inner grid. nfe is spent as in solver/budget.h; multistep costs one
 * evaluation a step. */
#include "solver/solver.h"

#include <math.h>

#include "grid/grid.h"
#include "solver/budget.h"
#include "solver/expo.h"
#include "solver/scire_phi.h"

enum { V1, V2, EI };
enum { SINGLESTEP, SINGLESTEP_FIXED, MULTISTEP, AGILE };

static const opt_row options[] = {
    {"variant", OPT_CHOICE, "v1", 0, 0, "v1|v2|ei", "score, data or exponential-integrator form"},
    {"method", OPT_CHOICE, "singlestep", 0, 0,
     "singlestep|singlestep_fixed|multistep|singlestep_agile",
     "singlestep, or singlestep_agile, spends any budget"},
    {"order", OPT_INT, "2", 1, 3, NULL, "evaluations per step, or history of multistep"},
    {"profile", OPT_CHOICE, "paper", 0, 0, "paper|main|sd", "where phi and r come from"},
    {"difference", OPT_CHOICE, "rd", 0, 0, "rd|fd", "recursive or finite difference"},
    {"m", OPT_INT, "3", 0, 1000, NULL, "terms of phi1(m), from 3; 0: all. Given: in every profile"},
    {"stage", OPT_CHOICE, "paper", 0, 0, "paper|consistent", "middle stage of order 3"},
    {"lower_order_final", OPT_BOOL, "1", 0, 0, NULL, "multistep: lower order in the last steps"},
    {0},
};

/* The options, read once. */
typedef struct {
    const problem *pb;
    int variant, method, order;
    scire_phi phi; /* its profile too */
    bool consistent, lower_final;
} scire;

static scire read(const problem *pb, const opts *o) {
    const bool fd = opt_choice(o, "difference") == 1;
    const bool one_m = opt_get(o, "m")->given; /* one phi in every profile */
    const int method = opt_choice(o, "method");
    return (scire){.pb = pb,
                   .variant = opt_choice(o, "variant"),
                   .method = method == AGILE ? SINGLESTEP : method,
                   .order = (int)opt_int(o, "order"),
                   .phi = {.profile = (scire_profile)opt_choice(o, "profile"),
                           .constant = fd ? 1 : scire_phi1((int)opt_int(o, "m")),
                           .order = (int)opt_int(o, "order"),
                           .fixed = fd || one_m},
                   .consistent = opt_choice(o, "stage") == 1,
                   .lower_final = opt_bool(o, "lower_order_final")};
}

static solver_claims claims(const opts *o, const process *p) {
    (void)p;
    const scire s = read(NULL, o);
    const bool fd = opt_choice(o, "difference") == 1;
    const bool third = s.order == 3 && s.consistent && s.method != MULTISTEP;
    const double order = !fd || s.order == 1 ? 1 : third ? 3 : 2;
    return (solver_claims){
        .order = order, .from = fd ? 160 : 80, .to = fd ? 640 : 320, .exact = true};
}

static int steps(const opts *o, const process *p, int nfe, bool to_zero) {
    (void)to_zero, (void)p;
    const scire s = read(NULL, o);
    return s.method == MULTISTEP ? nfe
                                 : outer_grid_steps(nfe, s.order, s.method != SINGLESTEP, false);
}

/* Where the stages of singlestep methods come from. */
static bool needs_inner_grid(const scire *s) {
    const scire_profile profile = s->phi.profile;
    return profile == SCIRE_SD || (profile == SCIRE_MAIN && s->pb->process->nknots);
}

/* Every variable of an integrand is infinite at one end or both, and so is a factor of the released
   multistep formula. */
static dfl_status check_ends(const scire *s) {
    const problem *pb = s->pb;
    const double first = pb->t[0];
    if (s->variant != V2 && process_at(pb->process, first).a == 0)
        return fail(DFL_E_COMBINATION,
                    "solver scire: v1 and ei work in rho, which is infinite at t_start=%s; "
                    "start lower or choose variant=v2",
                    real_text(first).s);
    if (process_at(pb->process, first).a == 0 && s->order > 1 &&
        (s->method == MULTISTEP || needs_inner_grid(s)))
        return fail(DFL_E_COMBINATION,
                    "solver scire: multistep, and stages from an inner grid, need a finite rho at "
                    "t_start=%s; start lower or choose profile=paper",
                    real_text(first).s);
    if (pb->t[pb->steps] > 0) return DFL_OK;
    if (s->variant != V1)
        return fail(DFL_E_COMBINATION,
                    "solver scire: v2 works in 1/rho and ei in log rho, which are infinite at "
                    "t_end=0; end above 0 or choose variant=v1");
    scire_phi last = s->phi;
    last.steps = pb->steps;
    if (s->method == MULTISTEP && last.profile == SCIRE_MAIN &&
        scire_multistep_order(&last, pb->steps, s->lower_final) == 2)
        return fail(DFL_E_COMBINATION,
                    "solver scire: a last step of order 2 of the main profile has no limit at "
                    "t_end=0; end above 0 or leave lower_order_final on");
    return DFL_OK;
}

static dfl_status check(const scire *s, const opts *o) {
    const int m = (int)opt_int(o, "m");
    if (m != 0 && m < 3)
        return fail(DFL_E_RANGE, "solver scire: m=%d; 3 and more, or 0 for infinitely many", m);
    if (s->variant == EI && (s->order == 3 || s->method == MULTISTEP))
        return fail(DFL_E_COMBINATION,
                    "solver scire: variant ei has orders 1 and 2, singlestep only");
    if (s->phi.profile == SCIRE_PAPER && s->method == MULTISTEP)
        return fail(DFL_E_COMBINATION,
                    "solver scire: the paper profile has no multistep; choose profile=main or sd");
    if (s->method == MULTISTEP && s->pb->steps < s->order)
        return fail(DFL_E_RANGE, "solver scire: multistep of order %d needs at least %d steps",
                    s->order, s->order);
    return check_ends(s);
}

/* ---- the variable of the integrand ----------------------------------------------------------- */

static double w_of(const scire *s, const scalar_at *at) {
    return s->variant == V2 ? 1 / at->rho : at->rho;
}

static double scale_of(const scire *s, const scalar_at *at) {
    return s->variant == V2 ? at->b : at->a;
}

/* Of a stage. Below the least rho of a process there is no time, and clean data has no slope. */
static double stage_time(const scire *s, rows *r, double w) {
    const process *p = s->pb->process;
    const double rho = s->variant == V2 ? 1 / w : w, t = process_time_of_rho(p, rho);
    if (t == 0)
        rows_fail(r, fail(DFL_E_COMBINATION,
                          "solver scire: process %s has no time above 0 for a stage at rho=%.3g; "
                          "end above t_end=0, or take order=1",
                          p->row->is.name, fmax(rho, 0)));
    return t;
}

static val predict(const scire *s, rows *r, val x, double t) {
    return expo_predict(r, x, t, s->variant == V2);
}

/* One step or stage from (x, t) to a target, as terms in y carried over to x. */
typedef struct {
    double shrink, h, scale; /* x' = shrink x + scale (c_0 m_0 + ...) */
} move;

static move move_to(const scire *s, double t, double target) {
    const scalar_at at = process_at(s->pb->process, t), to = process_at(s->pb->process, target);
    return (move){scale_of(s, &to) / scale_of(s, &at), w_of(s, &to) - w_of(s, &at),
                  scale_of(s, &to)};
}

/* ---- singlestep ------------------------------------------------------------------------------ */

/* Stage fractions: 1/2 or 1/3, 2/3; in the released files on tables (main) or always (sd) from an
   inner grid of the same kind, as fractions in rho. */
static dfl_status fractions(const scire *s, double t, double target, int order, double r[2]) {
    r[0] = order == 2 ? 0.5 : 1.0 / 3;
    r[1] = 2.0 / 3;
    if (!needs_inner_grid(s) || order == 1) return DFL_OK;
    double u[4];
    TRY(grid_between(s->pb->process, s->pb->grid, t, target, order, u));
    const double from = process_at(s->pb->process, t).rho;
    const double span = process_at(s->pb->process, target).rho - from;
    for (int j = 0; j < order - 1; j++)
        r[j] = (process_at(s->pb->process, u[j + 1]).rho - from) / span;
    return DFL_OK;
}

static val step_ei(const scire *s, rows *r, val x, double t, double target, double phi) {
    const process *p = s->pb->process;
    const scalar_at at = process_at(p, t), to = process_at(p, target);
    const expo whole = expo_between(&at, &to, false);
    const double middle = expo_stage_time(p, &at, whole.h, 0.5);
    const scalar_at half = process_at(p, middle);
    const expo first = expo_between(&at, &half, false);
    const val m0 = rows_eps(r, x, t);
    const val m1 = rows_eps(r, rows_lin2(r, first.ratio, x, first.C * first.E, m0), middle);
    const double c = whole.C * whole.q * 2 / phi;
    return rows_lin3(r, whole.ratio, x, whole.C * whole.E - c, m0, c, m1);
}

static val singlestep(const scire *s, rows *r, val x, double t, double target, int order,
                      double phi) {
    double f[2];
    rows_fail(r, fractions(s, t, target, order, f));
    if (r->status != DFL_OK) return x;
    if (s->variant == EI && order == 2) return step_ei(s, r, x, t, target, phi);
    const scalar_at at = process_at(s->pb->process, t);
    const move whole = move_to(s, t, target);
    const val m0 = predict(s, r, x, t);
    if (order == 1) return rows_lin2(r, whole.shrink, x, whole.scale * whole.h, m0);
    const double s1 = stage_time(s, r, w_of(s, &at) + f[0] * whole.h);
    const move first = move_to(s, t, s1);
    const val x1 = rows_lin2(r, first.shrink, x, first.scale * first.h, m0);
    const val m1 = predict(s, r, x1, s1);
    if (order == 2) {
        const double c = whole.scale * whole.h / (2 * f[0] * phi);
        return rows_lin3(r, whole.shrink, x, whole.scale * whole.h - c, m0, c, m1);
    }
    const double s2 = stage_time(s, r, w_of(s, &at) + f[1] * whole.h);
    const move second = move_to(s, t, s2);
    const double bend = (s->consistent ? f[1] * f[1] : f[1]) * whole.h / (2 * f[0] * phi);
    const val x2 = rows_lin3(r, second.shrink, x, second.scale * (second.h - bend), m0,
                             second.scale * bend, m1);
    const val m2 = predict(s, r, x2, s2);
    const double c = whole.scale * whole.h / (2 * f[1] * phi);
    return rows_lin3(r, whole.shrink, x, whole.scale * whole.h - c, m0, c, m2);
}

static val run_singlestep(scire *s, rows *r, val x) {
    outer_steps outer;
    rows_fail(r, outer_new(s->pb, s->order, s->method == SINGLESTEP_FIXED, false, &outer));
    s->phi.steps = s->pb->nfe ? s->pb->nfe / s->order : s->pb->steps;
    for (int i = 0; i < outer.n && r->status == DFL_OK; i++) {
        double phi; /* a released list that has no entry for a step of order 1 fails, too */
        rows_fail(r, scire_phi_single(&s->phi, i, &phi));
        x = singlestep(s, r, x, outer.t[i], outer.t[i + 1], outer.order[i], phi);
        rows_step(r, x, outer.t[i + 1], outer.order[i]);
    }
    outer_free(&outer);
    return x;
}

/* ---- multistep ------------------------------------------------------------------------------- */

/* Weights on m0, m1, m2 of one step of the given order; rho holds rho at t_j, t_{j-1}, ... */
static void history_weights(const scire *s, int order, const double rho[4], double h, double phi,
                            double c[3]) {
    c[0] = h;
    c[1] = c[2] = 0;
    if (order == 1) return;
    const double ratio = (rho[1] - rho[2]) / (rho[0] - rho[1]);
    if (order == 2) {
        const double q = s->phi.profile == SCIRE_SD
                             ? phi * ratio
                             : pow(log(rho[2] / rho[1]) / log(rho[1] / rho[0]), 0.25);
        c[0] += h / (2 * phi * q);
        c[1] -= h / (2 * phi * q);
        return;
    }
    const double q0 = phi * ratio;
    const double q1 = phi / (1 + phi) * (rho[2] - rho[3]) / (rho[1] - rho[2]);
    const double d1 = h / (2 * q0 * phi), d2 = h / (6 * q0 * q1 * phi * phi);
    c[0] += d1 + d2;
    c[1] -= d1 + 2 * d2;
    c[2] += d2;
}

static val run_multistep(scire *s, rows *r, val x) {
    const problem *pb = s->pb;
    val m[3] = {0};
    s->phi.steps = pb->steps;
    for (int j = 1; j <= pb->steps && r->status == DFL_OK; j++) {
        const double t = pb->t[j - 1];
        m[2] = m[1];
        m[1] = m[0];
        m[0] = predict(s, r, x, t);
        const int order = scire_multistep_order(&s->phi, j, s->lower_final);
        double rho[4], c[3], phi = 1;
        for (int a = 0; a < 4; a++)
            rho[a] = j - a >= 0 ? process_at(pb->process, pb->t[j - a]).rho : 0;
        if (order > 1) rows_fail(r, scire_phi_multi(&s->phi, j, &phi));
        const move step = move_to(s, t, pb->t[j]);
        history_weights(s, order, rho, step.h, phi, c);
        const term terms[] = {{x, blk_real(step.shrink)},
                              {m[0], blk_real(step.scale * c[0])},
                              {m[1], blk_real(step.scale * c[1])},
                              {m[2], blk_real(step.scale * c[2])}};
        x = rows_lin(r, terms, 1 + (size_t)order);
        rows_step(r, x, pb->t[j], order);
    }
    return x;
}

static val fill(const problem *pb, rows *r, val x) {
    scire s = read(pb, pb->o);
    rows_fail(r, check(&s, pb->o));
    return s.method == MULTISTEP ? run_multistep(&s, r, x) : run_singlestep(&s, r, x);
}

static const char *const variants[] = {"order=1",
                                       "order=2",
                                       "order=3",
                                       "order=2,m=0",
                                       "order=2,difference=fd",
                                       "order=3,difference=fd",
                                       "order=3,difference=fd,stage=consistent",
                                       "variant=v2,order=2",
                                       "variant=v2,order=3,difference=fd",
                                       "variant=ei,order=2",
                                       "profile=main,order=2",
                                       "profile=main,order=3,method=singlestep_fixed",
                                       "profile=main,order=2,method=multistep",
                                       "profile=main,variant=v2,order=3,method=multistep",
                                       "profile=sd,order=2,method=multistep",
                                       NULL};

const solver_row solver_scire = {
    .is = {"scire", "score-integrand solver with recursive differences", "arXiv:2308.07896",
           options},
    .spaces = SOLVER_SCALAR,
    .claims = claims,
    .variants = variants,
    .steps = steps,
    .fill = fill,
};
