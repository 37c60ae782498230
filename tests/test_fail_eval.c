/* Memory that runs out, as in test_fail.c: pictures, cards of features, statistics and their files. */
#include "support/refuse.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "eval/extractor.h"
#include "eval/features_card.h"
#include "eval/gather.h"
#include "io/io.h"

static char folder[64];

static const char *in(const char *name) {
    static char paths[4][128];
    static int next;
    char *const path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static dfl_status try_pictures(void) {
    static const char *const names[] = {"pics", "a.npy", "x-idx3-ubyte"};
    dfl_status status = DFL_OK;
    for (size_t i = 0; i < LENGTH(names) && status == DFL_OK; i++) {
        const picture_wish wish = {in(names[i]), 0, 0, {-1, 1}};
        picture_source *s = NULL;
        picture_set set;
        status = pictures_open(&wish, &s);
        for (size_t from = 0; status == DFL_OK && from < s->count; from += set.n)
            status = pictures_read(s, from, 2, &set);
        pictures_free(s);
    }
    return status;
}

static dfl_status try_card(void) {
    features_card c = {0};
    char hex[DIGEST_HEX];
    dfl_status status = features_card_read(DFL_MODELS "/mnist-lenet5", &c);
    if (status == DFL_OK) status = features_card_digest(&c, hex);
    features_card_free(&c);
    return status;
}

static dfl_status try_resizing(void) {
    resizer *r = NULL;
    const dfl_status status = resizer_new(&(resize_wish){RESIZE_BICUBIC, 8, 9, 3, 4, 5}, &r);
    resizer_free(r);
    return status;
}

/* Gathers the pixels of a file, kept, and in halves or to be gone on with. */
static dfl_status gather_pixels(bool halves) {
    const picture_wish wish = {in("a.npy"), 0, 0, {-1, 1}};
    picture_source *pictures = NULL;
    extractor *e = NULL;
    feature_source *from = NULL;
    statistics sums = {0};
    moments half[2] = {0};
    matrix *kept = NULL;
    const float *x;
    dfl_status status = pictures_open(&wish, &pictures);
    if (status == DFL_OK) status = extractor_open("pixels", 0, &e);
    if (status == DFL_OK) status = features_of_pictures(pictures, e, &from);
    if (status == DFL_OK) status = features_statistics(from, &sums);
    for (int h = 0; h < 2 && status == DFL_OK; h++) status = moments_new(12, &half[h]);
    if (status == DFL_OK) status = matrix_open(NULL, 6, 12, &kept);
    const gathering g = {.from = from, .sums = &sums, .kept = kept, .half = halves ? half : NULL};
    if (status == DFL_OK) status = gather_shards(&g);
    if (status == DFL_OK && !halves) status = gather_check(&g, "file");
    if (status == DFL_OK) status = matrix_map(kept, &x);
    matrix_free(kept);
    for (int h = 0; h < 2; h++) moments_free(&half[h]);
    statistics_free(&sums);
    features_free(from);
    extractor_free(e);
    pictures_free(pictures);
    return status;
}

static dfl_status try_halves(void) {
    return gather_pixels(true);
}

static dfl_status try_going_on(void) {
    return gather_pixels(false);
}

static float number[600 * 3];

/* Shards first .. first + n of made-up features with classes. */
static dfl_status make(uint64_t first, size_t n, statistics *s) {
    char digest[DIGEST_HEX];
    digest_bytes("x", 1, digest);
    dfl_status status = statistics_new(3, 3, "made-up", digest, s);
    if (status == DFL_OK) status = statistics_add(s, first, n, number, number);
    if (status == DFL_OK) status = statistics_origin(s, digest, "nowhere", first, n);
    return status;
}

static dfl_status try_statistics(void) {
    statistics a = {0}, b = {0};
    moments total = {0};
    double score;
    dfl_status status = make(0, 512, &a);
    if (status == DFL_OK) status = make(512, 512, &b);
    if (status == DFL_OK) status = statistics_merge(&a, &b, "b");
    if (status == DFL_OK) status = statistics_total(&a, &total, &score);
    moments_free(&total);
    statistics_free(&a);
    statistics_free(&b);
    return status;
}

static dfl_status try_statistics_file(void) {
    statistics a = {0};
    gaussian g = {0};
    npz_kind kind;
    dfl_status status = statistics_read(in("s.npz"), &a);
    if (status == DFL_OK) status = statistics_gaussian(in("s.npz"), &g);
    if (status == DFL_OK) status = statistics_kind(in("s.npz"), &kind);
    gaussian_free(&g);
    statistics_free(&a);
    return status;
}

static void test_memory(void **state) {
    (void)state;
    static const refuse_case cases[] = {{"pictures", try_pictures, 20},
                                        {"card", try_card, 20},
                                        {"resizing", try_resizing, 8},
                                        {"halves", try_halves, 20},
                                        {"going on", try_going_on, 20},
                                        {"statistics", try_statistics, 20},
                                        {"statistics file", try_statistics_file, 20}};
    for (size_t i = 0; i < LENGTH(cases); i++) assert_ok(cases[i].attempt());
    refuse_each(cases, LENGTH(cases));
}

/* ---- what is read ---------------------------------------------------------------------------- */

static void put_npy(void) {
    static const size_t shape[] = {6, 2, 2, 3};
    uint8_t bytes[6 * 12];
    npy_writer *w;
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)(i * 31);
    assert_ok(npy_create(in("a.npy"), ARRAY_U8, 4, shape, &w));
    assert_ok(npy_append(w, bytes, 6));
    assert_ok(npy_commit(w));
    assert_ok(png_write(in("pics/a.png"), 2, 2, 3, bytes, NULL, NULL, 0));
    assert_ok(png_write(in("pics/b.png"), 2, 3, 1, bytes, NULL, NULL, 0));
    assert_ok(png_write(in("pics/c.png"), 2, 3, 1, bytes, NULL, NULL, 0));
}

static int prepare(void **state) {
    (void)state;
    static const char idx[] = "\0\0\10\3\0\0\0\1\0\0\0\1\0\0\0\2ab";
    statistics s;
    refuse_begin();
    snprintf(folder, sizeof folder, "/tmp/driftless-test-XXXXXX");
    if (!mkdtemp(folder) || mkdir(in("pics"), 0700) != 0) return -1;
    for (size_t i = 0; i < LENGTH(number); i++) number[i] = (float)sin((double)(i * i));
    put_npy();
    assert_ok(file_save(in("x-idx3-ubyte"), idx, sizeof idx - 1));
    assert_ok(make(0, 100, &s));
    assert_ok(statistics_write(&s, in("s.npz")));
    statistics_free(&s);
    return 0;
}

static int clean_up(void **state) {
    (void)state;
    static const char *const names[] = {"pics/a.png", "pics/b.png",   "pics/c.png",
                                        "a.npy",      "x-idx3-ubyte", "s.npz"};
    for (size_t i = 0; i < LENGTH(names); i++) unlink(in(names[i]));
    rmdir(in("pics"));
    return rmdir(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_memory)};
    return cmocka_run_group_tests_name("fail_eval", tests, prepare, clean_up);
}
