/* A path in a card: nothing outside of the model's folder is ever opened. */
#include "fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "model/model.h"

/* The folder with a network, a folder, and links that stay inside and that lead out. */
static const char *folder(void) {
    static bool made;
    static const char *const links[][2] = {{"a/in", "../n"},          {"up", ".."},
                                           {"passwd", "/etc/passwd"}, {"root", "/"},
                                           {"loop", "loop"},          {"a/out", "../../b"}};
    char name[200];
    if (made) return fuzz_folder();
    fuzz_put("n", "", 0);
    fuzz_put("a/n", "", 0);
    for (size_t i = 0; i < sizeof links / sizeof links[0]; i++) {
        snprintf(name, sizeof name, "%s/%s", fuzz_folder(), links[i][0]);
        fuzz_check(symlink(links[i][1], name) == 0, "no link");
    }
    made = true;
    return fuzz_folder();
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
    text json = {0};
    card c;
    text_add(&json, "{\"format\": \"driftless-model/1\", \"prediction_type\": \"epsilon\", "
                    "\"sample\": {\"shape\": [2]}, \"process\": \"vp_linear\", \"t_min\": 0.1, "
                    "\"t_max\": 1, \"time_map\": {\"type\": \"linear\"}, \"network\": {\"file\": ");
    json_add_text(&json, relative);
    text_add(&json, "}}");
    fuzz_check(!json.failed, "no card");
    fuzz_put("model.json", json.data, json.len);
    if (card_read(folder(), &c) == DFL_OK) {
        check_inside(c.network_file);
        card_free(&c);
    }
    fuzz_drop("model.json");
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
