/* Noise files and start states: read, checked against the run, served; and saved. */
#include "replay.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[DRAW_KINDS] = {"start", "noise", "picks", "tables"};

/* Rank of each array, and which of its axes counts the samples (-1: none). */
static const struct {
    int rank, sample_axis;
} layout[DRAW_KINDS] = {{2, 0}, {3, 1}, {2, 1}, {2, -1}};

static const size_t bytes_max = (size_t)4 << 30;

/* ---- reading --------------------------------------------------------------------------------- */

static dfl_status check_floats(const char *path, const char *name, const array *a) {
    if (a->type == ARRAY_F32 || a->type == ARRAY_F64) return DFL_OK;
    return fail(DFL_E_FORMAT, "%s: %s holds integers; float32 or float64 is needed", path, name);
}

dfl_status noise_open(noise_source *s, const char *path) {
    bool any = false;
    s->path = path;
    TRY(npz_read(path, names, DRAW_KINDS, true, bytes_max, s->file));
    for (int k = 0; k < DRAW_KINDS; k++) {
        const array *a = &s->file[k];
        if (a->rank < 0) continue;
        any = true;
        TRY(check_floats(path, names[k], a));
        if (a->rank != layout[k].rank)
            return fail(DFL_E_FORMAT, "%s: %s has %d axes, not %d", path, names[k], a->rank,
                        layout[k].rank);
    }
    if (!any)
        return fail(DFL_E_FORMAT, "%s: holds none of the arrays start, noise, picks, tables", path);
    return DFL_OK;
}

size_t noise_samples(const noise_source *s) {
    size_t least = 0;
    for (int k = 0; s->path && k < DRAW_KINDS; k++) {
        if (s->file[k].rank < 0 || layout[k].sample_axis < 0) continue;
        const size_t n = s->file[k].shape[layout[k].sample_axis];
        if (least == 0 || n < least) least = n;
    }
    return least;
}

static double number_at(const array *a, size_t i) {
    return a->type == ARRAY_F32 ? (double)((const float *)a->data)[i]
                                : ((const double *)a->data)[i];
}

static int refuse(noise_source *s) {
    snprintf(s->message, sizeof s->message, "%s", dfl_last_message());
    return NOISE_FAILED;
}

/* Numbers per sample, samples per draw and draws that the file has for a kind. */
static void extent(const array *a, int kind, size_t *draws, size_t *samples, size_t *width) {
    *draws = kind == DFL_DRAW_START ? 1 : a->shape[0];
    *samples = layout[kind].sample_axis < 0 ? 1 : a->shape[layout[kind].sample_axis];
    *width = kind == DFL_DRAW_PICK ? 1 : a->shape[a->rank - 1];
}

static int replay(noise_source *s, int kind, uint32_t draw, size_t at, size_t count, size_t dim,
                  double *dst) {
    const array *a = &s->file[kind];
    size_t draws, samples, width;
    extent(a, kind, &draws, &samples, &width);
    if (draw >= draws) {
        fail(DFL_E_FORMAT, "%s: %s has no draw %lu, only %zu draws", s->path, names[kind],
             (unsigned long)draw, draws);
        return refuse(s);
    }
    if (at + count > samples) {
        fail(DFL_E_FORMAT, "%s: %s has %zu samples, too few for sample %zu", s->path, names[kind],
             samples, at + count - 1);
        return refuse(s);
    }
    if (kind == DFL_DRAW_TABLE ? width < dim : width != dim) {
        fail(DFL_E_FORMAT, "%s: %s has %zu numbers where the plan needs %zu", s->path, names[kind],
             width, dim);
        return refuse(s);
    }
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < dim; j++)
            dst[i * dim + j] = number_at(a, ((size_t)draw * samples + at + i) * width + j);
    return 0;
}

static void built_in(const noise_source *s, int kind, uint32_t draw, uint64_t first, size_t count,
                     size_t dim, double *dst) {
    for (size_t i = 0; i < count; i++) {
        if (kind == DFL_DRAW_PICK)
            dst[i] = noise_uniform(s->seed, kind, draw, first + i);
        else
            noise_normals(s->seed, kind, draw, first + i, 0, dim, dst + i * dim);
    }
}

/* ---- saving ---------------------------------------------------------------------------------- */

static dfl_status keep(noise_source *s, int kind, uint32_t draw, size_t at, size_t count,
                       size_t dim, const double *src) {
    draw_store *t = &s->store[kind];
    const size_t samples = layout[kind].sample_axis < 0 ? 1 : s->count;
    const size_t width = mem_product(samples, dim, 1);
    if (t->width == 0) t->width = width;
    if (t->width != width)
        return fail(DFL_E_COMBINATION, "draws of different sizes cannot be saved in one array");
    const size_t need = mem_product((size_t)draw + 1, width, 1);
    if (mem_product(need, sizeof *src, 1) > bytes_max)
        return fail(DFL_E_MEMORY, "the drawn numbers would need more than 4 GiB; save fewer");
    void *data = t->data;
    const size_t before = t->cap;
    if (!mem_grow(&data, &t->cap, need, sizeof *src)) return fail_memory();
    t->data = data;
    memset(t->data + before, 0, (t->cap - before) * sizeof *src);
    memcpy(t->data + (size_t)draw * width + at * dim, src, count * dim * sizeof *src);
    if (draw >= t->planes) t->planes = (size_t)draw + 1;
    return DFL_OK;
}

int draw_numbers(void *user, int kind, uint32_t draw, uint64_t first, size_t count, size_t dim,
                 double *dst) {
    noise_source *s = user;
    if (kind < 0 || kind >= DRAW_KINDS) {
        fail(DFL_E_INTERNAL, "a draw of unknown kind %d", kind);
        return refuse(s);
    }
    const size_t at = kind == DFL_DRAW_TABLE ? 0 : (size_t)(first - s->first);
    if (s->path && s->file[kind].rank >= 0) {
        const int code = replay(s, kind, draw, at, count, dim, dst);
        if (code != 0) return code;
    } else {
        built_in(s, kind, draw, first, count, dim, dst);
    }
    if (s->saving && keep(s, kind, draw, at, count, dim, dst) != DFL_OK) return refuse(s);
    return 0;
}

/* [planes][width] as the documented array: the sample axis is split off the width. */
static void describe(const noise_source *s, int kind, array *a) {
    const draw_store *t = &s->store[kind];
    const size_t dim = t->width / (layout[kind].sample_axis < 0 ? 1 : s->count);
    *a = (array){.type = ARRAY_F64, .rank = layout[kind].rank, .data = t->data};
    if (kind == DFL_DRAW_START) {
        a->shape[0] = s->count;
        a->shape[1] = dim;
        return;
    }
    a->shape[0] = t->planes;
    a->shape[1] = kind == DFL_DRAW_TABLE ? t->width : s->count;
    a->shape[2] = dim;
}

dfl_status noise_save(const noise_source *s, const char *path) {
    named_array arrays[DRAW_KINDS];
    int n = 0;
    for (int k = 0; k < DRAW_KINDS; k++) {
        if (s->store[k].planes == 0) continue;
        arrays[n].name = names[k];
        describe(s, k, &arrays[n++].value);
    }
    if (n == 0) return fail(DFL_E_ARG, "%s: the run drew no numbers that could be saved", path);
    return npz_write(path, arrays, n);
}

void noise_free(noise_source *s) {
    for (int k = 0; k < DRAW_KINDS; k++) {
        if (s->path) array_free(&s->file[k]);
        free(s->store[k].data);
    }
    *s = (noise_source){0};
}

/* ---- start states ---------------------------------------------------------------------------- */

dfl_status init_read(const char *path, array *out) {
    *out = (array){0};
    TRY(npy_read(path, bytes_max, out));
    TRY(check_floats(path, "the array", out));
    if (out->rank < 1 || out->shape[0] == 0)
        return fail(DFL_E_FORMAT, "%s: start states need an axis of samples", path);
    return DFL_OK;
}

dfl_status init_convert(const char *path, array *a, size_t count, size_t state_dim, int dtype) {
    const size_t total = array_count(a), row = total / a->shape[0];
    if (row != state_dim)
        return fail(DFL_E_FORMAT, "%s: a state there has %zu numbers, this model's has %zu", path,
                    row, state_dim);
    if (a->shape[0] < count)
        return fail(DFL_E_FORMAT, "%s: holds %zu states, but %zu samples are asked for", path,
                    a->shape[0], count);
    const array_type type = dtype == DFL_FLOAT64 ? ARRAY_F64 : ARRAY_F32;
    if (a->type == type) return DFL_OK;
    void *data = mem_array(total, array_type_size(type));
    if (!data) return fail_memory();
    for (size_t i = 0; i < total; i++) {
        if (type == ARRAY_F64)
            ((double *)data)[i] = number_at(a, i);
        else
            ((float *)data)[i] = (float)number_at(a, i);
    }
    free(a->data);
    a->data = data;
    a->type = type;
    return DFL_OK;
}
