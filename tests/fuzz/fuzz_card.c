/* A model card, for a function of the caller's and for a folder: read, printed, read back, and a plan
   made for it. */
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

/* As the card of a folder, whose network is a file "n". */
static void read_folder(const uint8_t *data, size_t size) {
    card c;
    fuzz_put("n", "", 0);
    fuzz_put("model.json", data, size);
    const dfl_status status = card_read(fuzz_folder(), &c);
    fuzz_outcome(status, status == DFL_OK ? &c : NULL);
    if (status == DFL_OK) {
        fuzz_print_card(&c);
        card_free(&c);
    }
    fuzz_drop("model.json");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *json = fuzz_text(data, size);
    dfl_model *model = NULL;
    dfl_plan *plan = NULL;
    FUZZ_CALL(dfl_model_callback(json, answer, NULL, &model), model);
    if (model) {
        free(fuzz_fetch(info, model));
        fuzz_print_card(&model->card);
        FUZZ_CALL(dfl_plan_new(model, "solver=ddim steps=2", &plan), plan);
    }
    if (strstr(json, "network")) read_folder(data, size);
    dfl_plan_free(plan);
    dfl_model_free(model);
    free(json);
    return 0;
}
