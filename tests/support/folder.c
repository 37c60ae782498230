#include "support/folder.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ROOM = 320 };

static char folder[64];

const char *the_folder(void) {
    return folder;
}

const char *in_folder(const char *name) {
    static char paths[8][ROOM];
    static unsigned next;
    char *const path = paths[next++ % 8];
    const int length = snprintf(path, ROOM, "%s/%s", folder, name);
    assert_true(length > 0 && length < ROOM);
    return path;
}

int folder_make(void **state) {
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/driftless-test-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_all(const char *path) {
    char name[400];
    DIR *const dir = opendir(path);
    for (const struct dirent *e; dir && (e = readdir(dir));) {
        snprintf(name, sizeof name, "%s/%.200s", path, e->d_name);
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 && unlink(name) != 0)
            remove_all(name);
    }
    if (dir) closedir(dir);
    return rmdir(path);
}

int folder_remove(void **state) {
    (void)state;
    return remove_all(folder);
}

int folder_entries(void) {
    int n = 0;
    DIR *const dir = opendir(folder);
    while (dir && readdir(dir)) n++;
    if (dir) closedir(dir);
    return n - 2;
}
