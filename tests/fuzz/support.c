/* Shared by the fuzz targets; see fuzz.h. */
#include "fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "plan/plan.h"

void fuzz_check(bool good, const char *sentence) {
    if (good) return;
    fprintf(stderr, "fuzz: %s (last message: %s)\n", sentence, dfl_last_message());
    abort();
}

void fuzz_outcome(dfl_status status, const void *result) {
    fuzz_check((status == DFL_OK) == (result != NULL), "status and result disagree");
    if (status == DFL_OK) return;
    fuzz_check(strcmp(dfl_status_name(status), "DFL_E_INTERNAL") != 0, "a mistake of ours");
    fuzz_check(*dfl_last_message() != 0, "a failure without a sentence");
    /* No target needs much memory, so a lack of it is another error under a wrong name. */
    fuzz_check(status != DFL_E_MEMORY, "out of memory on a small input");
}

char *fuzz_text(const uint8_t *data, size_t size) {
    char *copy = malloc(size + 1);
    fuzz_check(copy != NULL, "no memory");
    if (size > 0) memcpy(copy, data, size);
    copy[size] = 0;
    return copy;
}

const char *fuzz_file(const uint8_t *data, size_t size) {
    static char path[64];
    static int fd = -1;
    if (fd < 0) {
        fd = memfd_create("fuzz", MFD_CLOEXEC);
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    }
    fuzz_check(fd >= 0 && ftruncate(fd, 0) == 0, "no file in memory");
    fuzz_check(pwrite(fd, data, size, 0) == (ssize_t)size, "the file cannot be written");
    return path;
}

char *fuzz_fetch(fuzz_getter get, const void *object) {
    size_t need = 0, again = 0;
    fuzz_check(get(object, NULL, 0, &need) == DFL_OK, "a length is refused");
    char *buf = malloc(need + 1);
    fuzz_check(buf != NULL, "no memory");
    fuzz_check(get(object, buf, need + 1, &again) == DFL_OK, "a text is refused");
    fuzz_check(need == again && strlen(buf) == need, "a text has another length than it said");
    return buf;
}

static dfl_status plan_json(const void *plan, char *buf, size_t cap, size_t *need) {
    return dfl_plan_to_json(plan, buf, cap, need);
}

char *fuzz_plan_json(const dfl_plan *plan) {
    return fuzz_fetch(plan_json, plan);
}

/* ---- models and runs ------------------------------------------------------------------------- */

static int halve(void *user, const dfl_request *rq) {
    (void)user;
    const size_t in = dfl_request_input_dim(rq), out = dfl_request_output_dim(rq);
    const float *x = dfl_request_input(rq);
    float *y = dfl_request_output(rq);
    for (size_t i = 0; i < dfl_request_count(rq); i++)
        for (size_t k = 0; k < out; k++) y[i * out + k] = x[i * in + k % in] / 2;
    return 0;
}

dfl_model *fuzz_model(int which) {
    static dfl_model *models[FUZZ_MODELS];
    static const char *const more[FUZZ_MODELS] = {
        "\"process\": \"vp_linear\"",
        "\"process\": \"psld\", \"state_components\": 2",
        "\"process\": \"psld\", \"state_components\": 2, \"output_half\": \"m\"",
    };
    char card[400];
    if (models[which]) return models[which];
    snprintf(card, sizeof card,
             "{\"format\": \"driftless-model/1\", \"prediction_type\": \"epsilon\", \"sample\": "
             "{\"shape\": [%d]}, %s}",
             FUZZ_DIM, more[which]);
    fuzz_check(dfl_model_callback(card, halve, NULL, &models[which]) == DFL_OK, "no model");
    return models[which];
}

void fuzz_run(const dfl_plan *plan, dfl_model *model) {
    enum { ROWS = 4000, SAMPLES = 2, KERNEL = 16 };
    static const float tensor[2 * FUZZ_DIM] = {0.5f, -1, 2, 0};
    float out[SAMPLES * FUZZ_DIM];
    dfl_run *run = NULL;
    if (plan->code.nrows > ROWS) return;
    for (size_t i = 0; i < plan->code.nkernels; i++)
        if (plan->code.kernels[i].K > KERNEL) return;
    const dfl_status made = dfl_run_new(plan, model, "seed=1,batch=2", &run);
    fuzz_outcome(made, run);
    for (size_t i = 0; run && i < plan->code.nnames; i++)
        dfl_run_given(run, plan->code.names[i], tensor);
    if (run) {
        const dfl_status drawn = dfl_run_sample(run, 3, SAMPLES, NULL, NULL, out);
        fuzz_outcome(drawn, drawn == DFL_OK ? run : NULL);
    }
    dfl_run_free(run);
}
