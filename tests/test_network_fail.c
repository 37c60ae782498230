/* Memory that runs out while a network is opened, described and run. The network runtime's own
   memory is not touched. Not among test_fail*, because the runtime is slow under valgrind. */
#include "support/refuse.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/base.h"

static char folder[64];

static dfl_status try_network(void) {
    dfl_model *model = NULL;
    dfl_plan *plan = NULL;
    dfl_run *run = NULL;
    char info[4000];
    float out[3 * 4];
    dfl_status status = dfl_model_open(folder, "threads=1,microbatch=2", &model);
    if (status == DFL_OK) status = dfl_model_info(model, info, sizeof info, NULL);
    if (status == DFL_OK) status = dfl_plan_new(model, "solver=ddim steps=2 grid=uniform", &plan);
    if (status == DFL_OK) status = dfl_run_new(plan, model, NULL, &run);
    if (status == DFL_OK) status = dfl_run_sample(run, 0, 3, NULL, NULL, out);
    dfl_run_free(run);
    dfl_plan_free(plan);
    dfl_model_free(model);
    return status;
}

static void test_memory(void **state) {
    (void)state;
    static const refuse_case attempt = {"network", try_network, 60};
    if (try_network() == DFL_E_RUNTIME) {
        print_message("skipped: %s\n", dfl_last_message());
        skip();
    }
    refuse_each(&attempt, 1);
}

static const char *in(const char *name) {
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static int prepare(void **state) {
    (void)state;
    static const char card[] =
        "{\"format\": \"driftless-model/1\", \"process\": \"vp_linear\", \"prediction_type\": "
        "\"epsilon\", \"t_min\": 0.001, \"t_max\": 1, \"time_map\": {\"type\": \"linear\", "
        "\"scale\": 1000}, \"sample\": {\"shape\": [1, 2, 2]}, \"classes\": {\"count\": 10, "
        "\"null\": 10}, \"network\": {\"file\": \"net.onnx\"}}";
    char *data;
    size_t size;
    /* Else TBB binds a library in a way that the address sanitizer refuses. */
    setenv("TBB_ENABLE_SANITIZERS", "1", 0);
    refuse_begin();
    snprintf(folder, sizeof folder, "/tmp/driftless-test-XXXXXX");
    if (!mkdtemp(folder)) return -1;
    assert_ok(file_save(in("model.json"), card, sizeof card - 1));
    assert_ok(file_read(DFL_TEST_DATA "/networks/linear.onnx", 1 << 20, &data, &size));
    assert_ok(file_save(in("net.onnx"), data, size));
    free(data);
    return 0;
}

static int clean_up(void **state) {
    (void)state;
    unlink(in("net.onnx"));
    unlink(in("model.json"));
    return rmdir(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_memory)};
    return cmocka_run_group_tests_name("network_fail", tests, prepare, clean_up);
}
