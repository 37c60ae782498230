#include "open.h"

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
