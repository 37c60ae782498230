/* A file of times. */
#include "fuzz/fuzz.h"

#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char spec[160];
    dfl_plan *plan = NULL;
    snprintf(spec, sizeof spec, "solver=ddim grid=file:path='%s'", fuzz_file(data, size));
    FUZZ_CALL(dfl_plan_new(fuzz_model(FUZZ_SCALAR), spec, &plan), plan);
    if (plan) fuzz_run(plan, fuzz_model(FUZZ_SCALAR));
    dfl_plan_free(plan);
    return 0;
}
