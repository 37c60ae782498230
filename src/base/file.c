/* Files: reading whole ones within a limit, writing so that a name never holds half a file, and
   joining paths that come from strangers. */
#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static dfl_status fail_errno(const char *doing, const char *path) {
    const int code = errno;
    if (code == ENOMEM) return fail_memory();
    return fail(DFL_E_IO, "cannot %s '%s': %s", doing, path, strerror(code));
}

/* ---- reading --------------------------------------------------------------------------------- */

static dfl_status fail_large(const char *path, size_t limit) {
    return fail(DFL_E_FORMAT, "'%s' is larger than the %zu bytes allowed here", path, limit);
}

/* Reads to the end of fd; what stat said is only a hint, because a file may be a pipe or grow. */
static dfl_status read_all(int fd, const char *path, size_t limit, void **data, size_t *size) {
    size_t cap = 0, hint = 4096;
    struct stat info;
    if (fstat(fd, &info) != 0) return fail_errno("read", path);
    if (S_ISDIR(info.st_mode)) return fail(DFL_E_IO, "cannot read '%s': it is a folder", path);
    if (S_ISREG(info.st_mode) && info.st_size > 0) {
        if ((uintmax_t)info.st_size > limit) return fail_large(path, limit);
        hint = (size_t)info.st_size;
    }
    for (;;) {
        /* one byte for the final 0, one to see the end of the file without growing */
        if (*size + 2 > cap && !mem_grow(data, &cap, *size + hint + 2, 1)) return fail_memory();
        const ssize_t got = read(fd, (char *)*data + *size, cap - *size - 1);
        if (got == 0) break;
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return fail_errno("read", path);
        *size += (size_t)got;
        if (*size > limit) return fail_large(path, limit);
    }
    ((char *)*data)[*size] = 0;
    return DFL_OK;
}

dfl_status file_read(const char *path, size_t limit, char **data, size_t *size) {
    void *bytes = NULL;
    *data = NULL;
    *size = 0;
    int fd = -1;
    do {
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    } while (fd < 0 && errno == EINTR);
    if (fd < 0) return fail_errno("open", path);
    const dfl_status status = read_all(fd, path, limit, &bytes, size);
    close(fd);
    if (status == DFL_OK) {
        *data = bytes;
    } else {
        free(bytes);
        *size = 0;
    }
    return status;
}

/* ---- writing --------------------------------------------------------------------------------- */

/* Terminals, pipes and devices are written as they are. So are the names by which the system
   hands out open files (/dev/stdout): renaming something over those would replace the link. */
static bool is_special(const char *path, const struct stat *info) {
    struct stat link;
    if (!S_ISREG(info->st_mode)) return true;
    const bool system = !strncmp(path, "/dev/", 5) || !strncmp(path, "/proc/", 6);
    return system && lstat(path, &link) == 0 && S_ISLNK(link.st_mode);
}

static dfl_status open_special(file_writer *w) {
    do {
        w->fd = open(w->path, O_WRONLY | O_APPEND | O_CLOEXEC | O_NOCTTY);
    } while (w->fd < 0 && errno == EINTR);
    return w->fd < 0 ? fail_errno("write", w->path) : DFL_OK;
}

/* A new file with a name of its own in the target's folder. */
static dfl_status open_temporary(file_writer *w) {
    enum { TRIES = 100 };
    const char *const slash = strrchr(w->path, '/');
    const int folder = slash ? (int)(slash - w->path + 1) : 0;
    struct timespec now = {0};
    clock_gettime(CLOCK_REALTIME, &now);
    for (int i = 0; i < TRIES; i++) {
        text name = {0};
        text_add(&name, "%.*s.driftless-%ld-%lx-%d.tmp", folder, w->path, (long)getpid(),
                 (unsigned long)now.tv_nsec ^ (unsigned long)(uintptr_t)w, i);
        if (name.failed) {
            text_free(&name);
            return fail_memory();
        }
        const int fd = open(name.data, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd >= 0) {
            w->fd = fd;
            w->temporary = name.data;
            return DFL_OK;
        }
        const int code = errno;
        text_free(&name);
        errno = code;
        if (code != EEXIST && code != EINTR) break;
    }
    return fail_errno("create", w->path);
}

/* Through a link to the file it means, so that the link survives and the two stay together. */
static dfl_status writer_name(const char *path, bool exists, file_writer *w) {
    if (!exists) {
        w->path = text_copy(path);
        return w->path ? DFL_OK : fail_memory();
    }
    w->path = realpath(path, NULL);
    if (!w->path) return fail_errno("write", path);
    return access(w->path, W_OK) ? fail_errno("write", path) : DFL_OK;
}

dfl_status file_create(const char *path, file_writer *w) {
    struct stat info;
    dfl_status status = DFL_OK;
    *w = (file_writer){NULL, NULL, -1};
    const size_t length = strlen(path);
    if (length == 0) return fail(DFL_E_IO, "cannot write a file without a name");
    const bool exists = stat(path, &info) == 0;
    if (!exists && errno != ENOENT) return fail_errno("write", path);
    if (path[length - 1] == '/' || (exists && S_ISDIR(info.st_mode))) {
        return fail(DFL_E_IO, "cannot write '%s': that is a folder, not a file", path);
    }
    if (exists && is_special(path, &info)) {
        w->path = text_copy(path);
        TRY_GOTO(w->path ? open_special(w) : fail_memory(), done);
        return DFL_OK;
    }
    TRY_GOTO(writer_name(path, exists, w), done);
    TRY_GOTO(open_temporary(w), done);
    if (exists) (void)!fchmod(w->fd, info.st_mode & 0777); /* who may read it stays as it was */
done:
    if (status != DFL_OK) file_discard(w);
    return status;
}

dfl_status file_write(file_writer *w, const void *data, size_t size) {
    enum { PIECE = 1 << 28 };
    const char *at = data;
    while (size > 0) {
        const ssize_t put = write(w->fd, at, size < PIECE ? size : PIECE);
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) return fail_errno("write", w->path);
        at += put;
        size -= (size_t)put;
    }
    return DFL_OK;
}

/* Makes the new name last through a crash. Some file systems can't sync a folder: no matter. */
static void sync_folder(char *path) {
    char *const slash = strrchr(path, '/');
    if (slash) slash[slash == path] = 0; /* the name has done its duty and may be cut */
    const int fd = open(slash ? path : ".", O_RDONLY | O_CLOEXEC);
    if (fd < 0) return;
    (void)fsync(fd);
    close(fd);
}

dfl_status file_commit(file_writer *w) {
    dfl_status status = DFL_OK;
    const bool synced = !w->temporary || fsync(w->fd) == 0 || errno == EINVAL;
    if (!synced) status = fail_errno("write", w->path);
    const int closed = close(w->fd);
    w->fd = -1;
    if (status == DFL_OK && closed != 0 && errno != EINTR) status = fail_errno("write", w->path);
    if (status == DFL_OK && w->temporary) {
        if (rename(w->temporary, w->path) != 0) {
            status = fail_errno("write", w->path);
        } else {
            free(w->temporary);
            w->temporary = NULL;
            sync_folder(w->path);
        }
    }
    file_discard(w);
    return status;
}

void file_discard(file_writer *w) {
    if (w->path && w->fd >= 0) close(w->fd); /* a zeroed writer holds fd 0, which isn't its own */
    if (w->temporary) unlink(w->temporary);
    free(w->temporary);
    free(w->path);
    *w = (file_writer){NULL, NULL, -1};
}

dfl_status file_save(const char *path, const void *data, size_t size) {
    file_writer w = {0};
    TRY(file_create(path, &w));
    const dfl_status status = file_write(&w, data, size);
    if (status == DFL_OK) return file_commit(&w);
    file_discard(&w);
    return status;
}

/* ---- paths ----------------------------------------------------------------------------------- */

static bool path_is_tame(const char *relative) {
    for (const char *at = relative; at; at = strchr(at, '/')) {
        at += at != relative; /* behind the slash */
        const size_t length = strcspn(at, "/");
        if (length == 0 || (length == 2 && at[0] == '.' && at[1] == '.')) return false;
    }
    return true;
}

static bool path_is_under(const char *folder, const char *path) {
    const size_t length = strlen(folder);
    if (strncmp(folder, path, length)) return false;
    return folder[length - 1] == '/' || path[length] == '/';
}

dfl_status file_inside(const char *folder, const char *relative, char **out) {
    dfl_status status = DFL_OK;
    char *root = NULL, *real = NULL;
    struct stat info;
    text joined = {0};
    *out = NULL;
    if (!path_is_tame(relative)) {
        return fail(DFL_E_FORMAT,
                    "the path '%s' must be relative and stay inside its folder: no leading '/', "
                    "no '..', no empty part",
                    relative);
    }
    text_add(&joined, "%s/%s", *folder ? folder : ".", relative);
    TRY_GOTO(joined.failed ? fail_memory() : DFL_OK, done);
    root = realpath(*folder ? folder : ".", NULL);
    TRY_GOTO(root ? DFL_OK : fail_errno("open", joined.data), done);
    real = realpath(joined.data, NULL);
    TRY_GOTO(real ? DFL_OK : fail_errno("open", joined.data), done);
    if (!path_is_under(root, real)) {
        status = fail(DFL_E_FORMAT, "'%s' is a link that leads out of its folder to '%s'",
                      joined.data, real);
        goto done;
    }
    /* opening a pipe or a device that a stranger put there might wait for ever */
    if (stat(real, &info) != 0 || !S_ISREG(info.st_mode)) {
        status = fail(DFL_E_IO, "'%s' is not a regular file", joined.data);
        goto done;
    }
    *out = real;
    real = NULL;
done:
    free(root);
    free(real);
    text_free(&joined);
    return status;
}

dfl_status file_read_inside(const char *folder, const char *relative, size_t limit, char **data,
                            size_t *size) {
    char *path;
    *data = NULL;
    *size = 0;
    TRY(file_inside(folder, relative, &path));
    const dfl_status status = file_read(path, limit, data, size);
    free(path);
    return status;
}
