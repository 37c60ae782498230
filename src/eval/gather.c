/* Sources of features, and the loop over their shards. */
#include "eval/gather.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "io/io.h"

const char features_ready_name[] = "ready-made";

struct feature_source {
    picture_source *pictures;
    extractor *extractor;
    npy_rows *rows; /* in place of both */
    void *raw;      /* [SHARD][d] doubles */
    text what;
    char digest[DIGEST_HEX];
    uint64_t first;
    size_t count, width, classes;
};

/* ---- sources --------------------------------------------------------------------------------- */

static dfl_status fit(feature_source *s) {
    picture_set set;
    TRY(pictures_read(s->pictures, 0, 1, &set));
    TRY(extractor_fit(s->extractor, set.height, set.width, set.channels));
    s->width = extractor_width(s->extractor);
    s->classes = extractor_classes(s->extractor);
    return DFL_OK;
}

dfl_status features_of_pictures(picture_source *pictures, extractor *e, feature_source **out) {
    *out = NULL;
    feature_source *const s = mem_array(1, sizeof *s);
    if (!s) return fail_memory();
    s->pictures = pictures;
    s->extractor = e;
    s->first = pictures->first;
    s->count = pictures->count;
    memcpy(s->digest, pictures->digest, sizeof s->digest);
    text_add(&s->what, "%s", pictures->what.data);
    const dfl_status status = s->what.failed ? fail_memory() : fit(s);
    if (status == DFL_OK)
        *out = s;
    else
        features_free(s);
    return status;
}

bool features_are_ready(const char *path) {
    npy_rows *rows = NULL;
    if (!text_ends_in(path, ".npy")) return false;
    if (npy_rows_open(path, &rows) != DFL_OK) return false;
    const bool ready = npy_rows_shape(rows)->rank == 2;
    npy_rows_close(rows);
    return ready;
}

static dfl_status open_ready(feature_source *s, const char *path, uint64_t first, size_t count) {
    enum { WIDTH_MAX = 1 << 14 };
    TRY(npy_rows_open(path, &s->rows));
    const array *const a = npy_rows_shape(s->rows);
    if (a->rank != 2 || !array_is_real(a) || a->shape[0] < 1 || a->shape[1] < 1 ||
        a->shape[1] > WIDTH_MAX)
        return fail(DFL_E_FORMAT,
                    "'%s' does not hold features: float32 or float64 [n][d] with d from 1 to %d is "
                    "needed",
                    path, WIDTH_MAX);
    s->first = first;
    s->count = count ? count : a->shape[0];
    s->width = a->shape[1];
    if (s->count > a->shape[0])
        return fail(DFL_E_RANGE, "'%s' holds %zu features; %zu are asked for", path, a->shape[0],
                    s->count);
    TRY(digest_file(path, s->digest));
    s->raw = mem_array(mem_product(SHARD, s->width, 1), sizeof(double));
    text_add(&s->what, "features of file %s", path);
    if (!s->raw || s->what.failed) return fail_memory();
    text_tame(s->what.data);
    return DFL_OK;
}

dfl_status features_ready(const char *path, uint64_t first, size_t count, feature_source **out) {
    *out = NULL;
    feature_source *const s = mem_array(1, sizeof *s);
    if (!s) return fail_memory();
    const dfl_status status = open_ready(s, path, first, count);
    if (status == DFL_OK)
        *out = s;
    else
        features_free(s);
    return status;
}

void features_free(feature_source *s) {
    if (!s) return;
    npy_rows_close(s->rows);
    free(s->raw);
    text_free(&s->what);
    free(s);
}

uint64_t features_first(const feature_source *s) {
    return s->first;
}

size_t features_count(const feature_source *s) {
    return s->count;
}

size_t features_width(const feature_source *s) {
    return s->width;
}

size_t features_classes(const feature_source *s) {
    return s->classes;
}

const char *features_what(const feature_source *s) {
    return s->what.data;
}

const char *features_digest(const feature_source *s) {
    return s->digest;
}

dfl_status features_statistics(const feature_source *s, statistics *out) {
    char ready[DIGEST_HEX];
    digest_bytes(features_ready_name, strlen(features_ready_name), ready);
    return statistics_new(s->width, s->classes,
                          s->extractor ? extractor_name(s->extractor) : features_ready_name,
                          s->extractor ? extractor_digest(s->extractor) : ready, out);
}

/* ---- reading --------------------------------------------------------------------------------- */

static dfl_status read_ready(feature_source *s, size_t from, size_t n, float *x) {
    const bool wide = npy_rows_shape(s->rows)->type == ARRAY_F64;
    TRY(npy_rows_read(s->rows, from, n, wide ? s->raw : x));
    for (size_t i = 0; i < n * s->width; i++) {
        if (wide) x[i] = (float)((const double *)s->raw)[i];
        if (!isfinite(x[i]))
            return fail(DFL_E_NONFINITE, "feature vector %zu holds no finite number",
                        from + i / s->width);
    }
    return DFL_OK;
}

static dfl_status read_features(feature_source *s, size_t from, size_t n, float *x, float *logits) {
    if (s->rows) return read_ready(s, from, n, x);
    for (size_t done = 0; done < n;) {
        picture_set set;
        TRY(pictures_read(s->pictures, from + done, n - done, &set));
        TRY(extractor_run(s->extractor, &set, x + done * s->width,
                          logits ? logits + done * s->classes : NULL));
        done += set.n;
    }
    return DFL_OK;
}

/* ---- the loop -------------------------------------------------------------------------------- */

typedef struct {
    const gathering *g;
    float *features, *logits, *sorted; /* [SHARD][...] */
} shard_room;

/* Those of even number before those of odd number; *even of them. */
static void sort_halves(const shard_room *r, size_t from, size_t n, size_t *even) {
    const size_t d = r->g->from->width;
    *even = (n + (from % 2 == 0)) / 2;
    for (size_t i = 0, at[2] = {0, *even}; i < n; i++)
        memcpy(r->sorted + at[(from + i) % 2]++ * d, r->features + i * d, d * sizeof(float));
}

static dfl_status keep_halves(const shard_room *r, size_t from, size_t n) {
    const gathering *const g = r->g;
    const size_t d = g->from->width, whole = g->from->count;
    size_t even;
    sort_halves(r, from, n, &even);
    const float *const odd = r->sorted + even * d;
    TRY(moments_add(&g->half[0], r->sorted, even));
    TRY(moments_add(&g->half[1], odd, n - even));
    if (!g->kept) return DFL_OK;
    TRY(matrix_put(g->kept, (from + 1) / 2, even, r->sorted));
    return matrix_put(g->kept, (whole + 1) / 2 + from / 2, n - even, odd);
}

static dfl_status one_shard(const shard_room *r, size_t from, size_t n) {
    const gathering *const g = r->g;
    const feature_source *const s = g->from;
    TRY(read_features(g->from, from, n, r->features, r->logits));
    TRY(statistics_add(g->sums, s->first + from, n, r->features, r->logits));
    TRY(statistics_origin(g->sums, s->digest, s->what.data, s->first + from, n));
    *g->sums->tail = 0;
    if (g->kept) digest_bytes(r->features, n * s->width * sizeof(float), g->sums->tail);
    if (g->half) return keep_halves(r, from, n);
    return g->kept ? matrix_put(g->kept, from, n, r->features) : DFL_OK;
}

static size_t shard_length(const feature_source *s, size_t from) {
    const size_t room = SHARD - (size_t)((s->first + from) % SHARD), left = s->count - from;
    return room < left ? room : left;
}

static dfl_status all_shards(const shard_room *r) {
    const gathering *const g = r->g;
    const feature_source *const s = g->from;
    for (size_t from = (size_t)statistics_count(g->sums), n; from < s->count; from += n) {
        n = shard_length(s, from);
        TRY(one_shard(r, from, n));
        if (g->after) TRY(g->after(g->user, from + n));
    }
    return DFL_OK;
}

dfl_status gather_shards(const gathering *g) {
    const size_t d = g->from->width, classes = g->from->classes;
    shard_room r = {.g = g};
    r.features = mem_array(mem_product(SHARD, d, 1), sizeof(float));
    r.sorted = mem_array(mem_product(g->half ? SHARD : 0, d, 1), sizeof(float));
    r.logits = classes ? mem_array(mem_product(SHARD, classes, 1), sizeof(float)) : NULL;
    const bool room = r.features && r.sorted && (r.logits || !classes);
    const dfl_status status = room ? all_shards(&r) : fail_memory();
    free(r.features);
    free(r.sorted);
    free(r.logits);
    return status;
}

/* ---- going on -------------------------------------------------------------------------------- */

/* The rows of the last shard are those that the statistics saw. */
static dfl_status check_tail(const gathering *g, const char *path) {
    const feature_source *const s = g->from;
    const size_t have = (size_t)statistics_count(g->sums);
    size_t n = (size_t)((s->first + have) % SHARD);
    if (n == 0) n = SHARD;
    if (n > have) n = have;
    char hex[DIGEST_HEX];
    float *const rows = mem_array(mem_product(n, s->width, 1), sizeof *rows);
    if (!rows) return fail_memory();
    dfl_status status = matrix_get(g->kept, have - n, n, rows);
    if (status == DFL_OK) digest_bytes(rows, n * s->width * sizeof *rows, hex);
    free(rows);
    if (status == DFL_OK && strcmp(hex, g->sums->tail) != 0)
        status = fail(DFL_E_COMBINATION,
                      "the features kept before are not those of %s; remove both", path);
    return status;
}

dfl_status gather_check(const gathering *g, const char *path) {
    const feature_source *const s = g->from;
    const uint64_t have = statistics_count(g->sums);
    statistics fresh;
    if (have == 0) return DFL_OK;
    TRY(features_statistics(s, &fresh));
    const bool same = strcmp(fresh.extractor, g->sums->extractor) == 0;
    statistics_free(&fresh);
    if (!same)
        return fail(DFL_E_COMBINATION,
                    "%s holds features of another extractor (%s); remove it or name another file",
                    path, g->sums->name);
    const tally_origin *const o = g->sums->norigins == 1 ? &g->sums->origin[0] : NULL;
    if (!o || strcmp(o->digest, s->digest) != 0 || o->first != s->first || o->count != have)
        return fail(DFL_E_COMBINATION,
                    "%s holds statistics of something else (%s); remove it or name another file",
                    path, o ? o->what : "of many origins");
    if (have > s->count)
        return fail(DFL_E_COMBINATION,
                    "%s holds statistics of %llu pictures already, more than are asked for; remove "
                    "it or name another file",
                    path, (unsigned long long)have);
    return g->kept ? check_tail(g, path) : DFL_OK;
}
