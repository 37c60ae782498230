/* A model card, for a function of the caller's and for a process: read, printed, read back, and a
   plan made for it. */
#include "fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "model/model.h"

static int answer(void *user, const dfl_request *rq) {
    (void)user, (void)rq;
    return 0;
}

static dfl_status info(const void *model, char *buf, size_t cap, size_t *need) {
    return dfl_model_info(model, buf, cap, need);
}

static void print_and_read(const dfl_model *model) {
    text first = {0}, second = {0};
    card again;
    fuzz_check(card_print(&model->card, &first) == DFL_OK, "a card cannot be printed");
    fuzz_check(card_parse("again", first.data, first.len, &again) == DFL_OK,
               "a printed card is refused");
    fuzz_check(card_print(&again, &second) == DFL_OK && !strcmp(first.data, second.data),
               "a card changes when it is printed and read");
    card_free(&again);
    text_free(&first);
    text_free(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *json = fuzz_text(data, size);
    dfl_model *model = NULL;
    dfl_plan *plan = NULL;
    FUZZ_CALL(dfl_model_callback(json, answer, NULL, &model), model);
    if (model) {
        free(fuzz_fetch(info, model));
        print_and_read(model);
        FUZZ_CALL(dfl_plan_new(model, "solver=ddim steps=2", &plan), plan);
    }
    dfl_plan_free(plan);
    dfl_model_free(model);
    free(json);
    return 0;
}
