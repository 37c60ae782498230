/* What all cells are held against: features of real pictures, made once and kept in the folder, or the
   moments that a file of statistics holds. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "eval/statistics.h"
#include "eval/sweep.h"
#include "io/io.h"

enum { PIECE = 256 };
static const size_t kept_max = (size_t)4 << 30; /* bytes of features */

static dfl_status open_pictures(const sweep *s, const char *path, picture_source **out) {
    const picture_wish wish = {.path = path,
                               .range = {s->model->card.range[0], s->model->card.range[1]}};
    return pictures_open(&wish, out);
}

/* Whether it is a file of mean and covariance in place of pictures. */
static dfl_status is_statistics(const char *path, npz_kind *kind) {
    *kind = NPZ_PICTURES;
    return text_ends_in(path, ".npz") ? statistics_kind(path, kind) : DFL_OK;
}

static dfl_status check_count(const sweep *s, const char *path) {
    if (s->frame.reference_count >= 2) return DFL_OK;
    return fail(DFL_E_RANGE, "%s: a reference needs two pictures at least", path);
}

/* Ours say which extractor they are of; anyone's mu and sigma only how many features. */
static dfl_status look_at_statistics(sweep *s, const char *path, npz_kind kind) {
    statistics ours = {0};
    s->frame.reference_count = 0;
    TRY(digest_file(path, s->frame.reference));
    if (kind == NPZ_GAUSSIAN) return DFL_OK;
    TRY(statistics_read(path, &ours));
    s->frame.reference_count = (size_t)statistics_count(&ours);
    const bool same = strcmp(ours.extractor, s->frame.extractor) == 0;
    statistics_free(&ours);
    if (!same)
        return fail(DFL_E_COMBINATION, "%s: statistics of another extractor than %s", path,
                    extractor_name(s->extractor));
    return check_count(s, path);
}

dfl_status sweep_reference_look(sweep *s, const char *path) {
    picture_source *pictures = NULL;
    npz_kind kind;
    TRY(is_statistics(path, &kind));
    if (kind != NPZ_PICTURES) return look_at_statistics(s, path, kind);
    TRY(open_pictures(s, path, &pictures));
    s->frame.reference_count = pictures->count;
    memcpy(s->frame.reference, pictures->digest, DIGEST_HEX);
    pictures_free(pictures);
    return check_count(s, path);
}

/* ---- features -------------------------------------------------------------------------------- */

static dfl_status extract(sweep *s, picture_source *from, float *dst) {
    const size_t d = extractor_width(s->extractor);
    for (size_t at = 0; at < from->count;) {
        picture_set set;
        TRY(pictures_read(from, at, PIECE, &set));
        TRY(extractor_run(s->extractor, &set, dst + at * d, NULL));
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
static void split(size_t n, size_t count, uint32_t *held, uint32_t *rest) {
    for (size_t i = 0, taken = 0; i < n; i++) {
        const size_t next = (size_t)((double)taken * (double)n / (double)count);
        if (taken < count && i == next)
            held[taken++] = (uint32_t)i;
        else
            rest[i - taken] = (uint32_t)i;
    }
}

static dfl_status find_floor(sweep *s, const features *all) {
    const size_t n = all->n, count = s->frame.samples;
    moments part[2] = {{0}};
    if (n / 2 < count || count < 2 || n > UINT32_MAX) return DFL_OK;
    uint32_t *index = mem_array(n, sizeof *index);
    dfl_status status = index ? moments_new(all->d, &part[0]) : fail_memory();
    if (status == DFL_OK) status = moments_new(all->d, &part[1]);
    if (status == DFL_OK) split(n, count, index, index + count);
    if (status == DFL_OK) status = moments_add_index(&part[0], all, index, count);
    if (status == DFL_OK) status = moments_add_index(&part[1], all, index + count, n - count);
    if (status == DFL_OK) status = frechet(&part[0], &part[1], &s->floor);
    moments_free(&part[0]);
    moments_free(&part[1]);
    free(index);
    return status;
}

static dfl_status load_statistics(sweep *s, const char *path) {
    gaussian g = {0};
    dfl_status status = statistics_gaussian(path, &g);
    if (status == DFL_OK && g.d != extractor_width(s->extractor))
        status = fail(DFL_E_COMBINATION, "%s: statistics of %zu features; extractor %s has %zu",
                      path, g.d, extractor_name(s->extractor), extractor_width(s->extractor));
    if (status == DFL_OK) status = gaussian_root_of(&g, &s->real);
    gaussian_free(&g);
    return status;
}

dfl_status sweep_reference_load(sweep *s, const char *path) {
    npz_kind kind;
    s->floor = NAN;
    TRY(is_statistics(path, &kind));
    if (kind != NPZ_PICTURES) return load_statistics(s, path);
    TRY(find_features(s, path));
    const features all = {s->frame.reference_count, extractor_width(s->extractor), s->reference};
    TRY(features_root(&all, NULL, &s->real));
    return find_floor(s, &all);
}
