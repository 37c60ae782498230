/* The file of statistics, {"format": "driftless-score-statistics/1", ...}: read, written, merged.
   docs/cli.md is the description for people; solver deis_sn reads network_sha256, mean_abs_eps. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "study/sums.h"

static const char format[] = "driftless-score-statistics/1";

const char stats_card_key[] = "card_sha256";

enum { STATS_BYTES_MAX = 1 << 24 };

void stats_sums_free(stats_sums *s) {
    free(s->network);
    json_decref(s->settings);
    free(s->range);
    free(s->time);
    free(s->sum);
    *s = (stats_sums){0};
}

uint64_t stats_count(const stats_sums *s) {
    uint64_t count = 0;
    for (size_t i = 0; i < s->nranges; i++) count += s->range[i].count;
    return count;
}

/* ---- the result ------------------------------------------------------------------------------ */

typedef struct {
    double t, mean;
    size_t times; /* evaluations at t */
} point;

static int by_time(const void *a, const void *b) {
    const double x = ((const point *)a)->t, y = ((const point *)b)->t;
    return (x > y) - (x < y);
}

/* Points of rising time, a mean where several evaluations share one. */
static size_t make_points(const stats_sums *s, point *p) {
    const uint64_t samples = stats_count(s);
    const double count = samples ? (double)samples : 1;
    size_t n = 0;
    for (size_t e = 0; e < s->n; e++) p[e] = (point){s->time[e], s->sum[e] / count, 1};
    qsort(p, s->n, sizeof *p, by_time);
    for (size_t e = 0; e < s->n; e++) {
        point *const last = n ? &p[n - 1] : NULL;
        if (last && p[e].t - last->t <= 1e-12) {
            last->times++;
            last->mean += (p[e].mean - last->mean) / (double)last->times;
        } else {
            p[n++] = p[e];
        }
    }
    return n;
}

dfl_status stats_times(const stats_sums *s, size_t *n) {
    point *p = mem_array(s->n, sizeof *p);
    if (!p) return fail_memory();
    *n = make_points(s, p);
    free(p);
    return DFL_OK;
}

dfl_status stats_means(const stats_sums *s, double *mean) {
    point *p = mem_array(s->n, sizeof *p);
    if (!p) return fail_memory();
    const size_t n = make_points(s, p);
    dfl_status status = DFL_OK;
    for (size_t k = 0, i = 0; k < s->bins; k++) {
        const double t = (double)(k + 1) / (double)s->bins;
        while (i < n && p[i].t < t - 1e-12) i++; /* the first point not below t */
        if (i == n)
            mean[k] = p[n - 1].mean;
        else if (i == 0 || p[i].t <= t + 1e-12)
            mean[k] = p[i].mean;
        else
            mean[k] = p[i - 1].mean +
                      (t - p[i - 1].t) / (p[i].t - p[i - 1].t) * (p[i].mean - p[i - 1].mean);
        if (!(mean[k] > 0) && status == DFL_OK)
            status = fail(DFL_E_NONFINITE, "statistics: mean |eps| is %g at t=%g", mean[k], t);
    }
    free(p);
    return status;
}

/* ---- writing --------------------------------------------------------------------------------- */

void stats_reals(text *out, const char *key, const double *x, size_t n) {
    text_add(out, ",\n \"%s\": [", key);
    for (size_t i = 0; i < n; i++) {
        if (i) text_add(out, i % 8 ? ", " : ",\n  ");
        text_real(out, x[i]);
    }
    text_add(out, "]");
}

void stats_head(text *out, const char *network, const char *digest) {
    text_add(out, "{\n \"format\": \"%s\",\n \"version\": \"%s\",\n \"network\": ", format,
             dfl_version());
    json_add_text(out, network ? network : "");
    text_add(out, ",\n \"network_sha256\": \"%s\"", digest);
}

static void add_settings(text *out, const json_t *settings) {
    const char *key, *comma = "";
    json_t *value;
    text_add(out, ",\n \"settings\": {");
    json_object_foreach((json_t *)settings, key, value) {
        text_add(out, "%s", comma);
        json_add_text(out, key);
        text_add(out, ": ");
        if (json_is_string(value))
            json_add_text(out, json_string_value(value));
        else if (json_is_integer(value))
            text_add(out, "%lld", (long long)json_integer_value(value));
        else
            text_real(out, json_number_value(value));
        comma = ", ";
    }
    text_add(out, "}");
}

static void add_ranges(text *out, const stats_sums *s) {
    text_add(out, ",\n \"samples\": %llu,\n \"runs\": [", (unsigned long long)stats_count(s));
    for (size_t i = 0; i < s->nranges; i++)
        text_add(out, "%s{\"seed\": \"%llu\", \"first\": \"%llu\", \"count\": %llu}", i ? ", " : "",
                 (unsigned long long)s->range[i].seed, (unsigned long long)s->range[i].first,
                 (unsigned long long)s->range[i].count);
    text_add(out, "]");
}

dfl_status stats_finish(const char *path, text *out) {
    text_add(out, "\n}\n");
    return out->failed ? fail_memory() : file_save(path, out->data, out->len);
}

dfl_status stats_write(const stats_sums *s, const char *path) {
    text out = {0};
    double *mean = mem_array(s->bins, sizeof *mean);
    if (!mean) return fail_memory();
    dfl_status status = stats_means(s, mean);
    if (status == DFL_OK) {
        stats_head(&out, s->network, s->digest);
        add_settings(&out, s->settings);
        add_ranges(&out, s);
        stats_reals(&out, "times", s->time, s->n);
        stats_reals(&out, "sums", s->sum, s->n);
        stats_reals(&out, "mean_abs_eps", mean, s->bins);
        status = stats_finish(path, &out);
    }
    text_free(&out);
    free(mean);
    return status;
}

/* ---- reading --------------------------------------------------------------------------------- */

static dfl_status read_digest(const json_in *in, char hex[DIGEST_HEX]) {
    const char *digest;
    TRY(json_get_text(in, "network_sha256", &digest));
    const size_t length = strlen(digest);
    if (length != 0 && length != DIGEST_HEX - 1)
        return fail(DFL_E_FORMAT, "%s: \"network_sha256\" is not 64 hexadecimal digits", in->where);
    memcpy(hex, digest, length + 1);
    return DFL_OK;
}

static dfl_status read_settings(const json_in *in, stats_sums *out) {
    json_in settings;
    long long bins, nfe;
    const char *key;
    json_t *value;
    TRY(json_get_object(in, "settings", &settings));
    TRY(json_get_int(&settings, "bins", 2, STATS_TIMES_MAX, &bins));
    TRY(json_get_int(&settings, "nfe", 2, STATS_TIMES_MAX, &nfe));
    json_object_foreach((json_t *)settings.object, key, value) {
        if (!json_is_string(value) && !json_is_number(value))
            return fail(DFL_E_FORMAT, "%s: \"%.40s\" is neither text nor a number", settings.where,
                        key);
    }
    out->bins = (size_t)bins;
    out->n = (size_t)nfe;
    out->settings = json_deep_copy(settings.object);
    return out->settings ? DFL_OK : fail_memory();
}

static dfl_status read_range(const json_in *in, const json_t *item, stats_range *out) {
    json_in run = {.object = item};
    long long count;
    memcpy(run.where, in->where, sizeof run.where);
    if (!json_is_object(item)) return fail(DFL_E_FORMAT, "%s: a run is no object", in->where);
    TRY(json_get_u64(&run, "seed", UINT64_MAX, &out->seed));
    TRY(json_get_u64(&run, "first", INT64_MAX / 2, &out->first));
    TRY(json_get_int(&run, "count", 1, 1LL << 40, &count));
    out->count = (uint64_t)count;
    return DFL_OK;
}

static int by_place(const void *a, const void *b) {
    const stats_range *x = a, *y = b;
    if (x->seed != y->seed) return x->seed < y->seed ? -1 : 1;
    return (x->first > y->first) - (x->first < y->first);
}

/* Sorts, and joins what follows on each other; false if ranges overlap. */
static bool tidy(stats_range *range, size_t *n) {
    size_t kept = 0;
    qsort(range, *n, sizeof *range, by_place);
    for (size_t i = 0; i < *n; i++) {
        stats_range *const last = kept ? &range[kept - 1] : NULL;
        const bool near = last && last->seed == range[i].seed;
        if (near && range[i].first < last->first + last->count) return false;
        if (near && range[i].first == last->first + last->count)
            last->count += range[i].count;
        else
            range[kept++] = range[i];
    }
    *n = kept;
    return true;
}

static dfl_status read_ranges(const json_in *in, stats_sums *out) {
    const json_t *list;
    TRY(json_get_array(in, "runs", &list));
    const size_t n = json_array_size(list);
    if (n < 1 || n > STATS_RANGES_MAX)
        return fail(DFL_E_RANGE, "%s: %zu runs; 1 to %d are allowed", in->where, n,
                    STATS_RANGES_MAX);
    out->range = mem_array(n, sizeof *out->range);
    if (!out->range) return fail_memory();
    for (size_t i = 0; i < n; i++) TRY(read_range(in, json_array_get(list, i), &out->range[i]));
    out->nranges = n;
    if (tidy(out->range, &out->nranges)) return DFL_OK;
    return fail(DFL_E_FORMAT, "%s: its runs overlap", in->where);
}

/* n numbers from lo to hi. */
static dfl_status read_reals(const json_in *in, const char *key, size_t n, double hi,
                             double **out) {
    size_t found;
    TRY(json_get_reals(in, key, STATS_TIMES_MAX, out, &found));
    if (found != n)
        return fail(DFL_E_FORMAT, "%s: %zu %s; there must be %zu, as many as nfe", in->where, found,
                    key, n);
    for (size_t i = 0; i < n; i++)
        if (!((*out)[i] >= 0 && (*out)[i] <= hi))
            return fail(DFL_E_RANGE, "%s: %s[%zu] is %g; 0 to %g is allowed", in->where, key, i,
                        (*out)[i], hi);
    return DFL_OK;
}

static dfl_status read_object(const json_in *in, stats_sums *out) {
    const char *network;
    TRY(json_check_format(in, format));
    TRY(read_digest(in, out->digest));
    TRY(json_get_text(in, "network", &network));
    if (!(out->network = text_copy(network))) return fail_memory();
    if (!json_has(in, "sums"))
        return fail(DFL_E_FORMAT,
                    "%s: holds a result only (it was imported), not the sums it was made from",
                    in->where);
    TRY(read_settings(in, out));
    TRY(read_ranges(in, out));
    TRY(read_reals(in, "times", out->n, 1, &out->time));
    return read_reals(in, "sums", out->n, 1e30, &out->sum);
}

dfl_status stats_read(const char *path, stats_sums *out) {
    json_t *root;
    json_in in;
    *out = (stats_sums){0};
    dfl_status status = json_read(path, STATS_BYTES_MAX, &root, &in);
    if (status == DFL_OK) status = read_object(&in, out);
    json_decref(root);
    if (status != DFL_OK) stats_sums_free(out);
    return status;
}

/* ---- merging --------------------------------------------------------------------------------- */

dfl_status stats_same(const stats_sums *a, const stats_sums *b, const char *path) {
    if (strcmp(a->digest, b->digest) != 0)
        return fail(DFL_E_COMBINATION, "%s holds statistics of another model (sha256 %.12s)", path,
                    b->digest);
    const char *key;
    json_t *value;
    json_object_foreach(a->settings, key, value) {
        const json_t *other = json_object_get(b->settings, key);
        if (!other && strcmp(key, stats_card_key) == 0) continue;
        const bool number = json_is_number(value) && json_is_number(other);
        if (number ? json_number_value(value) == json_number_value(other)
                   : json_equal(value, (json_t *)other))
            continue;
        return fail(DFL_E_COMBINATION,
                    "%s was gathered with other settings (%s differs); remove it or name another "
                    "file",
                    path, key);
    }
    bool same = b->n == a->n;
    for (size_t e = 0; e < a->n && same; e++) same = fabs(a->time[e] - b->time[e]) <= 1e-12;
    return same ? DFL_OK : fail(DFL_E_COMBINATION, "%s was gathered at other times", path);
}

dfl_status stats_add(stats_sums *to, const stats_sums *from, const char *path) {
    TRY(stats_same(to, from, path));
    stats_range *both = mem_array(to->nranges + from->nranges, sizeof *both);
    if (!both) return fail_memory();
    size_t n = to->nranges + from->nranges;
    memcpy(both, to->range, to->nranges * sizeof *both);
    memcpy(both + to->nranges, from->range, from->nranges * sizeof *both);
    if (!tidy(both, &n) || n > STATS_RANGES_MAX) {
        free(both);
        return fail(DFL_E_COMBINATION,
                    "%s holds samples that are in another file, too; each may count once", path);
    }
    free(to->range);
    to->range = both;
    to->nranges = n;
    for (size_t e = 0; e < to->n; e++) to->sum[e] += from->sum[e];
    return DFL_OK;
}

dfl_status dfl_stats_merge(const char *const *paths, size_t n, const char *path) {
    if (!paths || n < 1 || !path)
        return fail(DFL_E_ARG, "dfl_stats_merge: at least one file and a place for the result are "
                               "needed");
    stats_sums sum = {0}, next = {0};
    dfl_status status = stats_read(paths[0], &sum);
    for (size_t i = 1; i < n && status == DFL_OK; i++) {
        status = stats_read(paths[i], &next);
        if (status == DFL_OK) status = stats_add(&sum, &next, paths[i]);
        stats_sums_free(&next);
    }
    if (status == DFL_OK) status = stats_write(&sum, path);
    stats_sums_free(&sum);
    return status;
}
