/* The iterates of a refinement in a file, so that an interrupted one goes on: one .npy of doubles
   [rows][wide], named by a digest of all that they depend on. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/io.h"
#include "study/refine.h"

enum { NAME = 16 };
#define FILE_BYTES ((size_t)1 << 28)

static dfl_status path_of(const fit *f, text *out) {
    static const char *const keys[] = {"history",   "ridge",  "constraint",
                                       "objective", "weight", "refine_times"};
    char hex[DIGEST_HEX];
    text all = {0};
    text_add(&all, "%s %zu %zu", f->teacher_digest, f->samples, f->held_out);
    for (size_t k = 0; k <= f->steps; k++) text_add(&all, " %zu", f->at[k]);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (opt_get(&f->spec, keys[i])->set)
            text_add(&all, " %s=%s", keys[i], opt_get(&f->spec, keys[i])->text);
    if (opt_bool(&f->spec, "share")) text_add(&all, " share");
    if (f->features.digest) text_add(&all, " %s", f->features.digest);
    if (!all.failed) digest_bytes(all.data, all.len, hex);
    const bool failed = all.failed;
    text_free(&all);
    if (!failed) text_add(out, "%s/refined-%.*s.npy", f->work, NAME, hex);
    return failed || out->failed ? fail_memory() : DFL_OK;
}

/* Of another start, or not a table of iterates: it is made anew. */
static size_t usable(const array *read, size_t wide, size_t cap, const double *first,
                     size_t skipped) {
    if (read->type != ARRAY_F64 || read->rank != 2 || read->shape[1] != wide) return 0;
    const double *const data = read->data;
    const size_t n = read->shape[0] < cap ? read->shape[0] : cap;
    for (size_t i = 0; i < n * wide; i++)
        if (isnan(data[i])) return 0;
    const size_t point = (wide - skipped) * sizeof *data;
    return n > 0 && first && memcmp(data + skipped, first + skipped, point) != 0 ? 0 : n;
}

dfl_status refine_load(const fit *f, size_t wide, size_t cap, double *table, size_t *n) {
    text path = {0};
    array read = {0};
    *n = 0;
    if (!f->work) return DFL_OK;
    dfl_status status = path_of(f, &path);
    if (status == DFL_OK && access(path.data, F_OK) == 0) {
        const dfl_status one = npy_read(path.data, FILE_BYTES, &read);
        if (one == DFL_OK)
            *n = usable(&read, wide, cap, table, wide - refine_size(f));
        else if (one == DFL_E_MEMORY)
            status = one;
        if (*n > 0 && table) memcpy(table, read.data, *n * wide * sizeof *table);
        array_free(&read);
    }
    text_free(&path);
    return status;
}

dfl_status refine_save(const fit *f, size_t wide, const double *table, size_t n) {
    const size_t shape[] = {n, wide};
    npy_writer *w = NULL;
    text path = {0};
    if (!f->work) return DFL_OK;
    dfl_status status = path_of(f, &path);
    if (status == DFL_OK) status = npy_create(path.data, ARRAY_F64, 2, shape, &w);
    if (status == DFL_OK) status = npy_append(w, table, n);
    if (status == DFL_OK)
        status = npy_commit(w);
    else
        npy_discard(w);
    text_free(&path);
    return status;
}

dfl_status refine_forget(const fit *f) {
    text path = {0};
    if (!f->work) return DFL_OK;
    const dfl_status status = path_of(f, &path);
    if (status == DFL_OK) unlink(path.data);
    text_free(&path);
    return status;
}
