/* Files of data as rows: .npy by position, idx from memory. */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "prior/rows.h"

#define DATA_BYTES_MAX ((size_t)1 << 40)

struct data_file {
    char *path;
    npy_rows *rows; /* NULL: in memory */
    uint8_t *bytes;
    size_t channels; /* of pictures of bytes that lie [H][W][C]; 0: the order stays */
    array row;       /* one row as it is in the file */
};

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
    TRY(npy_rows_read(f->rows, i, 1, f->row.data));
    if (f->row.type == ARRAY_U8) {
        from_bytes(f, f->row.data, r->d, x);
        return DFL_OK;
    }
    for (size_t j = 0; j < r->d; j++) {
        x[j] = array_real(&f->row, j);
        if (!isfinite(x[j]))
            return fail(DFL_E_NONFINITE, "%s: number %zu of sample %zu is not finite", f->path, j,
                        i);
    }
    return DFL_OK;
}

/* ---- opening --------------------------------------------------------------------------------- */

static dfl_status open_npy(dataset *out) {
    struct data_file *const f = out->own;
    TRY(npy_rows_open(f->path, &f->rows));
    const array a = *npy_rows_shape(f->rows);
    if (a.rank < 2 || a.type == ARRAY_I64)
        return fail(DFL_E_FORMAT,
                    "%s: data for a prior are float32, float64 or bytes [samples][...]", f->path);
    f->row.type = a.type;
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

/* MNIST's format, plain or gzipped, by its first bytes. */
static dfl_status is_idx(const char *path, bool *yes) {
    uint8_t magic[2] = {0};
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0) return fail(DFL_E_IO, "cannot open '%s': %s", path, strerror(errno));
    const ssize_t got = read(fd, magic, sizeof magic);
    const int code = errno;
    close(fd);
    if (got < 0) return fail(DFL_E_IO, "cannot read '%s': %s", path, strerror(code));
    *yes = got == 2 && ((magic[0] == 0 && magic[1] == 0) || (magic[0] == 0x1f && magic[1] == 0x8b));
    return DFL_OK;
}

static dfl_status open_any(dataset *out, const char *path) {
    struct data_file *const f = out->own;
    bool idx = false;
    f->path = text_copy(path);
    if (!f->path) return fail_memory();
    TRY(is_idx(path, &idx));
    TRY(idx ? open_idx(out) : open_npy(out));
    if (out->rows.n < 1 || out->rows.d < 1)
        return fail(DFL_E_FORMAT, "%s: there are no data", path);
    f->row.data = mem_array(mem_product(out->rows.d, sizeof(double), 1), 1);
    return f->row.data ? DFL_OK : fail_memory();
}

dfl_status dataset_open(const char *path, dataset *out) {
    *out = (dataset){0};
    out->own = mem_array(1, sizeof *out->own);
    if (!out->own) return fail_memory();
    out->rows.get = get_row;
    out->rows.file = out->own;
    const dfl_status status = open_any(out, path);
    if (status != DFL_OK) dataset_close(out);
    return status;
}

void dataset_close(dataset *d) {
    if (!d->own) return;
    npy_rows_close(d->own->rows);
    free(d->own->path);
    free(d->own->bytes);
    array_free(&d->own->row);
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
