/* The life of a computation: batches, means, and the file it is taken up from. */
#include "eval/likelihood.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "eval/likelihood_set.h"
#include "io/io.h"

static const double ln2 = 0.69314718055994530942;

/* ---- life ------------------------------------------------------------------------------------ */

dfl_status likelihood_check(const dfl_model *model, const likelihood_data *data, size_t first,
                            size_t count) {
    if (data->dim != card_dim(&model->card))
        return fail(DFL_E_COMBINATION, "the data have %zu numbers a sample; the model's have %zu",
                    data->dim, card_dim(&model->card));
    if (first >= data->n)
        return fail(DFL_E_RANGE, "first=%zu: the data end at image %zu", first, data->n - 1);
    if (count <= data->n - first) return DFL_OK;
    return fail(DFL_E_RANGE, "count=%zu: from image %zu on there are %zu", count, first,
                data->n - first);
}

static dfl_status allocate(likelihood *l, bool latents) {
    const bool terms = !l->flow && l->bound.terms == 0;
    l->width = ROW_NUMBERS + (terms ? (size_t)l->bound.S : 0);
    l->rows = mem_array(mem_product(l->count, l->width, 1), sizeof *l->rows);
    l->values = mem_array(mem_product(l->batch, l->net.dim, 1), sizeof *l->values);
    if (latents) l->latents = mem_array(mem_product(l->count, l->net.dim, 1), sizeof *l->latents);
    return l->rows && l->values && (l->latents || !latents) ? DFL_OK : fail_memory();
}

dfl_status likelihood_new(dfl_model *model, const likelihood_data *data,
                          const likelihood_wish *wish, likelihood **out) {
    *out = NULL;
    likelihood *const l = mem_array(1, sizeof *l);
    if (!l) return fail_memory();
    l->model = model;
    l->data = data;
    l->first = wish->first;
    l->batch = wish->batch ? wish->batch : 16;
    dfl_status status = likelihood_check(model, data, wish->first, wish->count);
    if (status == DFL_OK) {
        l->count = wish->count ? wish->count : data->n - wish->first;
        if (l->batch > l->count) l->batch = l->count;
        status = likelihood_configure(l, wish);
    }
    if (status == DFL_OK) status = allocate(l, wish->latents);
    if (status == DFL_OK)
        *out = l;
    else
        likelihood_free(l);
    return status;
}

void likelihood_free(likelihood *l) {
    if (!l) return;
    flow_logp_free(&l->along);
    bound_free(&l->bound);
    denoiser_free(&l->net);
    start_free(l->start);
    opts_free(&l->options);
    free(l->times);
    free(l->rows);
    free(l->values);
    free(l->latents);
    free(l);
}

size_t likelihood_nfe(const likelihood *l) {
    const flow_logp *f = &l->along;
    size_t calls = l->flow ? f->steps * (f->solver == FLOW_RK4 ? 4 : 2) * f->probes.count *
                                 denoiser_cost(&l->net, true)
                           : (size_t)(l->bound.terms ? l->bound.terms + 1 : l->bound.S);
    if (l->flow && f->solver == FLOW_ODE45) calls = 0;
    return calls * l->draws * (size_t)l->model->calls;
}

/* ---- batches --------------------------------------------------------------------------------- */

void likelihood_values(const likelihood_data *data, const double range[2], size_t from, size_t n,
                       double *x) {
    for (size_t k = 0; k < n * data->dim; k++) {
        const size_t at = from * data->dim + k;
        x[k] = data->bytes ? range[0] + (range[1] - range[0]) / 255 * data->bytes[at]
                           : data->numbers[at];
    }
}

/* Values of n images from number `from` of the data on. Flow: levels are dequantised, y + u with u
   uniform in [0, 1), keyed by draw and element. */
static void load(likelihood *l, size_t from, size_t n, size_t draw) {
    const size_t dim = l->net.dim;
    if (!l->flow || !l->data->bytes) {
        likelihood_values(l->data, l->range, from, n, l->values);
        return;
    }
    for (size_t i = 0; i < n; i++)
        for (size_t d = 0; d < dim; d++) {
            const uint32_t key = (uint32_t)(draw * dim + d);
            const double u = noise_uniform(l->seed, DRAW_DEQUANTISE, key, from + i);
            l->values[i * dim + d] =
                l->offset + l->scale * (l->data->bytes[(from + i) * dim + d] + u);
        }
}

/* One repetition of a batch, which adds its share to the rows. */
typedef struct {
    size_t from, n, draw;
    const uint64_t *sample;
    double *rows; /* [n][width] */
} repetition;

static dfl_status along_flow(likelihood *l, const repetition *r) {
    const double share = 1 / (double)l->draws;
    const int64_t *labels = l->data->labels ? l->data->labels + r->from : NULL;
    const flow_data data = {r->n, l->values, r->sample, labels, r->draw};
    flow_value *const out = mem_array(r->n, sizeof *out);
    if (!out) return fail_memory();
    const dfl_status status = flow_logp_run(&l->along, &data, out);
    for (size_t i = 0; status == DFL_OK && i < r->n; i++) {
        double *const its = r->rows + i * l->width;
        its[ROW_NATS] -= share * out[i].logp;
        its[ROW_PRIOR] -= share * out[i].prior;
        its[ROW_PATH] -= share * out[i].path;
        its[ROW_NFE] += (double)out[i].nfe;
        if (l->latents)
            memcpy(l->latents + (l->done + i) * l->net.dim, l->along.states + i * (l->net.dim + 1),
                   l->net.dim * sizeof *l->latents);
    }
    free(out);
    return status;
}

static dfl_status along_bound(likelihood *l, const repetition *r) {
    const double share = 1 / (double)l->draws;
    const int64_t *labels = l->data->labels ? l->data->labels + r->from : NULL;
    const bound_data data = {r->n, l->values, r->sample, labels, r->draw};
    const size_t S = l->width - ROW_NUMBERS;
    bound_value *const out = mem_array(r->n, sizeof *out);
    double *const terms = mem_array(mem_product(r->n, S, 1), sizeof *terms);
    dfl_status status = out && terms ? DFL_OK : fail_memory();
    if (status == DFL_OK) status = bound_run(&l->bound, &data, out, S ? terms : NULL);
    for (size_t i = 0; status == DFL_OK && i < r->n; i++) {
        double *const its = r->rows + i * l->width;
        its[ROW_NATS] += share * (out[i].prior + out[i].path + out[i].decoder);
        its[ROW_PRIOR] += share * out[i].prior;
        its[ROW_PATH] += share * out[i].path;
        its[ROW_DECODER] += share * out[i].decoder;
        its[ROW_NFE] += (double)out[i].nfe;
        for (size_t k = 0; k < S; k++) its[ROW_NUMBERS + k] += share * terms[i * S + k];
    }
    free(out);
    free(terms);
    return status;
}

static dfl_status repeat(likelihood *l, size_t n, uint64_t *sample) {
    repetition r = {
        .from = l->first + l->done, .n = n, .sample = sample, .rows = l->rows + l->done * l->width};
    memset(r.rows, 0, n * l->width * sizeof *r.rows);
    for (size_t i = 0; i < n; i++) sample[i] = r.from + i;
    for (r.draw = 0; r.draw < l->draws; r.draw++) {
        load(l, r.from, n, r.draw);
        TRY(l->flow ? along_flow(l, &r) : along_bound(l, &r));
    }
    for (size_t i = 0; i < n; i++) {
        double *const its = r.rows + i * l->width;
        its[ROW_BPD] = its[ROW_NATS] / ((double)l->net.dim * ln2) + (l->flow ? l->added_bits : 0);
    }
    l->done += n;
    return DFL_OK;
}

dfl_status likelihood_batch(likelihood *l) {
    const size_t left = l->count - l->done, n = left < l->batch ? left : l->batch;
    if (n == 0) return DFL_OK;
    uint64_t *const sample = mem_array(n, sizeof *sample);
    if (!sample) return fail_memory();
    const dfl_status status = repeat(l, n, sample);
    free(sample);
    return status;
}

void likelihood_mean(const likelihood *l, int column, double *mean, double *error) {
    const double n = (double)l->done;
    double sum = 0, square = 0;
    for (size_t i = 0; i < l->done; i++) sum += l->rows[i * l->width + (size_t)column];
    for (size_t i = 0; i < l->done; i++) {
        const double off = l->rows[i * l->width + (size_t)column] - sum / n;
        square += off * off;
    }
    *mean = sum / n;
    *error = l->done > 1 ? sqrt(square / (n - 1) / n) : NAN;
}

/* ---- to go on from --------------------------------------------------------------------------- */

dfl_status likelihood_text(const likelihood *l, text *out) {
    static const char *const kinds[] = {"exact", "rademacher", "gaussian", "hadamard"};
    opts_print(&l->options, out);
    text_add(out, ";process=");
    family_print(&l->net.process->row->is, &l->net.process->options, out);
    text_add(out, ";T=");
    text_real(out, l->T);
    if (*l->prior_digest) text_add(out, ";prior_sha256=%s", l->prior_digest);
    if (l->flow) {
        text_add(out, ";eps=");
        text_real(out, l->eps);
        text_add(out, ";steps=%zu;trace=%s;probes=%zu;jvp=%d", l->along.steps,
                 kinds[l->along.probes.kind], l->along.probes.count, l->net.jvp != NULL);
    } else {
        text_add(out, ";times=%d", l->bound.S);
    }
    return out->failed ? fail_memory() : DFL_OK;
}

/* All that a row depends on. */
static dfl_status identity(const likelihood *l, text *out) {
    char hex[DIGEST_HEX], card_hex[DIGEST_HEX];
    TRY(model_identify(l->model, hex));
    TRY(model_card_digest(l->model, card_hex));
    text_add(out, "driftless-likelihood/1;model=%s;card=%s;data=%s;first=%zu;", hex, card_hex,
             l->data->digest, l->first);
    if (l->latents) text_add(out, "latents;");
    return likelihood_text(l, out);
}

enum { PART_SETTINGS, PART_ROWS, PART_LATENTS, PARTS };
static const char *const parts[PARTS] = {"settings", "rows", "latents"};

static int parts_of(const likelihood *l) {
    return l->latents ? PARTS : PART_LATENTS;
}

dfl_status likelihood_save(const likelihood *l, const char *path) {
    text own = {0};
    dfl_status status = identity(l, &own);
    const named_array arrays[PARTS] = {
        {parts[0], {ARRAY_U8, 1, {own.len}, own.data}},
        {parts[1], {ARRAY_F64, 2, {l->done, l->width}, l->rows}},
        {parts[2], {ARRAY_F64, 2, {l->done, l->net.dim}, l->latents}}};
    if (status == DFL_OK) status = npz_write(path, arrays, parts_of(l));
    text_free(&own);
    return status;
}

/* Rows [done][width] of numbers into `to`, at most `most` of them. */
static dfl_status take_rows(const char *path, const array *a, const char *name, size_t width,
                            size_t most, double *to) {
    if (a->type != ARRAY_F64 || a->rank != 2 || a->shape[1] != width)
        return fail(DFL_E_FORMAT, "%s: \"%s\" is not an array [n][%zu] of float64", path, name,
                    width);
    const size_t n = (a->shape[0] < most ? a->shape[0] : most) * width;
    const double *from = a->data;
    for (size_t i = 0; i < n; i++)
        if (!isfinite(from[i]))
            return fail(DFL_E_FORMAT, "%s: \"%s\" has a number that is not finite", path, name);
    memcpy(to, from, n * sizeof *from);
    return DFL_OK;
}

static dfl_status take(likelihood *l, const char *path, const array *read, const text *own) {
    const array *settings = &read[PART_SETTINGS], *values = &read[PART_ROWS];
    const array *states = &read[PART_LATENTS];
    const bool same = settings->type == ARRAY_U8 && array_count(settings) == own->len &&
                      memcmp(settings->data, own->data, own->len) == 0;
    if (!same)
        return fail(DFL_E_COMBINATION,
                    "%s belongs to another model, other data or other settings; remove it, or "
                    "choose another output",
                    path);
    TRY(take_rows(path, values, parts[PART_ROWS], l->width, l->count, l->rows));
    if (l->latents) {
        TRY(take_rows(path, states, parts[PART_LATENTS], l->net.dim, l->count, l->latents));
        if (states->shape[0] != values->shape[0])
            return fail(DFL_E_FORMAT, "%s: %zu rows, but %zu latents", path, values->shape[0],
                        states->shape[0]);
    }
    l->done = values->shape[0] < l->count ? values->shape[0] : l->count;
    return DFL_OK;
}

dfl_status likelihood_resume(likelihood *l, const char *path) {
    array read[PARTS] = {0};
    text own = {0};
    dfl_status status = identity(l, &own);
    const size_t widest = l->latents && l->net.dim > l->width ? l->net.dim : l->width;
    const size_t bytes = mem_product(l->data->n, widest, sizeof *l->rows);
    if (status == DFL_OK)
        status = npz_read(path, parts, parts_of(l), false, bytes > 1 << 20 ? bytes : 1 << 20, read);
    if (status == DFL_OK) status = take(l, path, read, &own);
    for (int i = 0; i < PARTS; i++) array_free(&read[i]);
    text_free(&own);
    return status;
}
