/* Pictures in MNIST's format (idx3-ubyte): a magic number, three sizes, the bytes; plain or gzipped,
   read piece by piece. */
#include "io/io.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

enum { HEAD = 16, SIDE_MAX = 1 << 14, MAGIC = 0x00000803 };

struct idx_reader {
    char *path;
    gzFile file; /* reads plain files as they are */
    size_t at;   /* next picture */
    idx_shape shape;
};

static dfl_status fail_read(const idx_reader *r) {
    int code = Z_OK;
    const char *const words = gzerror(r->file, &code);
    if (code == Z_MEM_ERROR) return fail_memory();
    if (code == Z_ERRNO) return fail(DFL_E_IO, "cannot read '%s': %s", r->path, strerror(errno));
    return fail(DFL_E_FORMAT, "'%s' is damaged: %s", r->path, *words ? words : "cut off");
}

static dfl_status read_bytes(const idx_reader *r, void *to, size_t size) {
    enum { PIECE = 1 << 24 };
    uint8_t *at = to;
    while (size > 0) {
        const unsigned ask = size < PIECE ? (unsigned)size : PIECE;
        const int got = gzread(r->file, at, ask);
        if (got < 0) return fail_read(r);
        if (got == 0) {
            int code = Z_OK;
            (void)gzerror(r->file, &code);
            if (code != Z_OK && code != Z_BUF_ERROR) return fail_read(r);
            return fail(DFL_E_FORMAT, "'%s' is cut off", r->path);
        }
        at += got;
        size -= (size_t)got;
    }
    return DFL_OK;
}

static uint32_t big_endian(const uint8_t *b) {
    return (uint32_t)b[0] << 24U | (uint32_t)b[1] << 16U | (uint32_t)b[2] << 8U | b[3];
}

/* Deflating never makes less than a byte of 1032: what claims more is not worth its memory. */
static dfl_status check_size(const idx_reader *r) {
    enum { EXPANSION_MAX = 1032 };
    struct stat info;
    const size_t claimed = mem_product(r->shape.count, r->shape.height, r->shape.width);
    const size_t packed = claimed / (gzdirect(r->file) ? 1 : EXPANSION_MAX);
    if (stat(r->path, &info) != 0 || !S_ISREG(info.st_mode) || packed <= (uintmax_t)info.st_size)
        return DFL_OK;
    return fail(DFL_E_FORMAT, "'%s' is cut off: %zu pictures of %zu x %zu in %lld bytes", r->path,
                r->shape.count, r->shape.width, r->shape.height, (long long)info.st_size);
}

static dfl_status read_head(idx_reader *r) {
    uint8_t head[HEAD];
    TRY(read_bytes(r, head, sizeof head));
    if (big_endian(head) != MAGIC)
        return fail(DFL_E_FORMAT,
                    "'%s' is not idx3-ubyte: it does not begin with 00 00 08 03 (pictures of "
                    "bytes)",
                    r->path);
    r->shape = (idx_shape){big_endian(head + 4), big_endian(head + 8), big_endian(head + 12)};
    const bool good = r->shape.count > 0 && r->shape.height > 0 && r->shape.width > 0 &&
                      r->shape.height <= SIDE_MAX && r->shape.width <= SIDE_MAX;
    if (good) return check_size(r);
    return fail(DFL_E_FORMAT,
                "'%s' has %zu pictures of %zu x %zu; at least one of 1 to %d a side "
                "is needed",
                r->path, r->shape.count, r->shape.width, r->shape.height, SIDE_MAX);
}

dfl_status idx_open(const char *path, idx_reader **out) {
    *out = NULL;
    idx_reader *const r = mem_array(1, sizeof *r);
    if (!r) return fail_memory();
    dfl_status status = DFL_OK;
    r->path = text_copy(path);
    TRY_GOTO(r->path ? DFL_OK : fail_memory(), done);
    errno = 0;
    r->file = gzopen(path, "rbe");
    if (!r->file) {
        status =
            errno ? fail(DFL_E_IO, "cannot open '%s': %s", path, strerror(errno)) : fail_memory();
        goto done;
    }
    TRY_GOTO(read_head(r), done);
    *out = r;
    return DFL_OK;
done:
    idx_close(r);
    return status;
}

idx_shape idx_size(const idx_reader *r) {
    return r->shape;
}

dfl_status idx_read(idx_reader *r, size_t first, size_t n, uint8_t *dst) {
    const size_t size = r->shape.height * r->shape.width;
    if (first != r->at) {
        if (mem_product(first, size, 1) > INT64_MAX - HEAD ||
            gzseek(r->file, (z_off_t)(first * size) + HEAD, SEEK_SET) < 0)
            return fail_read(r);
        r->at = first;
    }
    TRY(read_bytes(r, dst, n * size));
    r->at += n;
    return DFL_OK;
}

void idx_close(idx_reader *r) {
    if (!r) return;
    if (r->file) gzclose(r->file);
    free(r->path);
    free(r);
}
