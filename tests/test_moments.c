/* The affine interpreter: plans against Gaussian data, where mean and covariance are exact without
   drawing. It agrees with the executor draw by draw, gives the weak order of stochastic solvers,
   and sees what labels cannot. */
#include "support/cases.h"
#include "support/interpret.h"
#include "support/order.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/mixture.h"
#include "run/run.h"

enum { SAMPLES = 3, SEED = 7 };
#define ROUNDING 1e-12

/* ---- the interpreter against the executor ---------------------------------------------------- */

static const char one_gaussian[] =
    "{\"format\": \"driftless-mixture/1\", \"weights\": [1], \"means\": [[0.7, -0.3, 0.1]],"
    " \"stds\": [[0.5, 0.25, 0.9]]}";
static const gauss_law diagonal_law = {
    .dim = 3, .mean = {0.7, -0.3, 0.1}, .cov = {0.25, 0, 0, 0, 0.0625, 0, 0, 0, 0.81}};

static void add_source(const affine_result *r, size_t source, int kind, uint32_t draw,
                       uint64_t sample, double *x) {
    double xi[STATE_MAX];
    noise_normals(SEED, kind, draw, sample, 0, r->size, xi);
    for (size_t i = 0; i < r->size; i++)
        for (size_t j = 0; j < r->size; j++)
            x[i] += r->matrix[(source * r->size + i) * r->size + j] * xi[j];
}

/* The sample that the interpreter's maps make of the run's own random numbers. */
static void replay(const dfl_plan *plan, const affine_result *r, uint64_t sample, double *x) {
    memcpy(x, r->mean, r->size * sizeof *x);
    add_source(r, 0, DFL_DRAW_START, 0, sample, x);
    size_t source = 1;
    for (size_t i = 0; i < plan->code.nrows; i++)
        if (plan->code.rows[i].op == ROW_NOISE)
            add_source(r, source++, DFL_DRAW_NOISE, plan->code.rows[i].draw, sample, x);
}

static double compare(const dfl_plan *plan, dfl_model *model) {
    dfl_run *run;
    double out[SAMPLES * 3], x[STATE_MAX], worst = 0;
    char options[64];
    snprintf(options, sizeof options, "dtype=float64,seed=%d", SEED);
    assert_ok(dfl_run_new(plan, model, options, &run));
    assert_ok(dfl_run_sample(run, 0, SAMPLES, NULL, NULL, out));
    affine_start start = {.mean = {0}};
    for (size_t i = 0; i < 3; i++) start.factor[i * 3 + i] = plan->code.inputs[0].scale.v[0];
    affine_result r;
    assert_true(affine_run(plan, &diagonal_law, &start, &r));
    for (uint64_t s = 0; s < SAMPLES; s++) {
        replay(plan, &r, s, x);
        for (size_t i = 0; i < 3; i++)
            worst = fmax(worst, fabs(x[i] - out[s * 3 + i]) / fmax(1, fabs(x[i])));
    }
    affine_free(&r);
    dfl_run_free(run);
    return worst;
}

typedef struct {
    dfl_model *model;
    double worst;
    size_t plans, rough;
} agreement;

/* The networks take turns: every solver, process and grid meets several of them. */
static void compare_case(const plan_case *c, void *user) {
    agreement *a = user;
    if (case_claims(c).mixes) return; /* kernels enter the moments by two of them only */
    const network *net = &networks[a->plans++ % nnetworks];
    plan_case with = *c;
    with.form = &net->form;
    dfl_plan *plan;
    if (c->to_zero && case_try(&with, &plan) == DFL_E_COMBINATION)
        return; /* not every network can */
    if (c->to_zero) plan_free(plan);
    plan = case_compile(&with);
    a->model->card.form = net->form;
    const double off = compare(plan, a->model);
    label_defect d;
    assert_true(labels_run(plan, KNOWS_X0, &d)); /* for what the plan makes of rounding errors */
    if (!(off <= fmax(ROUNDING, d.rounding)))
        REFUTE("%s, %s: %g, rounding %g", case_name(&with), net->name, off, d.rounding);
    a->rough += off > ROUNDING;
    if (off <= ROUNDING) a->worst = fmax(a->worst, off);
    plan_free(plan);
}

static void test_executor(void **state) {
    (void)state;
    agreement a = {0};
    assert_ok(mixture_parse("test", one_gaussian, strlen(one_gaussian), &a.model));
    for_each_case(3, compare_case, &a);
    for_each_case(7, compare_case, &a); /* a third of them: all pairs */
    print_message("%zu plans, executor and affine interpreter differ by %.2g, but for %zu that "
                  "amplify rounding\n",
                  a.plans, a.worst, a.rough);
    assert_true(a.rough < a.plans / 10);
    dfl_model_free(a.model);
}

/* ---- orders ---------------------------------------------------------------------------------- */

static const gauss_law law = {.dim = 2, .mean = {0.8, -0.5}, .cov = {0.3, 0.12, 0.12, 0.1}};

/* Error of mean and covariance at the end, started from the exact marginal. Stochastic solvers: the
   claimed order within 0.3, by least squares over the claimed range. Deterministic ones claim the
   order of trajectories, which test_order measures; of their moments, whose errors may change sign,
   no less is asked than the order but for 0.7, and of multistep methods, whose order falls to a
   limit, no less than 0.8. */
static void check_weak_order(plan_case c, bool strict) {
    const solver_claims claims = case_claims(&c);
    ladder l = ladder_of(claims.from, claims.to);
    for (size_t i = 0; i < l.n; i++) {
        c.steps = l.steps[i];
        dfl_plan *plan = case_compile(&c);
        affine_result r;
        assert_true(affine_run(plan, &law, NULL, &r));
        l.error[i] = affine_error(plan, &law, &r);
        affine_free(&r);
        plan_free(plan);
    }
    const double slope = ladder_slope(&l);
    const char *format = "%s: error %.2g, order %.2f, at last %.2f (claimed: %g)\n";
    const double least = claims.limit > 0 ? 1.5 : claims.order;
    const bool both = claims.stochastic && !claims.least;
    const double off = both ? fabs(slope - claims.order) - 0.3 : least - slope - 0.7;
    if (strict)
        print_message(format, case_name(&c), l.error[l.n - 1], slope, ladder_last(&l),
                      claims.order);
    if (!(off <= 0))
        REFUTE(format, case_name(&c), l.error[l.n - 1], slope, ladder_last(&l), claims.order);
}

static void measure(bool strict) {
    spec_list solvers = scalar_solvers(), processes = reference_processes(!strict);
    for (size_t p = 0; p < processes.n; p++)
        for (size_t s = 0; s < solvers.n; s++) {
            const plan_case c = reference_case(processes.spec[p], solvers.spec[s]);
            if (strict || case_claims(&c).stochastic) check_weak_order(c, strict);
        }
    specs_free(&solvers);
    specs_free(&processes);
}

static void test_order(void **state) {
    (void)state;
    measure(true);
}

static void test_order_elsewhere(void **state) {
    (void)state;
    measure(false);
}

/* ---- mixture kernels ------------------------------------------------------------------------- */

static const double pi3[3] = {0.5, 0.3, 0.2};
/* Unit offsets in 3 dimensions, centred for pi3. */
static const double offsets3[9] = {0.4, -0.2, 0.3, -0.6, 0.5, -0.25, -0.1, -0.25, -0.375};

static mix_kernel kernel(offset_law offsets, mix_covariance covariance, double sigma) {
    mix_kernel k = {.K = 3,
                    .law = offsets,
                    .table = 5,
                    .s = 0.4 * sigma,
                    .sigma = sigma,
                    .covariance = covariance};
    k.pi = calloc(3, sizeof *k.pi);
    assert_non_null(k.pi);
    memcpy(k.pi, pi3, sizeof pi3);
    if (offsets != OFFSETS_DATA) return k;
    k.ndata = 9;
    k.data = calloc(9, sizeof *k.data);
    assert_non_null(k.data);
    memcpy(k.data, offsets3, sizeof offsets3);
    return k;
}

/* The same plan with every sigma z replaced by a kernel that has those two moments. */
static dfl_plan *with_kernels(const dfl_plan *from, offset_law offsets, mix_covariance covariance) {
    program to = {.components = 1};
    assert_ok(program_add_input(&to, &from->code.inputs[0]));
    val *now = calloc(from->code.nvalues, sizeof *now), id; /* new number of an old value */
    assert_non_null(now);
    assert_ok(program_add_value(&to, 1, &id));
    for (size_t i = 0; i < from->code.nrows; i++) {
        row r = from->code.rows[i];
        term terms[8];
        for (size_t j = 0; j < r.nsrc; j++) {
            terms[j] = from->code.terms[r.src + j];
            terms[j].v = now[terms[j].v];
        }
        if (r.op == ROW_LIN && r.nsrc == 3) { /* x, eps, z */
            row pick = {.op = ROW_MIX, .nsrc = 1, .draw = (uint32_t)i, .index = (int)to.nkernels};
            const mix_kernel k = kernel(offsets, covariance, terms[2].c.v[0]);
            const term z = {terms[2].v, blk_real(1)};
            assert_ok(program_add_kernel(&to, &k));
            assert_ok(program_add_value(&to, 1, &pick.dst));
            assert_ok(program_add_row(&to, &pick, &z));
            terms[2] = (term){pick.dst, blk_real(1)};
        }
        if (r.op != ROW_STEP) {
            assert_ok(program_add_value(&to, 1, &now[r.dst]));
            r.dst = now[r.dst];
        }
        assert_ok(program_add_row(&to, &r, terms));
    }
    assert_ok(program_add_output(&to, now[from->code.outputs[0]]));
    free(now);
    dfl_plan *plan;
    assert_ok(plan_finish(&to, &plan));
    return plan;
}

/* Second moment that a kernel should have, entry (i, j), by the formulas of its covariance. */
static double second_moment(const mix_kernel *k, size_t i, size_t j) {
    double S = 0;
    for (size_t c = 0; c < 3; c++) S += pi3[c] * offsets3[c * 3 + i] * offsets3[c * 3 + j];
    const double rising[] = {0.2, 0.3, 0.5}, s2 = k->s * k->s;
    const double variance = i == j ? k->sigma * k->sigma : 0;
    if (k->covariance == COV_DIAG) return variance + (i == j ? 0 : s2 * S);
    if (k->covariance == COV_VUB) return variance + s2 * (S - (i == j ? rising[i] : 0));
    return variance;
}

static void check_moments(const dfl_plan *plan, size_t index) {
    const mix_kernel *k = &plan->code.kernels[index];
    double mean[STATE_MAX], cov[STATE_MAX * STATE_MAX];
    assert_true(mix_moments(plan, (int)index, 3, mean, cov));
    for (size_t i = 0; i < 3; i++)
        for (size_t j = 0; j < 3; j++)
            assert_true(fabs(cov[i * 3 + j] + mean[i] * mean[j] - second_moment(k, i, j)) < 1e-14);
}

/* FULL and RANK1 have the moments of the noise they replace, whatever the offsets: the plan's mean
   and covariance stay what they were. DIAG and VUB follow their formulas. */
static void test_kernels(void **state) {
    (void)state;
    const plan_case c = {.process = "vp_linear", .solver = "ddim:eta=0.7", .steps = 6};
    dfl_plan *plain = case_compile(&c);
    affine_result before;
    assert_true(affine_run(plain, &diagonal_law, NULL, &before));
    double worst = 0;
    for (int o = OFFSETS_DATA; o <= OFFSETS_ORTHO; o++)
        for (int v = COV_DIAG; v <= COV_RANK1; v++) {
            const bool matched = v == COV_FULL || v == COV_RANK1;
            if (o != OFFSETS_DATA && !matched) continue;
            dfl_plan *plan = with_kernels(plain, (offset_law)o, (mix_covariance)v);
            for (size_t k = 0; k < plan->code.nkernels; k++) check_moments(plan, k);
            affine_result after;
            assert_true(affine_run(plan, &diagonal_law, NULL, &after));
            /* offsets of RAND are not centred, and their mean is felt */
            if (matched && o != OFFSETS_RAND)
                for (size_t i = 0; i < 9; i++)
                    worst = fmax(worst, fabs(after.cov[i] - before.cov[i]));
            affine_free(&after);
            plan_free(plan);
        }
    print_message("kernels with matched moments change the covariance by %.2g\n", worst);
    assert_true(worst < 1e-14);
    affine_free(&before);
    plan_free(plain);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_executor),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_order_elsewhere),
        cmocka_unit_test(test_kernels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
