/* The folder of compiled networks. What lies there is executed, so nobody else may write to it. */
#include "model/port.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

dfl_status cache_folder(const char *path) {
    char *copy = text_copy(path);
    struct stat info;
    if (!copy) return fail_memory();
    for (char *p = copy + 1; *p; p++) {
        if (*p != '/') continue;
        *p = '\0';
        (void)mkdir(copy, 0700); /* whether it worked shows in the last one */
        *p = '/';
    }
    free(copy);
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return fail(DFL_E_IO, "cannot create the cache folder '%s': %s", path, strerror(errno));
    if (stat(path, &info) != 0 || !S_ISDIR(info.st_mode))
        return fail(DFL_E_IO, "the cache '%s' is not a folder", path);
    if (info.st_uid != geteuid() && info.st_uid != 0)
        return fail(
            DFL_E_IO,
            "the cache folder '%s' belongs to somebody else, and what lies there is executed; "
            "name another",
            path);
    if (info.st_mode & (S_IWGRP | S_IWOTH))
        return fail(DFL_E_IO,
                    "others may write to the cache folder '%s', and what lies there is "
                    "executed; take that right away (chmod go-w) or name another",
                    path);
    return DFL_OK;
}
