/* What all cells are held against: features of real pictures, made once and kept in the folder, or the
   moments that a file of statistics holds. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "eval/sweep.h"
#include "io/io.h"

enum { PIECE = 256 };
static const size_t kept_max = (size_t)4 << 30; /* bytes of features */

static dfl_status open_pictures(const sweep *s, const char *path, picture_source **out) {
    const picture_wish wish = {.path = path,
                               .range = {s->model->card.range[0], s->model->card.range[1]}};
    return pictures_open(&wish, out);
}

dfl_status sweep_reference_look(sweep *s, const char *path) {
    picture_source *pictures = NULL;
    TRY(open_pictures(s, path, &pictures));
    s->frame.reference_count = pictures->count;
    memcpy(s->frame.reference, pictures->digest, DIGEST_HEX);
    pictures_free(pictures);
    if (s->frame.reference_count >= 2) return DFL_OK;
    return fail(DFL_E_RANGE, "%s: a reference needs two pictures at least", path);
}

/* ---- features -------------------------------------------------------------------------------- */

static dfl_status extract(sweep *s, picture_source *from, float *features) {
    const size_t d = extractor_width(s->extractor);
    for (size_t at = 0; at < from->count;) {
        picture_set set;
        TRY(pictures_read(from, at, PIECE, &set));
        TRY(extractor_run(s->extractor, &set, features + at * d, NULL));
        at += set.n;
        if (s->watch) TRY(s->watch(s->user, 0));
    }
    return DFL_OK;
}

static dfl_status keep(const sweep *s, const char *path) {
    const size_t shape[2] = {s->frame.reference_count, extractor_width(s->extractor)};
    npy_writer *npy = NULL;
    TRY(npy_create(path, ARRAY_F32, 2, shape, &npy));
    const dfl_status status = npy_append(npy, s->reference, shape[0]);
    if (status == DFL_OK) return npy_commit(npy);
    npy_discard(npy);
    return status;
}

/* What the folder has: it belongs to this reference, or the folder had been refused. */
static dfl_status take(sweep *s, const char *path, size_t bytes) {
    array a = {0};
    TRY(npy_read(path, bytes, &a));
    const bool same = a.type == ARRAY_F32 && a.rank == 2 &&
                      a.shape[0] == s->frame.reference_count &&
                      a.shape[1] == extractor_width(s->extractor);
    if (same)
        s->reference = a.data;
    else
        array_free(&a);
    return same ? DFL_OK
                : fail(DFL_E_FORMAT, "%s: not the features of the reference; remove it", path);
}

static dfl_status find_features(sweep *s, const char *path) {
    const size_t d = extractor_width(s->extractor), n = s->frame.reference_count;
    const size_t bytes = mem_product(n, d, sizeof(float));
    picture_source *pictures = NULL;
    text kept = {0};
    dfl_status status = DFL_OK;
    if (bytes > kept_max)
        return fail(DFL_E_MEMORY, "the features of %zu pictures need more than 4 GiB", n);
    if (s->folder) TRY_GOTO(sweep_path(s, "features", "reference", ".npy", &kept), done);
    if (s->folder && access(kept.data, F_OK) == 0) {
        status = take(s, kept.data, bytes);
        goto done;
    }
    TRY_GOTO(open_pictures(s, path, &pictures), done);
    s->reference = mem_array(mem_product(n, d, 1), sizeof *s->reference);
    TRY_GOTO(s->reference ? DFL_OK : fail_memory(), done);
    TRY_GOTO(extract(s, pictures, s->reference), done);
    if (s->folder) status = keep(s, kept.data);
done:
    pictures_free(pictures);
    text_free(&kept);
    return status;
}

/* ---- the floor ------------------------------------------------------------------------------- */

/* Evenly spread pictures, as many as a cell has samples, against all the others: what a perfect
   sampler of this size would reach, nearly. Needs as many again to be held against. */
static dfl_status find_floor(sweep *s) {
    const size_t n = s->frame.reference_count, d = s->measure.d, count = s->frame.samples;
    s->floor = NAN;
    if (n / 2 < count || count < 2) return DFL_OK;
    uint16_t *in = mem_array(n, sizeof *in), *out = mem_array(n, sizeof *out);
    double *mean = mem_array(d, sizeof *mean), *cov = mem_array(mem_product(d, d, 1), sizeof *cov);
    yardstick others = {0};
    dfl_status status = in && out && mean && cov ? DFL_OK : fail_memory();
    for (size_t i = 0; status == DFL_OK && i < n; i++) out[i] = 1;
    for (size_t i = 0; status == DFL_OK && i < count; i++) {
        const size_t at = (size_t)((double)i * (double)n / (double)count);
        in[at] = 1;
        out[at] = 0;
    }
    const weighted held = {n, d, s->reference, in}, rest = {n, d, s->reference, out};
    if (status == DFL_OK) status = weighted_moments(&rest, mean, cov);
    if (status == DFL_OK) status = yardstick_new(d, mean, cov, &others);
    if (status == DFL_OK) status = yardstick_measure(&others, &held, &s->floor);
    yardstick_free(&others);
    free(in);
    free(out);
    free(mean);
    free(cov);
    return status;
}

dfl_status sweep_reference_load(sweep *s, const char *path) {
    const size_t d = extractor_width(s->extractor);
    double *mean = mem_array(d, sizeof *mean), *cov = mem_array(mem_product(d, d, 1), sizeof *cov);
    dfl_status status = mean && cov ? DFL_OK : fail_memory();
    if (status == DFL_OK) status = find_features(s, path);
    const weighted all = {s->frame.reference_count, d, s->reference, NULL};
    if (status == DFL_OK) status = weighted_moments(&all, mean, cov);
    if (status == DFL_OK) status = yardstick_new(d, mean, cov, &s->measure);
    if (status == DFL_OK) status = find_floor(s);
    free(mean);
    free(cov);
    return status;
}
