/* Plans to compile for the cases of the registries, and what every one of them must satisfy. */
#include "support/cases.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PLAIN(type)                                                                                \
    { type, PRECOND_NONE, 0, TIME_LINEAR, 1, 0, NET_BOTH, NET_FLOAT64, MATCH_HYBRID }
const network networks[] = {
    {"epsilon", PLAIN(PRED_EPSILON)},
    {"sample", PLAIN(PRED_SAMPLE)},
    {"v_prediction", PLAIN(PRED_V)},
    {"score", PLAIN(PRED_SCORE)},
    {"flow_prediction", PLAIN(PRED_FLOW)},
    {"edm",
     {PRED_SAMPLE, PRECOND_EDM, 0.5, TIME_LOG_SIGMA, 1, 0, NET_BOTH, NET_FLOAT64, MATCH_HYBRID}},
    {"epsilon by index",
     {PRED_EPSILON, PRECOND_NONE, 0, TIME_LINEAR, 1000, -1, NET_BOTH, NET_FLOAT32, MATCH_HYBRID}},
    {"v by sigma",
     {PRED_V, PRECOND_NONE, 0, TIME_SIGMA, 1, 0, NET_BOTH, NET_FLOAT32, MATCH_HYBRID}},
};
const size_t nnetworks = LENGTH(networks);

plan_case reference_case(const char *process_spec, const char *solver) {
    plan_case c = {.process = process_spec, .solver = solver};
    process *p = case_process(&c);
    c.start = p->row->reference_start;
    c.grid = p->row->reference_grid;
    process_free(p);
    return c;
}

double case_end(const process *p) {
    return fmax(p->t_lo, 1e-3);
}

double case_start(const process *p) {
    return isfinite(process_at(p, p->t_hi).rho) ? p->t_hi : p->row->reference_start;
}

process *case_process(const plan_case *c) {
    process *p;
    assert_ok(process_new(c->process, &p));
    return p;
}

static const grid_row *grid_of(const char *spec) {
    const family_row *found;
    opts o;
    assert_ok(family_parse(&grid_family, spec, &found, &o));
    opts_free(&o);
    return (const grid_row *)found;
}

dfl_status case_try(const plan_case *c, dfl_plan **plan) {
    process *p = case_process(c);
    const plan_source source = {.process = c->process,
                                .form = c->form ? *c->form : networks[0].form,
                                .t_min = case_end(p),
                                .t_max = 1};
    const char *grid = c->grid ? c->grid : p->row->reference_grid;
    const bool own_times = !grid_of(grid)->time;
    text spec = {0};
    text_add(&spec, "solver=%s grid=%s steps=%d denoise=%d", c->solver, grid, c->steps, c->denoise);
    if (!own_times)
        text_add(&spec, " t_start=%.17g%s", c->start > 0 ? c->start : case_start(p),
                 c->to_zero ? " t_end=0" : "");
    const dfl_status status = plan_compile(spec.data, &source, plan);
    text_free(&spec);
    process_free(p);
    return status;
}

dfl_plan *case_compile(const plan_case *c) {
    dfl_plan *plan;
    if (case_try(c, &plan) != DFL_OK) REFUTE("%s: %s", case_name(c), dfl_last_message());
    return plan;
}

const solver_row *case_solver(const plan_case *c) {
    const family_row *found;
    opts o;
    assert_ok(family_parse(&solver_family, c->solver, &found, &o));
    opts_free(&o);
    return (const solver_row *)found;
}

solver_claims claims_of(const char *solver, const process *p) {
    const family_row *found;
    opts o;
    assert_ok(family_parse(&solver_family, solver, &found, &o));
    const solver_claims claims = ((const solver_row *)found)->claims(&o, p);
    opts_free(&o);
    return claims;
}

solver_claims case_claims(const plan_case *c) {
    process *p = case_process(c);
    const solver_claims claims = claims_of(c->solver, p);
    process_free(p);
    return claims;
}

const char *case_name(const plan_case *c) {
    static char name[512];
    snprintf(name, sizeof name, "%s x %s x %.60s, %d steps%s%s", c->solver, c->process,
             c->grid ? c->grid : "reference grid", c->steps, c->to_zero ? ", to zero" : "",
             c->denoise ? ", denoise" : "");
    return name;
}

const char *case_network(const plan_case *c) {
    for (size_t i = 0; i < nnetworks; i++)
        if (c->form == &networks[i].form) return networks[i].name;
    return networks[0].name;
}

static bool near(double a, double b) {
    return fabs(a - b) <= 1e-12 * fmax(fabs(a), fabs(b));
}

row eval_at(const process *p, const netform *form, double t) {
    row r = {.op = ROW_EVAL, .nsrc = 1, .t = t};
    process_marginal(p, t, &r.at);
    const double a = r.at.a[0], b = r.at.b[0];
    /* the network's own state, and what it is scaled by before the network sees it */
    const double own_a = p->row->unit_signal ? 1 : a, own_b = p->row->unit_signal ? b / a : b;
    const double scale = netform_input_scale(form, own_a, own_b);
    r.at.a[0] = scale * own_a;
    r.at.b[0] = scale * own_b;
    r.tau = netform_time(form, t, own_a, own_b);
    netform_gives(form, own_a, own_b, &r.gives.cx[0], &r.gives.cn[0]);
    return r;
}

static bool near_label(const marginal *m, const marginal *n) {
    for (int k = 0; k < 4; k++)
        if (!near(m->b[k], n->b[k]) || (k < 2 && !near(m->a[k], n->a[k]))) return false;
    return true;
}

const char *evals_wrong(const dfl_plan *plan, const process *p, const netform *form) {
    for (size_t i = 0; i < plan->code.nrows; i++) {
        const row *r = &plan->code.rows[i];
        if (r->op != ROW_EVAL && r->op != ROW_STEP) continue;
        row right = {.op = ROW_STEP};
        if (r->op == ROW_STEP)
            process_marginal(p, r->t, &right.at);
        else
            right = eval_at(p, form, r->t);
        if (!near_label(&r->at, &right.at)) return "a label does not belong to its time";
        if (r->op == ROW_STEP) continue;
        if (!near(r->gives.cx[0], right.gives.cx[0]) || !near(r->gives.cn[0], right.gives.cn[0]))
            return "a prediction does not belong to its time";
        if (!near(r->tau, right.tau)) return "a network time does not belong to its time";
    }
    return NULL;
}

/* A grid of indices chooses its start, which a process or its networks may not reach. */
static bool starts_within(const process *p, const char *spec, int steps) {
    const grid_wish wish = {.spec = spec, .start = NAN, .end = NAN, .steps = steps};
    double *t;
    int n;
    if (grid_new(p, &wish, &t, &n) != DFL_OK) return false;
    const bool within = t[0] <= case_start(p);
    free(t);
    return within;
}

/* Some solvers have no limit at t = 0, refine the grid by its formula, or need a history: they
   refuse, with a sentence, and only where one of that can be the reason. */
static bool is_refused(const plan_case *c, const grid_row *grid) {
    dfl_plan *plan;
    const dfl_status status = case_try(c, &plan);
    plan_free(plan);
    if (status == DFL_OK) return false;
    const bool may = c->to_zero || !grid->time || c->steps < 3;
    const bool known = status == DFL_E_COMBINATION || status == DFL_E_RANGE;
    if (!may || !known) REFUTE("%s: %s", case_name(c), dfl_last_message());
    return true;
}

static void visit_grids(plan_case c, size_t place, void (*visit)(const plan_case *c, void *user),
                        void *user) {
    process *p = case_process(&c);
    for (size_t g = 0; g < grid_family.n; g++)
        for (int zero = 0; zero < 2; zero++) {
            const grid_row *grid = (const grid_row *)grid_family.rows[g];
            char spec[4096];
            if ((place + g) % (c.steps > ALL_STEPS ? 9 : 3)) continue; /* every pair is met */
            if ((zero && !grid->reaches_zero) || (!zero && grid->index)) continue;
            grid_spec(&grid->is, case_start(p), zero ? 0 : case_end(p), c.steps, spec, sizeof spec);
            if (grid->index && !starts_within(p, spec, c.steps)) continue;
            c.grid = spec;
            c.to_zero = zero;
            if (!is_refused(&c, grid)) visit(&c, user);
        }
    process_free(p);
}

void for_each_case(int steps, void (*visit)(const plan_case *c, void *user), void *user) {
    spec_list solvers = scalar_solvers(), processes = scalar_processes();
    for (size_t p = 0; p < processes.n; p++)
        for (size_t s = 0; s < solvers.n; s++)
            visit_grids((plan_case){.process = processes.spec[p],
                                    .solver = solvers.spec[s],
                                    .steps = steps},
                        p + s, visit, user);
    specs_free(&solvers);
    specs_free(&processes);
}
