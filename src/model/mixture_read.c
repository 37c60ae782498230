/* Mixture files, "driftless-mixture/1", read and checked: weights [K], means [K][d], stds [K][d] or
   [K], optionally labels [K] (the class of each component) and a card. What the card leaves out is
   filled in: VP linear, noise prediction, the shape [d], the range that holds the data. */
#include "model/mixture.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"

enum { MIXTURE_BYTES_MAX = 1 << 28, COMPONENTS_MAX = 1 << 16 };

/* ---- components ------------------------------------------------------------------------------ */

/* The logarithm of the sum of positive numbers, a sum that no double may hold. */
static double log_total(const double *w, size_t n) {
    double most = 0, sum = 0;
    for (size_t k = 0; k < n; k++) most = fmax(most, w[k]);
    for (size_t k = 0; k < n; k++) sum += w[k] / most;
    return log(most) + log(sum);
}

static dfl_status read_weights(const json_in *in, mixture *m) {
    double sum = 0;
    TRY(json_get_reals(in, "weights", COMPONENTS_MAX, &m->log_weight, &m->K));
    for (size_t k = 0; k < m->K; k++) {
        if (m->log_weight[k] <= 0)
            return fail(DFL_E_RANGE, "%s: \"weights\"[%zu] is %g; a positive number is needed",
                        in->where, k, m->log_weight[k]);
        sum += m->log_weight[k];
    }
    const double total = log_total(m->log_weight, m->K);
    for (size_t k = 0; k < m->K; k++) {
        const double share = m->log_weight[k] / sum; /* 0 where one of them is out of range */
        m->log_weight[k] = isnormal(share) ? log(share) : log(m->log_weight[k]) - total;
    }
    return DFL_OK;
}

/* A row of a [K][dim] table has dim entries; one number stands for all if `one` allows it. */
static bool row_fits(const json_t *row, bool one, size_t dim) {
    return (one && json_is_number(row)) || (json_is_array(row) && json_array_size(row) == dim);
}

static dfl_status read_row(const char *where, const json_t *row, size_t dim, double *dst) {
    for (size_t d = 0; d < dim; d++) {
        const json_t *item = json_is_number(row) ? row : json_array_get(row, d);
        dst[d] = json_number_value(item);
        if (!json_is_number(item) || !isfinite(dst[d]))
            return fail(DFL_E_FORMAT, "%s: entry %zu is not a finite number", where, d);
    }
    return DFL_OK;
}

static dfl_status read_table(const json_in *in, const char *key, bool one, mixture *m,
                             double **out) {
    const json_t *rows;
    char where[JSON_WHERE];
    TRY(json_get_array(in, key, &rows));
    if (json_array_size(rows) != m->K)
        return fail(DFL_E_COMBINATION, "%s: \"%s\" has %zu rows, but there are %zu weights",
                    in->where, key, json_array_size(rows), m->K);
    /* before memory is taken for what a short file claims */
    for (size_t k = 0; k < m->K; k++)
        if (!row_fits(json_array_get(rows, k), one, m->dim))
            return fail(DFL_E_FORMAT, "%s, %s[%zu]: a row of %zu numbers is needed%s", in->where,
                        key, k, m->dim, one ? ", or one number" : "");
    if (!(*out = mem_array(mem_product(m->K, m->dim, 1), sizeof **out))) return fail_memory();
    for (size_t k = 0; k < m->K; k++) {
        snprintf(where, sizeof where, "%.*s, %s[%zu]", JSON_WHERE - 60, in->where, key, k);
        TRY(read_row(where, json_array_get(rows, k), m->dim, *out + k * m->dim));
    }
    return DFL_OK;
}

static dfl_status read_components(const json_in *in, mixture *m) {
    const json_t *means;
    TRY(read_weights(in, m));
    TRY(json_get_array(in, "means", &means));
    m->dim = json_array_size(json_array_get(means, 0));
    if (m->dim == 0)
        return fail(DFL_E_FORMAT, "%s: \"means\"[0] is not a list of numbers", in->where);
    TRY(read_table(in, "means", false, m, &m->mean));
    TRY(read_table(in, "stds", true, m, &m->scale));
    for (size_t i = 0; i < m->K * m->dim; i++)
        if (m->scale[i] <= 0)
            return fail(DFL_E_RANGE, "%s: \"stds\"[%zu] holds %g; positive numbers are needed",
                        in->where, i / m->dim, m->scale[i]);
    return DFL_OK;
}

/* Class of each component; every class from 0 up must have one. */
static dfl_status read_labels(const json_in *in, mixture *m, int64_t *classes) {
    const json_t *list;
    *classes = 0;
    if (!json_has(in, "labels")) return DFL_OK;
    TRY(json_get_array(in, "labels", &list));
    if (json_array_size(list) != m->K)
        return fail(DFL_E_COMBINATION, "%s: \"labels\" has %zu entries, but there are %zu weights",
                    in->where, json_array_size(list), m->K);
    if (!(m->label = mem_array(m->K, sizeof *m->label))) return fail_memory();
    for (size_t k = 0; k < m->K; k++) {
        const json_t *item = json_array_get(list, k);
        m->label[k] = json_integer_value(item);
        if (!json_is_integer(item) || m->label[k] < 0 || m->label[k] >= (int64_t)m->K)
            return fail(DFL_E_RANGE, "%s: \"labels\"[%zu] must be a whole number from 0 to %zu",
                        in->where, k, m->K - 1);
        if (m->label[k] >= *classes) *classes = m->label[k] + 1;
    }
    return DFL_OK;
}

static dfl_status check_classes(const json_in *in, const mixture *m) {
    if (m->base.card.classes > 0 && !m->label)
        return fail(DFL_E_COMBINATION, "%s: the card has \"classes\", but there are no \"labels\"",
                    in->where);
    const int64_t classes = m->base.card.classes;
    bool *const has = mem_array((size_t)classes, sizeof *has);
    if (!has) return fail_memory();
    for (size_t k = 0; k < m->K && m->label; k++)
        if (m->label[k] < classes) has[m->label[k]] = true;
    int64_t c = 0;
    while (c < classes && (has[c] || c == m->base.card.null_class)) c++;
    free(has);
    if (c == classes) return DFL_OK;
    return fail(DFL_E_COMBINATION, "%s: \"labels\" has no component of class %lld", in->where,
                (long long)c);
}

/* ---- the card -------------------------------------------------------------------------------- */

/* Three standard deviations around the means hold the data. */
static dfl_status find_range(const json_in *in, const mixture *m, double *lo, double *hi) {
    *lo = INFINITY;
    *hi = -INFINITY;
    for (size_t i = 0; i < m->K * m->dim; i++) {
        *lo = fmin(*lo, m->mean[i] - 3 * m->scale[i]);
        *hi = fmax(*hi, m->mean[i] + 3 * m->scale[i]);
    }
    if (isfinite(*lo) && isfinite(*hi)) return DFL_OK;
    return fail(DFL_E_RANGE, "%s: \"means\" or \"stds\" are too large to compute with", in->where);
}

/* Adds what the file's own card leaves out; false: no memory. */
static bool fill_card(json_t *root, const mixture *m, int64_t classes, double lo, double hi) {
    json_t *defaults = json_pack("{s:s, s:{s:s, s:f, s:f}, s:s, s:{s:[I], s:[f, f]}}", "format",
                                 "driftless-model/1", "process", "type", "vp_linear", "beta_min",
                                 0.1, "beta_max", 20.0, "prediction_type", "epsilon", "sample",
                                 "shape", (json_int_t)m->dim, "range", lo, hi);
    if (defaults && classes > 0 &&
        json_object_set_new(defaults, "classes",
                            json_pack("{s:I, s:I}", "count", (json_int_t)classes, "null",
                                      (json_int_t)classes)) != 0) {
        json_decref(defaults);
        defaults = NULL;
    }
    bool done = defaults != NULL; /* json_object_update_missing would hide a lack of memory */
    const char *key;
    json_t *value;
    json_object_foreach(defaults, key, value) {
        if (!json_object_get(root, key) && json_object_set(root, key, value) != 0) done = false;
    }
    json_decref(defaults);
    return done;
}

/* The file's card, or an empty one, completed and handed to the reader of cards. */
static dfl_status make_card(const json_in *in, mixture *m, int64_t classes) {
    const json_t *own = json_object_get(in->object, "card");
    if (own && !json_is_object(own))
        return fail(DFL_E_FORMAT, "%s: \"card\" must be an object", in->where);
    double lo, hi;
    TRY(find_range(in, m, &lo, &hi));
    if (!(lo < hi) && !(own && json_object_get(own, "sample")))
        return fail(DFL_E_RANGE,
                    "%s: \"stds\" are lost beside \"means\" of %g; larger ones are needed, or the "
                    "card's \"sample\" with a \"range\"",
                    in->where, lo);
    json_t *root = own ? json_copy((json_t *)(uintptr_t)own) : json_object();
    text json = {0};
    dfl_status status = fail_memory();
    /* json_copy drops what it has no memory for */
    const bool whole = root && (!own || json_object_size(root) == json_object_size(own));
    if (whole && fill_card(root, m, classes, lo, hi)) json_add(&json, root, 0);
    if (json.data && !json.failed)
        status = card_parse(in->where, json.data, json.len, &m->base.card);
    text_free(&json);
    json_decref(root);
    if (status == DFL_OK && card_dim(&m->base.card) != m->dim)
        return fail(DFL_E_COMBINATION,
                    "%s: the card's sample has %zu numbers, but the means have %zu", in->where,
                    card_dim(&m->base.card), m->dim);
    return status;
}

static dfl_status make_scratch(mixture *m) {
    m->inverse = mem_array(mem_product(m->K, m->dim, 1), sizeof *m->inverse);
    m->log_norm = mem_array(m->K, sizeof *m->log_norm);
    m->r = mem_array(m->K, sizeof *m->r);
    m->u = mem_array(2 * m->dim, sizeof *m->u);
    m->clean = mem_array(m->dim, sizeof *m->clean);
    m->noise = mem_array(2 * m->dim, sizeof *m->noise);
    if (!m->inverse || !m->log_norm || !m->r || !m->u || !m->clean || !m->noise)
        return fail_memory();
    return DFL_OK;
}

static dfl_status read_mixture(const json_in *in, mixture *m) {
    int64_t classes;
    TRY(json_check_format(in, "driftless-mixture/1"));
    TRY(read_components(in, m));
    TRY(read_labels(in, m, &classes));
    TRY(make_card(in, m, classes));
    TRY(check_classes(in, m));
    json_unknown(in, "format|weights|means|stds|labels|card", &m->base.card.warnings);
    if (m->base.card.warnings.failed) return fail_memory();
    if (m->base.card.classes == 0) m->base.classifier = NULL;
    return make_scratch(m);
}

dfl_status mixture_parse(const char *where, const char *json, size_t length, dfl_model **out) {
    json_in in;
    json_t *root;
    *out = NULL;
    TRY(json_open(where, json, length, &root, &in));
    mixture *m = mem_array(1, sizeof *m);
    dfl_status status = m ? DFL_OK : fail_memory();
    if (!m) goto done;
    mixture_init(m);
    status = read_mixture(&in, m);
    digest_bytes(json, length, m->base.identity);
    if (status == DFL_OK)
        *out = &m->base;
    else
        dfl_model_free(&m->base);
done:
    json_decref(root);
    return status;
}

dfl_status model_mixture(const char *path, dfl_model **out) {
    char *json;
    size_t length;
    *out = NULL;
    TRY(file_read(path, MIXTURE_BYTES_MAX, &json, &length));
    const dfl_status status = mixture_parse(path, json, length, out);
    free(json);
    return status;
}
