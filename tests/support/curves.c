/* Bounds as functions of T in tests; see the header. */
#include "support/curves.h"

#include <math.h>

#include "support/starts.h"

double *points_of_mixture(size_t n) {
    double *const x = mem_array(2 * n, sizeof *x);
    assert_non_null(x);
    for (size_t i = 0; i < n; i++) {
        const size_t k = i % 10 < 5 ? 0 : i % 10 < 8 ? 1 : 2;
        double z[2];
        noise_normals(17, 7, 0, i, 0, 2, z);
        for (size_t d = 0; d < 2; d++)
            x[2 * i + d] = mixture_means[2 * k + d] + sqrt(mixture_covs[4 * k + 3 * d]) * z[d];
    }
    return x;
}

int biased_answer(void *user, const dfl_request *rq) {
    const biased *const w = user;
    dfl_request asked = *rq;
    asked.labels = NULL; /* the mixture has no classes */
    const int code = w->inner->eval(w->inner, &asked);
    double *const y = rq->output;
    for (size_t i = 0; i < rq->count && code == 0; i++)
        for (int d = 0; d < 2; d++) y[2 * i + (size_t)d] += w->c[d] * request_of(rq, i).at.b[0];
    return code;
}

dfl_model *biased_model(biased *w, double c2) {
    static const char json[] = "{\"format\":\"driftless-model/1\",\"process\":\"vp_linear\","
                               "\"prediction_type\":\"epsilon\",\"sample\":{\"shape\":[2]},"
                               "\"t_min\":0.001}";
    dfl_model *m;
    *w = (biased){mixture2d, {0.6 * sqrt(c2), -0.8 * sqrt(c2)}};
    if (dfl_model_callback(json, biased_answer, w, &m)) REFUTE("%s", dfl_last_message());
    assert_ok(dfl_model_mixed_times(m, 1));
    return m;
}

times_study *study_of(dfl_model *model, const likelihood_data *data, const char *spec,
                      const char *path) {
    times_study *s;
    const times_wish wish = {
        .spec = spec, .count = data->n, .batch = 256, .priors = &path, .npriors = path ? 1 : 0};
    if (times_new(model, data, &wish, &s)) REFUTE("%s", dfl_last_message());
    while (!times_finished(s)) assert_ok(times_step(s));
    return s;
}

times_choice choice_of(const times_study *s, size_t replicates) {
    times_choice c;
    assert_ok(times_choose(s, replicates, &c));
    return c;
}
