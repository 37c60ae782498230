/* A plan file: read, verified, shown, written and read back, and run if a model fits it. */
#include "fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

static dfl_status table(const void *plan, char *buf, size_t cap, size_t *need) {
    return dfl_plan_to_text(plan, buf, cap, need);
}

static dfl_status warnings(const void *plan, char *buf, size_t cap, size_t *need) {
    return dfl_plan_warnings(plan, buf, cap, need);
}

static void write_and_read(const dfl_plan *plan) {
    char *first = fuzz_plan_json(plan);
    dfl_plan *again = NULL;
    fuzz_check(dfl_plan_from_json(first, strlen(first), &again) == DFL_OK,
               "a written plan is refused");
    char *second = fuzz_plan_json(again);
    fuzz_check(strcmp(first, second) == 0, "a plan changes when it is written and read");
    free(first);
    free(second);
    dfl_plan_free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    dfl_plan *plan = NULL;
    FUZZ_CALL(dfl_plan_from_json((const char *)data, size, &plan), plan);
    if (plan) {
        free(fuzz_fetch(table, plan));
        free(fuzz_fetch(warnings, plan));
        write_and_read(plan);
        for (int i = 0; i < FUZZ_MODELS; i++) fuzz_run(plan, fuzz_model(i));
    }
    dfl_plan_free(plan);
    return 0;
}
