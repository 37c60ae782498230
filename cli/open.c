#include "open.h"

#include <string.h>

#include "base/base.h"

dfl_status open_model(const args *a, dfl_model **out) {
    text options = {0};
    text_add(&options, "threads=%lld", arg_given(a, "threads") ? arg(a, "threads")->integer : 0);
    const dfl_status status =
        options.failed ? fail_memory() : dfl_model_open(a->operand[0], options.data, out);
    text_free(&options);
    return status;
}

dfl_status guide_model(const args *a, dfl_model **model) {
    if (arg_given(a, "guidance")) TRY(dfl_model_guide(*model, arg(a, "guidance")->real, model));
    if (arg_given(a, "classifier-guidance"))
        TRY(dfl_model_guide_classifier(*model, arg(a, "classifier-guidance")->real, NULL, NULL,
                                       model));
    return DFL_OK;
}

dfl_status find_class(const card *c, const char *word, int64_t *out) {
    long long index = 0;
    if (c->classes == 0) return fail(DFL_E_COMBINATION, "--class: this model has no classes");
    if (strcmp(word, "null") == 0) {
        *out = c->null_class;
        return c->null_class >= 0
                   ? DFL_OK
                   : fail(DFL_E_COMBINATION, "--class: this model has no null class");
    }
    if (text_to_int(word, &index)) {
        *out = index;
        if ((index >= 0 && index < c->classes) || (index >= 0 && index == c->null_class))
            return DFL_OK;
        return fail(DFL_E_RANGE, "--class: %s is not one of the classes 0 to %lld", word,
                    (long long)c->classes - 1);
    }
    for (int64_t i = 0; c->class_names && i < c->classes; i++) {
        *out = i;
        if (strcmp(c->class_names[i], word) == 0) return DFL_OK;
    }
    const char *close =
        c->class_names ? text_closest(word, (const char *const *)c->class_names, (size_t)c->classes)
                       : NULL;
    return close ? fail(DFL_E_RANGE,
                        "--class: \"%s\" is not a class of this model; did you mean "
                        "\"%s\"?",
                        word, close)
                 : fail(DFL_E_RANGE,
                        "--class: \"%s\" is not a class of this model (\"driftless "
                        "info\" lists them)",
                        word);
}
