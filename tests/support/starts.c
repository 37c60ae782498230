/* Files and models for the tests of starts. */
#include "support/starts.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "io/io.h"

const double mixture_weights[] = {0.5, 0.3, 0.2};
const double mixture_means[] = {1.2, -0.4, -0.9, 0.8, 0.1, -1.5};
const double mixture_covs[] = {0.0625, 0, 0, 0.16, 0.09, 0, 0, 0.04, 0.0225, 0, 0, 0.1225};
const double mixture_mean[] = {0.35, -0.26};
const double mixture_cov[] = {0.90525, -0.395, -0.395, 0.7709};

dfl_model *mixture_model(void) {
    dfl_model *model;
    assert_ok(dfl_model_open("mixture:" DFL_TEST_DATA "/mixture2d.json", NULL, &model));
    return model;
}

void assert_near(double x, double y, double within) {
    if (!(fabs(x - y) <= within)) REFUTE("%.17g is not %.17g within %g", x, y, within);
}

scalar_at vp_at(double t) {
    process *p;
    assert_ok(process_new("vp_linear", &p));
    const scalar_at at = process_at(p, t);
    process_free(p);
    return at;
}

static array reals(int rank, size_t n, size_t m, size_t l, const double *x) {
    return (array){ARRAY_F64, rank, {n, m, l}, (void *)x};
}

const char *write_prior(const char *name, const prior_text *p) {
    static const char format[] = "driftless-prior/1";
    const char *const path = in_folder(name);
    named_array a[8] = {
        {"format", {ARRAY_U8, 1, {sizeof format - 1}, (void *)format}},
        {"kind", {ARRAY_U8, 1, {strlen(p->kind)}, (void *)p->kind}},
        {"state", reals(1, 2, 0, 0, p->state)},
        {"weights", reals(1, p->k, 0, 0, p->weights)},
        {"means", reals(2, p->k, p->d, 0, p->means)},
        {"covariances", reals(3, p->k, p->d, p->d, p->covs)},
    };
    int n = 6;
    if (p->labels) a[n++] = (named_array){"labels", {ARRAY_I64, 1, {p->k}, (void *)p->labels}};
    if (p->gate) a[n++] = (named_array){"gate", reals(2, 1, 4, 0, p->gate)};
    assert_ok(npz_write(path, a, n));
    return path;
}

const char *exact_prior(void) {
    return write_prior("mixture.npz", &(prior_text){.kind = "full",
                                                    .k = 3,
                                                    .d = 2,
                                                    .weights = mixture_weights,
                                                    .means = mixture_means,
                                                    .covs = mixture_covs,
                                                    .state = {1, 0}});
}

const char *gauss_prior(void) {
    static const double one[] = {1};
    return write_prior("gauss.npz", &(prior_text){.kind = "gauss",
                                                  .k = 1,
                                                  .d = 2,
                                                  .weights = one,
                                                  .means = mixture_mean,
                                                  .covs = mixture_cov,
                                                  .state = {1, 0}});
}

const char *write_moments(const char *name, size_t d, const double *mu, const double *sigma) {
    const char *const path = in_folder(name);
    const named_array a[] = {{"mu", reals(1, d, 0, 0, mu)}, {"sigma", reals(2, d, d, 0, sigma)}};
    assert_ok(npz_write(path, a, 2));
    return path;
}

/* "seed=0,KEY='PATH'MORE" */
const char *option(const char *key, const char *path, const char *more) {
    static char texts[4][PATH + 128];
    static int next;
    char *const t = texts[next++ % 4];
    snprintf(t, sizeof texts[0], "seed=0,dtype=float64,%s='%s'%s", key, path, more);
    return t;
}
