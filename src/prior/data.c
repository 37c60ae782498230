/* Files of data as rows: .npy by position, idx from memory. */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "prior/rows.h"

#define DATA_BYTES_MAX ((size_t)1 << 40)

struct data_file {
    char *path;
    int fd; /* -1: in memory */
    uint8_t *bytes;
    size_t head; /* where the data begin */
    array_type type;
    size_t channels; /* of pictures of bytes that lie [H][W][C]; 0: the order stays */
    uint8_t *row;    /* one row as it is in the file */
};

static dfl_status read_at(const struct data_file *f, size_t at, void *to, size_t size) {
    uint8_t *into = to;
    while (size > 0) {
        const ssize_t got = pread(f->fd, into, size, (off_t)at);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return fail(DFL_E_IO, "cannot read '%s': %s", f->path, strerror(errno));
        if (got == 0) return fail(DFL_E_FORMAT, "'%s' is cut off", f->path);
        into += got;
        at += (size_t)got;
        size -= (size_t)got;
    }
    return DFL_OK;
}

static void from_bytes(const struct data_file *f, const uint8_t *b, size_t d, double *x) {
    const size_t channels = f->channels ? f->channels : 1, pixels = d / channels;
    for (size_t i = 0; i < d; i++)
        x[i % channels * pixels + i / channels] = (double)b[i] / 127.5 - 1;
}

static dfl_status get_row(const rows *r, size_t i, double *x) {
    const struct data_file *const f = r->file;
    if (f->bytes) {
        from_bytes(f, f->bytes + i * r->d, r->d, x);
        return DFL_OK;
    }
    const size_t size = r->d * array_type_size(f->type);
    TRY(read_at(f, f->head + i * size, f->row, size));
    if (f->type == ARRAY_U8) {
        from_bytes(f, f->row, r->d, x);
        return DFL_OK;
    }
    for (size_t j = 0; j < r->d; j++) {
        float narrow;
        if (f->type == ARRAY_F64) {
            memcpy(&x[j], f->row + j * sizeof(double), sizeof(double));
        } else {
            memcpy(&narrow, f->row + j * sizeof narrow, sizeof narrow);
            x[j] = (double)narrow;
        }
        if (!isfinite(x[j]))
            return fail(DFL_E_NONFINITE, "%s: number %zu of sample %zu is not finite", f->path, j,
                        i);
    }
    return DFL_OK;
}

/* ---- opening --------------------------------------------------------------------------------- */

static dfl_status open_npy(dataset *out, const struct stat *of) {
    struct data_file *const f = out->own;
    const size_t total = (size_t)of->st_size, size = total < NPY_HEAD_MAX ? total : NPY_HEAD_MAX;
    char *const start = mem_array(size, 1);
    array a = {0};
    if (!start) return fail_memory();
    dfl_status status = read_at(f, 0, start, size);
    const npy_beginning from = {f->path, start, size, total, DATA_BYTES_MAX};
    if (status == DFL_OK) status = npy_head(&from, &a, &f->head);
    free(start);
    TRY(status);
    if (a.rank < 2 || a.type == ARRAY_I64)
        return fail(DFL_E_FORMAT,
                    "%s: data for a prior are float32, float64 or bytes [samples][...]", f->path);
    f->type = a.type;
    out->rank = a.rank - 1;
    memcpy(out->shape, a.shape + 1, sizeof *a.shape * (size_t)out->rank);
    out->rows.n = a.shape[0];
    out->rows.d = out->rows.n ? array_count(&a) / out->rows.n : 0;
    if (a.type == ARRAY_U8 && a.rank == 4 && (a.shape[3] == 1 || a.shape[3] == 3)) {
        f->channels = a.shape[3];
        const size_t shape[3] = {a.shape[3], a.shape[1], a.shape[2]};
        memcpy(out->shape, shape, sizeof shape);
    }
    return DFL_OK;
}

static dfl_status open_idx(dataset *out) {
    struct data_file *const f = out->own;
    idx_reader *reader = NULL;
    TRY(idx_open(f->path, &reader));
    const idx_shape s = idx_size(reader);
    const size_t d = s.height * s.width, size = mem_product(s.count, d, 1);
    dfl_status status = DFL_OK;
    if (size > (size_t)1 << 32)
        status = fail(DFL_E_FORMAT, "%s: more than 4 GiB of pictures are not read", f->path);
    if (status == DFL_OK && !(f->bytes = mem_array(size, 1))) status = fail_memory();
    if (status == DFL_OK) status = idx_read(reader, 0, s.count, f->bytes);
    idx_close(reader);
    out->rows.n = s.count;
    out->rows.d = d;
    out->rank = 3;
    out->shape[0] = 1;
    out->shape[1] = s.height;
    out->shape[2] = s.width;
    return status;
}

static dfl_status open_any(dataset *out, const char *path) {
    struct data_file *const f = out->own;
    uint8_t magic[2] = {0};
    struct stat of;
    f->path = text_copy(path);
    if (!f->path) return fail_memory();
    f->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (f->fd < 0 || fstat(f->fd, &of) != 0)
        return fail(DFL_E_IO, "cannot open '%s': %s", path, strerror(errno));
    if (!S_ISREG(of.st_mode)) return fail(DFL_E_IO, "'%s' is not a file", path);
    TRY(read_at(f, 0, magic, sizeof magic));
    const bool idx = (magic[0] == 0 && magic[1] == 0) || (magic[0] == 0x1f && magic[1] == 0x8b);
    TRY(idx ? open_idx(out) : open_npy(out, &of));
    if (out->rows.n < 1 || out->rows.d < 1)
        return fail(DFL_E_FORMAT, "%s: there are no data", path);
    f->row = mem_array(mem_product(out->rows.d, sizeof(double), 1), 1);
    return f->row ? DFL_OK : fail_memory();
}

dfl_status dataset_open(const char *path, dataset *out) {
    *out = (dataset){0};
    out->own = mem_array(1, sizeof *out->own);
    if (!out->own) return fail_memory();
    out->own->fd = -1;
    out->rows.get = get_row;
    out->rows.file = out->own;
    const dfl_status status = open_any(out, path);
    if (status != DFL_OK) dataset_close(out);
    return status;
}

void dataset_close(dataset *d) {
    if (!d->own) return;
    if (d->own->fd >= 0) close(d->own->fd);
    free(d->own->path);
    free(d->own->bytes);
    free(d->own->row);
    free(d->own);
    *d = (dataset){0};
}

/* ---- labels ---------------------------------------------------------------------------------- */

dfl_status labels_read(const char *path, size_t n, int64_t **out) {
    array a;
    *out = NULL;
    TRY(npy_read(path, DATA_BYTES_MAX, &a));
    dfl_status status = DFL_OK;
    int64_t *const label = mem_array(n, sizeof *label);
    if (!label) status = fail_memory();
    if (status == DFL_OK &&
        (a.rank != 1 || a.shape[0] != n || (a.type != ARRAY_I64 && a.type != ARRAY_U8)))
        status =
            fail(DFL_E_FORMAT, "%s: labels are whole numbers [%zu], one for each sample", path, n);
    for (size_t i = 0; i < n && status == DFL_OK; i++) {
        label[i] = a.type == ARRAY_I64 ? ((int64_t *)a.data)[i] : ((uint8_t *)a.data)[i];
        if (label[i] < 0 || label[i] > 65535)
            status = fail(DFL_E_RANGE, "%s: label %zu is %lld; allowed: 0 to 65535", path, i,
                          (long long)label[i]);
    }
    array_free(&a);
    if (status == DFL_OK)
        *out = label;
    else
        free(label);
    return status;
}
