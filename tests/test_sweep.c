/* Sweeps: which cells there are, what a folder keeps, how solvers are compared, and which folders and
   capsules are refused. The model is a Gaussian with pictures of 4 x 4, the features are
   the pixels, so that a whole sweep takes no time. */
#include "support/gather.h"

#include <ftw.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "eval/sweep.h"
#include "io/io.h"

enum { PIXELS = 16, SAMPLES = 24, REAL = 80 };

static void near(double found, double expected, double within) {
    if (!(fabs(found - expected) <= within)) REFUTE("%.17g is not %.17g", found, expected);
}

/* ---- a sweep --------------------------------------------------------------------------------- */

static dfl_model *picture_model(const char *std) {
    char json[900];
    dfl_model *model;
    size_t n = 0;
    n += (size_t)snprintf(json, sizeof json,
                          "{\"format\":\"driftless-mixture/1\",\"weights\":[1],\"means\":[[");
    for (int i = 0; i < PIXELS; i++)
        n += (size_t)snprintf(json + n, sizeof json - n, "%s%g", i ? "," : "", 0.04 * i - 0.3);
    snprintf(json + n, sizeof json - n,
             "]],\"stds\":[%s],\"card\":{\"sample\":{\"shape\":[1,4,4],\"range\":[-1,1]}}}", std);
    write_bytes(in_folder("model.json"), json);
    char where[PATH + 10];
    snprintf(where, sizeof where, "mixture:%s", in_folder("model.json"));
    assert_ok(dfl_model_open(where, NULL, &model));
    return model;
}

static void write_real(const char *path, uint64_t seed) {
    const size_t shape[] = {REAL, 4, 4, 1};
    uint8_t bytes[REAL * PIXELS];
    npy_writer *npy;
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(64 + 128 * noise_uniform(seed, 9, 0, i));
    assert_ok(npy_create(path, ARRAY_U8, 4, shape, &npy));
    assert_ok(npy_append(npy, bytes, REAL));
    assert_ok(npy_commit(npy));
}

/* What a test changes before the sweep is set up. */
typedef struct {
    const char *std, *solvers, *folder, *reference, *tail;
    size_t samples;
    uint64_t seed;
    int nfe[2];
} wish;

static const wish usual = {"0.3", "ddim heun", "out", "real.npy", "", SAMPLES, 5, {3, 1}};

static void sweep_begin(const wish *w, sweep *s) {
    static char folder[PATH], where[PATH + 10], reference[PATH];
    *s = (sweep){.model_where = where, .extractor_where = "pixels", .command = "test"};
    memcpy(folder, in_folder(w->folder), PATH);
    memcpy(reference, in_folder(w->reference), PATH);
    snprintf(where, sizeof where, "mixture:%s", in_folder("model.json"));
    s->folder = folder;
    s->reference_where = reference;
    s->model = picture_model(w->std);
    s->frame.samples = w->samples;
    s->frame.tail = w->tail;
    s->seed[0] = w->seed;
    s->seed[1] = w->seed + 1;
    s->nseeds = 2;
    s->replicates = 20;
    assert_ok(extractor_open("pixels", 1, &s->extractor));
    assert_ok(sweep_frame_fill(s));
    assert_ok(sweep_reference_look(s, reference));
}

static void sweep_end(sweep *s) {
    sweep_free(s);
    extractor_free(s->extractor);
    dfl_model_free(s->model);
}

static dfl_status sweep_go_on(const wish *w, sweep *s) {
    dfl_status status = sweep_folder_open(s);
    if (status) return status;
    for (int i = 0; i < 2; i++) assert_ok(sweep_add_budget(s, w->nfe[i], true));
    assert_ok(sweep_add_ways(s, w->solvers, "power:kappa=2"));
    assert_ok(sweep_lay_out(s));
    status = sweep_folder_read(s);
    if (status) return status;
    assert_ok(sweep_folder_save(s));
    assert_ok(sweep_reference_load(s, s->reference_where));
    return DFL_OK;
}

static size_t draw_all(sweep *s) {
    size_t drawn = 0;
    for (size_t i = 0; i < s->ncells; i++) {
        if (!sweep_cell_pending(&s->cell[i])) continue;
        assert_ok(sweep_draw(s, &s->cell[i]));
        drawn++;
    }
    assert_ok(sweep_write_cells(s));
    return drawn;
}

/* The CSV without the columns of time. */
static char *cells_text(void) {
    char *data, *out;
    size_t size;
    assert_ok(file_read(in_folder("out/cells.csv"), 1 << 20, &data, &size));
    out = mem_array(size + 1, 1);
    int column = 0;
    size_t n = 0;
    for (size_t i = 0; i < size; i++) {
        if (data[i] == ',') column++;
        if (data[i] == '\n') column = 0;
        if (column != 11 && column != 12) out[n++] = data[i];
    }
    free(data);
    return out;
}

static void test_folder(void **state) {
    (void)state;
    sweep s;
    char capsule_path[PATH], *whole, *again;
    sweep_begin(&usual, &s);
    assert_ok(sweep_go_on(&usual, &s));
    assert_int_equal(s.ncells, 8);
    assert_int_equal(sweep_left(&s), 6); /* heun refuses one evaluation */
    assert_int_equal(sweep_evaluations(&s), SAMPLES * 2 * (3 + 1 + 2));
    assert_int_equal(s.nfe[0], 1); /* sorted */
    assert_int_equal(draw_all(&s), 8);
    const sweep_cell *c = &s.cell[2];
    assert_string_equal(s.way[s.point[c->point].way].label, "heun@power:kappa=2");
    assert_non_null(strstr(c->result.note, "least is nfe=2"));
    assert_true(isnan(c->result.fid));
    const sweep_cell first = s.cell[0];
    assert_true(first.result.fid > 0 && first.result.spent == 1);
    assert_true(s.cell[1].result.fid != first.result.fid); /* another seed */
    whole = cells_text();
    assert_non_null(strstr(whole, "heun,power:kappa=2,driftless,1,,,5,24,"));
    assert_true(isfinite(s.floor));
    snprintf(capsule_path, PATH, "%s", in_folder("out/capsules"));
    sweep_end(&s);

    sweep_begin(&usual, &s); /* all is there; what has no number is tried again */
    assert_ok(sweep_go_on(&usual, &s));
    assert_int_equal(sweep_left(&s), 0);
    assert_true(s.cell[0].result.fid == first.result.fid);
    assert_string_equal(s.cell[0].result.features, first.result.features);
    char lost[2 * PATH];
    snprintf(lost, sizeof lost, "%s/%s.json", capsule_path, first.name);
    sweep_end(&s);
    assert_int_equal(unlink(lost), 0);

    sweep_begin(&usual, &s); /* one is lost, and comes back as it was */
    assert_ok(sweep_go_on(&usual, &s));
    assert_int_equal(sweep_left(&s), 1);
    draw_all(&s);
    again = cells_text();
    assert_string_equal(whole, again);
    sweep_end(&s);
    free(whole);
    free(again);
}

/* More solvers and budgets join what is there; the old ones stay in the tables. */
static void test_more(void **state) {
    (void)state;
    sweep s;
    wish more = usual;
    more.solvers = "deis:order=2@logsnr";
    more.nfe[0] = 4;
    more.nfe[1] = 3;
    sweep_begin(&more, &s);
    assert_ok(sweep_go_on(&more, &s));
    assert_int_equal(s.nways, 3);
    assert_int_equal(s.nbudgets, 3);
    assert_string_equal(s.way[2].grid, "logsnr");
    assert_int_equal(sweep_left(&s), 4);
    assert_int_equal(draw_all(&s), 4);
    char *csv = cells_text();
    assert_non_null(strstr(csv, "\nddim,power:kappa=2,driftless,3,"));
    assert_non_null(strstr(csv, "\ndeis:order=2,logsnr,driftless,4,"));
    free(csv);
    sweep_end(&s);
}

static void test_another_sweep_is_refused(void **state) {
    (void)state;
    static const struct {
        wish w;
        const char *says;
    } cases[] = {
        {{"0.31", "ddim", "out", "real.npy", "", SAMPLES, 5, {3, 1}}, "another model"},
        {{"0.3", "ddim", "out", "other.npy", "", SAMPLES, 5, {3, 1}}, "another reference"},
        {{"0.3", "ddim", "out", "real.npy", "", SAMPLES + 1, 5, {3, 1}}, "number of samples"},
        {{"0.3", "ddim", "out", "real.npy", "", SAMPLES, 6, {3, 1}}, "list of seeds"},
        {{"0.3", "ddim", "out", "real.npy", " t_end=0.01", SAMPLES, 5, {3, 1}}, "last time"},
    };
    for (size_t i = 0; i < LENGTH(cases); i++) {
        sweep s;
        sweep_begin(&cases[i].w, &s);
        refused(sweep_go_on(&cases[i].w, &s), DFL_E_COMBINATION, cases[i].says);
        sweep_end(&s);
    }
}

/* ---- comparisons ----------------------------------------------------------------------------- */

/* Features of a cell [SAMPLES][PIXELS], read from the folder. */
static float *features_of(const sweep *s, const sweep_cell *c) {
    char path[2 * PATH];
    array a;
    snprintf(path, sizeof path, "%s/features/%s.npy", s->folder, c->name);
    assert_ok(npy_read(path, 1 << 20, &a));
    return a.data;
}

static const sweep_cell *cell_at(const sweep *s, size_t way, size_t budget, size_t seed) {
    return &s->cell[(budget * s->nways + way) * s->nseeds + seed];
}

/* Rows that are resampled alike and averaged over the seeds, by hand. */
static void test_comparisons(void **state) {
    (void)state;
    sweep s;
    sweep_row *table;
    double difference[20] = {0};
    uint32_t index[SAMPLES];
    sweep_begin(&usual, &s);
    assert_ok(sweep_go_on(&usual, &s));
    draw_all(&s);
    assert_ok(sweep_compare(&s, NULL, &table));
    size_t b = 0;
    while (s.nfe[b] != 3) b++;
    const sweep_row *best = NULL, *worst = NULL;
    for (size_t w = 0; w < s.nways; w++) {
        const sweep_row *one = &table[w * s.nbudgets + b];
        if (one->best)
            best = one;
        else
            worst = one;
        const double x = cell_at(&s, w, b, 0)->result.fid, y = cell_at(&s, w, b, 1)->result.fid;
        near(one->fid, (x + y) / 2, 1e-12);
        near(one->sd, fabs(x - y) / sqrt(2), 1e-12);
    }
    assert_true(best && worst && best->fid < worst->fid);
    for (size_t k = 0; k < 2; k++) {
        float *x[2] = {features_of(&s, cell_at(&s, worst->point / s.nbudgets, b, k)),
                       features_of(&s, cell_at(&s, best->point / s.nbudgets, b, k))};
        for (uint32_t r = 0; r < 20; r++) {
            double d[2];
            resample(s.seed[k], r, SAMPLES, index);
            for (int i = 0; i < 2; i++) {
                const features f = {SAMPLES, PIXELS, x[i]};
                assert_ok(distance_to(&s.real, &f, index, &d[i]));
            }
            difference[r] += (d[0] - d[1]) / 2;
        }
        free(x[0]);
        free(x[1]);
    }
    const spread expected = spread_of(worst->fid - best->fid, difference, 20);
    near(worst->of_difference.low, expected.low, 1e-9);
    near(worst->of_difference.high, expected.high, 1e-9);
    near(worst->of_difference.error, expected.error, 1e-9);
    assert_true(best->of_difference.low == 0 && best->of_difference.high == 0);
    assert_ok(sweep_write_comparisons(&s, table));
    free(table);

    assert_ok(sweep_compare(&s, "heun@power:kappa=2", &table)); /* whether or not it is the best */
    assert_true(table[s.nbudgets + b].best && !table[b].best);
    free(table);
    sweep_end(&s);
}

/* A capsule of another cell, or of another sweep, in the place of one of ours. */
static void test_foreign_capsules(void **state) {
    (void)state;
    sweep s;
    char from[2 * PATH], to[2 * PATH], *bytes, *kept;
    size_t size, kept_size;
    sweep_begin(&usual, &s);
    assert_ok(sweep_go_on(&usual, &s));
    snprintf(to, sizeof to, "%s/capsules/%s.json", s.folder, s.cell[0].name);
    snprintf(from, sizeof from, "%s/capsules/%s.json", s.folder, s.cell[1].name);
    assert_ok(file_read(to, 1 << 20, &kept, &kept_size));
    assert_ok(file_read(from, 1 << 20, &bytes, &size));
    assert_ok(file_save(to, bytes, size));
    refused(sweep_folder_read(&s), DFL_E_COMBINATION, "belongs to another sweep");
    char *digest = strstr(kept, s.frame.card);
    assert_non_null(digest);
    *digest = *digest == '0' ? '1' : '0';
    assert_ok(file_save(to, kept, kept_size));
    refused(sweep_folder_read(&s), DFL_E_COMBINATION, "belongs to another sweep");
    *digest = s.frame.card[0];
    assert_ok(file_save(to, kept, kept_size));
    assert_ok(sweep_folder_read(&s));
    free(bytes);
    free(kept);
    sweep_end(&s);
}

/* Features that were changed by hand are not taken for those the capsule speaks of. */
static void test_changed_features(void **state) {
    (void)state;
    sweep s;
    sweep_row *table;
    char path[2 * PATH], *bytes;
    size_t size;
    sweep_begin(&usual, &s);
    assert_ok(sweep_go_on(&usual, &s));
    snprintf(path, sizeof path, "%s/features/%s.npy", s.folder, s.cell[0].name);
    assert_ok(file_read(path, 1 << 20, &bytes, &size));
    bytes[size - 3] ^= 1;
    assert_ok(file_save(path, bytes, size));
    refused(sweep_compare(&s, NULL, &table), DFL_E_FORMAT, "not the features that capsule");
    bytes[size - 3] ^= 1;
    assert_ok(file_save(path, bytes, size));
    free(bytes);
    sweep_end(&s);
}

/* ---- capsules -------------------------------------------------------------------------------- */

static void path_of_capsule(const wish *w, char path[2 * PATH]) {
    sweep s;
    sweep_begin(w, &s);
    assert_ok(sweep_go_on(w, &s));
    snprintf(path, 2 * PATH, "%s/capsules/%s.json", s.folder, cell_at(&s, 0, 1, 1)->name);
    sweep_end(&s);
}

static void test_capsule_again(void **state) {
    (void)state;
    char path[2 * PATH];
    sweep s = {0};
    capsule c;
    path_of_capsule(&usual, path);
    assert_ok(capsule_open(path, &c, &s));
    assert_int_equal(s.seed[0], 6);
    assert_int_equal(s.nfe[0], 3);
    assert_true(c.result.fid > 0 && dfl_plan_nfe(s.point[0].plan) == 3);
    assert_ok(dfl_model_open(c.model, NULL, &s.model));
    assert_ok(extractor_open(c.features, 1, &s.extractor));
    assert_ok(sweep_frame_fill(&s));
    assert_ok(sweep_reference_look(&s, c.reference));
    assert_ok(capsule_check(&c, &s));
    assert_ok(sweep_reference_load(&s, c.reference));
    assert_ok(sweep_draw(&s, &s.cell[0]));
    assert_true(s.cell[0].result.fid == c.result.fid);
    assert_string_equal(s.cell[0].result.features, c.result.features);
    s.frame.reference[0] ^= 1;
    refused(capsule_check(&c, &s), DFL_E_COMBINATION, "another reference");
    s.frame.reference[0] ^= 1;
    s.frame.model[5] ^= 1;
    refused(capsule_check(&c, &s), DFL_E_COMBINATION, "another model");
    capsule_close(&c);
    sweep_end(&s);
}

static void test_bad_capsules(void **state) {
    (void)state;
    static const struct {
        const char *from, *to;
        dfl_status status;
        const char *says;
    } cases[] = {
        {"driftless-capsule/1", "driftless-capsule/9", DFL_E_FORMAT, "format"},
        {"\"fid\"", "\"fie\"", DFL_E_FORMAT, "neither a number nor a note"},
        {"\"seed\": \"", "\"seed\": \"-", DFL_E_FORMAT, "seed"},
        {"\"samples\": 24", "\"samples\": 1", DFL_E_RANGE, "samples"},
        {"\"nfe\": 3", "\"nfe\": 0", DFL_E_RANGE, "nfe"},
        {"\"features_sha256\": \"", "\"features_sha256\": \"x", DFL_E_FORMAT, "digits"},
        {"\"driftless-plan/1\"", "\"driftless-plan/7\"", DFL_E_FORMAT, "plan"},
    };
    char path[2 * PATH], *bytes;
    size_t size;
    path_of_capsule(&usual, path);
    assert_ok(file_read(path, 1 << 20, &bytes, &size));
    for (size_t i = 0; i < LENGTH(cases); i++) {
        sweep s = {0};
        capsule c;
        char *at = strstr(bytes, cases[i].from);
        assert_non_null(at);
        text t = {0};
        text_add(&t, "%.*s%s%s", (int)(at - bytes), bytes, cases[i].to, at + strlen(cases[i].from));
        write_bytes(in_folder("bad.json"), t.data);
        refused(capsule_open(in_folder("bad.json"), &c, &s), cases[i].status, cases[i].says);
        text_free(&t);
        sweep_end(&s);
    }
    free(bytes);
}

/* ---- lists ----------------------------------------------------------------------------------- */

static void test_lists(void **state) {
    (void)state;
    sweep s = {0};
    assert_ok(sweep_add_ways(&s, " ddim  deis_sn:stats='a b@c'@list:t=[1, 0.5] ", "logsnr"));
    assert_ok(sweep_add_peer(&s, "them=prog --x 'a b' c"));
    assert_int_equal(s.nways, 3);
    assert_string_equal(s.way[0].label, "ddim@logsnr");
    assert_string_equal(s.way[1].solver, "deis_sn:stats='a b@c'");
    assert_string_equal(s.way[1].grid, "list:t=[1, 0.5]");
    assert_string_equal(s.way[2].argv[2], "a b");
    assert_null(s.way[2].argv[4]);
    refused(sweep_add_ways(&s, "ddim@logsnr", "uniform"), DFL_E_ARG, "twice");
    refused(sweep_add_ways(&s, "@logsnr", "uniform"), DFL_E_ARG, "is not SOLVER");
    refused(sweep_add_ways(&s, "ddim@", "uniform"), DFL_E_ARG, "is not SOLVER");
    refused(sweep_add_peer(&s, "noname"), DFL_E_ARG, "NAME=PROGRAM");
    refused(sweep_add_peer(&s, "a b=prog"), DFL_E_ARG, "NAME=PROGRAM");
    refused(sweep_add_peer(&s, "x= "), DFL_E_ARG, "names no program");
    s.way[2].wanted = false; /* of an earlier call */
    refused(sweep_add_peer(&s, "them=prog --y"), DFL_E_COMBINATION, "another command");
    sweep_free(&s);
    sweep empty = {0};
    refused(sweep_add_ways(&empty, "  ", "uniform"), DFL_E_ARG, "names no solver");
}

static void test_a_wrong_solver_is_refused(void **state) {
    (void)state;
    sweep s;
    sweep_begin(&usual, &s);
    assert_ok(sweep_add_budget(&s, 3, true));
    assert_ok(sweep_add_ways(&s, "ddim diem", "uniform"));
    refused(sweep_lay_out(&s), DFL_E_KEY, "diem");
    sweep_end(&s);
}

/* ---- the group ------------------------------------------------------------------------------ */

static int set_up(void **state) {
    if (folder_make(state)) return -1;
    write_real(in_folder("real.npy"), 1);
    write_real(in_folder("other.npy"), 2);
    return 0;
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *at) {
    (void)info, (void)kind, (void)at;
    return remove(path);
}

static int tear_down(void **state) {
    (void)state;
    return nftw(the_folder(), remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_folder),
        cmocka_unit_test(test_more),
        cmocka_unit_test(test_another_sweep_is_refused),
        cmocka_unit_test(test_comparisons),
        cmocka_unit_test(test_foreign_capsules),
        cmocka_unit_test(test_changed_features),
        cmocka_unit_test(test_capsule_again),
        cmocka_unit_test(test_bad_capsules),
        cmocka_unit_test(test_lists),
        cmocka_unit_test(test_a_wrong_solver_is_refused),
    };
    return cmocka_run_group_tests_name("sweep", tests, set_up, tear_down);
}
