/* SHA-256 as text: what a model card promises about its network, what a run record keeps. */
#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <sha256.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void digest_end(SHA256_CTX *state, char hex[DIGEST_HEX]) {
    static const char digits[] = "0123456789abcdef";
    uint8_t bytes[SHA256_DIGEST_LENGTH];
    SHA256Final(bytes, state);
    for (size_t i = 0; i < sizeof bytes; i++) {
        hex[2 * i] = digits[bytes[i] >> 4U];
        hex[2 * i + 1] = digits[bytes[i] & 15U];
    }
    hex[DIGEST_HEX - 1] = 0;
}

void digest_bytes(const void *data, size_t size, char hex[DIGEST_HEX]) {
    SHA256_CTX state;
    SHA256Init(&state);
    if (size > 0) SHA256Update(&state, data, size);
    digest_end(&state, hex);
}

/* Piecewise: networks may be larger than memory. */
static dfl_status digest_open(int fd, const char *path, char hex[DIGEST_HEX]) {
    enum { PIECE = 1 << 16 };
    SHA256_CTX state;
    ssize_t got = 0;
    uint8_t *const piece = mem_array(PIECE, 1);
    if (!piece) return fail_memory();
    SHA256Init(&state);
    do {
        got = read(fd, piece, PIECE);
        if (got > 0) SHA256Update(&state, piece, (size_t)got);
    } while (got > 0 || (got < 0 && errno == EINTR));
    const int code = errno;
    free(piece);
    if (got < 0) return fail(DFL_E_IO, "cannot read '%s': %s", path, strerror(code));
    digest_end(&state, hex);
    return DFL_OK;
}

dfl_status digest_file(const char *path, char hex[DIGEST_HEX]) {
    hex[0] = 0;
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0) return fail(DFL_E_IO, "cannot open '%s': %s", path, strerror(errno));
    const dfl_status status = digest_open(fd, path, hex);
    close(fd);
    return status;
}
