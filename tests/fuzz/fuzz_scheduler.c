/* A scheduler's configuration as diffusers writes it: what is accepted must make a card that is
   accepted, and plans for it, by our own sampler and by the published one. */
#include "fuzz/fuzz.h"

#include <stdlib.h>

#include "model/diffusers.h"

static int answer(void *user, const dfl_request *rq) {
    (void)user, (void)rq;
    return 0;
}

static void use(const text *members, const text *clock) {
    static const char *const specs[] = {"solver=ddim steps=2", "steps=2 published=1"};
    text json = {0};
    dfl_model *model = NULL;
    text_add(&json, "{\"format\": \"driftless-model/1\", \"sample\": {\"shape\": [2]}%s",
             members->data);
    text_add(&json, ", \"time_map\": {%s, \"dtype\": \"float32\", \"rank\": 1}}", clock->data);
    FUZZ_CALL(dfl_model_callback(json.data, answer, NULL, &model), model);
    fuzz_check(model != NULL, "the card of an accepted scheduler is refused");
    for (size_t i = 0; i < sizeof specs / sizeof *specs; i++) {
        dfl_plan *plan = NULL;
        FUZZ_CALL(dfl_plan_new(model, specs[i], &plan), plan);
        dfl_plan_free(plan);
    }
    dfl_model_free(model);
    text_free(&json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    text members = {0}, clock = {0}, warnings = {0};
    const dfl_status status = scheduler_read(fuzz_file(data, size), &members, &clock, &warnings);
    fuzz_outcome(status, status == DFL_OK ? &members : NULL);
    if (status == DFL_OK) use(&members, &clock);
    text_free(&members);
    text_free(&clock);
    text_free(&warnings);
    return 0;
}
