/* Finds OpenVINO's library and the functions we use in it. */
#ifdef DFL_HAVE_OPENVINO

#include "model/runtime.h"

#include <dlfcn.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef DFL_OPENVINO_HINT
#define DFL_OPENVINO_HINT ""
#endif

static const struct {
    const char *name;
    size_t offset;
} ov_symbols[] = {
#define X(name) {"ov_" #name, offsetof(ov_api, name)},
    OV_SYMBOLS(X)
#undef X
};

static void *open_named(char *why, size_t cap) {
    static const char *const names[] = {"libopenvino_c.so", "libopenvino_c.so.2641",
                                        "libopenvino_c.so.2640", "libopenvino_c.so.2630"};
    const char *const chosen = getenv("DRIFTLESS_OPENVINO");
    void *library = NULL;
    if (chosen && *chosen) {
        library = dlopen(chosen, RTLD_NOW | RTLD_LOCAL);
        if (!library) snprintf(why, cap, "DRIFTLESS_OPENVINO: %s", dlerror());
        return library;
    }
    if (*DFL_OPENVINO_HINT) library = dlopen(DFL_OPENVINO_HINT, RTLD_NOW | RTLD_LOCAL);
    for (size_t i = 0; !library && i < sizeof names / sizeof *names; i++)
        library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
    if (!library) snprintf(why, cap, "%s", dlerror());
    return library;
}

/* Never closed again: OpenVINO keeps threads that must not outlive their code. */
dfl_status runtime_load(ov_api *api) {
    char why[200];
    void *const library = open_named(why, sizeof why);
    if (!library)
        return fail(DFL_E_RUNTIME,
                    "OpenVINO, which ONNX networks need, cannot be loaded (%s): install it (pip "
                    "install openvino==2026.4.1) and set DRIFTLESS_OPENVINO to the path of its "
                    "libopenvino_c.so",
                    why);
    for (size_t i = 0; i < sizeof ov_symbols / sizeof *ov_symbols; i++) {
        void *const symbol = dlsym(library, ov_symbols[i].name);
        if (!symbol)
            return fail(DFL_E_RUNTIME,
                        "the OpenVINO found lacks %s: install another (pip install "
                        "openvino==2026.4.1) and set DRIFTLESS_OPENVINO to its libopenvino_c.so",
                        ov_symbols[i].name);
        memcpy((char *)api + ov_symbols[i].offset, &symbol, sizeof symbol);
    }
    return DFL_OK;
}

dfl_status runtime_failed(const ov_api *ov, const char *file, ov_status_e status,
                          const char *what) {
    static const char source[] = "Exception from ";
    char words[300];
    const char *const message = ov->get_last_err_msg();
    const char *start = message && *message ? message : ov->get_error_info(status);
    while (strncmp(start, source, sizeof source - 1) == 0 && strchr(start, '\n'))
        start = strchr(start, '\n') + 1;
    snprintf(words, sizeof words, "%s", start);
    if (message) ov->free(message);
    for (char *p = words; *p; p++)
        if ((unsigned char)*p < ' ') *p = ' ';
    return fail(DFL_E_MODEL, "%s: OpenVINO cannot %s: %s", file, what, words);
}

#else

typedef int no_runtime; /* a file of C is never empty */

#endif
