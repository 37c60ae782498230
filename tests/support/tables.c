#include "support/tables.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "support/cases.h"

json_t *tables_open(void) {
    json_error_t error;
    return json_load_file(DFL_TEST_DATA "/psld-kernel.json", JSON_REJECT_DUPLICATES, &error);
}

const json_t *tables_entry(const json_t *file, const char *method, size_t n) {
    const json_t *list = json_object_get(file, "tables");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *entry = json_array_get(list, i);
        if (strcmp(json_string_value(json_object_get(entry, "method")), method) == 0 && n-- == 0)
            return entry;
    }
    return NULL;
}

double table_real(const json_t *object, const char *key) {
    const json_t *value = json_object_get(object, key);
    assert_true(json_is_number(value));
    return json_number_value(value);
}

blk table_matrix(const json_t *object, const char *key) {
    const json_t *lines = json_object_get(object, key);
    blk a = blk_2x2(0, 0, 0, 0);
    for (size_t i = 0; i < 4; i++)
        a.v[i] = json_number_value(json_array_get(json_array_get(lines, i / 2), i % 2));
    return a;
}

process *open_process(const char *spec) {
    process *p;
    assert_ok(process_new(spec, &p));
    return p;
}

process *table_process(const json_t *entry, double kappa) {
    const json_t *p = json_object_get(entry, "process");
    char spec[256];
    snprintf(spec, sizeof spec,
             "psld:beta_0=%.17g,beta_1=%.17g,Gamma=%.17g,nu=%.17g,kappa=%.17g,numerical_eps=%.17g",
             table_real(p, "beta_min"), table_real(p, "beta_max"), table_real(p, "Gamma"),
             table_real(p, "nu"), kappa < 0 ? table_real(p, "kappa") : kappa,
             table_real(p, "numerical_eps"));
    return open_process(spec);
}

double relative(double a, double b) {
    return a == b ? 0 : fabs(a - b) / fabs(b);
}

double relative_blk(blk a, blk b) {
    double worst = 0;
    for (int i = 0; i < 4; i++) worst = fmax(worst, relative(a.v[i], b.v[i]));
    return worst;
}

double apart(blk a, blk b) {
    double worst = 0, size = 0;
    for (int i = 0; i < 4; i++) {
        worst = fmax(worst, fabs(a.v[i] - b.v[i]));
        size = fmax(size, fabs(b.v[i]));
    }
    return worst / (1 + size);
}

blk factor_of(const process *p, double t) {
    marginal m;
    process_marginal(p, t, &m);
    return blk_2x2(m.b[0], m.b[1], m.b[2], m.b[3]);
}
