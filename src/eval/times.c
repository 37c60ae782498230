/* The life of a study of times: its steps, and the file it is taken up from. */
#include "eval/times.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "eval/likelihood_set.h"
#include "eval/times_set.h"
#include "io/io.h"

enum { COUNT = 256, BATCH = 16, DRAWS_MAX = 1 << 28 };

/* ---- life ------------------------------------------------------------------------------------ */

/* KL(N(a x_0, b^2 I) || N(0, s^2 I)) of each image at each time. */
static void fill_plain(times_study *s) {
    const size_t dim = s->net.dim;
    for (size_t j = 0; j < s->m; j++) {
        const scalar_at at = process_at(s->net.process, s->t[j]);
        const double entropy = (double)dim / 2 * (LOG_2PI + 1 + 2 * log(at.b));
        density plain;
        density_standard(s->net.process, s->t[j], dim, &plain);
        for (size_t i = 0; i < s->count; i++) {
            likelihood_values(s->data, s->evaluator.range, s->first + i, 1, s->numbers);
            s->plain[j * s->count + i] = -entropy - plain.cross(&plain, s->numbers, at.a, at.b);
        }
    }
}

static dfl_status reserve(times_study *s) {
    s->loss = mem_array(mem_product(s->count, s->m + 1, 1), sizeof *s->loss);
    s->gain = mem_array(mem_product(s->npriors, s->m, s->count), sizeof *s->gain);
    s->plain = mem_array(mem_product(s->m, s->count, 1), sizeof *s->plain);
    s->numbers = mem_array(mem_product(s->batch, s->net.dim, 1), sizeof *s->numbers);
    return s->loss && s->gain && s->plain && s->numbers ? DFL_OK : fail_memory();
}

static dfl_status set_count(times_study *s, const times_wish *wish) {
    TRY(likelihood_check(s->model, s->data, wish->first, wish->count));
    const size_t left = s->data->n - wish->first;
    s->first = wish->first;
    s->count = wish->count ? wish->count : left < COUNT ? left : COUNT;
    s->batch = wish->batch ? wish->batch : BATCH;
    if (s->batch > s->count) s->batch = s->count;
    if (s->count > 1) return DFL_OK;
    return fail(DFL_E_RANGE, "one image has no standard error, and T is chosen by it: take more");
}

dfl_status times_new(dfl_model *model, const likelihood_data *data, const times_wish *wish,
                     times_study **out) {
    *out = NULL;
    times_study *const s = mem_array(1, sizeof *s);
    if (!s) return fail_memory();
    s->model = model;
    s->data = data;
    dfl_status status = set_count(s, wish);
    if (status == DFL_OK) status = times_configure(s, wish);
    if (status == DFL_OK) status = reserve(s);
    if (status != DFL_OK) {
        times_free(s);
        return status;
    }
    fill_plain(s);
    *out = s;
    return DFL_OK;
}

void times_free(times_study *s) {
    if (!s) return;
    for (size_t k = 0; k < TIMES_PRIORS_MAX; k++) prior_free(s->prior[k].clean);
    bound_free(&s->evaluator);
    denoiser_free(&s->net);
    opts_free(&s->options);
    free(s->t);
    free(s->depth);
    free(s->loss);
    free(s->gain);
    free(s->plain);
    free(s->numbers);
    free(s);
}

size_t times_evaluations(const times_study *s) {
    return s->count * s->m * (size_t)s->model->calls;
}

size_t times_densities(const times_study *s) {
    return s->npriors * s->m * s->count * s->draws;
}

double times_mismatch(const times_study *s, size_t start, size_t j, size_t i) {
    const double plain = s->plain[j * s->count + i];
    return start == 0 ? plain : plain - s->gain[((start - 1) * s->m + j) * s->count + i];
}

/* ---- steps ----------------------------------------------------------------------------------- */

bool times_finished(const times_study *s) {
    return s->done == s->count && s->columns == s->npriors * s->m;
}

static dfl_status check_loss(const times_study *s, double x, size_t j, uint64_t image) {
    if (isfinite(x)) return DFL_OK;
    return fail(DFL_E_NONFINITE, "the bound of image %llu is not finite at t=%g",
                (unsigned long long)image, s->t[j]);
}

static dfl_status batch(times_study *s, size_t n, uint64_t *sample, int *index) {
    const size_t from = s->first + s->done;
    const bound_data data = {.n = n,
                             .data = s->numbers,
                             .sample = sample,
                             .label = s->data->labels ? s->data->labels + from : NULL};
    likelihood_values(s->data, s->evaluator.range, from, n, s->numbers);
    for (size_t i = 0; i < n; i++) sample[i] = from + i;
    for (size_t j = s->m; j-- > 0;) {
        for (size_t i = 0; i < n; i++) index[i] = (int)j;
        TRY(bound_evaluate(&s->evaluator, &data, index));
        for (size_t i = 0; i < n; i++) {
            double *const its = s->loss + (s->done + i) * (s->m + 1);
            its[j] = bound_square(&s->evaluator, i);
            TRY(check_loss(s, its[j], j, sample[i]));
            if (j > 0) continue;
            its[s->m] = bound_decoder(&s->evaluator, &data, i);
            TRY(check_loss(s, its[s->m], j, sample[i]));
        }
    }
    s->done += n;
    return DFL_OK;
}

static dfl_status next_batch(times_study *s) {
    const size_t left = s->count - s->done, n = left < s->batch ? left : s->batch;
    uint64_t *const sample = mem_array(n, sizeof *sample);
    int *const index = mem_array(n, sizeof *index);
    const dfl_status status = sample && index ? batch(s, n, sample, index) : fail_memory();
    free(sample);
    free(index);
    return status;
}

static dfl_status next_column(times_study *s) {
    const size_t k = s->columns / s->m, j = s->columns % s->m;
    TRY(times_column(s, &s->prior[k], j, s->gain + s->columns * s->count));
    s->columns++;
    return s->net.watch ? s->net.watch(s->net.user, 0) : DFL_OK;
}

dfl_status times_step(times_study *s) {
    if (times_finished(s)) return DFL_OK;
    return s->done < s->count ? next_batch(s) : next_column(s);
}

/* ---- to go on from --------------------------------------------------------------------------- */

dfl_status times_text(const times_study *s, text *out) {
    opts_print(&s->options, out);
    text_add(out, ";process=");
    family_print(&s->net.process->row->is, &s->net.process->options, out);
    text_add(out, ";times=");
    for (size_t j = 0; j < s->m; j++) {
        text_add(out, j ? "," : "");
        text_real(out, s->t[j]);
    }
    return out->failed ? fail_memory() : DFL_OK;
}

/* All that a number depends on. */
static dfl_status identity(const times_study *s, text *out) {
    char hex[DIGEST_HEX], card_hex[DIGEST_HEX];
    TRY(model_identify(s->model, hex));
    TRY(model_card_digest(s->model, card_hex));
    text_add(out, "driftless-times/1;model=%s;card=%s;data=%s;first=%zu;count=%zu;", hex, card_hex,
             s->data->digest, s->first, s->count);
    for (size_t k = 0; k < s->npriors; k++) text_add(out, "prior=%s;", s->prior[k].digest);
    return times_text(s, out);
}

enum { PART_SETTINGS, PART_LOSS, PART_GAIN, PARTS };
static const char *const parts[PARTS] = {"settings", "loss", "gain"};

dfl_status times_save(const times_study *s, const char *path) {
    text own = {0};
    dfl_status status = identity(s, &own);
    const named_array arrays[PARTS] = {
        {parts[PART_SETTINGS], {ARRAY_U8, 1, {own.len}, own.data}},
        {parts[PART_LOSS], {ARRAY_F64, 2, {s->done, s->m + 1}, s->loss}},
        {parts[PART_GAIN], {ARRAY_F64, 2, {s->columns, s->count}, s->gain}}};
    if (status == DFL_OK) status = npz_write(path, arrays, PARTS);
    text_free(&own);
    return status;
}

static dfl_status check_part(const char *path, const char *name, const array *a,
                             const size_t most[2]) {
    if (a->type != ARRAY_F64 || a->rank != 2 || a->shape[0] > most[0] || a->shape[1] != most[1])
        return fail(DFL_E_FORMAT, "%s: \"%s\" is not an array of up to %zu by %zu float64", path,
                    name, most[0], most[1]);
    for (size_t i = 0; i < array_count(a); i++)
        if (!isfinite(array_real(a, i)))
            return fail(DFL_E_FORMAT, "%s: \"%s\" has a number that is not finite", path, name);
    return DFL_OK;
}

static dfl_status take(times_study *s, const char *path, const array *read, const text *own) {
    const array *settings = &read[PART_SETTINGS], *loss = &read[PART_LOSS],
                *gain = &read[PART_GAIN];
    const size_t most[2][2] = {{s->count, s->m + 1}, {s->npriors * s->m, s->count}};
    const bool same = settings->type == ARRAY_U8 && array_count(settings) == own->len &&
                      memcmp(settings->data, own->data, own->len) == 0;
    if (!same)
        return fail(DFL_E_COMBINATION,
                    "%s belongs to another model, other data, priors or settings; remove it, or "
                    "choose another output",
                    path);
    TRY(check_part(path, parts[PART_LOSS], loss, most[0]));
    TRY(check_part(path, parts[PART_GAIN], gain, most[1]));
    memcpy(s->loss, loss->data, array_count(loss) * sizeof *s->loss);
    memcpy(s->gain, gain->data, array_count(gain) * sizeof *s->gain);
    s->done = loss->shape[0];
    s->columns = gain->shape[0];
    return DFL_OK;
}

dfl_status times_resume(times_study *s, const char *path) {
    array read[PARTS] = {0};
    text own = {0};
    dfl_status status = identity(s, &own);
    const size_t bytes = mem_product(s->count, s->m + 1, sizeof *s->loss);
    const size_t most = mem_product(bytes, s->npriors + 1, 1);
    if (status == DFL_OK)
        status = npz_read(path, parts, PARTS, false, most > 1 << 20 ? most : 1 << 20, read);
    if (status == DFL_OK) status = take(s, path, read, &own);
    for (int i = 0; i < PARTS; i++) array_free(&read[i]);
    text_free(&own);
    return status;
}
