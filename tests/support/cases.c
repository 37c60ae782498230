/* Cases made from the registries: adding a row to one of them adds its cases here. */
#include "support/cases.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { VALUES_MAX = 8, WORD_SIZE = 40 };

typedef struct {
    char word[VALUES_MAX][WORD_SIZE];
    size_t n;
} values;

static void add_number(values *v, double x) {
    snprintf(v->word[v->n++], WORD_SIZE, "%.10g", x);
}

static void add_choices(values *v, const char *choices) {
    for (const char *c = choices; *c && v->n < VALUES_MAX;) {
        const size_t length = strcspn(c, "|");
        snprintf(v->word[v->n++], WORD_SIZE, "%.*s", (int)length, c);
        c += length + (c[length] == '|');
    }
}

/* Nothing for options that keep their default. */
static values values_of(const opt_row *option, bool numbers) {
    values v = {.n = 0};
    if (option->type == OPT_CHOICE) add_choices(&v, option->choices);
    if (option->type == OPT_BOOL) add_choices(&v, "0|1");
    if (option->type == OPT_INT && numbers && option->max - option->min < 5)
        for (double x = option->min; x <= option->max; x++) add_number(&v, x);
    if (option->type == OPT_REAL && numbers && isfinite(option->max) && isfinite(option->min)) {
        add_number(&v, option->min);
        add_number(&v, (option->min + option->max) / 2);
        add_number(&v, option->max);
    }
    return v;
}

static void list_add(spec_list *list, const char *spec) {
    char(*grown)[SPEC_SIZE] = realloc(list->spec, (list->n + 1) * SPEC_SIZE);
    assert_non_null(grown);
    list->spec = grown;
    snprintf(grown[list->n++], SPEC_SIZE, "%s", spec);
}

static void add_variants(spec_list *list, const opt_row *rest, bool numbers, const char *prefix) {
    while (rest->key && values_of(rest, numbers).n == 0) rest++;
    if (!rest->key) {
        list_add(list, prefix);
        return;
    }
    const values v = values_of(rest, numbers);
    for (size_t i = 0; i < v.n; i++) {
        char longer[SPEC_SIZE];
        const char joint = strchr(prefix, ':') ? ',' : ':';
        const int length =
            snprintf(longer, sizeof longer, "%s%c%s=%s", prefix, joint, rest->key, v.word[i]);
        assert_true(length < SPEC_SIZE);
        add_variants(list, rest + 1, numbers, longer);
    }
}

spec_list specs_of(const family *f, bool numbers) {
    spec_list list = {0};
    for (size_t i = 0; i < f->n; i++)
        add_variants(&list, f->rows[i]->options, numbers, f->rows[i]->name);
    return list;
}

void specs_free(spec_list *list) {
    free(list->spec);
    *list = (spec_list){0};
}

void grid_spec(const family_row *grid, double start, double end, int steps, char *out, size_t cap) {
    size_t used = (size_t)snprintf(out, cap, "%s", grid->name);
    if (((const grid_row *)grid)->time) return;
    used += (size_t)snprintf(out + used, cap - used, ":times=[%.17g", start);
    for (int i = 1; i <= steps; i++) {
        const double w = pow((double)i / steps, 0.7);
        const double t = i == steps ? end : start + w * (end - start);
        used += (size_t)snprintf(out + used, cap - used, ",%.17g", t);
        assert_true(used < cap);
    }
    snprintf(out + used, cap - used, "]");
}

#define PLAIN(type)                                                                                \
    { type, PRECOND_NONE, 0, TIME_LINEAR, 1, 0, NET_BOTH, NET_FLOAT64 }
const network networks[] = {
    {"epsilon", PLAIN(PRED_EPSILON)},
    {"sample", PLAIN(PRED_SAMPLE)},
    {"v_prediction", PLAIN(PRED_V)},
    {"score", PLAIN(PRED_SCORE)},
    {"flow_prediction", PLAIN(PRED_FLOW)},
    {"edm", {PRED_SAMPLE, PRECOND_EDM, 0.5, TIME_LOG_SIGMA, 1, 0, NET_BOTH, NET_FLOAT64}},
    {"epsilon by index",
     {PRED_EPSILON, PRECOND_NONE, 0, TIME_LINEAR, 1000, -1, NET_BOTH, NET_FLOAT32}},
    {"v by sigma", {PRED_V, PRECOND_NONE, 0, TIME_SIGMA, 1, 0, NET_BOTH, NET_FLOAT32}},
};
const size_t nnetworks = LENGTH(networks);

spec_list reference_processes(bool variants) {
    spec_list list = {0};
    for (size_t i = 0; i < process_family.n; i++) {
        static const opt_row none[] = {{0}};
        const process_row *p = (const process_row *)process_family.rows[i];
        const size_t first = list.n;
        add_variants(&list, variants ? p->is.options : none, false, p->is.name);
        for (size_t k = first; k < list.n && p->reference_options[0]; k++) {
            const size_t used = strlen(list.spec[k]);
            const char joint = strchr(list.spec[k], ':') ? ',' : ':';
            const int more = snprintf(list.spec[k] + used, SPEC_SIZE - used, "%c%s", joint,
                                      p->reference_options);
            assert_true(used + (size_t)more < SPEC_SIZE);
        }
    }
    return list;
}

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

process *case_process(const plan_case *c) {
    process *p;
    assert_ok(process_new(c->process, &p));
    return p;
}

dfl_plan *case_compile(const plan_case *c) {
    process *p = case_process(c);
    const plan_source source = {.process = c->process,
                                .form = c->form ? *c->form : networks[0].form,
                                .t_min = case_end(p),
                                .t_max = 1};
    const char *grid = c->grid ? c->grid : p->row->reference_grid;
    const bool own_times = strstr(grid, "times=") != NULL;
    text spec = {0};
    text_add(&spec, "solver=%s grid=%s steps=%d denoise=%d%s", c->solver, grid, c->steps,
             c->denoise, c->to_zero && !own_times ? " t_end=0" : "");
    if (c->start > 0) text_add(&spec, " t_start=%.17g", c->start);
    dfl_plan *plan;
    if (plan_compile(spec.data, &source, &plan) != DFL_OK)
        REFUTE("%s: %s", case_name(c), dfl_last_message());
    text_free(&spec);
    process_free(p);
    return plan;
}

const solver_row *case_solver(const plan_case *c) {
    const family_row *found;
    opts o;
    assert_ok(family_parse(&solver_family, c->solver, &found, &o));
    opts_free(&o);
    return (const solver_row *)found;
}

solver_claims case_claims(const plan_case *c) {
    const family_row *found;
    opts o;
    assert_ok(family_parse(&solver_family, c->solver, &found, &o));
    process *p = case_process(c);
    const solver_claims claims = ((const solver_row *)found)->claims(&o, p);
    process_free(p);
    opts_free(&o);
    return claims;
}

const char *case_name(const plan_case *c) {
    static char name[512];
    snprintf(name, sizeof name, "%s x %s x %.60s, %d steps%s%s", c->solver, c->process,
             c->grid ? c->grid : "reference grid", c->steps, c->to_zero ? ", to zero" : "",
             c->denoise ? ", denoise" : "");
    return name;
}

static bool near(double a, double b) {
    return fabs(a - b) <= 1e-12 * fmax(fabs(a), fabs(b));
}

const char *evals_wrong(const dfl_plan *plan, const process *p, const netform *form) {
    for (size_t i = 0; i < plan->code.nrows; i++) {
        const row *r = &plan->code.rows[i];
        marginal m;
        if (r->op != ROW_EVAL && r->op != ROW_STEP) continue;
        process_marginal(p, r->t, &m);
        const bool state = r->op == ROW_STEP;
        const double scale = state ? 1 : netform_input_scale(form, m.a[0], m.b[0]);
        for (int k = 0; k < 4; k++)
            if (!near(r->at.b[k], scale * m.b[k]) || (k < 2 && !near(r->at.a[k], scale * m.a[k])))
                return "a label does not belong to its time";
        if (state || p->row->components != 1) continue;
        double cx, cn;
        netform_gives(form, m.a[0], m.b[0], &cx, &cn);
        if (!near(r->gives.cx[0], cx) || !near(r->gives.cn[0], cn))
            return "a prediction does not belong to its time";
        if (!near(r->tau, netform_time(form, r->t, m.a[0], m.b[0])))
            return "a network time does not belong to its time";
    }
    return NULL;
}

static void visit_grids(plan_case c, void (*visit)(const plan_case *c, void *user), void *user) {
    process *p = case_process(&c);
    for (size_t g = 0; g < grid_family.n; g++)
        for (int zero = 0; zero < 2; zero++) {
            if (zero && !((const grid_row *)grid_family.rows[g])->reaches_zero) continue;
            char grid[4096];
            grid_spec(grid_family.rows[g], 1, zero ? 0 : case_end(p), c.steps, grid, sizeof grid);
            c.grid = grid;
            c.to_zero = zero;
            visit(&c, user);
        }
    process_free(p);
}

void for_each_case(int steps, void (*visit)(const plan_case *c, void *user), void *user) {
    spec_list solvers = specs_of(&solver_family, true),
              processes = specs_of(&process_family, false);
    for (size_t p = 0; p < processes.n; p++)
        for (size_t s = 0; s < solvers.n; s++)
            visit_grids((plan_case){.process = processes.spec[p],
                                    .solver = solvers.spec[s],
                                    .steps = steps},
                        visit, user);
    specs_free(&solvers);
    specs_free(&processes);
}

void assert_ok(dfl_status status) {
    if (status != DFL_OK) REFUTE("%s", dfl_last_message());
}

void assert_message_has(const char *part) {
    if (!strstr(dfl_last_message(), part)) REFUTE("'%s' is not in '%s'", part, dfl_last_message());
}
