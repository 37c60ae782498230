/* A file of statistics: as `stats merge` reads it, and as solver deis_sn does. */
#include "fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>

#include "study/sums.h"

/* What is read adds to nothing of its own samples, and is written. */
static void merge(const char *path) {
    stats_sums sums = {0}, again = {0};
    if (stats_read(path, &sums) != DFL_OK) return;
    fuzz_check(stats_read(path, &again) == DFL_OK, "the second reading fails");
    fuzz_check(stats_add(&sums, &again, path) == DFL_E_COMBINATION, "samples count twice");
    const dfl_status status = stats_write(&sums, "/dev/null");
    fuzz_check(status == DFL_OK || status == DFL_E_NONFINITE, "what was read is not written");
    stats_sums_free(&sums);
    stats_sums_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char spec[160];
    dfl_plan *plan = NULL;
    const char *const path = fuzz_file(data, size);
    merge(path);
    snprintf(spec, sizeof spec, "solver=deis_sn:stats='%s',force=1 steps=3", path);
    FUZZ_CALL(dfl_plan_new(fuzz_model(FUZZ_SCALAR), spec, &plan), plan);
    if (plan) fuzz_run(plan, fuzz_model(FUZZ_SCALAR));
    dfl_plan_free(plan);
    return 0;
}
