/* A store of tuned values: looked up for several solvers, and the spec it gives compiled. */
#include "fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

static const struct {
    int model;
    const char *spec;
} wishes[] = {
    {FUZZ_SCALAR, "grid=auto nfe=10"},
    {FUZZ_SCALAR, "solver=ddim grid=auto steps=4 t_end=0.01"},
    {FUZZ_SCALAR, "solver=conjugate:type=2,lambda=auto nfe=6"},
    {FUZZ_BOTH, "solver=conjugate_splitting:lambda=auto grid=auto nfe=6"},
};

static void look_up(dfl_model *model, const char *path, const char *wish) {
    enum { SPEC = 4000 };
    char spec[SPEC], note[200];
    size_t need = 0;
    dfl_plan *plan = NULL;
    const dfl_status status =
        dfl_tuned_spec(model, path, wish, spec, sizeof spec, &need, note, sizeof note);
    fuzz_outcome(status, status == DFL_OK ? spec : NULL);
    if (status != DFL_OK || need >= SPEC) return;
    /* a grid in a store may name a file, and this one may be anything */
    if (strstr(spec, "file")) return;
    FUZZ_CALL(dfl_plan_new(model, spec, &plan), plan);
    dfl_plan_free(plan);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const char *const path = fuzz_file(data, size);
    for (size_t i = 0; i < sizeof wishes / sizeof wishes[0]; i++)
        look_up(fuzz_model(wishes[i].model), path, wishes[i].spec);
    return 0;
}
