/* The file of statistics. docs/features-card.md has its layout: mu and sigma for everyone; for us
   "about" (JSON as bytes), "blocks" [k][2] (first, count), "mean" [k][d], "m2" [k][d(d+1)/2] (rows of
   the upper triangle) and "guess" [k][classes+1]. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "eval/statistics.h"
#include "io/io.h"

static const char format[] = "driftless-feature-moments/1";

enum { ABOUT, BLOCKS, MEAN, M2, GUESS, MU, SIGMA, ARRAYS };
static const char *const names[ARRAYS] = {"about", "blocks", "mean", "m2", "guess", "mu", "sigma"};

enum {
    WIDTH_MAX = 1 << 14,
    BLOCKS_MAX = 1 << 12,
    ORIGINS_MAX = 1 << 12,
    ABOUT_MAX = 1 << 22,
    CLASSES_MAX = 1 << 20
};
static const size_t bytes_max = (size_t)1 << 33U;

/* ---- writing --------------------------------------------------------------------------------- */

static void add_u64(text *out, const char *key, uint64_t x) {
    text_add(out, "\"%s\": \"%llu\"", key, (unsigned long long)x);
}

static dfl_status print_about(const statistics *s, text *out) {
    text_add(out, "{\"format\": \"%s\", \"version\": \"%s\", \"extractor\": {\"name\": ", format,
             dfl_version());
    json_add_text(out, s->name);
    text_add(out,
             ", \"digest\": \"%s\", \"width\": %zu, \"classes\": %zu}, \"shard\": %d, \"tail\": "
             "\"%s\", \"origins\": [",
             s->extractor, s->d, s->classes, SHARD, s->tail);
    for (size_t i = 0; i < s->norigins; i++) {
        const tally_origin *const o = &s->origin[i];
        text_add(out, "%s{\"digest\": \"%s\", \"what\": ", i ? ", " : "", o->digest);
        json_add_text(out, o->what);
        text_add(out, ", ");
        add_u64(out, "first", o->first);
        text_add(out, ", ");
        add_u64(out, "count", o->count);
        text_add(out, "}");
    }
    text_add(out, "]}");
    return out->failed ? fail_memory() : DFL_OK;
}

static size_t triangle(size_t d) {
    return d * (d + 1) / 2;
}

static dfl_status allocate(const statistics *s, named_array *a) {
    const size_t d = s->d, n = s->n;
    const array shapes[ARRAYS] = {
        [BLOCKS] = {ARRAY_I64, 2, {n, 2}, NULL},
        [MEAN] = {ARRAY_F64, 2, {n, d}, NULL},
        [M2] = {ARRAY_F64, 2, {n, triangle(d)}, NULL},
        [GUESS] = {ARRAY_F64, 2, {n, s->classes + 1}, NULL},
        [MU] = {ARRAY_F64, 1, {d}, NULL},
        [SIGMA] = {ARRAY_F64, 2, {d, d}, NULL},
    };
    for (int i = BLOCKS; i < ARRAYS; i++) {
        a[i] = (named_array){names[i], shapes[i]};
        a[i].value.data = mem_array(array_count(&shapes[i]), 8);
        if (!a[i].value.data) return fail_memory();
    }
    return DFL_OK;
}

static void fill_block(const statistics *s, size_t i, named_array *a) {
    const tally_block *const b = &s->block[i];
    const size_t d = s->d;
    int64_t *const place = (int64_t *)a[BLOCKS].value.data + 2 * i;
    double *m2 = (double *)a[M2].value.data + i * triangle(d);
    place[0] = (int64_t)b->first;
    place[1] = (int64_t)b->count;
    memcpy((double *)a[MEAN].value.data + i * d, b->m.mean, d * sizeof(double));
    for (size_t r = 0; r < d; m2 += d - r, r++)
        memcpy(m2, b->m.m2 + r * d + r, (d - r) * sizeof(double));
    if (b->guess)
        memcpy((double *)a[GUESS].value.data + i * (s->classes + 1), b->guess,
               (s->classes + 1) * sizeof(double));
}

static dfl_status fill(const statistics *s, named_array *a) {
    moments total;
    double score;
    for (size_t i = 0; i < s->n; i++) fill_block(s, i, a);
    TRY(statistics_total(s, &total, &score));
    const double n = (double)total.n;
    double *const mu = a[MU].value.data, *const sigma = a[SIGMA].value.data;
    memcpy(mu, total.mean, s->d * sizeof *mu);
    for (size_t i = 0; i < s->d * s->d; i++) sigma[i] = n > 1 ? total.m2[i] / (n - 1) : 0;
    moments_free(&total);
    return DFL_OK;
}

dfl_status statistics_write(const statistics *s, const char *path) {
    named_array a[ARRAYS] = {0};
    text about = {0};
    dfl_status status = print_about(s, &about);
    if (status == DFL_OK) status = allocate(s, a);
    if (status == DFL_OK) status = fill(s, a);
    a[ABOUT] = (named_array){names[ABOUT], {ARRAY_U8, 1, {about.len}, about.data}};
    if (status == DFL_OK) status = npz_write(path, a, ARRAYS);
    for (int i = BLOCKS; i < ARRAYS; i++) array_free(&a[i].value);
    text_free(&about);
    return status;
}

/* ---- reading: ours --------------------------------------------------------------------------- */

static bool is_digest(const char *s) {
    return strlen(s) == DIGEST_HEX - 1 && strspn(s, "0123456789abcdef") == DIGEST_HEX - 1;
}

static dfl_status read_digest(const json_in *in, const char *key, bool empty,
                              char hex[DIGEST_HEX]) {
    const char *digest;
    TRY(json_get_text(in, key, &digest));
    if (!is_digest(digest) && !(empty && !*digest))
        return fail(DFL_E_FORMAT, "%s: \"%s\" is not 64 hexadecimal digits", in->where, key);
    memcpy(hex, digest, strlen(digest) + 1);
    return DFL_OK;
}

static dfl_status read_origin(const json_in *in, const json_t *item, statistics *s) {
    json_in one = {.object = item};
    char digest[DIGEST_HEX];
    const char *what;
    uint64_t first, count;
    memcpy(one.where, in->where, sizeof one.where);
    if (!json_is_object(item)) return fail(DFL_E_FORMAT, "%s: an origin is no object", in->where);
    TRY(read_digest(&one, "digest", false, digest));
    TRY(json_get_text(&one, "what", &what));
    TRY(json_get_u64(&one, "first", INT64_MAX / 2, &first));
    TRY(json_get_u64(&one, "count", INT64_MAX / 2, &count));
    return statistics_origin(s, digest, what, first, count);
}

static dfl_status read_about(const json_in *in, statistics *s) {
    json_in extractor;
    const json_t *list;
    const char *name;
    char digest[DIGEST_HEX];
    long long width, classes, shard;
    TRY(json_check_format(in, format));
    TRY(json_get_int(in, "shard", SHARD, SHARD, &shard));
    TRY(json_get_object(in, "extractor", &extractor));
    TRY(json_get_text(&extractor, "name", &name));
    TRY(read_digest(&extractor, "digest", false, digest));
    TRY(json_get_int(&extractor, "width", 1, WIDTH_MAX, &width));
    TRY(json_get_int(&extractor, "classes", 0, CLASSES_MAX, &classes));
    TRY(statistics_new((size_t)width, (size_t)classes, name, digest, s));
    TRY(read_digest(in, "tail", true, s->tail));
    TRY(json_get_array(in, "origins", &list));
    if (json_array_size(list) > ORIGINS_MAX)
        return fail(DFL_E_RANGE, "%s: %zu origins; at most %d are allowed", in->where,
                    json_array_size(list), ORIGINS_MAX);
    for (size_t i = 0; i < json_array_size(list); i++)
        TRY(read_origin(in, json_array_get(list, i), s));
    return DFL_OK;
}

static dfl_status parse_about(const char *path, const array *a, statistics *s) {
    json_in in;
    json_t *root;
    if (a->type != ARRAY_U8 || a->rank != 1)
        return fail(DFL_E_FORMAT, "%s: 'about' is no text", path);
    TRY(json_open(path, a->data, a->shape[0], &root, &in));
    const dfl_status status = read_about(&in, s);
    json_decref(root);
    return status;
}

static bool is_shaped(const array *a, array_type type, size_t rows, size_t columns) {
    return a->type == type && a->rank == 2 && a->shape[0] == rows && a->shape[1] == columns;
}

static bool all_finite(const array *a) {
    const double *const x = a->data;
    for (size_t i = 0; i < array_count(a); i++)
        if (!isfinite(x[i])) return false;
    return true;
}

static dfl_status check_arrays(const char *path, const statistics *s, const array *a) {
    const size_t n = a[BLOCKS].rank == 2 ? a[BLOCKS].shape[0] : 0;
    const bool shaped = n <= BLOCKS_MAX && is_shaped(&a[BLOCKS], ARRAY_I64, n, 2) &&
                        is_shaped(&a[MEAN], ARRAY_F64, n, s->d) &&
                        is_shaped(&a[M2], ARRAY_F64, n, triangle(s->d)) &&
                        is_shaped(&a[GUESS], ARRAY_F64, n, s->classes + 1);
    if (!shaped)
        return fail(DFL_E_FORMAT, "%s: its arrays do not have the shapes that 'about' calls for",
                    path);
    if (!all_finite(&a[MEAN]) || !all_finite(&a[M2]) || !all_finite(&a[GUESS]))
        return fail(DFL_E_NONFINITE, "%s: holds a value that is no finite number", path);
    const int64_t *const place = a[BLOCKS].data;
    for (size_t i = 0; i < n; i++) {
        const int64_t first = place[2 * i], count = place[2 * i + 1];
        const int64_t end = i ? place[2 * i - 2] + place[2 * i - 1] : 0;
        if (first < end || count < 1 || first > INT64_MAX / 2 || count > INT64_MAX / 4)
            return fail(DFL_E_FORMAT, "%s: block %zu overlaps another, or is out of range", path,
                        i);
    }
    return DFL_OK;
}

static dfl_status take_block(const array *a, size_t i, const statistics *s, tally_block *b) {
    const int64_t *const place = (const int64_t *)a[BLOCKS].data + 2 * i;
    const double *m2 = (const double *)a[M2].data + i * triangle(s->d);
    const size_t d = s->d;
    *b = (tally_block){.first = (uint64_t)place[0], .count = (uint64_t)place[1]};
    TRY(moments_new(d, &b->m));
    b->m.n = b->count;
    memcpy(b->m.mean, (const double *)a[MEAN].data + i * d, d * sizeof(double));
    for (size_t r = 0; r < d; r++)
        for (size_t c = r; c < d; c++) b->m.m2[r * d + c] = b->m.m2[c * d + r] = *m2++;
    if (s->classes == 0) return DFL_OK;
    b->guess = mem_array(s->classes + 1, sizeof *b->guess);
    if (!b->guess) return fail_memory();
    memcpy(b->guess, (const double *)a[GUESS].data + i * (s->classes + 1),
           (s->classes + 1) * sizeof *b->guess);
    return DFL_OK;
}

static dfl_status take_blocks(const array *a, statistics *s) {
    const size_t n = a[BLOCKS].shape[0];
    s->block = mem_array(n, sizeof *s->block);
    if (!s->block) return fail_memory();
    s->cap = n;
    for (size_t i = 0; i < n; i++) {
        s->n = i + 1;
        TRY(take_block(a, i, s, &s->block[i]));
    }
    return DFL_OK;
}

dfl_status statistics_read(const char *path, statistics *out) {
    array a[ARRAYS] = {0};
    *out = (statistics){0};
    dfl_status status = npz_read(path, names, 1, false, ABOUT_MAX, a);
    if (status == DFL_OK) status = parse_about(path, &a[ABOUT], out);
    if (status == DFL_OK)
        status = npz_read(path, names + BLOCKS, MU - BLOCKS, false, bytes_max, a + BLOCKS);
    if (status == DFL_OK) status = check_arrays(path, out, a);
    if (status == DFL_OK) status = take_blocks(a, out);
    for (int i = 0; i < ARRAYS; i++) array_free(&a[i]);
    if (status != DFL_OK) statistics_free(out);
    return status;
}

/* ---- reading: anyone's ----------------------------------------------------------------------- */

dfl_status statistics_kind(const char *path, npz_kind *out) {
    static const char *const looked[] = {"about", "blocks", "mu", "arr_0"};
    enum { N = sizeof looked / sizeof *looked };
    bool there[N];
    TRY(npz_has(path, looked, N, there));
    if (there[0] && there[1])
        *out = NPZ_STATISTICS;
    else if (there[2] && !there[3])
        *out = NPZ_GAUSSIAN;
    else
        *out = NPZ_PICTURES;
    return DFL_OK;
}

/* float32 or float64 as doubles. */
static dfl_status as_double(const char *path, const char *name, array *a) {
    if (a->type == ARRAY_F64) return DFL_OK;
    if (a->type != ARRAY_F32)
        return fail(DFL_E_FORMAT, "%s: '%s' is not of floating-point numbers", path, name);
    const size_t n = array_count(a);
    double *const to = mem_array(n, sizeof *to);
    if (!to) return fail_memory();
    for (size_t i = 0; i < n; i++) to[i] = array_real(a, i);
    free(a->data);
    a->data = to;
    a->type = ARRAY_F64;
    return DFL_OK;
}

static dfl_status take_gaussian(const char *path, array *a, gaussian *out) {
    TRY(as_double(path, names[MU], &a[0]));
    TRY(as_double(path, names[SIGMA], &a[1]));
    const size_t d = a[0].rank == 1 ? a[0].shape[0] : 0;
    if (d < 1 || d > WIDTH_MAX || !is_shaped(&a[1], ARRAY_F64, d, d))
        return fail(DFL_E_FORMAT,
                    "%s: 'mu' and 'sigma' are not of shapes [d] and [d][d], d from 1 to %d", path,
                    WIDTH_MAX);
    *out = (gaussian){d, 0, a[0].data, a[1].data};
    a[0].data = a[1].data = NULL;
    const dfl_status status = gaussian_check(out);
    if (status == DFL_OK) return DFL_OK;
    gaussian_free(out);
    *out = (gaussian){0};
    return fail_in(status, "%s", path);
}

dfl_status statistics_gaussian(const char *path, gaussian *out) {
    array a[2] = {0};
    *out = (gaussian){0};
    dfl_status status = npz_read(path, names + MU, 2, false, bytes_max, a);
    if (status == DFL_OK) status = take_gaussian(path, a, out);
    for (int i = 0; i < 2; i++) array_free(&a[i]);
    return status;
}
