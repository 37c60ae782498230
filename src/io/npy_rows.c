/* Rows of an .npy read where they stand in the file, for arrays that may be larger than memory. */
#include "io/io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct npy_rows {
    char *path;
    int fd;
    array head; /* without data */
    size_t start, row_bytes;
};

static dfl_status read_at(const npy_rows *r, void *to, size_t size, size_t at) {
    char *p = to;
    while (size > 0) {
        const ssize_t got = pread(r->fd, p, size, (off_t)at);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return fail(DFL_E_IO, "cannot read '%s': %s", r->path, strerror(errno));
        if (got == 0) return fail(DFL_E_IO, "'%s' became shorter while it was read", r->path);
        p += got;
        at += (size_t)got;
        size -= (size_t)got;
    }
    return DFL_OK;
}

static dfl_status read_head(npy_rows *r) {
    struct stat info;
    if (fstat(r->fd, &info) != 0)
        return fail(DFL_E_IO, "cannot read '%s': %s", r->path, strerror(errno));
    if (!S_ISREG(info.st_mode)) return fail(DFL_E_IO, "'%s' is not a regular file", r->path);
    const size_t total = (size_t)info.st_size, size = total < NPY_HEAD_MAX ? total : NPY_HEAD_MAX;
    char *const bytes = mem_array(size, 1);
    if (!bytes) return fail_memory();
    dfl_status status = read_at(r, bytes, size, 0);
    if (status == DFL_OK)
        status = npy_head(&(npy_beginning){r->path, bytes, size, total, PTRDIFF_MAX}, &r->head,
                          &r->start);
    free(bytes);
    if (status == DFL_OK && r->head.rank < 1)
        status = fail(DFL_E_FORMAT, "'%s' holds a single number, no rows", r->path);
    if (status != DFL_OK) return status;
    r->row_bytes = array_type_size(r->head.type);
    for (int i = 1; i < r->head.rank; i++) r->row_bytes *= r->head.shape[i];
    return DFL_OK;
}

dfl_status npy_rows_open(const char *path, npy_rows **out) {
    *out = NULL;
    npy_rows *const r = mem_array(1, sizeof *r);
    if (!r) return fail_memory();
    dfl_status status = DFL_OK;
    r->fd = -1;
    r->path = text_copy(path);
    TRY_GOTO(r->path ? DFL_OK : fail_memory(), done);
    r->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (r->fd < 0) {
        status = fail(DFL_E_IO, "cannot open '%s': %s", path, strerror(errno));
        goto done;
    }
    TRY_GOTO(read_head(r), done);
    *out = r;
    return DFL_OK;
done:
    npy_rows_close(r);
    return status;
}

const array *npy_rows_shape(const npy_rows *r) {
    return &r->head;
}

dfl_status npy_rows_read(const npy_rows *r, size_t first, size_t n, void *dst) {
    if (first > r->head.shape[0] || n > r->head.shape[0] - first)
        return fail(DFL_E_RANGE, "'%s' has %zu rows; rows %zu to %zu are not there", r->path,
                    r->head.shape[0], first, first + n);
    return read_at(r, dst, n * r->row_bytes, r->start + first * r->row_bytes);
}

void npy_rows_close(npy_rows *r) {
    if (!r) return;
    if (r->fd >= 0) close(r->fd);
    free(r->path);
    free(r);
}
