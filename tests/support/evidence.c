/* Likelihoods in tests; see the header. */
#include "support/evidence.h"

#include <stdio.h>
#include <stdlib.h>

size_t numbers_of(const json_t *list, double *out, size_t cap) {
    size_t n = 0;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *item = json_array_get(list, i);
        if (json_is_array(item))
            n += numbers_of(item, out + n, cap - n);
        else if (n < cap)
            out[n++] = json_number_value(item);
        else
            REFUTE("more than %zu numbers are stored", cap);
    }
    return n;
}

double number_of(const json_t *object, const char *key) {
    const json_t *value = json_object_get(object, key);
    if (!json_is_number(value)) REFUTE("\"%s\" is not stored", key);
    return json_number_value(value);
}

static json_t *stored(void) {
    json_error_t error;
    json_t *root = json_load_file(DFL_TEST_DATA "/likelihood.json", 0, &error);
    if (!root) REFUTE("%s", error.text);
    return root;
}

static dfl_model *public_mixture(void) {
    dfl_model *m;
    assert_ok(dfl_model_open("mixture:" DFL_TEST_DATA "/mixture2d.json", NULL, &m));
    return m;
}

json_t *reference;
dfl_model *mixture2d;
double x0[12];

int begin_group(void **state) {
    reference = stored();
    mixture2d = public_mixture();
    assert_int_equal(numbers_of(json_object_get(reference, "x0"), x0, 12), 12);
    return folder_make(state);
}

int end_group(void **state) {
    json_decref(reference);
    dfl_model_free(mixture2d);
    return folder_remove(state);
}

/* A mixture in four dimensions, whose Jacobian is full. */
dfl_model *mixture4d(void) {
    dfl_model *m;
    write_bytes(
        in_folder("four.json"),
        "{\"format\":\"driftless-mixture/1\",\"weights\":[0.4,0.6],"
        "\"means\":[[1,0.2,-0.5,0.3],[-0.4,0.1,0.6,-1]],"
        "\"stds\":[[0.5,0.3,0.4,0.6],[0.7,0.5,0.3,0.4]],\"card\":{\"process\":\"vp_linear\","
        "\"prediction_type\":\"v_prediction\",\"sample\":{\"shape\":[4],"
        "\"range\":[-1,1]}}}");
    char where[PATH + 16];
    snprintf(where, sizeof where, "mixture:%s", in_folder("four.json"));
    assert_ok(dfl_model_open(where, NULL, &m));
    return m;
}

likelihood_data values_of(double *numbers, size_t n, size_t dim) {
    return (likelihood_data){
        .n = n, .dim = dim ? dim : 2, .numbers = numbers, .digest = "of a test"};
}

likelihood *compute(dfl_model *model, const likelihood_data *data, const char *spec) {
    likelihood *l;
    assert_ok(likelihood_new(model, data, &(likelihood_wish){.spec = spec}, &l));
    while (l->done < l->count) assert_ok(likelihood_batch(l));
    return l;
}

double row_of(const likelihood *l, size_t image, int which) {
    return l->rows[image * l->width + (size_t)which];
}

void column(dfl_model *model, const likelihood_data *data, const char *spec, int which,
            double *out) {
    likelihood *l = compute(model, data, spec);
    for (size_t i = 0; i < data->n; i++) out[i] = row_of(l, i, which);
    likelihood_free(l);
}
