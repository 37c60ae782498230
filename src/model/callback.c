/* A denoiser that is a function of the caller's, or none: a card for runs whose loop the caller
   owns. */
#include "model/model.h"

#include <stdlib.h>
#include <string.h>

typedef struct {
    dfl_model base;
    dfl_denoise_fn fn;
    void *user;
} callback;

static int callback_eval(dfl_model *self, const dfl_request *rq) {
    const callback *const m = (const callback *)self;
    if (m->fn) return m->fn(m->user, rq);
    return fail(DFL_E_COMBINATION,
                "the model is a card without a function: it takes dfl_run_begin and dfl_run_next, "
                "and evaluations of your own");
}

dfl_status dfl_model_mixed_times(dfl_model *model, int mixed) {
    if (!model) return fail(DFL_E_ARG, "dfl_model_mixed_times: model is NULL");
    if (model->eval != callback_eval)
        return fail(DFL_E_COMBINATION,
                    "dfl_model_mixed_times: only a model made by dfl_model_callback can be told; "
                    "the others know by themselves");
    model->mixed_times = mixed != 0;
    return DFL_OK;
}

static void callback_describe(const dfl_model *self, text *out) {
    text_add(out, "\"kind\": \"%s\"", self->card_only ? "card" : "callback");
}

dfl_status model_function(dfl_denoise_fn fn, void *user, dfl_model **out) {
    callback *const m = mem_array(1, sizeof *m);
    *out = NULL;
    if (!m) return fail_memory();
    m->base = (dfl_model){.card.null_class = -1,
                          .eval = callback_eval,
                          .describe = callback_describe,
                          .mixed_times = true,
                          .calls = 1};
    m->fn = fn;
    m->user = user;
    *out = &m->base;
    return DFL_OK;
}

dfl_status dfl_model_callback(const char *json, dfl_denoise_fn fn, void *user, dfl_model **out) {
    if (!out)
        return fail(DFL_E_ARG, "dfl_model_callback: out is NULL; a place for the model is "
                               "needed");
    *out = NULL;
    if (!json)
        return fail(DFL_E_ARG, "dfl_model_callback: card is NULL; a card's JSON text is needed");
    dfl_model *made;
    TRY(model_function(fn, user, &made));
    const dfl_status status = card_parse("card", json, strlen(json), &made->card);
    if (status != DFL_OK) {
        dfl_model_free(made);
        return status;
    }
    made->mixed_times = false; /* until dfl_model_mixed_times */
    made->card_only = !fn;
    digest_bytes(json, strlen(json), made->identity);
    *out = made;
    return DFL_OK;
}
