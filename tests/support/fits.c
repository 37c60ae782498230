#include "support/fits.h"

#include <stdio.h>

#include "model/mixture.h"

dfl_model *mixture_with(const char *components, const char *about) {
    char json[800];
    dfl_model *model;
    const int n =
        snprintf(json, sizeof json, "{\"format\":\"driftless-mixture/1\",%s,\"card\":{%s}}",
                 components, about);
    assert_true(n > 0 && n < (int)sizeof json);
    if (mixture_parse("test", json, (size_t)n, &model)) REFUTE("%s", dfl_last_message());
    return model;
}

dfl_model *mixture_of(const char *components) {
    return mixture_with(components, "\"t_min\":0.001");
}

dfl_model *three(void) {
    return mixture_of(THREE);
}

void fits_refused(dfl_model *model, const fits_refusal *cases, size_t n) {
    for (size_t i = 0; i < n; i++) {
        fit *f;
        refused(fit_new(model, cases[i].spec, NULL, &f), cases[i].status, cases[i].part);
        assert_null(f);
    }
}

fit *fitted(dfl_model *model, const char *spec, const char *work) {
    fit *f;
    if (fit_new(model, spec, work, &f)) REFUTE("%s", dfl_last_message());
    if (fit_run(f, NULL, NULL)) REFUTE("%s", dfl_last_message());
    return f;
}
