/* Processes: known values, inverses, derivatives, the end at t = 0, refusals. */
#include "support/cases.h"

#include <float.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static process *make(const char *spec) {
    const plan_case c = {.process = spec};
    return case_process(&c);
}

static void near(const char *what, double t, double got, double known, double relative) {
    if (!(fabs(got - known) <= relative * fabs(known)))
        REFUTE("%s at t = %.17g: %.17g, known is %.17g", what, t, got, known);
}

/* ---- known values ---------------------------------------------------------------------------- */

static int load_reference(void **state) {
    json_error_t error;
    *state = json_load_file(DFL_TEST_DATA "/process_reference.json", 0, &error);
    return *state ? 0 : -1;
}

static int free_reference(void **state) {
    json_decref(*state);
    return 0;
}

static double member(const json_t *entry, const char *key) {
    const json_t *value = json_object_get(entry, key);
    assert_true(json_is_number(value));
    return json_number_value(value);
}

static void test_vp_linear(void **state) {
    process *p = make("vp_linear");
    const json_t *entries = json_object_get(*state, "vp_linear");
    assert_true(json_array_size(entries) >= 10);
    for (size_t i = 0; i < json_array_size(entries); i++) {
        const json_t *e = json_array_get(entries, i);
        const double t = member(e, "t");
        const scalar_at at = process_at(p, t);
        near("alpha_bar", t, at.a * at.a, member(e, "alpha_bar"), 1e-14);
        near("sigma", t, at.b, member(e, "sigma"), 1e-14);
        near("rho", t, at.rho, member(e, "rho"), 1e-13);
        near("lambda", t, at.lambda, member(e, "log_snr_half"), 1e-13);
        near("drift", t, -at.drift, member(e, "neg_half_dlogalpha_dt"), 1e-14);
        near("g^2", t, at.g2, 2 * member(e, "neg_half_dlogalpha_dt"), 1e-14);
    }
    process_free(p);
}

/* The reference counts time in table indices. */
static void test_vp_discrete(void **state) {
    process *p = make("vp_discrete:interpolation=alpha_bar");
    const json_t *entries = json_object_get(*state, "vp_discrete alpha_bar, time in table indices");
    assert_true(json_array_size(entries) >= 9);
    for (size_t i = 0; i < json_array_size(entries); i++) {
        const json_t *e = json_array_get(entries, i);
        const double t = (member(e, "t") + 1) / 1000;
        near("alpha_bar", t, pow(process_at(p, t).a, 2), member(e, "alpha_bar"), 2e-13);
        near("rho", t, process_at(p, t).rho, member(e, "rho"), 2e-12);
    }
    process_free(p);
}

/* At the table's times all interpolations agree with the table. */
static void test_table(void **state) {
    static const char *const specs[] = {"vp_discrete", "vp_discrete:interpolation=alpha_bar",
                                        "vp_discrete:interpolation=alpha_bar_prepended"};
    const json_t *entries = json_object_get(*state, "alpha_bar by index");
    process *p[3];
    for (int k = 0; k < 3; k++) p[k] = make(specs[k]);
    for (size_t i = 0; i < json_array_size(entries); i++) {
        const json_t *e = json_array_get(entries, i);
        const double t = (json_number_value(json_array_get(e, 0)) + 1) / 1000;
        for (int k = 0; k < 3; k++)
            near("alpha_bar", t, pow(process_at(p[k], t).a, 2),
                 json_number_value(json_array_get(e, 1)), 2e-14);
    }
    for (int i = 1; i <= 1000; i++)
        for (int k = 1; k < 3; k++) {
            const double t = i / 1000.0;
            near("rho", t, process_at(p[k], t).rho, process_at(p[0], t).rho, 1e-12);
        }
    assert_true(p[0]->t_lo == 1e-3 && p[1]->t_lo == 1e-3 && p[2]->t_lo < 1e-3);
    for (int k = 0; k < 3; k++) process_free(p[k]);
}

/* g^2 of linear pieces of alpha_bar, by the table's own alpha_bar, where it is near 1 and near 0. */
static void test_linear_pieces(void **state) {
    (void)state;
    static const char *const modes[] = {"alpha_bar", "alpha_bar_prepended"};
    for (size_t k = 0; k < LENGTH(modes); k++) {
        char spec[100];
        snprintf(spec, sizeof spec, "vp_discrete:beta_end=0.08,interpolation=%s", modes[k]);
        process *p = make(spec), *table = make("vp_discrete:beta_end=0.08");
        for (int i = 1; i < 1000; i++) {
            const double left = pow(process_at(table, i / 1000.0).a, 2);
            const double right = pow(process_at(table, (i + 1) / 1000.0).a, 2);
            const double t = (i + 0.5) / 1000, fall = 1000 * (left - right) * 2 / (left + right);
            near("g2", t, process_at(p, t).g2, fall, 1e-8);
            near("drift", t, process_at(p, t).drift, -fall / 2, 1e-8);
        }
        process_free(p);
        process_free(table);
    }
}

/* Lin et al., arXiv 2305.08891, algorithm 1, carried out on alpha_bar of the plain table. */
static void test_zero_snr(void **state) {
    (void)state;
    static const char *const schedules[] = {"linear", "scaled_linear", "sigmoid"};
    for (size_t k = 0; k < LENGTH(schedules); k++) {
        char plain[80], moved[120];
        snprintf(plain, sizeof plain, "vp_discrete:beta_schedule=%s", schedules[k]);
        snprintf(moved, sizeof moved, "%s,rescale_betas_zero_snr=1", plain);
        process *p = make(plain), *q = make(moved);
        const double first = process_at(p, 1e-3).a, last = process_at(p, 1).a;
        near("b", 1e-3, process_at(q, 1e-3).b, process_at(p, 1e-3).b, 1e-14);
        for (int i = 2; i < 1000; i++) {
            const double t = i / 1000.0, s = process_at(p, t).a;
            near("a", t, process_at(q, t).a, (s - last) * first / (first - last), 1e-11);
            assert_true(process_at(q, t).rho > process_at(q, t - 1e-3).rho);
        }
        assert_true(process_at(q, 1).a <= ldexp(1, -12) && process_at(q, 1).a > 0);
        assert_true(process_at(q, 1).rho > process_at(q, 0.999).rho);
        process_free(p);
        process_free(q);
    }
    process *p = make("vp_discrete:trained_betas=[0.999999999,0.5],rescale_betas_zero_snr=1");
    assert_true(process_at(p, 1).rho > process_at(p, 0.5).rho);
    process_free(p);
    p = make("vp_discrete:beta_schedule=sigmoid,num_train_timesteps=3");
    const double beta[] = {1e-4 + 0.0199 / (1 + exp(6)), 1e-4 + 0.0199 / 2};
    near("alpha_bar", 2 / 3.0, pow(process_at(p, 2 / 3.0).a, 2), (1 - beta[0]) * (1 - beta[1]),
         1e-14);
    process_free(p);
}

/* In 40-digit arithmetic. */
static void test_vp_cosine(void **state) {
    process *p = make("vp_cosine");
    const json_t *entries = json_object_get(*state, "vp_cosine");
    assert_int_equal(json_array_size(entries), 7);
    for (size_t i = 0; i < json_array_size(entries); i++) {
        const json_t *e = json_array_get(entries, i);
        const double t = member(e, "t");
        const scalar_at at = process_at(p, t);
        near("a", t, at.a, member(e, "alpha"), 1e-13);
        near("b", t, at.b, member(e, "sigma"), 1e-13);
        near("rho", t, at.rho, member(e, "rho"), 1e-13);
    }
    near("alpha_bar", 0.5, pow(process_at(p, 0.5).a, 2), 0.493843590440638, 1e-14);
    process_free(p);
    p = make("vp_cosine:normalised=0"); /* c(t)^2 itself */
    for (double t = 1e-3; t < 0.99; t += 0.017)
        near("alpha_bar", t, pow(process_at(p, t).a, 2),
             pow(cos((t + 0.008) / 1.008 * 1.5707963267948966), 2), 1e-12);
    near("rho", 0, p->rho_lo, 0.0124672833970768, 1e-13);
    process_free(p);
}

/* First step of DEIS on the cosine that is not normalised, t = 0.99 to 0.8911 (coefficients stored
   in the reference file of DEIS): psi and the weight of eps. */
static void test_cosine_step(void **state) {
    const json_t *known = json_object_get(*state, "vp_cosine not normalised, 0.99 to 0.8911");
    process *p = make("vp_cosine:normalised=0");
    const scalar_at at = process_at(p, member(known, "t")), to = process_at(p, member(known, "s"));
    near("psi", 0.99, solver_psi(&at, &to), member(known, "psi"), 1e-12);
    near("C", 0.99, solver_gap(&at, &to), member(known, "C"), 1e-12);
    process_free(p);
}

/* Formulas written out. */
static void test_formulas(void **state) {
    (void)state;
    process *p = make("sub_vp"), *vp = make("vp_linear"), *ve = make("ve"), *edm = make("edm"),
            *flow = make("flow");
    near("b", 1, process_at(p, 1).b, 0.99995681425, 1e-11);
    for (double t = 0.01; t < 1; t += 0.03) {
        const double a = process_at(vp, t).a;
        near("sub_vp a", t, process_at(p, t).a, a, 1e-15);
        near("sub_vp b", t, process_at(p, t).b, 1 - a * a, 1e-13);
        near("ve rho", t, process_at(ve, t).rho, 0.01 * pow(5000, t), 1e-13);
        near("edm rho", t, process_at(edm, t).rho, 80 * t, 1e-15);
        near("ve norm", t, pow(process_at(ve, t).a, 2) + pow(process_at(ve, t).b, 2), 1, 1e-14);
        near("flow a", t, process_at(flow, t).a, 1 - t, 1e-15);
        near("flow b", t, process_at(flow, t).b, t, 1e-15);
    }
    assert_true(process_at(flow, 1).a == 0 && process_time_of_rho(flow, INFINITY) == 1);
    process *const all[] = {p, vp, ve, edm, flow};
    for (size_t i = 0; i < LENGTH(all); i++) process_free(all[i]);
}

/* 40-digit coefficients of tAB, through a whole plan. */
static void test_coefficients(void **state) {
    const json_t *entries =
        json_object_get(*state, "tab order 3, vp_linear, power kappa 2, 10 steps, t_end 1e-3");
    const plan_case c = {.process = "vp_linear", .solver = "deis:order=3", .steps = 10};
    dfl_plan *plan = case_compile(&c);
    assert_int_equal(json_array_size(entries), 5);
    for (size_t i = 0; i < 5; i++) {
        const json_t *e = json_array_get(entries, i);
        const json_t *known = json_object_get(e, "coefficients");
        const row *r = &plan->code.rows[3 * (size_t)member(e, "step") + 1]; /* EVAL, LIN, STEP */
        assert_int_equal(r->op, ROW_LIN);
        assert_int_equal(r->nsrc, 1 + json_array_size(known));
        near("psi", r->t, plan->code.terms[r->src].c.v[0], member(e, "psi"), 1e-13);
        for (size_t j = 1; j < r->nsrc; j++)
            near("C", r->t, plan->code.terms[r->src + j].c.v[0],
                 json_number_value(json_array_get(known, j - 1)), 1e-12);
    }
    plan_free(plan);
}

/* ---- properties of every process ------------------------------------------------------------- */

static void for_each_process(void (*check)(const char *spec, const process *p)) {
    spec_list specs = scalar_processes();
    for (size_t i = 0; i < specs.n; i++) {
        process *p = make(specs.spec[i]);
        check(specs.spec[i], p);
        process_free(p);
    }
    specs_free(&specs);
}

/* To 1e-12 where rho tells times apart; a process that keeps some rho at t -> 0 (ve, cosine that is
   not normalised) has times there that differ in the last digits of rho only. */
static void check_inverse(const char *spec, const process *p) {
    const double end = log(p->t_lo / p->t_hi);
    for (int i = 0; i <= 400; i++) {
        const double t = i == 400 ? p->t_hi : p->t_hi * exp(end * (1 - i / 400.0));
        const scalar_at at = process_at(p, t);
        const double slope = at.g2 / (2 * at.a * at.b); /* d rho/dt */
        const double blur = isfinite(slope) ? 4 * DBL_EPSILON * at.rho / (t * slope) : 0;
        near(spec, t, process_time_of_rho(p, at.rho), t, 1e-12 + blur);
    }
    assert_true(process_time_of_rho(p, 0) == 0);
    if (p->rho_lo > 0) assert_true(process_time_of_rho(p, p->rho_lo / 2) == 0);
}

static void test_inverses(void **state) {
    (void)state;
    for_each_process(check_inverse);
}

/* The end of flow: nothing but noise. */
static void check_pure_noise(const char *spec, const scalar_at *at) {
    if (!(at->a == 0 && at->b == 1 && at->rho == INFINITY && at->lambda == -INFINITY))
        REFUTE("%s: rho is infinite without a = 0 and b = 1", spec);
    assert_true(isfinite(at->da) && isfinite(at->db));
}

/* What links the members of scalar_at: b = rho a, lambda = -log rho, a' = f a, and
   g^2 = 2 b (b' - f b), which is 2 a b rho'. */
static void check_links(const char *spec, double t, const scalar_at *at) {
    near(spec, t, at->rho * at->a, at->b, 1e-14);
    near(spec, t, exp(at->lambda) * at->rho, 1, 1e-14);
    near(spec, t, at->drift * at->a, at->da, 1e-13);
    near(spec, t, 2 * at->b * (at->db - at->drift * at->b), at->g2, 1e-13);
}

static void check_consistent(const char *spec, const process *p) {
    scalar_at before = process_at(p, 0);
    assert_true(before.a == 1 && before.b == 0 && before.rho == 0 && isinf(before.lambda));
    for (int i = 1; i <= 1000; i++) {
        const double t = p->t_hi * pow(i / 1000.0, 3);
        if (t < p->t_lo) continue;
        const scalar_at at = process_at(p, t);
        assert_true(at.a < before.a && at.b > before.b && at.rho > before.rho);
        before = at;
        marginal m;
        process_marginal(p, t, &m);
        assert_true(m.a[0] == at.a && m.b[0] == at.b);
        if (isfinite(at.rho)) {
            check_links(spec, t, &at);
            assert_true(process_drift(p, t).v[0] == at.drift);
            near(spec, t, pow(process_noise(p, t).v[0], 2), at.g2, 1e-14);
        } else
            check_pure_noise(spec, &at);
    }
    /* what is left as t falls to 0 */
    const double least = process_at(p, 1e-13).rho;
    if (!(fabs(least - p->rho_lo) < 2e-6 && least >= p->rho_lo * (1 - 1e-14)))
        REFUTE("%s: rho tends to %.17g, not %.17g", spec, least, p->rho_lo);
    assert_true(process_prior(p, p->t_hi).v[0] > 0.99);
}

static void test_consistency(void **state) {
    (void)state;
    for_each_process(check_consistent);
}

/* Inside a smooth piece, by central differences with Richardson's step: drift = d log a/dt,
   g^2 = 2 a b d rho/dt, a' and b'. rho^2 and b^2 are what is smooth at small t on processes that
   diffuse, so g^2 = a^2 d(rho^2)/dt and b' = d(b^2)/dt/(2b). */
static double slope(double (*f)(const process *, double), const process *p, double t, double h) {
    const double wide = (f(p, t + h) - f(p, t - h)) / (2 * h);
    const double half = (f(p, t + h / 2) - f(p, t - h / 2)) / h;
    return (4 * half - wide) / 3;
}

static double log_a(const process *p, double t) {
    return log(process_at(p, t).a);
}

static double signal_of(const process *p, double t) {
    return process_at(p, t).a;
}

static double rho_squared(const process *p, double t) {
    return pow(process_at(p, t).rho, 2);
}

static double b_squared(const process *p, double t) {
    return pow(process_at(p, t).b, 2);
}

/* `size` is that of the differenced function: its last digit, over h, is all a difference knows. */
static void check_slope(const char *what, double t, double given, double found, double size_by_h) {
    if (!(fabs(given - found) <= 1e-6 * fabs(found) + 4 * DBL_EPSILON * size_by_h))
        REFUTE("%s at t = %g: %.12g, by differences %.12g", what, t, given, found);
}

static void check_derivatives(const char *spec, const process *p) {
    for (int i = 1; i <= 40; i++) {
        double t = p->t_hi * (i == 40 ? 0.9995 : pow(i / 40.0, 2));
        double h = fmin(t, 1 - t) / 400; /* cosine and flow end in a singularity at 1 */
        if (p->nknots) {                 /* the middle of its segment */
            const double n = (double)(p->nknots - 1);
            t = (floor(t * n) + 0.5) / n;
            h = 0.02 / n;
        }
        const scalar_at at = process_at(p, t);
        char what[SPEC_SIZE + 16];
        snprintf(what, sizeof what, "%s: drift", spec);
        check_slope(what, t, at.drift, slope(log_a, p, t, h), fmax(1, fabs(log(at.a))) / h);
        snprintf(what, sizeof what, "%s: a'", spec);
        check_slope(what, t, at.da, slope(signal_of, p, t, h), at.a / h);
        snprintf(what, sizeof what, "%s: g^2", spec);
        const double growth = at.a * at.a * slope(rho_squared, p, t, h);
        check_slope(what, t, at.g2, growth, at.b * at.b / h);
        snprintf(what, sizeof what, "%s: b'", spec);
        check_slope(what, t, at.db, slope(b_squared, p, t, h) / (2 * at.b), at.b / h);
    }
}

static void test_derivatives(void **state) {
    (void)state;
    for_each_process(check_derivatives);
}

/* ---- small times ----------------------------------------------------------------------------- */

/* vp_linear: rho^2 = L + L^2/2 + ..., L = beta_min t + (beta_max - beta_min) t^2/2. */
static void test_small_times(void **state) {
    (void)state;
    process *p = make("vp_linear");
    for (double t = 1e-6; t > 2e-12; t /= 10) {
        const double L = t * (0.1 + 19.9 * t / 2), rho = sqrt(L * (1 + L / 2 + L * L / 6));
        const scalar_at at = process_at(p, t);
        near("rho", t, at.rho, rho, 1e-14);
        near("b", t, at.b, sqrt(L * (1 - L / 2 + L * L / 6)), 1e-14);
        near("time of rho", t, process_time_of_rho(p, rho), t, 1e-14);
    }
    process_free(p);
    /* down to alpha_bar = 1 at t = 0: 1 - alpha_bar = beta_0 N t */
    p = make("vp_discrete:interpolation=alpha_bar_prepended");
    for (double t = 1e-4; t > 2e-12; t /= 10) {
        const scalar_at at = process_at(p, t);
        near("b", t, at.b, sqrt(0.1 * t), 1e-14);
        near("rho", t, at.rho, sqrt(0.1 * t / (1 - 0.1 * t)), 1e-14);
        near("time of rho", t, process_time_of_rho(p, at.rho), t, 1e-13);
    }
    process_free(p);
}

/* ---- refusals -------------------------------------------------------------------------------- */

static void test_refusals(void **state) {
    (void)state;
    static const struct {
        const char *spec;
        dfl_status status;
        const char *message;
    } cases[] = {
        {"vp", DFL_E_KEY, "vp"},
        {"vp_linaer", DFL_E_KEY, "did you mean 'vp_linear'"},
        {"vp_linear:beta_min=-1", DFL_E_RANGE, "beta_min=-1"},
        {"vp_linear:beta_min=0,beta_max=0", DFL_E_RANGE, "adds no noise"},
        {"vp_linear:beta=1", DFL_E_KEY, "beta"},
        {"vp_discrete:trained_betas=[0.1]", DFL_E_COMBINATION, "1 entries"},
        {"vp_discrete:trained_betas=[0.1,0]", DFL_E_RANGE, "beta 1 is 0"},
        {"vp_discrete:trained_betas=[0.1,1]", DFL_E_RANGE, "beta 1 is 1"},
        {"vp_discrete:trained_betas=[0.1,-0.2,0.3]", DFL_E_RANGE, "beta 1 is -0.2"},
        {"vp_discrete:trained_betas=[0.1,0.2],num_train_timesteps=3", DFL_E_COMBINATION,
         "2 entries"},
        {"vp_discrete:num_train_timesteps=1", DFL_E_RANGE, "num_train_timesteps=1"},
        {"vp_discrete:beta_start=0.9,beta_end=0.9", DFL_E_RANGE, "underflows"},
        {"vp_discrete:beta_schedule=cosine", DFL_E_RANGE, "cosine"},
        {"vp_cosine:s=0", DFL_E_RANGE, "s=0"},
        {"vp_cosine:t_limit=1", DFL_E_RANGE, "t_limit=1"},
        {"vp_cosine:normalised=maybe", DFL_E_RANGE, "maybe"},
        {"sub_vp:beta_max=0", DFL_E_RANGE, "beta_max=0"},
        {"ve:sigma_min=0", DFL_E_RANGE, "sigma_min=0"},
        {"ve:sigma_min=1,sigma_max=1", DFL_E_COMBINATION, "sigma_max=1 must be above"},
        {"ve:sigma=3", DFL_E_KEY, "sigma"},
        {"edm:sigma_max=0.5", DFL_E_RANGE, "sigma_max=0.5"},
        {"flow:t_limit=0.9", DFL_E_KEY, "t_limit"},
    };
    for (size_t i = 0; i < LENGTH(cases); i++) {
        process *p;
        const dfl_status status = process_new(cases[i].spec, &p);
        if (status != cases[i].status)
            REFUTE("%s: status %d (%s)", cases[i].spec, status, dfl_last_message());
        assert_null(p);
        assert_message_has(cases[i].message);
    }
    process *p = make("vp_discrete");
    assert_int_equal(process_check_time(p, "t_end", 5e-4), DFL_E_RANGE);
    assert_message_has("t_end=0.0005");
    assert_int_equal(process_check_time(p, "t_end", 0), DFL_OK);
    assert_int_equal(process_check_time(p, "t_end", 1e-3), DFL_OK);
    assert_int_equal(process_check_time(p, "t_start", 1.0000001), DFL_E_RANGE);
    assert_int_equal(process_check_time(p, "t_start", NAN), DFL_E_RANGE);
    process_free(p);
    p = make("vp_cosine");
    assert_int_equal(process_check_time(p, "t_start", 0.995), DFL_E_RANGE);
    assert_message_has("0.9946");
    process_free(p);
}

/* A table that is given equals the schedule it was taken from, and steps of any size are allowed.
 */
static void test_trained_betas(void **state) {
    (void)state;
    process *given = make("vp_discrete:trained_betas=[0.0001,0.01005,0.02]");
    process *made = make("vp_discrete:num_train_timesteps=3");
    for (double t = 1.0 / 3; t <= 1; t += 1.0 / 12)
        near("rho", t, process_at(given, t).rho, process_at(made, t).rho, 1e-13);
    near("alpha_bar", 1, pow(process_at(given, 1).a, 2), 0.9999 * 0.98995 * 0.98, 1e-15);
    process_free(given);
    process_free(made);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vp_linear),     cmocka_unit_test(test_vp_discrete),
        cmocka_unit_test(test_table),         cmocka_unit_test(test_coefficients),
        cmocka_unit_test(test_vp_cosine),     cmocka_unit_test(test_cosine_step),
        cmocka_unit_test(test_formulas),      cmocka_unit_test(test_inverses),
        cmocka_unit_test(test_consistency),   cmocka_unit_test(test_derivatives),
        cmocka_unit_test(test_small_times),   cmocka_unit_test(test_trained_betas),
        cmocka_unit_test(test_refusals),      cmocka_unit_test(test_zero_snr),
        cmocka_unit_test(test_linear_pieces),
    };
    return cmocka_run_group_tests(tests, load_reference, free_reference);
}
