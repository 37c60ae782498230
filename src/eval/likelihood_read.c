/* Data files of likelihoods: untrusted arrays and pictures, brought into the model's order. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "eval/likelihood.h"
#include "eval/pictures.h"
#include "io/io.h"

enum { ELEMENTS_MAX = 1 << 30 };

void likelihood_data_free(likelihood_data *data) {
    free(data->bytes);
    free(data->numbers);
    free(data->labels);
    *data = (likelihood_data){0};
}

/* Whether the file's pictures are [H][W][C], where the card has [C][H][W]. */
static bool channels_last(const array *a, const card *c) {
    if (c->rank != 3 || a->rank != 4 || c->shape[0] == 1) return false;
    return a->shape[1] == c->shape[1] && a->shape[2] == c->shape[2] && a->shape[3] == c->shape[0];
}

static dfl_status check_shape(const char *path, const array *a, const card *c) {
    const size_t dim = card_dim(c);
    size_t numbers = 1;
    for (int i = 1; i < a->rank; i++) numbers = mem_product(numbers, a->shape[i], 1);
    if (a->rank < 2 || a->shape[0] == 0)
        return fail(DFL_E_FORMAT,
                    "%s: an array of samples [n][...] is needed; it has %d dimensions%s", path,
                    a->rank, a->rank >= 2 ? " and no sample" : "");
    if (numbers == dim) return DFL_OK;
    return fail(DFL_E_FORMAT, "%s: each sample has %zu numbers; the model's have %zu", path,
                numbers, dim);
}

static dfl_status take_bytes(const array *a, const card *c, likelihood_data *out) {
    const uint8_t *from = a->data;
    const size_t dim = out->dim, C = c->shape[0];
    const bool turn = channels_last(a, c);
    out->bytes = mem_array(mem_product(out->n, dim, 1), 1);
    if (!out->bytes) return fail_memory();
    for (size_t i = 0; i < out->n; i++)
        for (size_t d = 0; d < dim; d++) {
            const size_t pixel = turn ? d / C : 0, channel = turn ? d % C : 0;
            const size_t to = turn ? channel * (dim / C) + pixel : d;
            out->bytes[i * dim + to] = from[i * dim + d];
        }
    return DFL_OK;
}

static dfl_status take_numbers(const char *path, const array *a, likelihood_data *out) {
    const size_t count = mem_product(out->n, out->dim, 1);
    out->numbers = mem_array(count, sizeof *out->numbers);
    if (!out->numbers) return fail_memory();
    for (size_t i = 0; i < count; i++) {
        const double x = array_real(a, i);
        out->numbers[i] = x;
        if (!isfinite(x))
            return fail(DFL_E_NONFINITE, "%s: number %zu of sample %zu is not finite", path,
                        i % out->dim, i / out->dim);
    }
    return DFL_OK;
}

static dfl_status take_labels(const char *path, const card *c, likelihood_data *out) {
    array a;
    TRY(npy_read(path, ELEMENTS_MAX, &a));
    dfl_status status = DFL_OK;
    if (a.type != ARRAY_I64 || a.rank != 1 || a.shape[0] != out->n)
        status = fail(DFL_E_FORMAT, "%s: labels are an int64 array of %zu numbers, one a sample",
                      path, out->n);
    else if (c->classes == 0)
        status = fail(DFL_E_COMBINATION, "%s: labels, but the model has no classes", path);
    else
        status = card_check_labels(c, a.data, out->n);
    if (status == DFL_OK) {
        out->labels = a.data;
        a.data = NULL;
    }
    array_free(&a);
    return status;
}

static dfl_status fill_labels(int64_t label, const card *c, likelihood_data *out) {
    if (c->classes == 0) return DFL_OK;
    if (label < 0 && c->null_class < 0)
        return fail(DFL_E_COMBINATION,
                    "the model has classes and none for \"no class\": labels are needed");
    out->labels = mem_array(out->n, sizeof *out->labels);
    if (!out->labels) return fail_memory();
    for (size_t i = 0; i < out->n; i++) out->labels[i] = label < 0 ? c->null_class : label;
    return DFL_OK;
}

/* One digest for data, whose own is there already, and labels. */
static dfl_status digest_labels(likelihood_data *out) {
    text both = {0};
    text_add(&both, "%s", out->digest);
    for (size_t i = 0; out->labels && i < out->n; i++)
        text_add(&both, " %lld", (long long)out->labels[i]);
    if (!both.failed) digest_bytes(both.data, both.len, out->digest);
    const dfl_status status = both.failed ? fail_memory() : DFL_OK;
    text_free(&both);
    return status;
}

static dfl_status read_array(const char *path, const card *c, likelihood_data *out) {
    array a;
    TRY(npy_read(path, (size_t)ELEMENTS_MAX * 8, &a));
    dfl_status status = check_shape(path, &a, c);
    if (status == DFL_OK) {
        out->n = a.shape[0];
        out->dim = card_dim(c);
        status = a.type == ARRAY_U8    ? take_bytes(&a, c, out)
                 : a.type == ARRAY_I64 ? fail(DFL_E_FORMAT,
                                              "%s: int64; data are uint8 levels, or float32 or "
                                              "float64 values",
                                              path)
                                       : take_numbers(path, &a, out);
    }
    array_free(&a);
    return status == DFL_OK ? digest_file(path, out->digest) : status;
}

/* Pixels [pixel][channel] of picture i into its place, [channel][pixel]. */
static void place_picture(const picture_set *set, size_t i, uint8_t *to) {
    const size_t pixels = set->height * set->width, channels = set->channels;
    const uint8_t *const from = set->pixels + i * pixels * channels;
    for (size_t k = 0; k < pixels * channels; k++)
        to[k % channels * pixels + k / channels] = from[k];
}

static dfl_status take_pictures(const char *path, picture_source *from, const card *c,
                                likelihood_data *out) {
    out->n = from->count;
    out->dim = card_dim(c);
    memcpy(out->digest, from->digest, sizeof out->digest);
    if (mem_product(out->n, out->dim, 1) > ELEMENTS_MAX)
        return fail(DFL_E_RANGE, "%s: more than %d bytes of pictures", path, ELEMENTS_MAX);
    out->bytes = mem_array(out->n * out->dim, 1);
    if (!out->bytes) return fail_memory();
    for (size_t done = 0; done < out->n;) {
        picture_set set;
        TRY(pictures_read(from, done, out->n - done, &set));
        if (c->rank != 3 || c->shape[0] != set.channels || c->shape[1] != set.height ||
            c->shape[2] != set.width)
            return fail(DFL_E_FORMAT,
                        "%s: pictures of %zu channels, %zu x %zu; the model's samples have another "
                        "shape",
                        path, set.channels, set.height, set.width);
        for (size_t i = 0; i < set.n; i++)
            place_picture(&set, i, out->bytes + (done + i) * out->dim);
        done += set.n;
    }
    return DFL_OK;
}

static dfl_status read_pictures(const char *path, const card *c, likelihood_data *out) {
    const picture_wish wish = {path, 0, 0, {c->range[0], c->range[1]}};
    picture_source *from = NULL;
    dfl_status status = pictures_open(&wish, &from);
    if (status == DFL_OK) status = take_pictures(path, from, c, out);
    pictures_free(from);
    return status;
}

dfl_status likelihood_read(const char *path, const char *labels, int64_t label, const card *c,
                           likelihood_data *out) {
    *out = (likelihood_data){0};
    dfl_status status =
        text_ends_in(path, ".npy") ? read_array(path, c, out) : read_pictures(path, c, out);
    if (status == DFL_OK)
        status = labels ? take_labels(labels, c, out) : fill_labels(label, c, out);
    if (status == DFL_OK) status = digest_labels(out);
    if (status != DFL_OK) likelihood_data_free(out);
    return status;
}
