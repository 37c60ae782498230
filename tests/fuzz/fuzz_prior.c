/* A file of a prior: what is accepted has densities, draws and images at other states. */
#include "fuzz/fuzz.h"

#include <math.h>
#include <stdlib.h>

#include "prior/prior.h"

static const char *const names[] = {"format",      "kind",    "state",     "labels", "shape",
                                    "gate",        "weights", "means",     "basis",  "center",
                                    "covariances", "factors", "variances", "rest"};

enum { DIM_MAX = 256 };

static void use(const prior *p) {
    const size_t d = prior_dim(p);
    double x[DIM_MAX], mean[DIM_MAX], logp;
    for (uint64_t i = 0; i < 3; i++) {
        fuzz_check(prior_draw(p, 1, i, x) == DFL_OK, "an accepted prior draws no sample");
        const dfl_status status = prior_logp(p, x, 1, &logp);
        fuzz_check(status == DFL_OK || status == DFL_E_NONFINITE, "no density, and no reason");
        fuzz_check(status != DFL_OK || !isnan(logp), "a density that is no number");
    }
    fuzz_check(prior_moments(p, mean, NULL) == DFL_OK, "an accepted prior has no mean");
    for (size_t j = 0; j < d; j++) fuzz_check(isfinite(mean[j]), "a mean that is not finite");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    prior *p = NULL, *there = NULL, *one = NULL;
    double a, b;
    const char *const path = fuzz_archive(data, size, names, sizeof names / sizeof names[0]);
    FUZZ_CALL(prior_read(path, &p), p);
    const dfl_status state = prior_read_state(path, &a, &b);
    fuzz_outcome(state, state == DFL_OK ? path : NULL);
    fuzz_check(!p || state == DFL_OK, "an accepted prior without a state");
    if (p && prior_dim(p) <= DIM_MAX && prior_components(p) <= DIM_MAX) {
        use(p);
        FUZZ_CALL(prior_at(p, 0.6, 0.8, &there), there);
        if (there) use(there);
        FUZZ_CALL(prior_only(p, prior_classes(p) - 1, &one), one);
    }
    prior_free(p);
    prior_free(there);
    prior_free(one);
    return 0;
}
