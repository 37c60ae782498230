#include "shipped.h"

#include <limits.h>
#include <string.h>
#include <unistd.h>

/* From the folder of the program: as installed, and as built in build/PRESET. */
static const char *const places[] = {"/../share/driftless/models/", "/../../models/"};

/* The program's folder, without the last slash; false where the system does not tell. */
static bool own_folder(char path[PATH_MAX]) {
    const ssize_t length = readlink("/proc/self/exe", path, PATH_MAX - 1);
    if (length <= 0) return false;
    path[length] = '\0';
    char *const slash = strrchr(path, '/');
    if (slash) *slash = '\0';
    return slash != NULL;
}

dfl_status shipped_extractor(const args *a, text *out) {
    const char *const given = arg(a, "features")->text;
    const char *const name = given ? given : "fashion-classifier";
    char own[PATH_MAX];
    text_free(out);
    text_add(out, "%s", name);
    const bool is_path = strcmp(name, "pixels") == 0 || strchr(name, '/');
    if (is_path || (given && access(given, F_OK) == 0)) return out->failed ? fail_memory() : DFL_OK;
    const bool known = own_folder(own);
    for (size_t i = 0; known && i < sizeof places / sizeof *places; i++) {
        text_free(out);
        text_add(out, "%s%s%s", own, places[i], name);
        if (out->failed) return fail_memory();
        if (access(out->data, F_OK) == 0) return DFL_OK;
    }
    return fail(
        DFL_E_IO,
        "--features: there is no folder \"%s\", and no extractor of that name came with the "
        "program; give a folder with features.json, or pixels",
        name);
}
