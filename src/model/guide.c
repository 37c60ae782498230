/* Classifier-free guidance on raw outputs, y = y_null + w (y_class - y_null). The weights of the
   two outputs sum to 1, so guiding any prediction type is guiding the noise prediction (Ho and
   Salimans, arXiv 2207.12598, whose w is ours minus 1). */
#include "model/model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    dfl_model base; /* its card is the inner model's; both read it, this one frees it */
    dfl_model *inner;
    double scale;
    void *null_output; /* grown by the first evaluations, then kept */
    size_t output_bytes;
    int64_t *null_labels;
    size_t label_count;
} guide;

/* Room for one more output and a row of null labels. */
static dfl_status reserve(guide *m, const dfl_request *rq) {
    const size_t size = rq->dtype == DFL_FLOAT64 ? sizeof(double) : sizeof(float);
    const size_t bytes = mem_product(rq->count, rq->output_dim, size);
    void *labels = m->null_labels;
    const size_t had = m->label_count;
    if (!mem_grow(&m->null_output, &m->output_bytes, bytes, 1)) return fail_memory();
    if (!mem_grow(&labels, &m->label_count, rq->count, sizeof *m->null_labels))
        return fail_memory();
    m->null_labels = labels;
    for (size_t i = had; i < m->label_count; i++) m->null_labels[i] = m->base.card.null_class;
    return DFL_OK;
}

static void combine(const guide *m, const dfl_request *rq) {
    const size_t n = rq->count * rq->output_dim;
    const double w = m->scale;
    if (rq->dtype == DFL_FLOAT64) {
        double *y = rq->output;
        const double *null = m->null_output;
        for (size_t i = 0; i < n; i++) y[i] = null[i] + w * (y[i] - null[i]);
        return;
    }
    float *y = rq->output;
    const float *null = m->null_output;
    for (size_t i = 0; i < n; i++)
        y[i] = (float)((double)null[i] + w * ((double)y[i] - (double)null[i]));
}

static int guide_eval(dfl_model *self, const dfl_request *rq) {
    guide *const m = (guide *)self;
    if (m->scale == 1) return m->inner->eval(m->inner, rq);
    TRY(reserve(m, rq));
    dfl_request null = *rq;
    null.labels = m->null_labels;
    if (m->scale == 0) return m->inner->eval(m->inner, &null);
    null.output = m->null_output;
    int code = m->inner->eval(m->inner, &null);
    if (code == 0) code = m->inner->eval(m->inner, rq);
    if (code == 0) combine(m, rq);
    return code;
}

static void guide_free(dfl_model *self) {
    guide *const m = (guide *)self;
    m->inner->card = (card){.null_class = -1}; /* the outer model still has it, and frees it */
    dfl_model_free(m->inner);
    free(m->null_output);
    free(m->null_labels);
}

static void guide_describe(const dfl_model *self, text *out) {
    const guide *const m = (const guide *)self;
    text_add(out, "\"guidance\": ");
    text_real(out, m->scale);
    if (!m->inner->describe) return;
    text_add(out, ", ");
    m->inner->describe(m->inner, out);
}

static dfl_status guide_classifier(dfl_model *self, dfl_model **out) {
    dfl_model *const inner = ((guide *)self)->inner;
    return inner->classifier(inner, out);
}

static dfl_status guide_check(const dfl_model *inner, double scale) {
    if (!isfinite(scale))
        return fail(DFL_E_RANGE, "guidance scale %g: a finite number is needed", scale);
    if (inner->classifier_guidance != 0)
        return fail(DFL_E_COMBINATION, "guidance goes inside classifier guidance, not around it: "
                                       "dfl_model_guide first, dfl_model_guide_classifier then");
    if (inner->card.null_class < 0)
        return fail(DFL_E_COMBINATION,
                    "guidance needs a model with a null class (\"classes\": {\"null\": ...}); the "
                    "card of '%s' has none",
                    inner->card.name ? inner->card.name : "the model");
    if (inner->card_only)
        return fail(DFL_E_COMBINATION,
                    "guidance evaluates its model twice, but this model is a card without a "
                    "function; evaluate both classes where you answer its requests");
    return DFL_OK;
}

dfl_status dfl_model_guide(dfl_model *inner, double scale, dfl_model **out) {
    guide *m = NULL;
    dfl_status status;
    if (out) *out = NULL;
    if (!inner || !out) {
        dfl_model_free(inner);
        return fail(DFL_E_ARG,
                    "dfl_model_guide: %s is NULL; a model and a place for the result "
                    "are needed",
                    inner ? "out" : "inner");
    }
    TRY_GOTO(guide_check(inner, scale), failed);
    m = mem_array(1, sizeof *m);
    if (!m) {
        status = fail_memory();
        goto failed;
    }
    m->base = (dfl_model){.card = inner->card,
                          .eval = guide_eval,
                          .free = guide_free,
                          .describe = guide_describe,
                          .calls = scale == 0 || scale == 1 ? inner->calls : 2 * inner->calls,
                          .mixed_times = inner->mixed_times,
                          .guided = true,
                          .guidance = scale,
                          .classifier = inner->classifier ? guide_classifier : NULL};
    memcpy(m->base.identity, inner->identity, sizeof m->base.identity);
    m->inner = inner;
    m->scale = scale;
    *out = &m->base;
    return DFL_OK;
failed:
    dfl_model_free(inner);
    return status;
}
