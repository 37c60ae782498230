#include "support/refining.h"

#include <math.h>

static dfl_status bent(void *user, uint64_t first, size_t count, const double *x, float *out) {
    (void)user, (void)first;
    for (size_t i = 0; i < count; i++) {
        const double a = x[2 * i], b = x[2 * i + 1];
        out[3 * i] = (float)sin(a);
        out[3 * i + 1] = (float)(a * b);
        out[3 * i + 2] = (float)tanh(2 * b);
    }
    return DFL_OK;
}

static const fit_features bent_features = {.width = 3, .name = "bent", .digest = "b", .run = bent};

fit *made(dfl_model *model, const char *spec, const char *work) {
    fit *f;
    if (fit_new(model, spec, work, &f)) REFUTE("%s", dfl_last_message());
    if (fit_sees(f)) f->features = bent_features;
    return f;
}

fit *refined(dfl_model *model, const char *spec, const char *work) {
    fit *f = made(model, spec, work);
    if (fit_run(f, NULL, NULL)) REFUTE("%s", dfl_last_message());
    return f;
}
