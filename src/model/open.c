/* Opening, describing and freeing models of any kind. */
#include "model/model.h"

#include <stdlib.h>
#include <string.h>

const opt_row model_options[] = {
    {"threads", OPT_INT, "0", 0, 1024, NULL, "CPU threads of the network; 0: all"},
    {"precision", OPT_CHOICE, "f32", 0, 0, "f32|bf16|f16", "arithmetic of the network"},
    {"microbatch", OPT_INT, "16", 1, 4096, NULL,
     "samples per network call; every call is padded to it"},
    {"cache", OPT_TEXT, NULL, 0, 0, NULL, "folder for compiled networks (made if missing)"},
    {NULL, OPT_INT, NULL, 0, 0, NULL, NULL}};

static dfl_status open_graph(card *c, const opts *o, dfl_model **out) {
    char hex[DIGEST_HEX];
    if (*c->sha256) {
        dfl_status status = digest_file(c->network_file, hex);
        if (status == DFL_OK && strcmp(hex, c->sha256) != 0)
            status = fail(DFL_E_MODEL,
                          "%s: the sha256 is %s, but the card says %s; the file was changed or "
                          "damaged",
                          c->network_file, hex, c->sha256);
        if (status != DFL_OK) {
            card_free(c);
            return status;
        }
    }
    return model_openvino(c, o, out);
}

/* The other networks of a folder are opened when they are asked for, with the options of the first. */
static dfl_status open_part(const dfl_model *self, dfl_status (*read)(const char *, card *),
                            dfl_model **out) {
    card c;
    opts o;
    *out = NULL;
    TRY(opts_parse("model", model_options, self->options, &o));
    dfl_status status = read(self->card.folder, &c);
    if (status == DFL_OK) status = open_graph(&c, &o, out);
    opts_free(&o);
    return status;
}

static dfl_status folder_classifier(dfl_model *self, dfl_model **out) {
    return open_part(self, card_read_classifier, out);
}

static dfl_status folder_jvp(dfl_model *self, dfl_model **out) {
    return open_part(self, card_read_jvp, out);
}

static dfl_status open_folder(const char *where, const char *options, const opts *o,
                              dfl_model **out) {
    card c;
    TRY(card_read(where, &c));
    TRY(open_graph(&c, o, out));
    dfl_model *const m = *out;
    if (m->card.classifier) m->classifier = folder_classifier;
    if (m->card.jvp) m->jvp = folder_jvp;
    if ((m->options = text_copy(options))) return DFL_OK;
    dfl_model_free(m);
    *out = NULL;
    return fail_memory();
}

dfl_status dfl_model_open(const char *where, const char *options, dfl_model **out) {
    static const char mixture[] = "mixture:";
    opts o;
    if (!out)
        return fail(DFL_E_ARG, "dfl_model_open: out is NULL; a place for the model is needed");
    *out = NULL;
    if (!where || !*where)
        return fail(DFL_E_ARG, "dfl_model_open: where is empty; a model folder or "
                               "mixture:FILE.json is needed");
    if (!options) options = "";
    TRY(opts_parse("model", model_options, options, &o));
    const bool analytic = strncmp(where, mixture, sizeof mixture - 1) == 0;
    const dfl_status status = analytic ? model_mixture(where + sizeof mixture - 1, out)
                                       : open_folder(where, options, &o, out);
    opts_free(&o);
    return status;
}

void dfl_model_free(dfl_model *model) {
    if (!model) return;
    if (model->free) model->free(model);
    card_free(&model->card);
    free(model->options);
    free(model);
}

dfl_status dfl_model_info(const dfl_model *model, char *buf, size_t cap, size_t *need) {
    text out = {0};
    if (!model || (!buf && cap > 0))
        return fail(DFL_E_ARG, "dfl_model_info: %s is NULL", model ? "buf" : "model");
    const dfl_status status = card_print(&model->card, &out);
    if (status != DFL_OK) {
        text_free(&out);
        return status;
    }
    out.data[--out.len] = '\0'; /* the card's closing brace: more members follow */
    text_add(&out, ", \"calls\": %d, \"runtime\": {", model->calls);
    if (model->describe) model->describe(model, &out);
    text_add(&out, "}}");
    return text_result(&out, buf, cap, need);
}

size_t dfl_model_dim(const dfl_model *model) {
    return model ? card_dim(&model->card) : 0;
}

int dfl_model_calls(const dfl_model *model) {
    return model ? model->calls : 0;
}

dfl_status model_digest(const dfl_model *model, char hex[DIGEST_HEX]) {
    const card *c = &model->card;
    memcpy(hex, *model->identity ? model->identity : c->sha256, DIGEST_HEX);
    return *hex || !c->network_file ? DFL_OK : digest_file(c->network_file, hex);
}

dfl_status model_identify(const dfl_model *model, char hex[DIGEST_HEX]) {
    TRY(model_digest(model, hex));
    const bool guided = model->guided && model->guidance != 1;
    if (!*hex || (!guided && model->classifier_guidance == 0)) return DFL_OK;
    text both = {0};
    text_add(&both, "%s", hex);
    if (guided) {
        text_add(&both, " guidance ");
        text_real(&both, model->guidance);
    }
    if (model->classifier_guidance != 0) {
        text_add(&both, " classifier %s guidance ", model->classifier_identity);
        text_real(&both, model->classifier_guidance);
    }
    if (!both.failed) digest_bytes(both.data, both.len, hex);
    const dfl_status status = both.failed ? fail_memory() : DFL_OK;
    text_free(&both);
    return status;
}

dfl_status model_card_digest(const dfl_model *model, char hex[DIGEST_HEX]) {
    card bare = model->card; /* borrows all of it */
    text printed = {0};
    bare.name = bare.license = bare.data = bare.training = NULL;
    bare.sampler = bare.sampler_differs = NULL;
    bare.class_names = NULL;
    bare.classifier = NULL;
    const dfl_status status = card_print(&bare, &printed);
    if (status == DFL_OK) digest_bytes(printed.data, printed.len, hex);
    text_free(&printed);
    return status;
}

/* Whether a request that was made for one card can be put to a model with another. */
static dfl_status check_request(const card *c, const dfl_request *rq) {
    const size_t dim = card_dim(c), components = (size_t)rq->components;
    if (rq->input_dim != dim * components)
        return fail(DFL_E_COMBINATION,
                    "dfl_model_answer: the request has %zu numbers per sample, the model takes %zu",
                    rq->input_dim / components, dim);
    if (!rq->labels != !c->classes)
        return fail(DFL_E_COMBINATION,
                    rq->labels ? "dfl_model_answer: the request has labels, the model no classes"
                               : "dfl_model_answer: the model has classes, the request no labels");
    return card_check_labels(c, rq->labels, rq->count);
}

dfl_status dfl_model_answer(dfl_model *model, const dfl_request *request) {
    if (!model || !request)
        return fail(DFL_E_ARG, "dfl_model_answer: %s is NULL", model ? "request" : "model");
    TRY(check_request(&model->card, request));
    if (request->each && !model->mixed_times)
        return fail(DFL_E_COMBINATION,
                    "dfl_model_answer: the samples of the request stand at different times, and "
                    "the model takes one time for all");
    return model->eval(model, request);
}
