/* A float32 .npy that is written in any order of rows and mapped when it is complete. Writing is by
   pwrite, because a full disk would kill whoever writes into a mapping. */
#include "eval/matrix.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/io.h"

struct matrix {
    char *path; /* NULL: none */
    int fd;
    bool made, kept;           /* the file was not there; it was, and is one of these */
    size_t n, d, start, bytes; /* start: of the rows; bytes: of the file */
    void *map;
};

static dfl_status fail_file(const matrix *m, const char *doing) {
    const int code = errno;
    return fail(DFL_E_IO, "cannot %s '%s': %s", doing, m->path ? m->path : "temporary file",
                strerror(code));
}

static dfl_status write_at(const matrix *m, const void *data, size_t size, size_t at) {
    const char *p = data;
    while (size > 0) {
        const ssize_t put = pwrite(m->fd, p, size, (off_t)at);
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) return fail_file(m, "write");
        p += put;
        at += (size_t)put;
        size -= (size_t)put;
    }
    return DFL_OK;
}

static dfl_status read_at(const matrix *m, void *to, size_t size, size_t at) {
    char *p = to;
    while (size > 0) {
        const ssize_t got = pread(m->fd, p, size, (off_t)at);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return fail_file(m, "read");
        if (got == 0) return fail(DFL_E_IO, "'%s' is cut off", m->path ? m->path : "features");
        p += got;
        at += (size_t)got;
        size -= (size_t)got;
    }
    return DFL_OK;
}

static dfl_status open_temporary(matrix *m) {
    const char *const chosen = getenv("TMPDIR");
    text name = {0};
    text_add(&name, "%s/driftless-features-XXXXXX", chosen && *chosen ? chosen : "/tmp");
    if (name.failed) {
        text_free(&name);
        return fail_memory();
    }
    m->fd = mkostemp(name.data, O_CLOEXEC);
    if (m->fd >= 0) unlink(name.data);
    const dfl_status status =
        m->fd >= 0 ? DFL_OK : fail(DFL_E_IO, "cannot create '%s': %s", name.data, strerror(errno));
    text_free(&name);
    return status;
}

static dfl_status open_named(matrix *m, const char *path) {
    m->path = text_copy(path);
    if (!m->path) return fail_memory();
    m->made = access(path, F_OK) != 0;
    m->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOCTTY, 0666);
    if (m->fd < 0) m->made = false;
    return m->fd >= 0 ? DFL_OK : fail_file(m, "create");
}

/* Whether the file is one of these: of this size, with this header. */
static dfl_status look(matrix *m, const text *head) {
    struct stat info;
    if (fstat(m->fd, &info) != 0) return fail_file(m, "read");
    if (!S_ISREG(info.st_mode)) return fail(DFL_E_IO, "'%s' is not a regular file", m->path);
    if ((uintmax_t)info.st_size != m->bytes) return DFL_OK;
    char *const found = mem_array(head->len, 1);
    if (!found) return fail_memory();
    const dfl_status status = read_at(m, found, head->len, 0);
    m->kept = status == DFL_OK && memcmp(found, head->data, head->len) == 0;
    free(found);
    return status;
}

static dfl_status prepare(matrix *m, const char *path) {
    const size_t shape[] = {m->n, m->d};
    text head = {0};
    dfl_status status = npy_header(ARRAY_F32, 2, shape, &head);
    if (status == DFL_OK) {
        const size_t rows = mem_product(m->n, m->d, sizeof(float));
        m->start = head.len;
        m->bytes = rows < PTRDIFF_MAX - head.len ? rows + head.len : SIZE_MAX;
        if (m->bytes == SIZE_MAX) status = fail_memory();
    }
    if (status == DFL_OK) status = path ? open_named(m, path) : open_temporary(m);
    if (status == DFL_OK) status = look(m, &head);
    if (status == DFL_OK && !m->kept) {
        const bool sized = ftruncate(m->fd, 0) == 0 && ftruncate(m->fd, (off_t)m->bytes) == 0;
        status = sized ? write_at(m, head.data, head.len, 0) : fail_file(m, "write");
    }
    text_free(&head);
    return status;
}

dfl_status matrix_open(const char *path, size_t n, size_t d, matrix **out) {
    *out = NULL;
    matrix *const m = mem_array(1, sizeof *m);
    if (!m) return fail_memory();
    m->fd = -1;
    m->n = n;
    m->d = d;
    const dfl_status status = prepare(m, path);
    if (status == DFL_OK) {
        *out = m;
    } else {
        if (m->made) matrix_remove(m);
        matrix_free(m);
    }
    return status;
}

bool matrix_kept(const matrix *m) {
    return m->kept;
}

static dfl_status check_rows(const matrix *m, size_t row, size_t n) {
    if (row <= m->n && n <= m->n - row) return DFL_OK;
    return fail(DFL_E_INTERNAL, "rows %zu to %zu of %zu", row, row + n, m->n);
}

dfl_status matrix_put(matrix *m, size_t row, size_t n, const float *x) {
    const size_t size = m->d * sizeof *x;
    TRY(check_rows(m, row, n));
    return write_at(m, x, n * size, m->start + row * size);
}

dfl_status matrix_get(const matrix *m, size_t row, size_t n, float *x) {
    const size_t size = m->d * sizeof *x;
    TRY(check_rows(m, row, n));
    return read_at(m, x, n * size, m->start + row * size);
}

dfl_status matrix_sync(const matrix *m) {
    return fdatasync(m->fd) == 0 || errno == EINVAL ? DFL_OK : fail_file(m, "write");
}

dfl_status matrix_map(matrix *m, const float **x) {
    if (!m->map) {
        void *const map = mmap(NULL, m->bytes, PROT_READ, MAP_SHARED, m->fd, 0);
        if (map == MAP_FAILED) return fail_file(m, "map");
        m->map = map;
    }
    *x = (const float *)((const char *)m->map + m->start); /* the header ends at 64 k */
    return DFL_OK;
}

dfl_status matrix_rename(matrix *m, const char *path) {
    TRY(matrix_sync(m));
    char *real = realpath(path, NULL); /* through a link to the file it means */
    if (!real && errno == ENOENT) real = text_copy(path);
    if (!real) return errno == ENOMEM ? fail_memory() : fail_file(m, "rename");
    if (rename(m->path, real) != 0) {
        const dfl_status status = fail_file(m, "rename");
        free(real);
        return status;
    }
    free(m->path);
    m->path = real;
    return DFL_OK;
}

void matrix_remove(matrix *m) {
    if (m && m->path) (void)unlink(m->path);
}

void matrix_free(matrix *m) {
    if (!m) return;
    if (m->map) munmap(m->map, m->bytes);
    if (m->fd >= 0) close(m->fd);
    free(m->path);
    free(m);
}
