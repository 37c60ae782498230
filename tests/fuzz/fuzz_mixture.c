/* A mixture file: read, described, and sampled from in two steps. */
#include "fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>

static dfl_status info(const void *model, char *buf, size_t cap, size_t *need) {
    return dfl_model_info(model, buf, cap, need);
}

static void sample(dfl_model *model) {
    enum { DIM_MAX = 64 };
    float out[2 * DIM_MAX];
    dfl_plan *plan = NULL;
    dfl_run *run = NULL;
    FUZZ_CALL(dfl_plan_new(model, "steps=2 t_start=0.9 t_end=0.1", &plan), plan);
    if (plan && dfl_model_dim(model) <= DIM_MAX) {
        FUZZ_CALL(dfl_run_new(plan, model, "batch=2", &run), run);
        if (run) (void)dfl_run_sample(run, 0, 2, NULL, NULL, out);
    }
    dfl_run_free(run);
    dfl_plan_free(plan);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char where[80];
    dfl_model *model = NULL;
    snprintf(where, sizeof where, "mixture:%s", fuzz_file(data, size));
    FUZZ_CALL(dfl_model_open(where, NULL, &model), model);
    if (model) {
        free(fuzz_fetch(info, model));
        sample(model);
    }
    dfl_model_free(model);
    return 0;
}
