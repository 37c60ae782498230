/* The doctor from C: what it finds and refuses, and the form of its reports. What it finds on
   networks is tested with folders of networks, in Python. */
#include "support/folder.h"

#include <stdlib.h>
#include <string.h>

#include "base/base.h"

static const char flat[] = "mixture:" DFL_TEST_DATA "/mixture2d.json";

static dfl_doctor *examine(const char *spec) {
    dfl_doctor *d;
    assert_ok(dfl_doctor_new(flat, NULL, spec, &d));
    return d;
}

static char *report(const dfl_doctor *d,
                    dfl_status (*get)(const dfl_doctor *, char *, size_t, size_t *)) {
    size_t need;
    assert_ok(get(d, NULL, 0, &need));
    char *buf = malloc(need + 1);
    assert_non_null(buf);
    assert_ok(get(d, buf, need + 1, NULL));
    assert_int_equal(strlen(buf), need);
    return buf;
}

static void test_healthy(void **state) {
    (void)state;
    dfl_doctor *d = examine(NULL);
    for (int s = DFL_NOTE; s <= DFL_ERROR; s++) assert_int_equal(dfl_doctor_count(d, s), 0);
    char *json = report(d, dfl_doctor_to_json), *lines = report(d, dfl_doctor_to_text);
    assert_non_null(strstr(json, "\"errors\": 0, \"warnings\": 0, \"notes\": 0, \"findings\": []"));
    assert_non_null(strstr(lines, "fine     model, card, plan"));
    assert_non_null(strstr(lines, "not run  classes"));
    free(json);
    free(lines);
    dfl_doctor_free(d);
}

/* Exact scores in phase space; only classes the mixture has none of. */
static void test_phase(void **state) {
    (void)state;
    static const char *const specs[] = {
        "process=psld", "process=psld:factor=upper,kappa=0.2",
        "process=psld:beta_0=4,beta_1=12,Gamma=0.1,nu=4.1 denoise=1", "process=cld"};
    for (size_t k = 0; k < LENGTH(specs); k++) {
        dfl_doctor *d = examine(specs[k]);
        char *json = report(d, dfl_doctor_to_json), *lines = report(d, dfl_doctor_to_text);
        if (!strstr(json, "\"findings\": []")) REFUTE("%s: %s", specs[k], lines);
        assert_non_null(strstr(lines, "not run  classes\n"));
        assert_null(strstr(json, "slope\": null"));
        free(json);
        free(lines);
        dfl_doctor_free(d);
    }
}

/* A network that answers x + t, the state itself: right about nothing in phase space. */
static void test_phase_network(void **state) {
    (void)state;
    static const char card[] =
        "{\"format\": \"driftless-model/1\", \"network\": {\"file\": \"phase.onnx\", \"inputs\": "
        "{\"sample\": \"x\", \"time\": \"timestep\"}}, \"process\": \"psld\", "
        "\"prediction_type\": \"epsilon\", \"state_components\": 2, \"sample\": {\"shape\": "
        "[1, 2, 2]}, \"t_min\": 0.001, \"t_max\": 1, \"time_map\": {\"type\": \"linear\"}}";
    char *net;
    size_t size;
    dfl_doctor *d;
    assert_ok(file_read(DFL_TEST_DATA "/networks/phase.onnx", 1 << 20, &net, &size));
    assert_ok(file_save(in_folder("phase.onnx"), net, size));
    assert_ok(file_save(in_folder("model.json"), card, sizeof card - 1));
    assert_ok(dfl_doctor_new(the_folder(), NULL, NULL, &d));
    char *json = report(d, dfl_doctor_to_json);
    assert_true(dfl_doctor_count(d, DFL_ERROR) >= 1);
    assert_non_null(strstr(json, "\"check\": \"prediction\""));
    assert_non_null(strstr(json, "neither epsilon nor score"));
    free(json);
    free(net);
    dfl_doctor_free(d);
}

static void test_findings(void **state) {
    (void)state;
    static const struct {
        const char *spec;
        int severity;
        const char *part;
    } cases[] = {
        {"t_start=0.4", DFL_ERROR, "start: at the start"},
        {"t_end=0.03", DFL_WARNING, "end: the end is not clean"},
        {"t_end=0.2", DFL_ERROR, "end: the end is not clean"},
        {"solver=heun nfe=11", DFL_NOTE, "1 are not spent"},
        {"grid=list:times=[1,0.5,0.4999,0.001] solver=ddim", DFL_WARNING, "step 2 of 3"},
        {"grid=trailing steps=2000", DFL_ERROR, "largest usable number of steps is 1000"},
        {"solver=splitting", DFL_ERROR, "phase space only"},
        {"process=cld t_end=0.2", DFL_ERROR, "end: the end is not clean"},
    };
    for (size_t k = 0; k < LENGTH(cases); k++) {
        dfl_doctor *d = examine(cases[k].spec);
        char *lines = report(d, dfl_doctor_to_text);
        for (char *p = lines; *p; p++) /* sentences, not lines */
            if (*p == '\n') *p = ' ';
        text words = {0};
        for (const char *p = lines; *p; p++)
            if (*p != ' ' || p[1] != ' ') text_add(&words, "%c", *p);
        if (dfl_doctor_count(d, cases[k].severity) != 1 || !strstr(words.data, cases[k].part))
            REFUTE("%s: %s", cases[k].spec, words.data);
        assert_non_null(strstr(words.data, "fix:"));
        text_free(&words);
        free(lines);
        dfl_doctor_free(d);
    }
}

static void test_refused(void **state) {
    (void)state;
    dfl_doctor *d;
    refused(dfl_doctor_new(NULL, NULL, NULL, &d), DFL_E_ARG, "where");
    refused(dfl_doctor_new(flat, NULL, NULL, NULL), DFL_E_ARG, "out");
    refused(dfl_doctor_new(flat, NULL, "stepz=3", &d), DFL_E_KEY, "stepz");
    refused(dfl_doctor_new(flat, NULL, "grid=power:kapa=3", &d), DFL_E_KEY, "kapa");
    refused(dfl_doctor_new("mixture:/nowhere.json", NULL, NULL, &d), DFL_E_IO, "nowhere");
    assert_null(d);
    refused(dfl_doctor_to_text(NULL, NULL, 0, NULL), DFL_E_ARG, "doctor");
    refused(dfl_doctor_to_json(NULL, NULL, 0, NULL), DFL_E_ARG, "doctor");
    assert_int_equal(dfl_doctor_count(NULL, DFL_ERROR), 0);
    dfl_doctor_free(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_healthy),       cmocka_unit_test(test_phase),
        cmocka_unit_test(test_phase_network), cmocka_unit_test(test_findings),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, folder_make, folder_remove);
}
