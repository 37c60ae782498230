/* Arrays and pictures: what is written reads back, what is broken is refused with a sentence. */
#include "support/folder.h"

#include <dirent.h>
#include <math.h>
#include <png.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zip.h>

#include "io/io.h"

enum { LIMIT = 1 << 20 };

static void put(const char *path, const char *bytes, size_t size) {
    file_writer w;
    assert_int_equal(file_create(path, &w), DFL_OK);
    assert_int_equal(file_write(&w, bytes, size), DFL_OK);
    assert_int_equal(file_commit(&w), DFL_OK);
}

/* ---- npy ------------------------------------------------------------------------------------- */

/* The bytes NumPy writes for np.arange(3, dtype='u1'). */
static const char from_numpy[] = "\x93NUMPY\x01\x00v\x00"
                                 "{'descr': '|u1', 'fortran_order': False, 'shape': (3,), }"
                                 "                              "
                                 "                              "
                                 "\n\x00\x01\x02";

static void test_npy_header(void **state) {
    (void)state;
    text t = {0};
    const size_t shape[8] = {3, 1, 1, 1, 1, 1, 1, 1};
    assert_int_equal(npy_header(ARRAY_U8, 1, shape, &t), DFL_OK);
    assert_int_equal(t.len, 128);
    assert_memory_equal(t.data, from_numpy, 128);
    text_free(&t);
    assert_int_equal(npy_header(ARRAY_U8, 9, shape, &t), DFL_E_RANGE);
    assert_int_equal(npy_header(ARRAY_U8, -1, shape, &t), DFL_E_RANGE);
}

static void test_npy_round_trip(void **state) {
    (void)state;
    static const struct {
        array_type type;
        int rank;
        size_t shape[ARRAY_RANK_MAX];
    } cases[] = {{ARRAY_F32, 4, {4, 3, 5, 2}}, {ARRAY_F64, 1, {7}},
                 {ARRAY_U8, 0, {0}},           {ARRAY_I64, 8, {2, 1, 2, 1, 2, 1, 2, 1}},
                 {ARRAY_F64, 2, {0, 3}},       {ARRAY_U8, 2, {6, 0}}};
    char data[1024];
    for (size_t i = 0; i < sizeof data; i++) data[i] = (char)(i * 7);
    for (size_t i = 0; i < LENGTH(cases); i++) {
        const size_t rows = cases[i].rank ? cases[i].shape[0] : 1;
        npy_writer *w = NULL;
        array a;
        assert_int_equal(
            npy_create(in_folder("a.npy"), cases[i].type, cases[i].rank, cases[i].shape, &w),
            DFL_OK);
        size_t row = array_type_size(cases[i].type);
        for (int k = 1; k < cases[i].rank; k++) row *= cases[i].shape[k];
        for (size_t k = 0; k < rows; k++) {
            assert_int_equal(npy_append(w, data + k * row, 1), DFL_OK);
        }
        assert_int_equal(npy_commit(w), DFL_OK);
        assert_int_equal(npy_read(in_folder("a.npy"), LIMIT, &a), DFL_OK);
        assert_int_equal(a.type, cases[i].type);
        assert_int_equal(a.rank, cases[i].rank);
        for (int k = 0; k < a.rank; k++) assert_int_equal(a.shape[k], cases[i].shape[k]);
        assert_int_equal(array_count(&a) * array_type_size(a.type), rows * row);
        if (rows * row > 0) assert_memory_equal(a.data, data, rows * row);
        array_free(&a);
        array_free(&a);
    }
}

static void test_npy_writer(void **state) {
    (void)state;
    const float rows[6] = {0};
    const size_t shape[2] = {3, 2}, huge[3] = {(size_t)1 << 31, (size_t)1 << 31, 16};
    const int before = folder_entries();
    npy_writer *w = NULL;
    assert_int_equal(npy_create(in_folder("w.npy"), ARRAY_F32, 2, shape, &w), DFL_OK);
    assert_int_equal(npy_append(w, rows, 4), DFL_E_RANGE);
    assert_int_equal(npy_append(w, rows, 2), DFL_OK);
    assert_int_equal(npy_commit(w), DFL_E_IO);
    assert_message_has("2 of 3 rows");
    assert_int_equal(npy_create(in_folder("w.npy"), ARRAY_F32, 2, shape, &w), DFL_OK);
    npy_discard(w);
    npy_discard(NULL);
    assert_int_equal(npy_create(in_folder("no/w.npy"), ARRAY_F32, 2, shape, &w), DFL_E_IO);
    assert_null(w);
    assert_int_equal(npy_create("/proc/w.npy", ARRAY_F32, 2, shape, &w), DFL_E_IO);
    assert_int_equal(npy_create(in_folder("w.npy"), ARRAY_F32, 9, shape, &w), DFL_E_RANGE);
    assert_int_equal(npy_create(in_folder("w.npy"), ARRAY_F32, 3, huge, &w), DFL_E_MEMORY);
    assert_int_equal(folder_entries(), before);
    assert_int_equal(npy_create("/dev/full", ARRAY_F32, 2, shape, &w), DFL_E_IO);
    assert_message_has("No space left");
}

/* An .npy with a header of one's own before `data` bytes of zeros; version 1 or more. */
static size_t forge(int version, const char *header, size_t data, char *bytes) {
    const size_t length = strlen(header), start = version == 1 ? 10 : 12;
    memset(bytes, 0, start + length + data);
    memcpy(bytes, "\x93NUMPY", 6);
    bytes[6] = (char)version;
    bytes[8] = (char)(length & 255U);
    bytes[9] = (char)(length >> 8U);
    memcpy(bytes + start, header, length);
    return start + length + data;
}

#define F4 "{'descr': '<f4', 'fortran_order': False, 'shape': "

static void test_npy_accepts(void **state) {
    (void)state;
    static const struct {
        int version;
        const char *header;
        size_t data;
    } cases[] = {
        {1, F4 "(2, 3), }\n", 24},
        {2, F4 "(2,3)}", 24},
        {3, F4 "(6,)  ,  }   \n", 24},
        {1, F4 "(), }", 4},
        {1, "{\"shape\": (2,), \"fortran_order\": False, \"descr\": \"|u1\"}", 2},
        {1, "{'descr': '<u1', 'fortran_order': False, 'shape': (2, 0, 3)}", 0},
    };
    char bytes[512];
    for (size_t i = 0; i < LENGTH(cases); i++) {
        const size_t size = forge(cases[i].version, cases[i].header, cases[i].data, bytes);
        array a;
        assert_int_equal(npy_parse("x", bytes, size, LIMIT, &a), DFL_OK);
        assert_int_equal(array_count(&a) * array_type_size(a.type), cases[i].data);
        array_free(&a);
    }
    array a;
    assert_int_equal(npy_parse("x", from_numpy, 131, 3, &a), DFL_OK);
    assert_memory_equal(a.data, "\0\1\2", 3);
    array_free(&a);
    assert_int_equal(npy_parse("x", from_numpy, 131, 2, &a), DFL_E_FORMAT);
    assert_message_has("at most 2");
    put(in_folder("numpy.npy"), from_numpy, 131);
    assert_int_equal(npy_read(in_folder("numpy.npy"), 2, &a), DFL_E_FORMAT);
    assert_int_equal(npy_read(in_folder("missing.npy"), 2, &a), DFL_E_IO);
}

static void test_npy_refuses(void **state) {
    (void)state;
    static const struct {
        const char *header;
        size_t data;
        const char *message;
    } cases[] = {
        {F4 "(2, 3), }", 23, "cut off?"},
        {F4 "(2, 3), }", 25, "surplus"},
        {F4 "(1152921504606846976,), }", 8, "promises 4611686018427387904 bytes"},
        {F4 "(4611686018427387904,), }", 8, "too large to address"},
        {F4 "(99999999999999999999,), }", 8, "a dimension is too large"},
        {F4 "(4294967296, 4294967296, 0), }", 0, "too large to address"},
        {F4 "(-1,), }", 4, "negative"},
        {F4 "(1.5,), }", 4, "comma"},
        {F4 "(1)}", 4, "must be a tuple"},
        {F4 "1}", 4, "must be a tuple"},
        {F4 "(,)}", 4, "whole numbers"},
        {F4 "(1,1,1,1,1,1,1,1,1)}", 4, "more than 8 dimensions"},
        {F4 "(1,), 'shape': (1,)}", 4, "twice"},
        {F4 "(1,), 'x': 1}", 4, "none of descr"},
        {F4 "(1,) 'x': 1}", 4, "',' or the closing"},
        {F4 "(1,)} x", 4, "something follows"},
        {F4 "(1,)", 4, "',' or the closing"},
        {F4 "(1,", 4, "whole numbers"},
        {"", 4, "begin with '{'"},
        {"{}", 0, "must all be there"},
        {"{'descr': '<f4', 'shape': (1,)}", 4, "must all be there"},
        {"{'descr': '<f4'", 4, "closing '}'"},
        {"{'descr': '<f4", 4, "no end"},
        {"{descr: '<f4'}", 4, "quoted string"},
        {"{'descr' '<f4'}", 4, "not followed by ':'"},
        {"{'descr': '>f4', 'fortran_order': False, 'shape': (1,)}", 4, "big-endian"},
        {"{'descr': '|O', 'fortran_order': False, 'shape': (1,)}", 8, "Python objects"},
        {"{'descr': '<f2', 'fortran_order': False, 'shape': (1,)}", 2, "allowed: <f4"},
        {"{'descr': '|f4', 'fortran_order': False, 'shape': (1,)}", 4, "allowed: <f4"},
        {"{'descr': '', 'fortran_order': False, 'shape': (1,)}", 4, "allowed: <f4"},
        {"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,)}", 4, "fields"},
        {"{'descr': '<f4', 'fortran_order': True, 'shape': (1,)}", 4, "np.ascontiguousarray"},
        {"{'descr': '<f4', 'fortran_order': 0, 'shape': (1,)}", 4, "True or False"},
    };
    char bytes[512];
    array a;
    for (size_t i = 0; i < LENGTH(cases); i++) {
        const size_t size = forge(1, cases[i].header, cases[i].data, bytes);
        char *const exact = malloc(size); /* so that the sanitizer sees a read beyond it */
        memcpy(exact, bytes, size);
        assert_int_equal(npy_parse("x", exact, size, LIMIT, &a), DFL_E_FORMAT);
        assert_message_has(cases[i].message);
        assert_null(a.data);
        free(exact);
    }
}

static void test_npy_cut_off(void **state) {
    (void)state;
    char bytes[512];
    array a;
    const size_t size = forge(4, F4 "(1,)}", 4, bytes);
    assert_int_equal(npy_parse("x", bytes, size, LIMIT, &a), DFL_E_FORMAT);
    assert_message_has("version 4.0");
    for (size_t n = 0; n < 131; n++) { /* cut off anywhere */
        char *const exact = malloc(n + 1);
        memcpy(exact, from_numpy, n);
        assert_int_equal(npy_parse("x", exact, n, LIMIT, &a), DFL_E_FORMAT);
        free(exact);
    }
}

/* ---- npz ------------------------------------------------------------------------------------- */

static const char *const two[] = {"arr_0", "labels"};

static void write_two(const char *path) {
    static float values[300];
    static int64_t labels[2] = {-1, 9};
    for (size_t i = 0; i < LENGTH(values); i++) values[i] = (float)(i % 10);
    const named_array arrays[] = {{"arr_0", {ARRAY_F32, 2, {30, 10}, values}},
                                  {"labels", {ARRAY_I64, 1, {2}, labels}}};
    assert_int_equal(npz_write(path, arrays, 2), DFL_OK);
}

static void test_npz_round_trip(void **state) {
    (void)state;
    const int before = folder_entries();
    array out[2];
    write_two(in_folder("a.npz"));
    assert_int_equal(folder_entries(), before + 1);
    assert_int_equal(npz_read(in_folder("a.npz"), two, 2, false, LIMIT, out), DFL_OK);
    assert_int_equal(out[0].rank, 2);
    assert_int_equal(out[0].shape[0], 30);
    assert_true(((const float *)out[0].data)[299] == 9);
    assert_true(((const int64_t *)out[1].data)[0] == -1);
    array_free(&out[0]);
    array_free(&out[1]);

    static const char *const other[] = {"labels", "none"};
    assert_int_equal(npz_read(in_folder("a.npz"), other, 2, true, LIMIT, out), DFL_OK);
    assert_int_equal(out[1].rank, -1);
    array_free(&out[0]);
    array_free(&out[1]);
    assert_int_equal(npz_read(in_folder("a.npz"), other, 2, false, LIMIT, out), DFL_E_FORMAT);
    assert_message_has("there is no array 'none'");
    assert_null(out[0].data);
    assert_int_equal(npz_read(in_folder("a.npz"), two, 2, false, 1199, out), DFL_E_FORMAT);
    assert_message_has("at most 1199");

    char first[DIGEST_HEX], second[DIGEST_HEX];
    assert_int_equal(digest_file(in_folder("a.npz"), first), DFL_OK);
    write_two(in_folder("a.npz"));
    assert_int_equal(digest_file(in_folder("a.npz"), second), DFL_OK);
    assert_string_equal(first, second);
}

/* Adds `name` with the given bytes to a new archive, stored or deflated. */
static void put_member(const char *path, const char *name, const void *bytes, size_t size) {
    int code = 0;
    zip_t *const z = zip_open(path, ZIP_CREATE | ZIP_TRUNCATE, &code);
    assert_non_null(z);
    zip_source_t *const source = zip_source_buffer(z, bytes, size, 0);
    assert_true(zip_file_add(z, name, source, 0) >= 0);
    assert_int_equal(zip_close(z), 0);
}

static void test_npz_refuses(void **state) {
    (void)state;
    array out[2];
    char bytes[512];
    write_two(in_folder("good.npz"));
    char *good = NULL;
    size_t size = 0;
    assert_int_equal(file_read(in_folder("good.npz"), LIMIT, &good, &size), DFL_OK);
    for (size_t n = 0; n < size; n += 13) { /* cut off */
        put(in_folder("bad.npz"), good, n);
        assert_int_equal(npz_read(in_folder("bad.npz"), two, 2, false, LIMIT, out), DFL_E_FORMAT);
    }
    int refused = 0;
    for (size_t n = 0; n < size; n++) { /* one byte wrong: never a crash, never wrong data */
        good[n] = (char)(good[n] ^ 0x55);
        put(in_folder("bad.npz"), good, size);
        good[n] = (char)(good[n] ^ 0x55);
        const dfl_status status = npz_read(in_folder("bad.npz"), two, 2, false, LIMIT, out);
        refused += status != DFL_OK;
        if (status != DFL_OK) continue;
        assert_true(((const float *)out[0].data)[299] == 9);
        array_free(&out[0]);
        array_free(&out[1]);
    }
    assert_true((size_t)refused > size / 2);
    free(good);

    assert_int_equal(npz_read(in_folder("missing.npz"), two, 2, false, LIMIT, out), DFL_E_IO);
    put(in_folder("bad.npz"), from_numpy, 131);
    assert_int_equal(npz_read(in_folder("bad.npz"), two, 1, false, LIMIT, out), DFL_E_FORMAT);
    put_member(in_folder("bad.npz"), "arr_0.npy", "hello", 5);
    assert_int_equal(npz_read(in_folder("bad.npz"), two, 1, false, LIMIT, out), DFL_E_FORMAT);
    assert_message_has("array 'arr_0': not an .npy file");
    const size_t claims = forge(1, F4 "(1152921504606846976,), }", 8, bytes);
    put_member(in_folder("bad.npz"), "arr_0.npy", bytes, claims);
    assert_int_equal(npz_read(in_folder("bad.npz"), two, 1, false, SIZE_MAX, out), DFL_E_FORMAT);
    assert_message_has("promises 4611686018427387904 bytes");
    /* four million zeros pack into a few thousand bytes, and are never unpacked */
    char *const zeros = calloc(4000000, 1);
    put_member(in_folder("bad.npz"), "arr_0.npy", zeros, 4000000);
    assert_int_equal(npz_read(in_folder("bad.npz"), two, 1, false, LIMIT, out), DFL_E_FORMAT);
    assert_message_has("4000000 bytes; at most");
    free(zeros);
}

/* Readers differ in which of two members with one name they take. */
static void test_npz_twice(void **state) {
    (void)state;
    uint8_t values[2] = {1, 2};
    const named_array arrays[] = {{"one", {ARRAY_U8, 1, {2}, values}},
                                  {"two", {ARRAY_U8, 1, {2}, values}}};
    static const char *const names[] = {"one"};
    char *bytes = NULL;
    size_t size = 0;
    array out;
    assert_ok(npz_write(in_folder("twice.npz"), arrays, 2));
    assert_ok(npz_read(in_folder("twice.npz"), names, 1, false, LIMIT, &out));
    array_free(&out);
    assert_ok(file_read(in_folder("twice.npz"), LIMIT, &bytes, &size));
    for (size_t i = 0; i + 7 <= size; i++)
        if (memcmp(bytes + i, "two.npy", 7) == 0) memcpy(bytes + i, "one", 3);
    put(in_folder("twice.npz"), bytes, size);
    free(bytes);
    refused(npz_read(in_folder("twice.npz"), names, 1, false, LIMIT, &out), DFL_E_FORMAT,
            "array 'one': the archive holds it twice");
}

static void test_npz_unwritable(void **state) {
    (void)state;
    uint8_t byte = 1;
    const named_array arrays[] = {{"a", {ARRAY_U8, 0, {0}, &byte}},
                                  {"a", {ARRAY_U8, 0, {0}, &byte}}};
    const int before = folder_entries();
    assert_int_equal(npz_write(in_folder("none/a.npz"), arrays, 1), DFL_E_IO);
    assert_message_has("No such file");
    assert_int_equal(npz_write("/proc/a.npz", arrays, 1), DFL_E_IO);
    assert_int_equal(npz_write("/dev/full", arrays, 1), DFL_E_IO);
    assert_message_has("No space left");
    assert_int_equal(npz_write(in_folder("twice.npz"), arrays, 2), DFL_E_IO);
    assert_int_equal(npz_write(in_folder("empty.npz"), arrays, 0), DFL_E_ARG);
    assert_int_equal(folder_entries(), before);
}

/* ---- png ------------------------------------------------------------------------------------- */

static void test_png_write(void **state) {
    (void)state;
    static const char *const keys[] = {"Software", "Comment"};
    static const char *const values[] = {"driftless", "\xC3\xA4hnlich"};
    uint8_t pixels[2 * 3 * 3], back[2 * 3 * 3];
    for (size_t i = 0; i < sizeof pixels; i++) pixels[i] = (uint8_t)(i * 13);
    for (int channels = 1; channels <= 3; channels += 2) {
        const size_t size = 6 * (size_t)channels;
        png_image image = {.version = PNG_IMAGE_VERSION};
        assert_int_equal(
            png_write(in_folder("a.png"), 2, 3, channels, pixels, keys, values, channels - 1),
            DFL_OK);
        assert_true(png_image_begin_read_from_file(&image, in_folder("a.png")));
        assert_int_equal(image.width, 3);
        assert_int_equal(image.height, 2);
        assert_int_equal(image.format, channels == 3 ? PNG_FORMAT_RGB : PNG_FORMAT_GRAY);
        assert_true(png_image_finish_read(&image, NULL, back, 0, NULL));
        assert_memory_equal(back, pixels, size);
    }
    char *bytes = NULL;
    size_t size = 0;
    assert_int_equal(file_read(in_folder("a.png"), LIMIT, &bytes, &size), DFL_OK);
    assert_memory_equal(bytes + 37, "tEXtSoftware\0driftless", 22);
    free(bytes);
}

static void test_png_unwritable(void **state) {
    (void)state;
    static const char *const empty[] = {""}, *const value[] = {"x"};
    static uint8_t pixels[200000];
    for (size_t i = 0; i < sizeof pixels; i++) pixels[i] = (uint8_t)(i * i >> 3U);
    const int before = folder_entries();
    assert_int_equal(png_write(in_folder("none/a.png"), 1, 1, 1, pixels, NULL, NULL, 0), DFL_E_IO);
    assert_int_equal(png_write("/dev/full", 100, 2000, 1, pixels, NULL, NULL, 0), DFL_E_IO);
    assert_message_has("No space left");
    assert_int_equal(png_write(in_folder("x.png"), 0, 1, 1, pixels, NULL, NULL, 0), DFL_E_RANGE);
    assert_int_equal(png_write(in_folder("x.png"), 1, 1, 2, pixels, NULL, NULL, 0), DFL_E_RANGE);
    assert_int_equal(png_write(in_folder("x.png"), 1, 1, 1, pixels, empty, value, 1), DFL_E_RANGE);
    assert_int_equal(folder_entries(), before);
}

static void test_image_bytes(void **state) {
    (void)state;
    /* two samples, three channels, one row of two pixels */
    const float f[12] = {-1, 1, 0, -2, 2, 0.5F, NAN, INFINITY, -INFINITY, 0, 0, 0};
    const uint8_t expected[12] = {0, 128, 255, 255, 0, 191, 0, 0, 128, 255, 128, 128};
    double d[12];
    uint8_t bytes[12];
    for (size_t i = 0; i < 12; i++) d[i] = (double)f[i];
    image_bytes(ARRAY_F32, f, 2, 3, 1, 2, -1, 1, bytes);
    assert_memory_equal(bytes, expected, 12);
    image_bytes(ARRAY_F64, d, 2, 3, 1, 2, -1, 1, bytes);
    assert_memory_equal(bytes, expected, 12);
}

static void test_image_grid(void **state) {
    (void)state;
    const uint8_t images[3 * 3] = {1, 2, 3, 4, 5, 6, 7, 8, 9}; /* three pixels of three channels */
    uint8_t *grid = NULL;
    size_t gh = 0, gw = 0;
    assert_int_equal(image_grid(images, 3, 1, 1, 3, 2, &grid, &gh, &gw), DFL_OK);
    assert_int_equal(gh, 8);
    assert_int_equal(gw, 8);
    assert_memory_equal(grid + (2 * gw + 2) * 3, images, 3);
    assert_memory_equal(grid + (2 * gw + 5) * 3, images + 3, 3);
    assert_memory_equal(grid + (5 * gw + 2) * 3, images + 6, 3);
    int sum = 0;
    for (size_t i = 0; i < gh * gw * 3; i++) sum += grid[i];
    assert_int_equal(sum, 45);
    free(grid);
    assert_int_equal(image_grid(images, 2, 1, 1, 3, 100, &grid, &gh, &gw), DFL_OK);
    assert_int_equal(gw, 8);
    free(grid);
    assert_int_equal(image_grid(images, 0, 1, 1, 3, 2, &grid, &gh, &gw), DFL_E_RANGE);
    assert_int_equal(image_grid(images, 1, 1, 1, 3, 0, &grid, &gh, &gw), DFL_E_RANGE);
    assert_int_equal(image_grid(images, SIZE_MAX / 2, 1, 1, 3, 2, &grid, &gh, &gw), DFL_E_MEMORY);
    assert_int_equal(image_grid(images, 1, SIZE_MAX, 1, 3, 1, &grid, &gh, &gw), DFL_E_MEMORY);
    assert_null(grid);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_npy_header),     cmocka_unit_test(test_npy_round_trip),
        cmocka_unit_test(test_npy_writer),     cmocka_unit_test(test_npy_accepts),
        cmocka_unit_test(test_npy_refuses),    cmocka_unit_test(test_npy_cut_off),
        cmocka_unit_test(test_npz_round_trip), cmocka_unit_test(test_npz_refuses),
        cmocka_unit_test(test_npz_unwritable), cmocka_unit_test(test_png_write),
        cmocka_unit_test(test_png_unwritable), cmocka_unit_test(test_image_bytes),
        cmocka_unit_test(test_image_grid),     cmocka_unit_test(test_npz_twice),
    };
    return cmocka_run_group_tests_name("io", tests, folder_make, folder_remove);
}
