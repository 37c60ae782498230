/* ONNX networks through OpenVINO: known answers, independence of how requests are cut, cards that
   do not fit their graph, damaged files. Where the runtime is missing every test is skipped,
   counted. */
#include "check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "model/model.h"
#include "model/pack.h"

/* ---- folders to open ------------------------------------------------------------------------- */

static char folder[64]; /* of this run of the tests, removed at the end */

static void path_in(char *out, size_t cap, const char *name) {
    snprintf(out, cap, "%s/%s", folder, name);
}

static void put(const char *name, const char *data, size_t size) {
    char path[128];
    path_in(path, sizeof path, name);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, size, f), size);
    assert_int_equal(fclose(f), 0);
}

/* A network of the tests as net.onnx, cut to `limit` bytes. */
static void put_network(const char *name, size_t limit) {
    char path[256], *data;
    size_t size;
    snprintf(path, sizeof path, "%s/networks/%s.onnx", DFL_TEST_DATA, name);
    if (file_read(path, 1 << 20, &data, &size)) REFUTE("%s", dfl_last_message());
    put("net.onnx", data, size < limit ? size : limit);
    free(data);
}

/* A card: a time map's members, the sample's shape, and further members. */
static void put_card(const char *time, const char *shape, const char *more) {
    text t = {0};
    text_add(&t,
             "{\"format\": \"driftless-model/1\", \"process\": {\"type\": \"vp_linear\"}, "
             "\"prediction_type\": \"epsilon\", \"t_min\": 0.001, \"t_max\": 1, \"time_map\": "
             "{\"type\": \"linear\", \"scale\": 1000%s}, \"sample\": {\"shape\": %s}%s}",
             time, shape, more);
    put("model.json", t.data, t.len);
    text_free(&t);
}

#define FILE_ONLY   ", \"network\": {\"file\": \"net.onnx\"}"
#define TEN_CLASSES ", \"classes\": {\"count\": 10, \"null\": 10}"

static int set_up(void **state) {
    (void)state;
    /* Else TBB binds a library in a way that the address sanitizer refuses. */
    setenv("TBB_ENABLE_SANITIZERS", "1", 0);
    snprintf(folder, sizeof folder, "/tmp/driftless-test-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int tear_down(void **state) {
    (void)state;
    static const char *const names[] = {"net.onnx", "model.json"};
    char path[128];
    for (size_t i = 0; i < LENGTH(names); i++) {
        path_in(path, sizeof path, names[i]);
        (void)unlink(path);
    }
    return rmdir(folder);
}

/* Opens the folder, or skips the test where there is no runtime. */
static dfl_model *open_or_skip(const char *options) {
    dfl_model *m;
    const dfl_status status = dfl_model_open(folder, options, &m);
    if (status == DFL_E_RUNTIME) {
        print_message("skipped: %s\n", dfl_last_message());
        skip();
    }
    if (status != DFL_OK) REFUTE("%s", dfl_last_message());
    return m;
}

enum { N = 13, DIM = 4 };

static int ask(dfl_model *m, size_t count, double tau, const float *x, const int64_t *labels,
               float *y) {
    const dfl_request rq = {.count = count,
                            .input_dim = DIM,
                            .output_dim = DIM,
                            .input = x,
                            .output = y,
                            .t = tau / 1000,
                            .tau = tau,
                            .components = 1,
                            .output_components = 1,
                            .first = 3,
                            .labels = labels};
    return m->eval(m, &rq);
}

/* ---- answers --------------------------------------------------------------------------------- */

static void test_known_answers(void **state) {
    (void)state;
    static const struct {
        const char *network, *time, *more;
        float x, time_weight, label_weight;
    } rows[] = {
        {"linear", "", FILE_ONLY TEN_CLASSES, 2, 1e-3F, 1},
        {"whole", ", \"dtype\": \"int64\"", FILE_ONLY, 1, 1, 0},
        {"half", ", \"dtype\": \"float16\"", FILE_ONLY, 1, 1, 0},
        {"image", "", FILE_ONLY, 1, 1, 0},
    };
    float x[N * DIM], y[N * DIM];
    int64_t labels[N];
    for (int i = 0; i < N * DIM; i++) x[i] = (float)i / 8 - 2;
    for (int i = 0; i < N; i++) labels[i] = i % 11;
    for (size_t r = 0; r < LENGTH(rows); r++) {
        put_network(rows[r].network, SIZE_MAX);
        put_card(rows[r].time, "[1, 2, 2]", rows[r].more);
        dfl_model *m = open_or_skip("microbatch=4,threads=1");
        if (ask(m, N, 500, x, labels, y)) REFUTE("%s", dfl_last_message());
        for (int i = 0; i < N * DIM; i++) {
            const float want = rows[r].x * x[i] + 500 * rows[r].time_weight +
                               (float)labels[i / DIM] * rows[r].label_weight;
            if (y[i] != want) REFUTE("%s: y[%d] = %g, not %g", rows[r].network, i, y[i], want);
        }
        dfl_model_free(m);
    }
}

static void test_scalar_time(void **state) {
    (void)state;
    float x[DIM] = {1, 2, 3, 4}, y[DIM];
    put_network("scalar", SIZE_MAX);
    put_card(", \"rank\": 0", "[1, 2, 2]", FILE_ONLY);
    dfl_model *m = open_or_skip(NULL);
    assert_int_equal(ask(m, 1, 0.5, x, NULL, y), 0);
    for (int i = 0; i < DIM; i++) assert_true(y[i] == x[i] / 2);
    dfl_model_free(m);
}

/* The state of a phase-space network is the sample's shape twice; its output both halves or one. */
static void test_phase_space(void **state) {
    (void)state;
    float x[2 * DIM] = {1, 2, 3, 4, 5, 6, 7, 8}, y[2 * DIM];
    for (int half = 0; half < 2; half++) {
        put_network(half ? "momentum" : "phase", SIZE_MAX);
        put_card("", "[1, 2, 2]",
                 half ? FILE_ONLY ", \"state_components\": 2, \"output_half\": \"m\""
                      : FILE_ONLY ", \"state_components\": 2");
        dfl_model *m = open_or_skip("microbatch=2");
        dfl_request rq = {.count = 1,
                          .input_dim = 2 * DIM,
                          .output_dim = half ? DIM : 2 * DIM,
                          .input = x,
                          .output = y,
                          .tau = 10,
                          .components = 2,
                          .output_components = half ? 1 : 2};
        if (m->eval(m, &rq)) REFUTE("%s", dfl_last_message());
        for (size_t i = 0; i < rq.output_dim; i++) assert_true(y[i] == x[half ? DIM + i : i] + 10);
        rq.output_dim = half ? 2 * DIM : DIM; /* what a plan for the other kind would ask */
        assert_int_equal(m->eval(m, &rq), DFL_E_COMBINATION);
        dfl_model_free(m);
    }
}

/* Adaptive integration: every sample at its own time, in any order. */
static void test_mixed_times(void **state) {
    (void)state;
    float x[N * DIM], y[N * DIM];
    request_point each[N];
    uint64_t samples[N];
    for (int i = 0; i < N * DIM; i++) x[i] = (float)i / 8 - 2;
    for (int i = 0; i < N; i++) {
        each[i] = (request_point){.t = 0.01 * i, .tau = 10 * i};
        samples[i] = (uint64_t)(5 * i % N);
    }
    put_network("image", SIZE_MAX);
    put_card("", "[1, 2, 2]", FILE_ONLY);
    dfl_model *m = open_or_skip("microbatch=4");
    assert_true(m->mixed_times);
    const dfl_request rq = {.count = N,
                            .input_dim = DIM,
                            .output_dim = DIM,
                            .input = x,
                            .output = y,
                            .components = 1,
                            .output_components = 1,
                            .each = each,
                            .samples = samples};
    if (m->eval(m, &rq)) REFUTE("%s", dfl_last_message());
    for (int i = 0; i < N * DIM; i++) assert_true(y[i] == x[i] + (float)each[i / DIM].tau);
    dfl_model_free(m);
    put_network("scalar", SIZE_MAX);
    put_card(", \"rank\": 0", "[1, 2, 2]", FILE_ONLY);
    m = open_or_skip(NULL);
    assert_false(m->mixed_times);
    dfl_model_free(m);
}

static void test_refused_requests(void **state) {
    (void)state;
    float x[DIM] = {0}, y[DIM];
    int64_t label = 11;
    put_network("whole", SIZE_MAX);
    put_card(", \"dtype\": \"int64\"", "[1, 2, 2]", FILE_ONLY);
    dfl_model *m = open_or_skip(NULL);
    assert_int_equal(ask(m, 1, 12.5, x, NULL, y), DFL_E_RANGE);
    assert_non_null(strstr(dfl_last_message(), "12.5"));
    assert_int_equal(ask(m, 1, 12 + 1e-10, x, NULL, y),
                     0); /* rounding of (i + 1)/N is not refused */
    assert_true(y[0] == 12);
    dfl_model_free(m);
    put_network("linear", SIZE_MAX);
    put_card("", "[1, 2, 2]", FILE_ONLY TEN_CLASSES);
    m = open_or_skip(NULL);
    assert_int_equal(ask(m, 1, 1, x, &label, y), DFL_E_RANGE);
    assert_non_null(strstr(dfl_last_message(), "class 11"));
    assert_int_equal(ask(m, 1, 0, x, NULL, y), 0); /* no label is the null class */
    assert_true(y[0] == 10);
    dfl_model_free(m);
}

/* ---- the same bits however a run is cut ------------------------------------------------------ */

enum { RUN = 37 };

/* Samples first .. RUN of a run, asked for in pieces of `piece`, in the run's places of y. */
static void ask_cut(dfl_model *m, size_t first, size_t piece, int dtype, const void *x, void *y) {
    const size_t dim = dfl_model_dim(m), size = dtype == DFL_FLOAT64 ? 8 : 4;
    int64_t labels[RUN];
    for (size_t i = 0; i < RUN; i++) labels[i] = (int64_t)i % 10;
    for (size_t i = first; i < RUN; i += piece) {
        const size_t offset = i * dim * size;
        const dfl_request rq = {.count = i + piece < RUN ? piece : RUN - i,
                                .input_dim = dim,
                                .output_dim = dim,
                                .dtype = dtype,
                                .input = (const char *)x + offset,
                                .output = (char *)y + offset,
                                .t = 0.5,
                                .tau = 500,
                                .components = 1,
                                .output_components = 1,
                                .first = i,
                                .labels = labels + i};
        if (m->eval(m, &rq)) REFUTE("%s", dfl_last_message());
    }
}

static void test_bits(void **state) {
    (void)state;
    static const size_t cuts[][2] = {{0, 1}, {0, 5}, {0, 16}, {11, 7}, {36, 1}};
    dfl_model *m;
    const dfl_status status = dfl_model_open(DFL_MODELS "/fashion-vp", NULL, &m);
    if (status == DFL_E_RUNTIME) skip();
    if (status) REFUTE("%s", dfl_last_message());
    const size_t dim = dfl_model_dim(m), n = RUN * dim;
    float *x = mem_array(n, 4), *whole = mem_array(n, 4), *part = mem_array(n, 4);
    double *wide = mem_array(n, 8), *wide_y = mem_array(n, 8);
    for (size_t i = 0; i < n; i++) x[i] = (float)((i * 2654435761U >> 7) % 2048) / 1024 - 1;
    for (size_t i = 0; i < n; i++) wide[i] = (double)x[i];
    ask_cut(m, 0, RUN, DFL_FLOAT32, x, whole);
    for (size_t c = 0; c < LENGTH(cuts); c++) {
        const size_t skipped = cuts[c][0] * dim;
        memset(part, 0, n * 4);
        ask_cut(m, cuts[c][0], cuts[c][1], DFL_FLOAT32, x, part);
        assert_memory_equal(part + skipped, whole + skipped, (n - skipped) * 4);
    }
    ask_cut(m, 0, RUN, DFL_FLOAT64, wide, wide_y);
    for (size_t i = 0; i < n; i++) assert_true(wide_y[i] == (double)whole[i]);
    free(x), free(whole), free(part), free(wide), free(wide_y);
    dfl_model_free(m);
}

/* ---- what does not fit, and what is damaged -------------------------------------------------- */

static void test_mismatches(void **state) {
    (void)state;
    static const struct {
        const char *network, *time, *shape, *more;
        dfl_status status;
        const char *word;
    } rows[] = {
        {"linear", "", "[1, 3, 2]", FILE_ONLY TEN_CLASSES, DFL_E_MODEL, "shape"},
        {"linear", "", "[4]", FILE_ONLY TEN_CLASSES, DFL_E_MODEL, "rank"},
        {"linear", "", "[1, 2, 2]", FILE_ONLY, DFL_E_MODEL, "3 inputs"},
        {"whole", "", "[1, 2, 2]", FILE_ONLY, DFL_E_MODEL, "int64"},
        {"scalar", "", "[1, 2, 2]", FILE_ONLY, DFL_E_MODEL, "rank"},
        {"half", ", \"dtype\": \"float64\"", "[1, 2, 2]", FILE_ONLY, DFL_E_MODEL, "float16"},
        {"image", "", "[1, 2, 2]", FILE_ONLY TEN_CLASSES, DFL_E_MODEL, "2 inputs"},
        {"image", "", "[1, 32768, 32768]", FILE_ONLY, DFL_E_RANGE, "microbatch"},
        {"image", "", "[2, 2, 2]", FILE_ONLY, DFL_E_MODEL, "dimension 1"},
        {"variance", "", "[1, 2, 2]", FILE_ONLY, DFL_E_MODEL, "variance"},
        {"image", "", "[1, 2, 2]", FILE_ONLY ", \"state_components\": 2", DFL_E_MODEL, "shape"},
        {"phase", "", "[1, 2, 2]", FILE_ONLY, DFL_E_MODEL, "shape"},
        {"momentum", "", "[1, 2, 2]", FILE_ONLY ", \"state_components\": 2", DFL_E_MODEL, "output"},
        {"phase", "", "[1, 2, 2]", FILE_ONLY ", \"state_components\": 2, \"output_half\": \"m\"",
         DFL_E_MODEL, "output"},
        {"fixed", "", "[1, 2, 2]", FILE_ONLY, DFL_E_MODEL, "net.onnx"},
        {"image", "", "[1, 2, 2]", ", \"network\": {\"file\": \"net.onnx\", \"output\": \"z\"}",
         DFL_E_MODEL, "'z'"},
        {"image", "", "[1, 2, 2]",
         ", \"network\": {\"file\": \"net.onnx\", \"inputs\": {\"time\": \"q\"}}", DFL_E_MODEL,
         "'q'"},
        {"image", "", "[1, 2, 2]",
         ", \"network\": {\"file\": \"net.onnx\", \"inputs\": {\"time\": \"x\"}}", DFL_E_MODEL,
         "both"},
        {"image", "", "[1, 2, 2]",
         ", \"network\": {\"file\": \"net.onnx\", \"inputs\": {\"class\": \"x\"}}",
         DFL_E_COMBINATION, "classes"},
        {"image", "", "[1, 2, 2]",
         ", \"network\": {\"file\": \"net.onnx\", \"sha256\": "
         "\"0000000000000000000000000000000000000000000000000000000000000000\"}",
         DFL_E_MODEL, "sha256"},
    };
    for (size_t i = 0; i < LENGTH(rows); i++) {
        dfl_model *m;
        put_network(rows[i].network, SIZE_MAX);
        put_card(rows[i].time, rows[i].shape, rows[i].more);
        const dfl_status status = dfl_model_open(folder, NULL, &m);
        if (status == DFL_E_RUNTIME) skip();
        if (status != rows[i].status || !strstr(dfl_last_message(), rows[i].word))
            REFUTE("row %zu, %s: %d, %s", i, rows[i].network, status, dfl_last_message());
        assert_null(m);
    }
}

/* These need no runtime. */
static void test_bad_folders(void **state) {
    (void)state;
    static const struct {
        const char *more;
        dfl_status status;
        const char *word;
    } rows[] = {
        {", \"network\": {\"file\": \"../net.onnx\"}", DFL_E_FORMAT, "file"},
        {", \"network\": {\"file\": \"/etc/passwd\"}", DFL_E_FORMAT, "file"},
        {", \"network\": {\"file\": \"a//b\"}", DFL_E_FORMAT, "file"},
        {", \"network\": {\"file\": \"missing.onnx\"}", DFL_E_IO, "missing.onnx"},
        {", \"network\": {\"file\": \"net.onnx\", \"sha256\": \"12\"}", DFL_E_FORMAT, "64"},
        {", \"network\": {}", DFL_E_KEY, "file"},
        {"", DFL_E_KEY, "network"},
    };
    dfl_model *m;
    put_network("image", SIZE_MAX);
    for (size_t i = 0; i < LENGTH(rows); i++) {
        put_card("", "[1, 2, 2]", rows[i].more);
        const dfl_status status = dfl_model_open(folder, NULL, &m);
        if (status != rows[i].status || !strstr(dfl_last_message(), rows[i].word))
            REFUTE("%s: %d, %s", rows[i].more, status, dfl_last_message());
        assert_null(m);
    }
    assert_int_equal(dfl_model_open("/nonexistent", NULL, &m), DFL_E_IO);
    assert_int_equal(dfl_model_open("", NULL, &m), DFL_E_ARG);
    assert_int_equal(dfl_model_open(folder, "threads=-1", &m), DFL_E_RANGE);
    assert_int_equal(dfl_model_open(folder, "thread=1", &m), DFL_E_KEY);
    assert_int_equal(dfl_model_open(folder, "precision=f8", &m), DFL_E_RANGE);
}

static void test_damaged_files(void **state) {
    (void)state;
    static const size_t cuts[] = {0, 1, 10, 100, 200};
    put_card("", "[1, 2, 2]", FILE_ONLY);
    for (size_t i = 0; i <= LENGTH(cuts); i++) {
        dfl_model *m;
        if (i < LENGTH(cuts))
            put_network("image", cuts[i]);
        else
            put("net.onnx", "This is no network, just a text.\n", 33);
        const dfl_status status = dfl_model_open(folder, NULL, &m);
        if (status == DFL_E_RUNTIME) skip();
        if (status != DFL_E_MODEL || !strstr(dfl_last_message(), "net.onnx"))
            REFUTE("%zu: %d, %s", i, status, dfl_last_message());
        assert_null(m);
    }
}

static void test_no_runtime(void **state) {
    (void)state;
    dfl_model *m;
    put_network("image", SIZE_MAX);
    put_card("", "[1, 2, 2]", FILE_ONLY);
    assert_int_equal(setenv("DRIFTLESS_OPENVINO", "/nonexistent/libopenvino_c.so", 1), 0);
    assert_int_equal(dfl_model_open(folder, NULL, &m), DFL_E_RUNTIME);
    assert_int_equal(unsetenv("DRIFTLESS_OPENVINO"), 0);
    assert_non_null(strstr(dfl_last_message(), "pip install openvino"));
}

static void test_cache(void **state) {
    (void)state;
    char path[128], options[160];
    struct stat info;
    dfl_model *m;
    put_network("image", SIZE_MAX);
    put_card("", "[1, 2, 2]", FILE_ONLY);
    dfl_model_free(open_or_skip(NULL));
    path_in(path, sizeof path, "cache");
    snprintf(options, sizeof options, "cache='%s'", path);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(chmod(path, 0777), 0);
    assert_int_equal(dfl_model_open(folder, options, &m), DFL_E_IO);
    assert_int_equal(rmdir(path), 0);
    path_in(path, sizeof path, "net.onnx");
    snprintf(options, sizeof options, "cache='%s'", path);
    assert_int_equal(dfl_model_open(folder, options, &m), DFL_E_IO);
    assert_int_equal(stat(path, &info), 0);
}

/* ---- packing --------------------------------------------------------------------------------- */

static void test_half(void **state) {
    (void)state;
    static const struct {
        double x;
        uint16_t bits;
    } rows[] = {{0, 0},          {1, 0x3c00},          {-2, 0xc000},
                {65504, 0x7bff}, {500, 0x5fd0},        {0.1, 0x2e66},
                {999.4, 0x63cf}, {6.1035e-05, 0x0400}, {5.96e-8, 1},
                {2e-8, 0},       {1.0 / 3, 0x3555},    {2049, 0x6800},
                {2051, 0x6802},  {6.097555e-05, 0x3ff}};
    for (size_t i = 0; i < LENGTH(rows); i++) {
        uint16_t bits;
        const dfl_request rq = {.tau = rows[i].x};
        assert_int_equal(pack_time(NET_FLOAT16, &rq, 1, &bits), DFL_OK);
        if (bits != rows[i].bits) REFUTE("%g: %04x", rows[i].x, (unsigned)bits);
    }
    uint16_t bits;
    assert_int_equal(pack_time(NET_FLOAT16, &(dfl_request){.tau = 65505}, 1, &bits), DFL_E_RANGE);
    int32_t whole;
    assert_int_equal(pack_time(NET_INT32, &(dfl_request){.tau = 3e9}, 1, &whole), DFL_E_RANGE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_answers),
        cmocka_unit_test(test_scalar_time),
        cmocka_unit_test(test_phase_space),
        cmocka_unit_test(test_mixed_times),
        cmocka_unit_test(test_refused_requests),
        cmocka_unit_test(test_bits),
        cmocka_unit_test(test_mismatches),
        cmocka_unit_test(test_bad_folders),
        cmocka_unit_test(test_damaged_files),
        cmocka_unit_test(test_no_runtime),
        cmocka_unit_test(test_cache),
        cmocka_unit_test(test_half),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
