/* Blocks of statistics: how they grow, merge, and become one. */
#include "eval/statistics.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- blocks ---------------------------------------------------------------------------------- */

static void free_block(tally_block *b) {
    moments_free(&b->m);
    free(b->guess);
    *b = (tally_block){0};
}

dfl_status statistics_new(size_t d, size_t classes, const char *name, const char *extractor,
                          statistics *out) {
    *out = (statistics){.d = d, .classes = classes};
    memcpy(out->extractor, extractor, DIGEST_HEX);
    out->name = text_copy(name);
    return out->name ? DFL_OK : fail_memory();
}

void statistics_free(statistics *s) {
    for (size_t i = 0; i < s->n; i++) free_block(&s->block[i]);
    for (size_t i = 0; i < s->norigins; i++) free(s->origin[i].what);
    free(s->block);
    free(s->origin);
    free(s->name);
    *s = (statistics){0};
}

uint64_t statistics_count(const statistics *s) {
    uint64_t count = 0;
    for (size_t i = 0; i < s->n; i++) count += s->block[i].count;
    return count;
}

/* Whether b follows on a, and both make one: a part of a shard, or a block of twice the size at a
   multiple of it. */
static bool belong_together(const tally_block *a, const tally_block *b) {
    if (a->first + a->count != b->first) return false;
    const uint64_t last = b->first + b->count - 1;
    if (a->first / SHARD == last / SHARD) return true;
    return a->count == b->count && a->count % SHARD == 0 && a->first % (2 * a->count) == 0 &&
           (a->count & (a->count - 1)) == 0;
}

static dfl_status join(const statistics *s, tally_block *a, tally_block *b) {
    TRY(moments_merge(&a->m, &b->m));
    for (size_t k = 0; k <= s->classes && a->guess; k++) a->guess[k] += b->guess[k];
    a->count += b->count;
    free_block(b);
    return DFL_OK;
}

static dfl_status tidy(statistics *s) {
    for (size_t i = 0; i + 1 < s->n;) {
        if (!belong_together(&s->block[i], &s->block[i + 1])) {
            i++;
            continue;
        }
        TRY(join(s, &s->block[i], &s->block[i + 1]));
        memmove(&s->block[i + 1], &s->block[i + 2], (s->n - i - 2) * sizeof *s->block);
        s->n--;
        i -= i > 0; /* what was made may belong to what is before it */
    }
    return DFL_OK;
}

/* Puts a block where it belongs; it is taken over, also on failure. */
static dfl_status place(statistics *s, tally_block *b) {
    void *blocks = s->block;
    size_t at = 0;
    while (at < s->n && s->block[at].first < b->first) at++;
    const bool before = at > 0 && s->block[at - 1].first + s->block[at - 1].count > b->first;
    if (before || (at < s->n && b->first + b->count > s->block[at].first)) {
        const uint64_t first = b->first;
        free_block(b);
        return fail(DFL_E_COMBINATION, "picture %llu is there already; each may count once",
                    (unsigned long long)first);
    }
    if (!mem_grow(&blocks, &s->cap, s->n + 1, sizeof *s->block)) {
        free_block(b);
        return fail_memory();
    }
    s->block = blocks;
    memmove(&s->block[at + 1], &s->block[at], (s->n - at) * sizeof *s->block);
    s->block[at] = *b;
    s->n++;
    *b = (tally_block){0};
    return tidy(s);
}

/* ---- class probabilities --------------------------------------------------------------------- */

/* Sums of one shard's class probabilities, as metrics.h has them for a single split. */
static dfl_status add_guess(const float *logits, size_t n, size_t classes, double *guess) {
    inception one;
    TRY(inception_new(classes, 1, n, &one));
    const dfl_status status = inception_add(&one, 0, logits, n);
    if (status == DFL_OK) {
        memcpy(guess, one.sum, classes * sizeof *guess);
        guess[classes] = one.entropy[0];
    }
    inception_free(&one);
    return status;
}

dfl_status statistics_add(statistics *s, uint64_t first, size_t n, const float *x,
                          const float *logits) {
    tally_block b = {.first = first, .count = n};
    dfl_status status = moments_new(s->d, &b.m);
    if (status == DFL_OK && s->classes > 0) {
        b.guess = mem_array(s->classes + 1, sizeof *b.guess);
        if (!b.guess) status = fail_memory();
    }
    if (status == DFL_OK) status = moments_add(&b.m, x, n);
    if (status == DFL_OK && b.guess) status = add_guess(logits, n, s->classes, b.guess);
    if (status == DFL_OK) return place(s, &b);
    free_block(&b);
    return status;
}

/* ---- origins --------------------------------------------------------------------------------- */

static bool follows(const tally_origin *a, const tally_origin *b) {
    return a->first + a->count == b->first && strcmp(a->digest, b->digest) == 0;
}

static void join_origins(statistics *s) {
    for (size_t i = 0; i + 1 < s->norigins;) {
        if (!follows(&s->origin[i], &s->origin[i + 1])) {
            i++;
            continue;
        }
        s->origin[i].count += s->origin[i + 1].count;
        free(s->origin[i + 1].what);
        memmove(&s->origin[i + 1], &s->origin[i + 2], (s->norigins - i - 2) * sizeof *s->origin);
        s->norigins--;
    }
}

dfl_status statistics_origin(statistics *s, const char *digest, const char *what, uint64_t first,
                             uint64_t count) {
    void *origins = s->origin;
    size_t at = 0;
    tally_origin made = {.first = first, .count = count};
    if (count == 0) return DFL_OK;
    if (!mem_grow(&origins, &s->origin_cap, s->norigins + 1, sizeof *s->origin))
        return fail_memory();
    s->origin = origins;
    memcpy(made.digest, digest, DIGEST_HEX);
    if (!(made.what = text_copy(what))) return fail_memory();
    while (at < s->norigins && s->origin[at].first < first) at++;
    memmove(&s->origin[at + 1], &s->origin[at], (s->norigins - at) * sizeof *s->origin);
    s->origin[at] = made;
    s->norigins++;
    join_origins(s);
    return DFL_OK;
}

void statistics_cut(statistics *s) {
    tally_block *const last = s->n ? &s->block[s->n - 1] : NULL;
    if (!last || (last->first + last->count) % SHARD == 0) return;
    tally_origin *const origin = s->norigins ? &s->origin[s->norigins - 1] : NULL;
    if (origin) origin->count -= last->count;
    if (origin && origin->count == 0) {
        free(origin->what);
        s->norigins--;
    }
    free_block(last);
    s->n--;
}

/* ---- one out of many ------------------------------------------------------------------------- */

/* The inception score of all, in one split. */
static dfl_status score(const statistics *s, double *out) {
    inception all;
    inception_result result;
    *out = NAN;
    if (s->classes == 0) return DFL_OK;
    TRY(inception_new(s->classes, 1, statistics_count(s), &all));
    all.count[0] = all.total;
    for (size_t i = 0; i < s->n; i++) {
        for (size_t k = 0; k < s->classes; k++) all.sum[k] += s->block[i].guess[k];
        all.entropy[0] += s->block[i].guess[s->classes];
    }
    const dfl_status status = inception_score(&all, &result);
    if (status == DFL_OK) *out = result.mean;
    inception_free(&all);
    return status;
}

dfl_status statistics_total(const statistics *s, moments *total, double *inception_mean) {
    TRY(moments_new(s->d, total));
    dfl_status status = score(s, inception_mean);
    for (size_t i = 0; i < s->n && status == DFL_OK; i++)
        status = moments_merge(total, &s->block[i].m);
    if (status != DFL_OK) moments_free(total);
    return status;
}

static dfl_status copy_block(const statistics *s, const tally_block *from, tally_block *to) {
    *to = (tally_block){.first = from->first, .count = from->count};
    TRY(moments_new(s->d, &to->m));
    to->m.n = from->m.n;
    memcpy(to->m.mean, from->m.mean, s->d * sizeof(double));
    memcpy(to->m.m2, from->m.m2, s->d * s->d * sizeof(double));
    if (!from->guess) return DFL_OK;
    to->guess = mem_array(s->classes + 1, sizeof *to->guess);
    if (!to->guess) return fail_memory();
    memcpy(to->guess, from->guess, (s->classes + 1) * sizeof *to->guess);
    return DFL_OK;
}

dfl_status statistics_merge(statistics *s, const statistics *from, const char *path) {
    if (strcmp(s->extractor, from->extractor) != 0 || s->d != from->d ||
        s->classes != from->classes)
        return fail(DFL_E_COMBINATION,
                    "%s holds features of another extractor (%s, digest %.12s; before it %s, "
                    "%.12s)",
                    path, from->name, from->extractor, s->name, s->extractor);
    for (size_t i = 0; i < from->n; i++) {
        tally_block b;
        dfl_status status = copy_block(s, &from->block[i], &b);
        if (status != DFL_OK) {
            free_block(&b);
            return status;
        }
        status = place(s, &b);
        if (status != DFL_OK) return fail_in(status, "%s", path);
    }
    for (size_t i = 0; i < from->norigins; i++) {
        const tally_origin *const o = &from->origin[i];
        TRY(statistics_origin(s, o->digest, o->what, o->first, o->count));
    }
    *s->tail = 0;
    return DFL_OK;
}
