/* A Gaussian mixture as a denoiser: data x_0 ~ sum_k w_k N(m_k, diag s_k^2), and the exact answer
 * of a perfect network from nothing but the label of its input and of its output.
 *
 * One component, u = a x_0 + b n per element, variance V = a^2 s^2 + b^2, e = u - a m:
 *     E[x_0|u,k] = m + a s^2 e/V,   E[n|u,k] = b e/V,
 * with responsibilities r_k = softmax of log w_k - 1/2 sum_d (e^2/V + log V). The noise is never
 * formed as (u - a x_0)/b, so both ends, b -> 0 and a -> 0, stay accurate.
 *
 * Phase space, u in R^2 per element, a in R^2, B a 2x2 factor, S = s^2 a a' + B B'. With the
 * adjugate B* = [b11 -b01; -b10 b00], alpha = B* a, J a = (-a1, a0) and e = u - a m:
 *     det S  = det(B)^2 + s^2 |alpha|^2,
 *     e' S^-1 e       = (|B* e|^2 + s^2 (J a . e)^2)/det S,
 *     E[x_0|u,k] - m  = s^2 (alpha . B* e)/det S,
 *     E[n|u,k]        = (det(B) B* e + s^2 (-alpha_1, alpha_0) (J a . e))/det S.
 * Every term is a product or a sum of squares, so a nearly singular S does no harm.
 *
 * The classifier's gradient is exact, too: with r_k over all components and q_k over those of the
 * label, grad_u log p(label|u) = -sum_k (q_k - r_k) e/V, or S^-1 e in phase space,
 *     S^-1 e = (B*' B* e + s^2 J a (J a . e))/det S.
 *
 * So is the derivative of an answer along a tangent v, on one component: with c_k = -e . v/V,
 *     dr_k = r_k (c_k - sum_j r_j c_j),  d E[.|u,k] = E[.|u,k] with v in place of e and no m. */
#include "model/mixture.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- the formulas ---------------------------------------------------------------------------- */

/* 1/V and sum of log V for all components, given the label of the input. */
static bool prepare(const mixture *m, const dfl_request *rq) {
    const double *a = rq->at.a, *b = rq->at.b;
    const bool pair = rq->components == 2;
    const double det = pair ? b[0] * b[3] - b[1] * b[2] : b[0];
    const double a0 = pair ? b[3] * a[0] - b[1] * a[1] : a[0];
    const double a1 = pair ? b[0] * a[1] - b[2] * a[0] : 0;
    for (size_t k = 0; k < m->K; k++) {
        double sum = 0;
        for (size_t d = 0; d < m->dim; d++) {
            const double s = m->scale[k * m->dim + d];
            const double v = det * det + s * s * (a0 * a0 + a1 * a1);
            m->inverse[k * m->dim + d] = 1 / v;
            if (!(v > 0 && isfinite(v) && isfinite(1 / v))) return false;
            sum += log(v);
        }
        m->log_norm[k] = sum;
    }
    return true;
}

/* Twice the exponent of component k's density at m->u, without its normalisation. */
static double distance(const mixture *m, const dfl_request *rq, size_t k) {
    const double *a = rq->at.a, *b = rq->at.b, *u = m->u;
    const double *mean = m->mean + k * m->dim, *scale = m->scale + k * m->dim;
    const double *inverse = m->inverse + k * m->dim;
    double sum = 0;
    if (rq->components == 1) {
        for (size_t d = 0; d < m->dim; d++) {
            const double e = u[d] - a[0] * mean[d];
            sum += e * e * inverse[d];
        }
        return sum;
    }
    for (size_t d = 0; d < m->dim; d++) {
        const double e0 = u[d] - a[0] * mean[d], e1 = u[m->dim + d] - a[1] * mean[d];
        const double f0 = b[3] * e0 - b[1] * e1, f1 = b[0] * e1 - b[2] * e0;
        const double turn = scale[d] * (a[0] * e1 - a[1] * e0);
        sum += (f0 * f0 + f1 * f1 + turn * turn) * inverse[d];
    }
    return sum;
}

/* Responsibilities in m->r, over the components of `label` (negative: all). */
static void weigh(const mixture *m, const dfl_request *rq, int64_t label) {
    double top = -INFINITY, sum = 0;
    for (size_t k = 0; k < m->K; k++) {
        const bool out = label >= 0 && m->label[k] != label;
        m->r[k] = out ? -INFINITY : m->log_weight[k] - 0.5 * (distance(m, rq, k) + m->log_norm[k]);
        if (m->r[k] > top) top = m->r[k];
    }
    for (size_t k = 0; k < m->K; k++) sum += m->r[k] = exp(m->r[k] - top);
    for (size_t k = 0; k < m->K; k++) m->r[k] /= sum;
}

static void blend_single(const mixture *m, const dfl_request *rq, size_t k) {
    const double a = rq->at.a[0], b = rq->at.b[0], r = m->r[k];
    const double *mean = m->mean + k * m->dim, *scale = m->scale + k * m->dim;
    const double *inverse = m->inverse + k * m->dim;
    for (size_t d = 0; d < m->dim; d++) {
        const double e = (m->u[d] - a * mean[d]) * inverse[d];
        m->clean[d] += r * (mean[d] + a * scale[d] * scale[d] * e);
        m->noise[d] += r * (b * e);
    }
}

static void blend_pair(const mixture *m, const dfl_request *rq, size_t k) {
    const double *a = rq->at.a, *b = rq->at.b, r = m->r[k];
    const double *mean = m->mean + k * m->dim, *scale = m->scale + k * m->dim;
    const double det = b[0] * b[3] - b[1] * b[2];
    const double a0 = b[3] * a[0] - b[1] * a[1], a1 = b[0] * a[1] - b[2] * a[0];
    for (size_t d = 0; d < m->dim; d++) {
        const double v = r * m->inverse[k * m->dim + d], ss = scale[d] * scale[d];
        const double e0 = m->u[d] - a[0] * mean[d], e1 = m->u[m->dim + d] - a[1] * mean[d];
        const double f0 = b[3] * e0 - b[1] * e1, f1 = b[0] * e1 - b[2] * e0;
        const double turn = ss * (a[0] * e1 - a[1] * e0);
        m->clean[d] += r * mean[d] + v * ss * (a0 * f0 + a1 * f1);
        m->noise[d] += v * (det * f0 - a1 * turn);
        m->noise[m->dim + d] += v * (det * f1 + a0 * turn);
    }
}

/* E[x_0|u] and E[n|u] of the sample in m->u. */
static void posterior(const mixture *m, const dfl_request *rq, int64_t label) {
    weigh(m, rq, label);
    memset(m->clean, 0, m->dim * sizeof *m->clean);
    memset(m->noise, 0, 2 * m->dim * sizeof *m->noise);
    for (size_t k = 0; k < m->K; k++) {
        if (m->r[k] == 0) continue;
        if (rq->components == 1)
            blend_single(m, rq, k);
        else
            blend_pair(m, rq, k);
    }
}

/* ---- evaluation ------------------------------------------------------------------------------ */

static void load(const mixture *m, const dfl_request *rq, size_t sample) {
    const size_t at = sample * rq->input_dim;
    for (size_t d = 0; d < rq->input_dim; d++) m->u[d] = request_number(rq, rq->input, at + d);
}

/* y = cx E[x_0|u] + cn E[n|u], component by component. */
static void store(const mixture *m, const dfl_request *rq, size_t sample) {
    for (int i = 0; i < rq->output_components; i++) {
        const double cx = rq->gives.cx[i];
        const double *cn = rq->gives.cn + i * rq->components;
        const size_t at = sample * rq->output_dim + (size_t)i * m->dim;
        for (size_t d = 0; d < m->dim; d++) {
            double y = cx * m->clean[d] + cn[0] * m->noise[d];
            if (rq->components == 2) y += cn[1] * m->noise[m->dim + d];
            request_set_number(rq, rq->output, at + d, y);
        }
    }
}

/* The derivative of what `store` has written, along the request's tangent. */
static void derive(const mixture *m, const dfl_request *rq, size_t sample) {
    const double a = rq->at.a[0], b = rq->at.b[0], cx = rq->gives.cx[0], cn = rq->gives.cn[0];
    double *const v = m->noise, *const sum = m->clean;
    double mean_pull = 0;
    for (size_t d = 0; d < m->dim; d++) {
        v[d] = request_number(rq, rq->tangent, sample * m->dim + d);
        sum[d] = 0;
    }
    for (int pass = 0; pass < 2; pass++) {
        for (size_t k = 0; k < m->K; k++) {
            const double *mean = m->mean + k * m->dim, *scale = m->scale + k * m->dim;
            const double *inverse = m->inverse + k * m->dim, r = m->r[k];
            double pull = 0;
            if (r == 0) continue;
            for (size_t d = 0; d < m->dim; d++) pull -= (m->u[d] - a * mean[d]) * inverse[d] * v[d];
            if (pass == 0) mean_pull += r * pull;
            for (size_t d = 0; pass == 1 && d < m->dim; d++) {
                const double e = (m->u[d] - a * mean[d]) * inverse[d];
                const double gain = cx * a * scale[d] * scale[d] + cn * b;
                sum[d] +=
                    r * (gain * inverse[d] * v[d] + (pull - mean_pull) * (cx * mean[d] + gain * e));
            }
        }
    }
    for (size_t d = 0; d < m->dim; d++)
        request_set_number(rq, rq->derivative, sample * m->dim + d, sum[d]);
}

static dfl_status check_request(const mixture *m, const dfl_request *rq) {
    if (rq->components < 1 || rq->components > 2 || rq->output_components < 1 ||
        rq->output_components > rq->components ||
        rq->input_dim != m->dim * (size_t)rq->components ||
        rq->output_dim != m->dim * (size_t)rq->output_components)
        return fail(DFL_E_COMBINATION,
                    "the mixture has %zu numbers per sample; it was asked for %zu in %d components "
                    "and %zu in %d",
                    m->dim, rq->input_dim, rq->components, rq->output_dim, rq->output_components);
    return DFL_OK;
}

static dfl_status check_label(const mixture *m, int64_t label) {
    if (label < 0 || label == m->base.card.null_class) return DFL_OK;
    if (m->base.card.classes == 0)
        return fail(DFL_E_COMBINATION, "class %lld: this mixture has no labels", (long long)label);
    if (label >= m->base.card.classes)
        return fail(DFL_E_RANGE, "class %lld: this mixture has classes 0 to %lld", (long long)label,
                    (long long)m->base.card.classes - 1);
    return DFL_OK;
}

static dfl_status prepare_or_fail(const mixture *m, const dfl_request *rq) {
    if (prepare(m, rq)) return DFL_OK;
    return fail(DFL_E_RANGE,
                "the mixture's density at t=%g is singular or not finite; the state there must "
                "have some noise or signal in every component",
                rq->t);
}

static int mixture_eval(dfl_model *self, const dfl_request *rq) {
    mixture *const m = (mixture *)self;
    TRY(check_request(m, rq));
    if (!rq->each) TRY(prepare_or_fail(m, rq));
    for (size_t i = 0; i < rq->count; i++) {
        const dfl_request own = request_of(rq, i);
        int64_t label = rq->labels ? rq->labels[i] : -1;
        TRY(check_label(m, label));
        if (label == self->card.null_class) label = -1;
        if (rq->each) TRY(prepare_or_fail(m, &own));
        load(m, &own, i);
        posterior(m, &own, label);
        store(m, &own, i);
        if (rq->tangent) derive(m, &own, i);
    }
    return DFL_OK;
}

/* ---- the density ----------------------------------------------------------------------------- */

const mixture *mixture_in(const dfl_model *model) {
    return model->eval == mixture_eval ? (const mixture *)model : NULL;
}

dfl_status mixture_log_density(const mixture *m, const marginal *at, const double *x, int64_t label,
                               double *out) {
    const dfl_request rq = {.count = 1, .input_dim = m->dim, .components = 1, .at = *at};
    double top = -INFINITY, heaviest = -INFINITY, sum = 0, weight = 0;
    TRY(check_label(m, label));
    if (label == m->base.card.null_class) label = -1;
    TRY(prepare_or_fail(m, &rq));
    memcpy(m->u, x, m->dim * sizeof *x);
    for (size_t k = 0; k < m->K; k++) {
        const bool in = label < 0 || m->label[k] == label;
        m->r[k] = -INFINITY;
        if (!in) continue;
        heaviest = fmax(heaviest, m->log_weight[k]);
        m->r[k] = m->log_weight[k] - 0.5 * (distance(m, &rq, k) + m->log_norm[k]);
        top = fmax(top, m->r[k]);
    }
    for (size_t k = 0; k < m->K; k++) {
        sum += exp(m->r[k] - top);
        if (label < 0 || m->label[k] == label) weight += exp(m->log_weight[k] - heaviest);
    }
    *out =
        top - heaviest + log(sum / weight) - 0.5 * (double)m->dim * log(2 * 3.14159265358979323846);
    if (isfinite(*out)) return DFL_OK;
    return fail(DFL_E_NONFINITE, "the mixture has no finite density at a state this far away");
}

/* ---- the classifier -------------------------------------------------------------------------- */

typedef struct {
    dfl_model base;
    mixture *of;
    double *all; /* [K] responsibilities without a label */
} classifier;

/* gradient, [components][dim], gets -weight S^-1 (u - a m_k) more. */
static void add_pull(const mixture *m, const dfl_request *rq, size_t k, double weight) {
    const double *a = rq->at.a, *b = rq->at.b, *mean = m->mean + k * m->dim;
    double *gradient = m->noise;
    for (size_t d = 0; d < m->dim; d++) {
        const double v = weight * m->inverse[k * m->dim + d], e0 = m->u[d] - a[0] * mean[d];
        if (rq->components == 1) {
            gradient[d] -= v * e0;
            continue;
        }
        const double e1 = m->u[m->dim + d] - a[1] * mean[d], s = m->scale[k * m->dim + d];
        const double f0 = b[3] * e0 - b[1] * e1, f1 = b[0] * e1 - b[2] * e0;
        const double turn = s * s * (a[0] * e1 - a[1] * e0);
        gradient[d] -= v * (b[3] * f0 - b[2] * f1 - a[1] * turn);
        gradient[m->dim + d] -= v * (b[0] * f1 - b[1] * f0 + a[0] * turn);
    }
}

static int classifier_eval(dfl_model *self, const dfl_request *rq) {
    const classifier *const c = (const classifier *)self;
    mixture *const m = c->of;
    TRY(check_request(m, rq));
    for (size_t i = 0; i < rq->count; i++) {
        const dfl_request own = request_of(rq, i);
        TRY(check_label(m, rq->labels[i]));
        if (i == 0 || rq->each) TRY(prepare_or_fail(m, &own));
        load(m, &own, i);
        weigh(m, &own, -1);
        memcpy(c->all, m->r, m->K * sizeof *m->r);
        weigh(m, &own, rq->labels[i]);
        memset(m->noise, 0, 2 * m->dim * sizeof *m->noise);
        for (size_t k = 0; k < m->K; k++) add_pull(m, &own, k, m->r[k] - c->all[k]);
        for (size_t d = 0; d < rq->output_dim; d++)
            request_set_number(rq, rq->output, i * rq->output_dim + d, m->noise[d]);
    }
    return DFL_OK;
}

static void classifier_free(dfl_model *self) {
    free(((classifier *)self)->all);
}

static dfl_status mixture_classifier(dfl_model *self, dfl_model **out) {
    mixture *const m = (mixture *)self;
    classifier *const c = mem_array(1, sizeof *c);
    *out = NULL;
    if (!c) return fail_memory();
    c->base = (dfl_model){.card.null_class = -1,
                          .eval = classifier_eval,
                          .free = classifier_free,
                          .calls = 1,
                          .mixed_times = true};
    c->of = m;
    c->all = mem_array(m->K, sizeof *c->all);
    if (!c->all) {
        dfl_model_free(&c->base);
        return fail_memory();
    }
    *out = &c->base;
    return DFL_OK;
}

static void mixture_free(dfl_model *self) {
    mixture *const m = (mixture *)self;
    free(m->log_weight);
    free(m->mean);
    free(m->scale);
    free(m->label);
    free(m->inverse);
    free(m->log_norm);
    free(m->r);
    free(m->u);
    free(m->clean);
    free(m->noise);
}

static void mixture_describe(const dfl_model *self, text *out) {
    const mixture *const m = (const mixture *)self;
    text_add(out, "\"kind\": \"mixture\", \"components\": %zu", m->K);
}

void mixture_init(mixture *m) {
    *m = (mixture){.base = {.card.null_class = -1,
                            .eval = mixture_eval,
                            .free = mixture_free,
                            .describe = mixture_describe,
                            .calls = 1,
                            .mixed_times = true,
                            .tangents = true,
                            .classifier = mixture_classifier}};
}
