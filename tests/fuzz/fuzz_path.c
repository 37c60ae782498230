/* A path in a card: nothing outside of the model's folder is ever opened. */
#include "fuzz/fuzz.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/json.h"
#include "model/model.h"

/* A folder with a network, a folder, and links that stay inside and that lead out; it is made anew
   if it is there already, and stays. */
static const char *folder(void) {
    static char path[128];
    static const char *const links[][2] = {{"a/in", "../n"},          {"up", ".."},
                                           {"passwd", "/etc/passwd"}, {"root", "/"},
                                           {"loop", "loop"},          {"a/out", "../../b"}};
    char name[200];
    if (*path) return path;
    snprintf(path, sizeof path, "%s/driftless-fuzz-path",
             getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
    mkdir(path, 0700);
    snprintf(name, sizeof name, "%s/a", path);
    mkdir(name, 0700);
    for (size_t i = 0; i < sizeof links / sizeof links[0]; i++) {
        snprintf(name, sizeof name, "%s/%s", path, links[i][0]);
        (void)!symlink(links[i][1], name);
    }
    for (const char *file = "n\0a/n\0"; *file; file += strlen(file) + 1) {
        snprintf(name, sizeof name, "%s/%s", path, file);
        close(open(name, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    }
    return path;
}

static void check_inside(const char *path) {
    char *root = realpath(folder(), NULL), *real = realpath(path, NULL);
    fuzz_check(root && real && strcmp(real, path) == 0, "a path that is not resolved");
    const size_t n = strlen(root);
    fuzz_check(strncmp(root, path, n) == 0 && path[n] == '/', "a path leads out of its folder");
    free(root);
    free(real);
}

static void read_folder(const char *relative) {
    char name[200];
    text json = {0};
    card c;
    text_add(&json, "{\"format\": \"driftless-model/1\", \"prediction_type\": \"epsilon\", "
                    "\"sample\": {\"shape\": [2]}, \"process\": \"vp_linear\", \"t_min\": 0.1, "
                    "\"t_max\": 1, \"time_map\": {\"type\": \"linear\"}, \"network\": {\"file\": ");
    json_add_text(&json, relative);
    text_add(&json, "}}");
    snprintf(name, sizeof name, "%s/model.json", folder());
    FILE *const f = fopen(name, "wb");
    fuzz_check(f && !json.failed && fwrite(json.data, 1, json.len, f) == json.len, "no card");
    fclose(f);
    if (card_read(folder(), &c) == DFL_OK) {
        check_inside(c.network_file);
        card_free(&c);
    }
    text_free(&json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *relative = fuzz_text(data, size), *inside = NULL;
    FUZZ_CALL(file_inside(folder(), relative, &inside), inside);
    if (inside) check_inside(inside);
    read_folder(relative);
    free(inside);
    free(relative);
    return 0;
}
