/* Features of pictures: what the network is fed, to the bit; independence of how pictures are cut into
   sets; resizing as Pillow does it; cards and networks that do not fit. Where the runtime is missing
   the tests that need it are skipped, counted. */
#include "check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "eval/extractor.h"
#include "eval/features_card.h"

static char folder[64];

static const char *in_folder(const char *name) {
    static char path[160];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static char digest[DIGEST_HEX];

/* tests/data/networks/features.onnx: 48 features, the numbers it is fed; 3 logits, their means. */
static int set_up(void **state) {
    (void)state;
    char *data;
    size_t size;
    setenv("TBB_ENABLE_SANITIZERS", "1", 0); /* see test_network.c */
    snprintf(folder, sizeof folder, "/tmp/driftless-test-XXXXXX");
    if (!mkdtemp(folder)) return -1;
    assert_ok(file_read(DFL_TEST_DATA "/networks/features.onnx", 1 << 20, &data, &size));
    assert_ok(file_save(in_folder("net.onnx"), data, size));
    digest_bytes(data, size, digest);
    free(data);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    unlink(in_folder("net.onnx"));
    unlink(in_folder("features.json"));
    return rmdir(folder);
}

typedef struct {
    const char *resize, *shape, *range, *count, *outputs, *classes;
} card_parts;

static const card_parts usual = {"none",
                                 "[3, 4, 4]",
                                 "[-1, 1]",
                                 "48",
                                 "{\"features\": \"features\", \"logits\": \"logits\"}",
                                 "{\"count\": 3}"};

static void put_card(const card_parts *p, const char *sha256) {
    text t = {0};
    text_add(&t,
             "{\"format\": \"driftless-features/1\", \"name\": \"test\", \"network\": {\"file\": "
             "\"net.onnx\", \"sha256\": \"%s\", \"inputs\": {\"images\": \"images\"}, \"outputs\": "
             "%s}, \"image\": {\"shape\": %s, \"range\": %s}, \"resize\": {\"type\": \"%s\"}, "
             "\"features\": {\"count\": %s}, \"classes\": %s}",
             sha256, p->outputs, p->shape, p->range, p->resize, p->count, p->classes);
    assert_ok(file_save(in_folder("features.json"), t.data, t.len));
    text_free(&t);
}

static extractor *open_or_skip(const card_parts *p) {
    extractor *e;
    put_card(p, digest);
    const dfl_status status = extractor_open(folder, 1, &e);
    if (status == DFL_E_RUNTIME) {
        print_message("skipped: %s\n", dfl_last_message());
        skip();
    }
    assert_ok(status);
    return e;
}

enum { N = 37, RGB = 48, GREY = 16 };

static void fill(uint8_t *pixels, size_t n) {
    for (size_t i = 0; i < n; i++) pixels[i] = (uint8_t)(i * 71 + i / 13 * 29);
}

/* ---- what the network is fed ----------------------------------------------------------------- */

/* Channels last become channels first, bytes 0..255 become the range. */
static void test_rgb(void **state) {
    (void)state;
    uint8_t pixels[N * RGB];
    float x[N * RGB], y[N * 3];
    card_parts p = usual;
    p.range = "[-2, 3.1]";
    extractor *const e = open_or_skip(&p);
    fill(pixels, sizeof pixels);
    assert_int_equal(extractor_width(e), RGB);
    assert_int_equal(extractor_classes(e), 3);
    assert_string_equal(extractor_name(e), "test");
    assert_ok(extractor_run(e, &(picture_set){5, N, 4, 4, 3, pixels}, x, y));
    for (size_t i = 0; i < N; i++)
        for (size_t c = 0; c < 3; c++) {
            double mean = 0;
            for (size_t k = 0; k < GREY; k++) {
                const float wanted = (float)(-2 + 5.1 * pixels[(i * GREY + k) * 3 + c] / 255.0);
                assert_true(fabsf(x[i * RGB + c * GREY + k] - wanted) <= 3e-7f);
                mean += (double)wanted / GREY;
            }
            assert_true(fabs((double)y[i * 3 + c] - mean) < 1e-6);
        }
    extractor_free(e);
}

static void test_grey_becomes_rgb(void **state) {
    (void)state;
    uint8_t pixels[2 * GREY];
    float x[2 * RGB];
    extractor *const e = open_or_skip(&usual);
    fill(pixels, sizeof pixels);
    assert_ok(extractor_run(e, &(picture_set){0, 2, 4, 4, 1, pixels}, x, NULL));
    for (size_t i = 0; i < 2 * RGB; i++)
        assert_true(fabs((double)x[i] - (pixels[i / RGB * GREY + i % GREY] / 127.5 - 1)) < 3e-7);
    extractor_free(e);
}

static void test_pixels(void **state) {
    (void)state;
    uint8_t pixels[2 * RGB];
    float x[2 * RGB];
    extractor *e;
    fill(pixels, sizeof pixels);
    assert_ok(extractor_open("pixels", 0, &e));
    assert_int_equal(extractor_width(e), 0);
    assert_ok(extractor_run(e, &(picture_set){0, 2, 4, 4, 3, pixels}, x, NULL));
    assert_int_equal(extractor_width(e), RGB);
    assert_int_equal(extractor_classes(e), 0);
    for (size_t i = 0; i < 2 * RGB; i++) {
        const size_t c = i % RGB / GREY, k = i % GREY;
        assert_true(fabs((double)x[i] - (pixels[i / RGB * RGB + k * 3 + c] / 127.5 - 1)) < 1e-7);
    }
    refused(extractor_fit(e, 4, 5, 3), DFL_E_COMBINATION, "must be of one size");
    extractor_free(e);
    assert_ok(extractor_open("pixels", 0, &e));
    refused(extractor_fit(e, 200, 200, 1), DFL_E_COMBINATION, "at most 16384");
    extractor_free(e);
}

/* ---- independence ---------------------------------------------------------------------------- */

/* The shipped classifier, whose sums depend on the order of additions if anything does. */
static void test_cuts_do_not_show(void **state) {
    (void)state;
    enum { SIZE = 28 * 28, WIDTH = 128, CLASSES = 10 };
    static uint8_t pixels[N * SIZE];
    static float whole[N * WIDTH], part[N * WIDTH], logits[N * CLASSES], other[N * CLASSES];
    extractor *e;
    const dfl_status status = extractor_open(DFL_MODELS "/fashion-classifier", 1, &e);
    if (status == DFL_E_RUNTIME) skip();
    assert_ok(status);
    fill(pixels, sizeof pixels);
    assert_ok(extractor_run(e, &(picture_set){500, N, 28, 28, 1, pixels}, whole, logits));
    for (size_t step = 1; step <= 20; step += 6) {
        for (size_t from = 0, n; from < N; from += n) {
            n = N - from < step ? N - from : step;
            assert_ok(extractor_run(e,
                                    &(picture_set){500 + from, n, 28, 28, 1, pixels + from * SIZE},
                                    part + from * WIDTH, other + from * CLASSES));
        }
        assert_memory_equal(part, whole, sizeof whole);
        assert_memory_equal(other, logits, sizeof logits);
    }
    extractor_free(e);
}

/* ---- resizing -------------------------------------------------------------------------------- */

/* Pillow 13.0.0: Image.fromarray(a, mode="F").resize((2, 3) or (8, 9), rule), a 7 x 5, a[i] as
   below. */
static const struct {
    resize_rule rule;
    size_t height, width, n;
    float value[9 * 8];
} pillow[] = {
    {RESIZE_BILINEAR,
     3,
     2,
     6,
     {127.7922134399414f, 107.24675750732422f, 121.65775299072266f, 139.14437866210938f,
      134.96104431152344f, 83.0389633178711f}},
    {RESIZE_BICUBIC,
     3,
     2,
     6,
     {127.24500274658203f, 106.46246337890625f, 122.65348052978516f, 141.85093688964844f,
      137.1915740966797f, 76.97228240966797f}},
    {RESIZE_BILINEAR,
     9,
     8,
     16,
     {0.0f, 21.0f, 51.0f, 81.0f, 111.0f, 141.0f, 146.25f, 148.0f, 130.6666717529297f,
      151.6666717529297f, 171.0f, 94.33333587646484f, 61.83333206176758f, 73.5f, 93.41666412353516f,
      108.0f}},
    {RESIZE_BICUBIC,
     9,
     8,
     16,
     {-12.73198127746582f, 6.645150661468506f, 42.164825439453125f, 80.3875961303711f,
      116.84915924072266f, 147.13418579101562f, 152.6049346923828f, 150.9781951904297f,
      133.83184814453125f, 163.32772827148438f, 181.38388061523438f, 83.27579498291016f,
      36.3587646484375f, 57.18552780151367f, 91.740966796875f, 115.32340240478516f}},
};

static void test_resizing(void **state) {
    (void)state;
    uint8_t pixels[7 * 5 * 3];
    float out[3 * 9 * 8];
    for (size_t i = 0; i < 35; i++) /* as red; green is its complement, blue grey */
        for (size_t c = 0; c < 3; c++) {
            const uint8_t a = (uint8_t)(i * 37 + 11 * (i % 4));
            pixels[3 * i + c] = c == 0 ? a : c == 1 ? (uint8_t)(255 - a) : 100;
        }
    for (size_t k = 0; k < LENGTH(pillow); k++) {
        const size_t area = pillow[k].height * pillow[k].width;
        resizer *r;
        assert_ok(resizer_new(
            &(resize_wish){pillow[k].rule, 7, 5, 3, pillow[k].height, pillow[k].width}, &r));
        assert_true(resizer_fits(r, 7, 5, 3) && !resizer_fits(r, 7, 5, 1));
        resizer_run(r, pixels, out);
        for (size_t i = 0; i < pillow[k].n; i++) {
            assert_true(fabsf(out[i] - pillow[k].value[i]) <= 2e-5f);
            assert_true(fabsf(out[area + i] - (255 - pillow[k].value[i])) <= 1e-4f);
            assert_true(fabsf(out[2 * area + i] - 100) <= 2e-5f);
        }
        resizer_free(r);
    }
}

/* Through the extractor: the range comes after resizing, and sizes may change from set to set. */
static void test_resized_features(void **state) {
    (void)state;
    uint8_t pixels[8 * 8];
    float x[RGB];
    card_parts p = usual;
    p.resize = "bilinear";
    p.range = "[0, 510]";
    extractor *const e = open_or_skip(&p);
    for (size_t side = 8; side >= 2; side /= 2) {
        memset(pixels, (int)(10 * side), sizeof pixels);
        assert_ok(extractor_run(e, &(picture_set){side, 1, side, side, 1, pixels}, x, NULL));
        for (size_t i = 0; i < RGB; i++)
            assert_true(fabs((double)x[i] - 20.0 * (double)side) < 1e-4);
    }
    extractor_free(e);
}

/* ---- refusals -------------------------------------------------------------------------------- */

static void test_cards_that_do_not_fit(void **state) {
    (void)state;
    extractor_free(open_or_skip(&usual)); /* with the runtime only */
    static const char whole[] = "{\"features\": \"features\", \"logits\": \"logits\"}";
    static const struct {
        card_parts p;
        dfl_status status;
        const char *part;
    } cases[] = {
        {{"none", "[3, 4, 5]", "[-1, 1]", "48", whole, "{\"count\": 3}"},
         DFL_E_MODEL,
         "is not float32 [batch][3][4][5]"},
        {{"none", "[1, 4, 4]", "[-1, 1]", "48", whole, "{\"count\": 3}"},
         DFL_E_MODEL,
         "is not float32 [batch][1][4][4]"},
        {{"none", "[3, 4, 4]", "[-1, 1]", "47", whole, "{\"count\": 3}"},
         DFL_E_MODEL,
         "not float32 with 47 numbers"},
        {{"none", "[3, 4, 4]", "[-1, 1]", "48", whole, "{\"count\": 4}"},
         DFL_E_MODEL,
         "not float32 with 4 numbers"},
        {{"none", "[3, 4, 4]", "[-1, 1]", "48", "{\"features\": \"other\"}", "null"},
         DFL_E_MODEL,
         "no output 'other'"},
        {{"none", "[3, 4, 4]", "[1, 1]", "48", whole, "{\"count\": 3}"}, DFL_E_RANGE, "\"range\""},
        {{"none", "[2, 4, 4]", "[0, 1]", "48", whole, "{\"count\": 3}"}, DFL_E_RANGE, "\"shape\""},
        {{"none", "[3, 4]", "[0, 1]", "48", whole, "{\"count\": 3}"}, DFL_E_RANGE, "\"shape\""},
        {{"lanczos", "[3, 4, 4]", "[0, 1]", "48", whole, "{\"count\": 3}"}, DFL_E_RANGE, "lanczos"},
        {{"none", "[3, 4, 4]", "[0, 1]", "0", whole, "{\"count\": 3}"}, DFL_E_RANGE, "\"count\""},
        {{"none", "[3, 4, 4]", "[0, 1]", "48", "{\"logits\": \"logits\"}", "null"},
         DFL_E_KEY,
         "\"features\""},
        {{"none", "[3, 4, 4]", "[0, 1]", "48", whole, "[]"}, DFL_E_FORMAT, "\"classes\""},
    };
    for (size_t i = 0; i < LENGTH(cases); i++) {
        extractor *e;
        put_card(&cases[i].p, digest);
        refused(extractor_open(folder, 1, &e), cases[i].status, cases[i].part);
        assert_null(e);
    }
}

static void test_files_that_do_not_fit(void **state) {
    (void)state;
    extractor *e;
    char wrong[DIGEST_HEX];
    memcpy(wrong, digest, sizeof wrong);
    wrong[0] = wrong[0] == '0' ? '1' : '0';
    put_card(&usual, wrong);
    refused(extractor_open(folder, 1, &e), DFL_E_MODEL, "changed or damaged");
    put_card(&usual, "abc");
    refused(extractor_open(folder, 1, &e), DFL_E_FORMAT, "\"sha256\"");
    assert_ok(file_save(in_folder("features.json"), "{}", 2));
    refused(extractor_open(folder, 1, &e), DFL_E_KEY, "\"format\"");
    refused(extractor_open("/nonexistent", 1, &e), DFL_E_IO, "/nonexistent");
    unlink(in_folder("features.json"));
    assert_int_equal(symlink("/etc/passwd", in_folder("features.json")), 0);
    refused(extractor_open(folder, 1, &e), DFL_E_FORMAT, "leads out of its folder");
    unlink(in_folder("features.json"));
    assert_null(e);
}

static void test_pictures_that_do_not_fit(void **state) {
    (void)state;
    extractor *e = open_or_skip(&usual);
    refused(extractor_fit(e, 5, 4, 3), DFL_E_COMBINATION, "takes 4 x 4");
    assert_ok(extractor_fit(e, 4, 4, 1));
    extractor_free(e);
    assert_ok(extractor_open(DFL_MODELS "/fashion-classifier", 1, &e));
    refused(extractor_fit(e, 28, 28, 3), DFL_E_COMBINATION, "save them as grey");
    extractor_free(e);
}

/* Two cards that give other features have other digests; words for people change nothing. */
static void test_digests(void **state) {
    (void)state;
    features_card c;
    char base[DIGEST_HEX], hex[DIGEST_HEX];
    put_card(&usual, digest);
    assert_ok(features_card_read(folder, &c));
    assert_ok(features_card_digest(&c, base));
    c.classes = 5;
    assert_ok(features_card_digest(&c, hex));
    assert_string_equal(hex, base);
    for (int i = 0; i < 5; i++) {
        features_card other = c;
        if (i == 0) other.rule = RESIZE_BICUBIC;
        if (i == 1) other.range[1] = 127.0 / 128;
        if (i == 2) other.width = 47;
        if (i == 3) other.shape[2] = 5;
        if (i == 4) other.features = c.logits;
        assert_ok(features_card_digest(&other, hex));
        assert_string_not_equal(hex, base);
    }
    features_card_free(&c);
}

/* Samples as numbers give what their pictures give, where they are whole bytes; beyond the range they
   are at its end, and grey ones are seen in all channels; cut anywhere, each keeps its features. */
static void test_reals(void **state) {
    (void)state;
    enum { COUNT = 40, SIZE = 16 };
    uint8_t pixels[COUNT * SIZE];
    double x[COUNT * SIZE];
    float as_bytes[COUNT * 48], as_reals[COUNT * 48];
    extractor *e = open_or_skip(&usual);
    for (size_t i = 0; i < sizeof pixels; i++) {
        pixels[i] = (uint8_t)(i * 37 % 256);
        x[i] = 5 * (pixels[i] / 255.0); /* of the range 0 to 5 */
        if (pixels[i] == 255) x[i] = 7;
        if (pixels[i] == 0) x[i] = -1;
    }
    const picture_set bytes = {3, COUNT, 4, 4, 1, pixels};
    real_set reals = {3, COUNT, 4, 4, 1, {0, 5}, x};
    assert_ok(extractor_run(e, &bytes, as_bytes, NULL));
    assert_ok(extractor_run_reals(e, &reals, as_reals));
    for (size_t i = 0; i < LENGTH(as_reals); i++)
        assert_true(fabsf(as_reals[i] - as_bytes[i]) < 1e-6F);
    for (size_t i = 0; i < COUNT; i += 7) {
        float part[7 * 48];
        reals = (real_set){3 + i, COUNT - i < 7 ? COUNT - i : 7, 4, 4, 1, {0, 5}, x + i * SIZE};
        assert_ok(extractor_run_reals(e, &reals, part));
        assert_memory_equal(part, as_reals + i * 48, reals.n * 48 * sizeof *part);
    }
    reals = (real_set){0, 1, 3, 4, 1, {0, 5}, x};
    refused(extractor_run_reals(e, &reals, as_reals), DFL_E_COMBINATION, "3 pixels");
    extractor_free(e);
    assert_ok(extractor_open("pixels", 1, &e));
    reals = (real_set){0, 2, 4, 4, 1, {0, 5}, x};
    assert_ok(extractor_run_reals(e, &reals, as_reals));
    for (size_t i = 0; i < 2 * SIZE; i++)
        assert_true(fabs((double)as_reals[i] - (2 * (pixels[i] / 255.0) - 1)) < 1e-6);
    extractor_free(e);
}

/* Resizing is for finished pictures. */
static void test_reals_are_not_resized(void **state) {
    (void)state;
    const double x[25] = {0};
    float features[48];
    card_parts p = usual;
    p.resize = "bilinear";
    extractor *e = open_or_skip(&p);
    const real_set reals = {0, 1, 5, 5, 1, {-1, 1}, x};
    refused(extractor_run_reals(e, &reals, features), DFL_E_COMBINATION, "have to be resized");
    extractor_free(e);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rgb),
        cmocka_unit_test(test_grey_becomes_rgb),
        cmocka_unit_test(test_pixels),
        cmocka_unit_test(test_cuts_do_not_show),
        cmocka_unit_test(test_resizing),
        cmocka_unit_test(test_resized_features),
        cmocka_unit_test(test_cards_that_do_not_fit),
        cmocka_unit_test(test_files_that_do_not_fit),
        cmocka_unit_test(test_pictures_that_do_not_fit),
        cmocka_unit_test(test_digests),
        cmocka_unit_test(test_reals),
        cmocka_unit_test(test_reals_are_not_resized),
    };
    return cmocka_run_group_tests_name("extractor", tests, set_up, tear_down);
}
