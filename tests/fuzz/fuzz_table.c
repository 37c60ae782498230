/* A table of coefficients, for networks of two kinds of prediction. */
#include "fuzz/fuzz.h"

#include "plan/table.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *const processes[] = {"vp_linear", "flow"};
    const char *path = fuzz_file(data, size);
    plan_table t;
    const dfl_status status = table_read(path, &t);
    fuzz_outcome(status, status == DFL_OK ? &t : NULL);
    for (int i = 0; i < 2 && status == DFL_OK; i++) {
        const plan_source to = {.process = processes[i],
                                .form = {.predicts = i ? PRED_FLOW : PRED_EPSILON, .scale = 1},
                                .t_min = 1e-3,
                                .t_max = 1};
        dfl_plan *plan = NULL;
        table_check check;
        FUZZ_CALL(table_plan(&t, &to, "a table", &check, &plan), plan);
        if (plan && i == 0) fuzz_run(plan, fuzz_model(FUZZ_SCALAR));
        dfl_plan_free(plan);
    }
    table_free(&t);
    return 0;
}
