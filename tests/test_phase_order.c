/* Orders in phase space, measured on the exact score of the mixture: against the stored errors of
   an independent implementation, and against what each solver claims. */
#include "support/exact.h"
#include "support/order.h"
#include "support/tables.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "solver/solver.h"
#include "support/cases.h"

enum { STARTS = 4, NUMBERS = STARTS * EXACT_STATE };

typedef struct {
    double start[NUMBERS], truth[NUMBERS];
} flow;

static void read_states(const json_t *entry, const char *key, double *dst) {
    const json_t *list = json_object_get(entry, key);
    assert_int_equal(json_array_size(list), STARTS);
    for (size_t i = 0; i < NUMBERS; i++)
        dst[i] = json_number_value(
            json_array_get(json_array_get(list, i / EXACT_STATE), i % EXACT_STATE));
}

/* PSLD's quadratic times, t_end + (1 - t_end)(1 - i/n)^2: not those of power:kappa=2. */
static void add_grid(const char *grid, int steps, text *spec) {
    if (strcmp(grid, "quadratic") != 0) {
        text_add(spec, " grid=%s steps=%d", grid, steps);
        return;
    }
    for (int i = 0; i <= steps; i++) {
        const double left = 1 - (double)i / steps, t = i == 0 ? 1 : 1e-3 + 0.999 * left * left;
        text_add(spec, "%s%.17g", i == 0 ? " grid=list:times=[" : ",", t);
    }
    text_add(spec, "]");
}

/* States at t = 1e-3. */
static void run_to_end(const flow *f, const char *process_spec, const char *solver,
                       const char *grid, int steps, double *z) {
    text spec = {0};
    text_add(&spec, "solver=%s", solver);
    add_grid(grid, steps, &spec);
    const exact_case c = {.process = process_spec,
                          .half = "both",
                          .spec = spec.data,
                          .samples = STARTS,
                          .start = f->start};
    exact_result r;
    exact_run(&c, &r);
    memcpy(z, r.last, NUMBERS * sizeof *z);
    exact_free(&r);
    text_free(&spec);
}

/* ---- stored errors --------------------------------------------------------------------------- */

static void solver_of(const json_t *entry, char *spec, size_t cap) {
    const char *of = json_string_value(json_object_get(entry, "of"));
    const json_t *par = json_object_get(entry, "params"), *lam = json_object_get(par, "lam");
    const json_t *kind = json_object_get(par, "B_type");
    const double lambda = lam ? json_number_value(lam) : 0;
    if (strcmp(of, "euler_ode") == 0 || strcmp(of, "heun_ode") == 0)
        snprintf(spec, cap, "%.*s", (int)strcspn(of, "_"), of);
    else if (strncmp(of, "lambda_ddim", 11) == 0)
        snprintf(spec, cap, "conjugate:type=%d,lambda=%.17g%s", strstr(of, "_II") ? 2 : 1, lambda,
                 strstr(of, "factorR") ? ",factor=flow" : "");
    else if (kind)
        snprintf(spec, cap, "conjugate_splitting:scheme=%s,type=%d,lambda=%.17g",
                 strcmp(of, "CSE") == 0 ? "cse" : "cvv",
                 strcmp(json_string_value(kind), "II") == 0 ? 2 : 1, lambda);
    else
        snprintf(spec, cap, "splitting:scheme=%c%c%c", of[0] | 32, of[1] | 32, of[2] | 32);
}

/* Largest error of z at 40 to 1280 steps, for every stored method and grid: a check of whole
   trajectories far finer than the stored ones. */
static void test_stored_errors(void **state) {
    (void)state;
    json_t *file = tables_open();
    const json_t *entry;
    double worst = 0;
    size_t done = 0;
    for (size_t i = 0; (entry = tables_entry(file, "order", i)); i++) {
        const json_t *counts = json_object_get(entry, "n_steps");
        const char *grid = json_string_value(json_object_get(entry, "grid"));
        flow f;
        char solver[96];
        read_states(entry, "z_T", f.start);
        read_states(entry, "z_truth", f.truth);
        solver_of(entry, solver, sizeof solver);
        for (size_t k = 0; k < json_array_size(counts); k++, done++) {
            double z[NUMBERS];
            const int steps = (int)json_integer_value(json_array_get(counts, k));
            const double stored =
                json_number_value(json_array_get(json_object_get(entry, "max_abs_err"), k));
            run_to_end(&f, "psld", solver, grid, steps, z);
            const double off = fabs(farthest(z, f.truth, NUMBERS) - stored);
            if (!(off <= 1e-9 * (1 + stored)))
                REFUTE("%s, %s, %d steps: error differs from the stored %.6g by %.3g", solver, grid,
                       steps, stored, off);
            worst = fmax(worst, off / (1 + stored));
        }
    }
    print_message("%zu stored errors reproduced to %.2g\n", done, worst);
    assert_true(done == 204);
    json_decref(file);
}

/* ---- claimed orders -------------------------------------------------------------------------- */

static const char *const deterministic[] = {
    "euler",
    "heun",
    "conjugate:type=1,lambda=0",
    "conjugate:type=1,lambda=1",
    "conjugate:type=2,lambda=1",
    "conjugate:type=2,lambda=2",
    "conjugate:matrix=[0.5,1,-1,2]",
    "conjugate:type=1,lambda=0,factor=flow",
    "conjugate:type=2,lambda=1,factor=flow",
    "splitting:scheme=nse",
    "splitting:scheme=rse",
    "splitting:scheme=nvv",
    "splitting:scheme=rvv",
    "conjugate_splitting:scheme=cse,type=1",
    "conjugate_splitting:scheme=cse,type=2",
    "conjugate_splitting:scheme=cvv,type=1",
    "conjugate_splitting:scheme=cvv,type=2",
    "deis:order=0",
    "deis:order=1",
    "deis:order=2",
    "deis:order=3",
    "deis:order=0,factor=flow",
    "deis:order=1,factor=flow",
    "deis:order=2,factor=flow",
    "deis:order=3,factor=flow",
};

static double rms_error(const flow *f, const char *solver, int steps) {
    double z[NUMBERS], sum = 0;
    run_to_end(f, "psld:numerical_eps=0", solver, "power:kappa=2", steps, z);
    for (int k = 0; k < NUMBERS; k++) sum += (z[k] - f->truth[k]) * (z[k] - f->truth[k]);
    return sqrt(sum / NUMBERS);
}

/* Least squares over the claimed range and its last pair of step counts, on the reference grid. */
static void check_claim(const flow *f, const process *p, const char *solver) {
    const solver_claims claims = claims_of(solver, p);
    ladder l = ladder_of(claims.from, claims.to);
    assert_false(claims.stochastic);
    for (size_t i = 0; i < l.n; i++) l.error[i] = rms_error(f, solver, l.steps[i]);
    const double all = ladder_slope(&l), last = ladder_last(&l);
    print_message("%-40s %4d steps: error %.1e, order %.2f, at last %.2f (claimed: %g)\n", solver,
                  l.steps[l.n - 1], l.error[l.n - 1], all, last, claims.order);
    assert_true(fabs(all - claims.order) <= 0.3 && fabs(last - claims.order) <= 0.3);
}

static void test_claims(void **state) {
    (void)state;
    json_t *file = tables_open();
    flow f;
    read_states(tables_entry(file, "order", 0), "z_T", f.start);
    read_states(tables_entry(file, "order", 0), "z_truth", f.truth);
    process *p = open_process("psld:numerical_eps=0");
    for (size_t i = 0; i < LENGTH(deterministic); i++) check_claim(&f, p, deterministic[i]);
    process_free(p);
    json_decref(file);
}

/* No solver of phase space is left out above, unless it draws noise. */
static void test_complete(void **state) {
    (void)state;
    process *p = open_process("psld");
    for (size_t i = 0; i < solver_family.n; i++) {
        const solver_row *s = (const solver_row *)solver_family.rows[i];
        if (!(s->spaces & SOLVER_PHASE) || claims_of(s->is.name, p).stochastic) continue;
        bool listed = false;
        for (size_t k = 0; k < LENGTH(deterministic); k++)
            listed |= strncmp(deterministic[k], s->is.name, strlen(s->is.name)) == 0;
        if (!listed) REFUTE("solver %s: no order is measured in phase space", s->is.name);
    }
    process_free(p);
}

/* The extrapolating methods come to the converged end of the flow (DOP853 at 1e-12), z_eps and z_0,
   for PSLD and CLD; the stored starts are others than above. */
static void test_truth(void **state) {
    (void)state;
    json_t *file = tables_open();
    const json_t *entry;
    size_t done = 0;
    for (size_t i = 0; (entry = tables_entry(file, "truth_DOP853", i)); i++, done++) {
        double start[NUMBERS], z_eps[NUMBERS], z_0[NUMBERS];
        const json_t *par = json_object_get(entry, "process");
        const bool cld = table_real(par, "Gamma") == 0;
        read_states(entry, "z_T", start);
        read_states(entry, "z_eps", z_eps);
        read_states(entry, "z_0", z_0);
        const exact_case c = {
            .process = cld ? "cld" : "psld",
            .half = "both",
            .spec = "solver=deis:order=3,factor=flow grid=power:kappa=2 steps=640 denoise=1",
            .samples = STARTS,
            .start = start};
        exact_result r;
        exact_run(&c, &r);
        const double off = fmax(farthest(r.before, z_eps, NUMBERS), farthest(r.last, z_0, NUMBERS));
        print_message("%s: 640 steps of deis, order 3 along the flow, end %.2g from the truth\n",
                      c.process, off);
        assert_true(off < (cld ? 1e-5 : 1e-7));
        exact_free(&r);
    }
    assert_int_equal(done, 2);
    json_decref(file);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stored_errors),
        cmocka_unit_test(test_claims),
        cmocka_unit_test(test_complete),
        cmocka_unit_test(test_truth),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
