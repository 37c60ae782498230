/* Classifier guidance (Dhariwal and Nichol, arXiv 2105.05233, algorithm 2): the score of the input
 * u = a x_0 + B n gets scale times g = grad_u log p(label | u), added to the raw output.
 *
 * The score is -B^-T E[n|u] and u = a E[x_0|u] + B E[n|u] stays, so the guided means differ by
 *     dn = -scale B^T g,      dx_0 = -a.(B dn)/|a|^2,
 * and an output y = cx x_0 + cn n by cx dx_0 + cn dn. One component, predicting noise: -scale b g, the
 * paper's. With the gradient of the model's own classifier and scale 1, guiding the model without a
 * class gives the model of the class (Bayes). */
#include "model/model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    dfl_model base; /* its card is the inner model's; both read it, this one frees it */
    dfl_model *inner, *gradient;
    double scale;
    void *answer; /* [count][input_dim], grown by the first evaluations, then kept */
    size_t answer_bytes;
    int64_t *labels; /* [count]: the request's, with 0 where there is none */
    size_t label_count;
} guide;

/* ---- one evaluation -------------------------------------------------------------------------- */

static dfl_status reserve(guide *m, const dfl_request *rq) {
    const size_t size = rq->dtype == DFL_FLOAT64 ? sizeof(double) : sizeof(float);
    void *labels = m->labels;
    if (!mem_grow(&m->answer, &m->answer_bytes, mem_product(rq->count, rq->input_dim, size), 1))
        return fail_memory();
    if (!mem_grow(&labels, &m->label_count, rq->count, sizeof *m->labels)) return fail_memory();
    m->labels = labels;
    return DFL_OK;
}

/* Whether sample i is to be guided: where there are classes, it must have one. */
static bool has_class(const guide *m, const dfl_request *rq, size_t i) {
    const card *c = &m->base.card;
    return c->classes == 0 || (rq->labels && rq->labels[i] >= 0 && rq->labels[i] != c->null_class);
}

/* weight[i][k]: what the gradient's component k adds to the output's component i. */
static dfl_status weigh(const guide *m, const dfl_request *rq, double weight[2][2]) {
    const double *a = rq->at.a, *b = rq->at.b;
    const int n = rq->components;
    const double square = a[0] * a[0] + (n == 2 ? a[1] * a[1] : 0);
    for (int k = 0; k < n; k++) {
        double dn[2] = {0}, dx = 0;
        for (int j = 0; j < n; j++) dn[j] = -m->scale * b[k * n + j];
        for (int i = 0; i < n; i++)
            for (int j = 0; j < n; j++) dx -= a[i] * b[i * n + j] * dn[j] / square;
        for (int i = 0; i < rq->output_components; i++) {
            const double cx = rq->gives.cx[i], *cn = rq->gives.cn + i * n;
            weight[i][k] = cx == 0 ? 0 : cx * dx;
            for (int j = 0; j < n; j++) weight[i][k] += cn[j] * dn[j];
            if (!isfinite(weight[i][k]))
                return fail(DFL_E_COMBINATION,
                            "classifier guidance at t=%g: no signal is left there, so a gradient "
                            "says nothing about the sample; t_start below it is needed",
                            rq->t);
        }
    }
    return DFL_OK;
}

static void correct(const guide *m, const dfl_request *rq, size_t sample, double weight[2][2]) {
    const size_t half = rq->input_dim / (size_t)rq->components;
    const size_t in = sample * rq->input_dim, out = sample * rq->output_dim;
    for (size_t i = 0; i < (size_t)rq->output_components; i++) {
        for (size_t d = 0; d < half; d++) {
            const size_t at = out + i * half + d;
            double y = request_number(rq, rq->output, at);
            for (size_t k = 0; k < (size_t)rq->components; k++)
                y += weight[i][k] * request_number(rq, m->answer, in + k * half + d);
            request_set_number(rq, rq->output, at, y);
        }
    }
}

static int guide_eval(dfl_model *self, const dfl_request *rq) {
    guide *const m = (guide *)self;
    if (m->scale == 0) return m->inner->eval(m->inner, rq);
    TRY(reserve(m, rq));
    dfl_request ask = *rq;
    ask.output = m->answer;
    ask.output_dim = rq->input_dim;
    ask.output_components = rq->components;
    bool any = false;
    for (size_t i = 0; i < rq->count; i++) {
        const bool has = has_class(m, rq, i);
        m->labels[i] = rq->labels && has ? rq->labels[i] : 0;
        any = any || has;
    }
    ask.labels = rq->labels ? m->labels : NULL;
    int code = m->inner->eval(m->inner, rq);
    if (code == 0 && any) code = m->gradient->eval(m->gradient, &ask);
    for (size_t i = 0; code == 0 && i < rq->count; i++) {
        const dfl_request own = request_of(rq, i);
        double weight[2][2];
        if (!has_class(m, rq, i)) continue;
        code = weigh(m, &own, weight);
        if (code == 0) correct(m, rq, i, weight);
    }
    return code;
}

/* ---- the model ------------------------------------------------------------------------------- */

static void guide_free(dfl_model *self) {
    guide *const m = (guide *)self;
    dfl_model_free(m->gradient);
    m->inner->card = (card){.null_class = -1}; /* the outer model still has it, and frees it */
    dfl_model_free(m->inner);
    free(m->answer);
    free(m->labels);
}

static void guide_describe(const dfl_model *self, text *out) {
    const guide *const m = (const guide *)self;
    text_add(out, "\"classifier_guidance\": ");
    text_real(out, m->scale);
    if (!m->inner->describe) return;
    text_add(out, ", ");
    m->inner->describe(m->inner, out);
}

static dfl_status check(const dfl_model *inner, double scale, bool own) {
    if (!isfinite(scale))
        return fail(DFL_E_RANGE, "classifier guidance scale %g: a finite number is needed", scale);
    if (inner->classifier_guidance != 0)
        return fail(DFL_E_COMBINATION, "the model is guided by a classifier already");
    if (inner->card_only)
        return fail(DFL_E_COMBINATION,
                    "classifier guidance needs a model that can be evaluated; a card alone "
                    "cannot");
    if (own || inner->classifier) return DFL_OK;
    return fail(DFL_E_COMBINATION,
                "classifier guidance needs a classifier: a folder whose card names one "
                "(\"classifier\": {\"file\": ...}), a mixture with labels, or a function; '%s' has "
                "none",
                inner->card.name ? inner->card.name : "the model");
}

/* A network without classes gets those of its classifier. */
static void take_classes(card *c) {
    if (c->classes > 0 || !c->classifier) return;
    c->classes = c->classifier->classes;
    c->class_names = c->classifier->class_names;
    c->classifier->class_names = NULL;
}

/* Wraps; `gradient` is taken over, `inner` too unless this fails. */
static dfl_status wrap(dfl_model *inner, dfl_model *gradient, double scale, dfl_model **out) {
    guide *const m = mem_array(1, sizeof *m);
    if (!m) {
        dfl_model_free(gradient);
        return fail_memory();
    }
    m->base = (dfl_model){.card = inner->card,
                          .eval = guide_eval,
                          .free = guide_free,
                          .describe = guide_describe,
                          .calls = inner->calls + (scale != 0),
                          .mixed_times = inner->mixed_times && gradient->mixed_times,
                          .guided = inner->guided,
                          .guidance = inner->guidance,
                          .classifier_guidance = scale};
    memcpy(m->base.identity, inner->identity, sizeof m->base.identity);
    m->inner = inner;
    m->gradient = gradient;
    m->scale = scale;
    take_classes(&m->base.card);
    *out = &m->base;
    return DFL_OK;
}

dfl_status dfl_model_guide_classifier(dfl_model *inner, double scale, dfl_denoise_fn gradient,
                                      void *user, dfl_model **out) {
    dfl_model *found = NULL;
    if (out) *out = NULL;
    if (!inner || !out) {
        dfl_model_free(inner);
        return fail(DFL_E_ARG,
                    "dfl_model_guide_classifier: %s is NULL; a model and a place for the result "
                    "are needed",
                    inner ? "out" : "inner");
    }
    dfl_status status = check(inner, scale, gradient != NULL);
    if (status == DFL_OK)
        status =
            gradient ? model_function(gradient, user, &found) : inner->classifier(inner, &found);
    char hex[DIGEST_HEX] = "";
    if (status == DFL_OK) status = model_digest(found, hex);
    if (status == DFL_OK)
        status = wrap(inner, found, scale, out);
    else
        dfl_model_free(found);
    if (status != DFL_OK)
        dfl_model_free(inner);
    else
        memcpy((*out)->classifier_identity, hex, sizeof hex);
    return status;
}
