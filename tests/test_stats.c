/* Statistics of a model: the numbers against their closed form, and their file: resumed, merged,
   refused. */
#include "support/gather.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "study/sums.h"

enum { SAMPLES = 40 };

/* ---- the numbers ----------------------------------------------------------------------------- */

/* mean |z| of the starts of seed 0, which the exact flow scales and nothing else. */
static double mean_abs_start(void) {
    double z[D], sum = 0;
    for (uint64_t i = 0; i < SAMPLES; i++) {
        noise_normals(0, DFL_DRAW_START, 0, i, 0, D, z);
        for (int k = 0; k < D; k++) sum += fabs(z[k]);
    }
    return sum / (SAMPLES * D);
}

/* eps = b x/v^2, v^2 = a^2/4 + b^2, on the flow x = z s v/v_1: |eps| = |z| s b/(v v_1). */
static double closed_form(const process *p, double t) {
    const scalar_at at = process_at(p, t), from = process_at(p, 1);
    const double v = sqrt(at.a * at.a / 4 + at.b * at.b), scale = process_prior(p, 1).v[0];
    return scale * at.b / v / sqrt(from.a * from.a / 4 + from.b * from.b);
}

static double check_closed_form(const char *type, const char *more, const char *spec) {
    dfl_model *model = gaussian_that_predicts(type, more);
    stats_sums sums;
    double worst = 0;
    gather(model, spec, "samples=40", in_folder("closed.json"));
    assert_ok(stats_read(in_folder("closed.json"), &sums));
    double *mean = mem_array(sums.bins, sizeof *mean);
    assert_ok(stats_means(&sums, mean));
    process *p;
    assert_ok(process_new(model->card.process, &p));
    for (size_t k = 0; k < sums.bins; k++) {
        const double t = (double)(k + 1) / (double)sums.bins;
        const double expected = mean_abs_start() * closed_form(p, t);
        worst = fmax(worst, fabs(mean[k] / expected - 1));
    }
    /* 4.3 % is one standard deviation of a mean of 320 numbers */
    assert_true(fabs(mean[sums.bins - 1] / sqrt(2 / acos(-1.0)) - 1) < 0.13);
    process_free(p);
    free(mean);
    stats_sums_free(&sums);
    dfl_model_free(model);
    return worst;
}

static void test_closed_form(void **state) {
    (void)state;
    static const struct {
        const char *type, *more, *spec;
        double within;
    } cases[] = {
        {"epsilon", "", "nfe=1000", 2e-4},
        {"v_prediction", "", "nfe=1000", 2e-4},
        {"sample", "", "nfe=500", 2e-3},
        {"score", "", "nfe=500", 2e-3},
        {"sample", ",\"preconditioning\":{\"type\":\"edm\",\"sigma_data\":0.5}", "nfe=500", 2e-3},
        {"epsilon", ",\"process\":\"ve\"", "nfe=500", 2e-3},
        {"epsilon", ",\"process\":\"sub_vp\"", "nfe=500", 2e-3},
        {"epsilon", "", "solver=heun steps=250", 2e-3},
    };
    for (size_t i = 0; i < LENGTH(cases); i++) {
        const double off = check_closed_form(cases[i].type, cases[i].more, cases[i].spec);
        print_message("%s%s, %s: relative error %.2e\n", cases[i].type, cases[i].more,
                      cases[i].spec, off);
        assert_true(off < cases[i].within);
    }
}

/* Times that are not those of the evaluations: linear between them, constant beyond. */
static void test_bins(void **state) {
    (void)state;
    double time[] = {0.9, 0.1, 0.5, 0.5}, sum[] = {8, 4, 2, 4}, mean[5];
    stats_range range = {0, 0, 2};
    const stats_sums s = {
        .range = &range, .nranges = 1, .n = 4, .time = time, .sum = sum, .bins = 5};
    assert_ok(stats_means(&s, mean));
    const double expected[] = {2 - 0.5 / 4, 2 - 1.5 / 4, 1.5 + 2.5 / 4, 1.5 + 7.5 / 4, 4};
    for (int k = 0; k < 5; k++) assert_true(fabs(mean[k] - expected[k]) < 1e-14);
}

/* ---- the file -------------------------------------------------------------------------------- */

static int stop_at(void *user, size_t done, size_t total) {
    size_t *left = user;
    assert_true(done <= total);
    return (*left)-- == 0 ? 77 : 0;
}

static void test_resume(void **state) {
    (void)state;
    dfl_model *model = gaussian_that_predicts("epsilon", "");
    gather(model, "nfe=20", "samples=23,first=3,batch=64", in_folder("whole.json"));
    dfl_stats *stats = begin(model, "nfe=20", "samples=23,first=3,batch=8");
    size_t evaluations = 30; /* the second batch breaks off in its eleventh */
    assert_int_equal(dfl_stats_batch(stats, stop_at, &evaluations), DFL_OK);
    assert_int_equal(dfl_stats_samples(stats), 5); /* up to a multiple of the batch */
    assert_int_equal(dfl_stats_batch(stats, stop_at, &evaluations), 77);
    assert_int_equal(dfl_stats_samples(stats), 5);
    assert_ok(dfl_stats_save(stats, in_folder("part.json")));
    dfl_stats_free(stats);
    stats = begin(model, "nfe=20", "samples=23,first=3,batch=7");
    assert_ok(dfl_stats_resume(stats, in_folder("part.json")));
    assert_int_equal(dfl_stats_left(stats), 18);
    while (dfl_stats_left(stats)) assert_ok(dfl_stats_batch(stats, NULL, NULL));
    assert_ok(dfl_stats_batch(stats, NULL, NULL)); /* nothing to do */
    assert_ok(dfl_stats_save(stats, in_folder("resumed.json")));
    dfl_stats_free(stats);
    assert_same_files(in_folder("whole.json"), in_folder("resumed.json"));
    dfl_model_free(model);
}

static void test_merge(void **state) {
    (void)state;
    dfl_model *model = gaussian_that_predicts("epsilon", "");
    gather(model, "nfe=20", "samples=30", in_folder("whole.json"));
    gather(model, "nfe=20", "samples=11,first=19", in_folder("c.json"));
    gather(model, "nfe=20", "samples=12", in_folder("a.json"));
    gather(model, "nfe=20", "samples=7,first=12", in_folder("b.json"));
    const char *paths[3] = {in_folder("c.json"), in_folder("a.json"), in_folder("b.json")};
    char merged[PATH];
    snprintf(merged, PATH, "%s/merged.json", the_folder());
    assert_ok(dfl_stats_merge(paths, 3, merged));
    assert_same_files(in_folder("whole.json"), merged);
    dfl_model_free(model);
}

/* Files that do not go with epsilon, nfe=20, seed 0. */
static void test_strangers(void **state) {
    (void)state;
    static const struct {
        const char *type, *spec, *options, *says;
    } others[] = {
        {"score", "nfe=20", "samples=4,first=4", "another model"},
        {"epsilon", "nfe=21", "samples=4,first=4", "settings"},
        {"epsilon", "nfe=20 solver=deis:order=1", "samples=4,first=4", "solver differs"},
        {"epsilon", "nfe=20 t_end=0.01", "samples=4,first=4", "t_end differs"},
        {"epsilon", "nfe=20", "samples=4,first=4,bins=10", "bins differs"},
        {"epsilon", "nfe=20", "samples=4,first=3", NULL},
    };
    dfl_model *model = gaussian_that_predicts("epsilon", "");
    gather(model, "nfe=20", "samples=4", in_folder("mine.json"));
    for (size_t i = 0; i < LENGTH(others); i++) {
        dfl_model *other = gaussian_that_predicts(others[i].type, "");
        gather(other, others[i].spec, others[i].options, in_folder("other.json"));
        dfl_model_free(other);
        const char *both[2] = {in_folder("mine.json"), in_folder("other.json")};
        assert_int_equal(dfl_stats_merge(both, 2, in_folder("no.json")), DFL_E_COMBINATION);
        assert_message_has(others[i].says ? others[i].says : "another file, too");
        dfl_stats *stats = begin(model, "nfe=20", "samples=8");
        assert_int_equal(dfl_stats_resume(stats, in_folder("other.json")), DFL_E_COMBINATION);
        assert_message_has(others[i].says ? others[i].says : "other samples");
        assert_int_equal(dfl_stats_samples(stats), 0);
        dfl_stats_free(stats);
    }
    assert_int_not_equal(access(in_folder("no.json"), F_OK), 0);
    dfl_model_free(model);
}

static void test_refusals(void **state) {
    (void)state;
    static const struct {
        const char *spec, *options;
        dfl_status status;
    } cases[] = {
        {"nfe=20 thresholding=1", "", DFL_E_COMBINATION},
        {"nfe=1", "", DFL_E_RANGE},
        {"nfe=20 process=cld solver=em", "", DFL_E_COMBINATION},
        {"nfe=1001", "", DFL_E_RANGE},
        {"nfe=20", "samples=0", DFL_E_RANGE},
        {"nfe=20", "bins=1", DFL_E_RANGE},
        {"nfe=20", "sample=1", DFL_E_KEY},
        {"nef=20", "", DFL_E_KEY},
    };
    dfl_model *model = gaussian_that_predicts("epsilon", "");
    dfl_stats *stats;
    for (size_t i = 0; i < LENGTH(cases); i++) {
        const dfl_status status = dfl_stats_new(model, cases[i].spec, cases[i].options, &stats);
        if (status != cases[i].status)
            REFUTE("%s %s: %s", cases[i].spec, cases[i].options, dfl_status_name(status));
        assert_null(stats);
    }
    stats = begin(model, "nfe=4", NULL);
    assert_int_equal(dfl_stats_save(stats, in_folder("empty.json")), DFL_E_ARG);
    dfl_stats_free(stats);
    model->identity[0] = 0;
    assert_int_equal(dfl_stats_new(model, "nfe=4", NULL, &stats), DFL_E_ARG);
    dfl_model_free(model);
}

/* One member of a good file at a time made wrong; sums that are to be trusted must be whole. */
static void test_damaged(void **state) {
    (void)state;
    static const struct {
        const char *from, *to;
    } cases[] = {
        {"\"seed\": \"0\"", "\"seed\": -1"},
        {"\"seed\": \"0\"", "\"seed\": \"-1\""},
        {"\"count\": 4", "\"count\": 0"},
        {"\"count\": 4", "\"count\": 1e9"},
        {"\"nfe\": 4", "\"nfe\": 5"},
        {"\"nfe\": 4", "\"nfe\": 1000000000"},
        {"\"bins\": 4", "\"bins\": 0"},
        {"\"times\": [1,", "\"times\": [2,"},
        {"\"times\": [1,", "\"times\": [1, 1,"},
        {"\"sums\": [", "\"sums\": [-1, "},
        {"\"sums\": [", "\"sums\": [1, "},
        {"\"runs\": [", "\"runs\": [7, "},
        {"\"solver\": \"", "\"solver\": [], \"x\": \""},
        {"\"runs\": [", "\"runs\": [{\"seed\": 0, \"first\": 3, \"count\": 9}, "},
        {"network_sha256\": \"", "network_sha256\": \"00"},
    };
    dfl_model *model = gaussian_that_predicts("epsilon", "");
    gather(model, "nfe=4", "samples=4", in_folder("good.json"));
    char *good;
    size_t size;
    assert_ok(file_read(in_folder("good.json"), 1 << 20, &good, &size));
    stats_sums sums;
    for (size_t i = 0; i < LENGTH(cases); i++) {
        const char *at = strstr(good, cases[i].from);
        if (!at) REFUTE("no %s in %s", cases[i].from, good);
        text bad = {0};
        text_add(&bad, "%.*s%s%s", (int)(at - good), good, cases[i].to, at + strlen(cases[i].from));
        write_bytes(in_folder("bad.json"), bad.data);
        text_free(&bad);
        if (stats_read(in_folder("bad.json"), &sums) == DFL_OK) REFUTE("%s is taken", cases[i].to);
    }
    for (size_t n = 0; n < size - 2; n += 7) { /* cut short */
        char *const cut = text_copy(good);
        cut[n] = 0;
        write_bytes(in_folder("bad.json"), cut);
        free(cut);
        assert_int_not_equal(stats_read(in_folder("bad.json"), &sums), DFL_OK);
    }
    free(good);
    dfl_model_free(model);
}

/* Of a card that was corrected since; one without its digest is from an older program. */
static void test_other_card(void **state) {
    (void)state;
    char *file;
    size_t size;
    dfl_model *model = gaussian_that_predicts("epsilon", "");
    gather(model, "nfe=20", "samples=4", in_folder("first.json"));
    assert_ok(file_read(in_folder("first.json"), 1 << 20, &file, &size));
    char *const from = strstr(file, ", \"card_sha256\": \"");
    assert_non_null(from);
    const char *const rest = strchr(from, '}');
    memmove(from, rest, strlen(rest) + 1);
    write_bytes(in_folder("older.json"), file);
    free(file);
    model->card.range[0] -= 2;
    dfl_stats *stats = begin(model, "nfe=20", "samples=8");
    assert_int_equal(dfl_stats_resume(stats, in_folder("first.json")), DFL_E_COMBINATION);
    assert_message_has("card_sha256 differs");
    assert_ok(dfl_stats_resume(stats, in_folder("older.json")));
    dfl_stats_free(stats);
    model->card.range[0] += 2;
    free(model->card.license);
    model->card.license = text_copy("MIT"); /* a text that says nothing of numbers */
    stats = begin(model, "nfe=20", "samples=8");
    assert_ok(dfl_stats_resume(stats, in_folder("first.json")));
    dfl_stats_free(stats);
    dfl_model_free(model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_closed_form), cmocka_unit_test(test_bins),
        cmocka_unit_test(test_other_card),  cmocka_unit_test(test_resume),
        cmocka_unit_test(test_merge),       cmocka_unit_test(test_strangers),
        cmocka_unit_test(test_refusals),    cmocka_unit_test(test_damaged),
    };
    return cmocka_run_group_tests_name("stats", tests, folder_make, folder_remove);
}
