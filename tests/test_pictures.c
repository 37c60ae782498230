/* Pictures from files: what a PNG holds, byte by byte; every kind of source gives the same pictures;
   what is broken is refused with a sentence. */
#include "support/folder.h"

#include <dirent.h>
#include <math.h>
#include <png.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "eval/pictures.h"
#include "io/io.h"

/* ---- PNG ------------------------------------------------------------------------------------- */

/* A chunk with its checksum, appended. */
static void add_chunk(text *t, const char *kind, const void *data, size_t size) {
    uint8_t piece[4096];
    assert_true(size + 12 <= sizeof piece);
    for (unsigned i = 0; i < 4; i++) piece[i] = (uint8_t)(size >> (24 - 8 * i));
    memcpy(piece + 4, kind, 4);
    if (size > 0) memcpy(piece + 8, data, size);
    const unsigned long sum = crc32(0, piece + 4, (unsigned)size + 4);
    for (unsigned i = 0; i < 4; i++) piece[8 + size + i] = (uint8_t)(sum >> (24 - 8 * i));
    for (size_t i = 0; i < size + 12; i++) text_add(t, "%c", piece[i]);
}

typedef struct {
    uint32_t width, height;
    int depth, color, interlace;
    const void *raw; /* rows with their filter bytes */
    size_t size;
    const char *palette; /* 3 bytes each, or NULL */
    size_t colors;
    const char *transparency;
} drawing;

static const char *draw(const drawing *d) {
    uint8_t head[13] = {0}, packed[2048];
    uLongf size = sizeof packed;
    text t = {0};
    text_add(&t, "\x89PNG\r\n\x1a\n");
    for (unsigned i = 0; i < 4; i++) {
        head[i] = (uint8_t)(d->width >> (24 - 8 * i));
        head[4 + i] = (uint8_t)(d->height >> (24 - 8 * i));
    }
    head[8] = (uint8_t)d->depth;
    head[9] = (uint8_t)d->color;
    head[12] = (uint8_t)d->interlace;
    add_chunk(&t, "IHDR", head, sizeof head);
    if (d->palette) add_chunk(&t, "PLTE", d->palette, 3 * d->colors);
    if (d->transparency) add_chunk(&t, "tRNS", d->transparency, 1);
    assert_int_equal(compress(packed, &size, d->raw, d->size), Z_OK);
    add_chunk(&t, "IDAT", packed, size);
    add_chunk(&t, "IEND", NULL, 0);
    assert_ok(file_save(in_folder("drawn.png"), t.data, t.len));
    text_free(&t);
    return in_folder("drawn.png");
}

static void expect(const char *path, size_t height, size_t width, int channels,
                   const uint8_t *pixels) {
    bitmap b;
    assert_ok(png_read(path, &b));
    assert_int_equal(b.height, height);
    assert_int_equal(b.width, width);
    assert_int_equal(b.channels, channels);
    assert_memory_equal(b.pixels, pixels, height * width * (size_t)channels);
    bitmap_free(&b);
}

static void test_png_round_trip(void **state) {
    (void)state;
    uint8_t pixels[5 * 7 * 3];
    for (size_t i = 0; i < sizeof pixels; i++) pixels[i] = (uint8_t)(i * 83 + i * i);
    for (int channels = 1; channels <= 3; channels += 2) {
        assert_ok(png_write(in_folder("a.png"), 5, 7, channels, pixels, NULL, NULL, 0));
        expect(in_folder("a.png"), 5, 7, channels, pixels);
    }
}

/* Longer than what is held of a chunk: it says nothing about the pixels. */
static void test_png_long_text(void **state) {
    (void)state;
    enum { LONG = 9 << 20 };
    char *const value = mem_array(LONG + 1, 1);
    assert_non_null(value);
    memset(value, 'x', LONG);
    const char *const keys[] = {"Title", "Comment"}, *const values[] = {"short", value};
    const uint8_t pixels[] = {1, 2, 3, 4};
    assert_ok(png_write(in_folder("long.png"), 2, 2, 1, pixels, keys, values, 2));
    expect(in_folder("long.png"), 2, 2, 1, pixels);
    memcpy(value + LONG - 2, "\xc3\xa4", 2); /* not ASCII: of another kind */
    assert_ok(png_write(in_folder("long.png"), 2, 2, 1, pixels, keys, values, 2));
    expect(in_folder("long.png"), 2, 2, 1, pixels);
    free(value);
}

/* Levels of fewer bits are spread over 0 to 255; a palette becomes its colours. */
static void test_png_few_bits(void **state) {
    (void)state;
    const drawing one = {9, 2, 1, 0, 0, "\0\xa5\x80\0\x0f\0", 6, NULL, 0, NULL};
    const uint8_t one_pixels[18] = {255, 0, 255, 0, 0,   255, 0,   255, 255,
                                    0,   0, 0,   0, 255, 255, 255, 255, 0};
    expect(draw(&one), 2, 9, 1, one_pixels);
    const drawing four = {3, 1, 4, 0, 0, "\0\x0f\x70", 3, NULL, 0, NULL};
    expect(draw(&four), 1, 3, 1, (const uint8_t[]){0, 255, 119});
    const drawing palette = {3, 1, 2, 3, 0, "\0\x18", 2, "abcdefghi", 3, NULL};
    expect(draw(&palette), 1, 3, 3, (const uint8_t *)"abcdefghi");
}

/* Adam7 on a picture of 2 x 2: pass 1 (0, 0), pass 6 (0, 1), pass 7 row 1. */
static void test_png_interlaced(void **state) {
    (void)state;
    const drawing d = {2, 2, 8, 0, 1, "\0\x01\0\x02\0\x03\x04", 7, NULL, 0, NULL};
    expect(draw(&d), 2, 2, 1, (const uint8_t[]){1, 2, 3, 4});
}

static void test_png_refused(void **state) {
    (void)state;
    static const char zero[64];
    static const struct {
        drawing d;
        const char *part;
    } cases[] = {
        {{2, 1, 16, 0, 0, zero, 5, NULL, 0, NULL}, "16 bits"},
        {{2, 1, 8, 6, 0, zero, 9, NULL, 0, NULL}, "transparency"},
        {{2, 1, 8, 4, 0, zero, 5, NULL, 0, NULL}, "transparency"},
        {{2, 1, 8, 3, 0, zero, 3, "abc", 1, "\1"}, "transparency"},
        {{16385, 1, 8, 0, 0, zero, 9, NULL, 0, NULL}, "at most 16384 a side"},
        {{16384, 16384, 8, 0, 0, zero, 9, NULL, 0, NULL}, "in all are allowed"},
        {{8000, 8000, 8, 2, 0, zero, 9, NULL, 0, NULL}, "cannot come out of"},
        {{4, 4, 8, 0, 0, zero, 10, NULL, 0, NULL}, "no picture that can be read"},
        {{4, 1, 8, 0, 0, "\x09zzzz", 5, NULL, 0, NULL}, "no picture that can be read"},
        {{2, 1, 8, 3, 0, zero, 3, NULL, 0, NULL}, "no picture that can be read"},
    };
    bitmap b;
    for (size_t i = 0; i < LENGTH(cases); i++) {
        refused(png_read(draw(&cases[i].d), &b), DFL_E_FORMAT, cases[i].part);
        assert_null(b.pixels);
    }
    assert_ok(file_save(in_folder("b.png"), "no picture at all", 17));
    refused(png_read(in_folder("b.png"), &b), DFL_E_FORMAT, "not a PNG file");
    refused(png_read(in_folder("missing.png"), &b), DFL_E_IO, "missing.png");
}

/* Every prefix and every changed byte: a sentence, or a picture of the same size. */
static void test_png_damaged(void **state) {
    (void)state;
    uint8_t pixels[6 * 5];
    bitmap b;
    char *data;
    size_t size;
    for (size_t i = 0; i < sizeof pixels; i++) pixels[i] = (uint8_t)(7 * i);
    assert_ok(png_write(in_folder("c.png"), 6, 5, 1, pixels, NULL, NULL, 0));
    assert_ok(file_read(in_folder("c.png"), 1 << 16, &data, &size));
    for (size_t n = 0; n < size; n++) {
        assert_ok(file_save(in_folder("d.png"), data, n));
        refused(png_read(in_folder("d.png"), &b), DFL_E_FORMAT, "d.png");
    }
    for (size_t i = 8; i < size; i++) {
        data[i] = (char)(data[i] ^ 0x55);
        assert_ok(file_save(in_folder("d.png"), data, size));
        if (png_read(in_folder("d.png"), &b) == DFL_OK) bitmap_free(&b);
        data[i] = (char)(data[i] ^ 0x55);
    }
    free(data);
}

/* ---- sources --------------------------------------------------------------------------------- */

enum { N = 7, H = 4, W = 5 };

static uint8_t pixel(size_t i, size_t y, size_t x, size_t c) {
    return (uint8_t)(53 * i + 17 * y + 5 * x + 101 * c);
}

static picture_wish all_of(const char *path) {
    return (picture_wish){.path = path, .range = {-1, 1}};
}

/* In pieces of `step`, the source gives the pictures above. */
static void expect_source(const picture_wish *wish, size_t channels, size_t step) {
    picture_source *s;
    assert_ok(pictures_open(wish, &s));
    assert_int_equal(s->count, wish->count ? wish->count : N);
    for (size_t from = 0; from < s->count;) {
        picture_set set;
        assert_ok(pictures_read(s, from, step, &set));
        assert_true(set.n >= 1 && set.n <= step);
        assert_int_equal(set.first, wish->first + from);
        assert_int_equal(set.height, H);
        assert_int_equal(set.width, W);
        assert_int_equal(set.channels, channels);
        for (size_t i = 0; i < set.n * H * W * channels; i++)
            assert_int_equal(set.pixels[i], pixel(from + i / channels / W / H, i / channels / W % H,
                                                  i / channels % W, i % channels));
        from += set.n;
    }
    pictures_free(s);
}

static void fill(bool first, size_t channels, double *out) {
    for (size_t i = 0; i < N; i++)
        for (size_t y = 0; y < H; y++)
            for (size_t x = 0; x < W; x++)
                for (size_t c = 0; c < channels; c++)
                    out[first ? ((i * channels + c) * H + y) * W + x
                              : ((i * H + y) * W + x) * channels + c] = pixel(i, y, x, c);
}

/* Bytes, or float32 or float64 in -1..1, in either order. */
static void put_array(const char *name, array_type type, bool first, size_t channels) {
    double numbers[N * H * W * 3];
    union {
        uint8_t u[N * H * W * 3];
        float f[N * H * W * 3];
        double d[N * H * W * 3];
    } data;
    fill(first, channels, numbers);
    for (size_t i = 0; i < N * H * W * channels; i++) {
        const double x = numbers[i] / 127.5 - 1;
        if (type == ARRAY_U8) data.u[i] = (uint8_t)numbers[i];
        if (type == ARRAY_F32) data.f[i] = (float)x;
        if (type == ARRAY_F64) data.d[i] = x;
    }
    const named_array a = {
        "arr_0", {type, 4, {N, first ? channels : H, first ? H : W, first ? W : channels}, &data}};
    npy_writer *w;
    if (strstr(name, ".npz")) {
        assert_ok(npz_write(in_folder(name), &a, 1));
        return;
    }
    assert_ok(npy_create(in_folder(name), type, 4, a.value.shape, &w));
    assert_ok(npy_append(w, &data, N));
    assert_ok(npy_commit(w));
}

static void test_arrays(void **state) {
    (void)state;
    static const array_type types[] = {ARRAY_U8, ARRAY_F32, ARRAY_F64};
    static const char *const names[] = {"x.npy", "x.npz"};
    for (size_t k = 0; k < 2 * 2 * 2 * LENGTH(types); k++) {
        const size_t channels = k & 1U ? 3 : 1;
        const char *const name = names[k >> 2U & 1U];
        put_array(name, types[k >> 3U], k >> 1U & 1U, channels);
        const picture_wish wish = all_of(in_folder(name));
        expect_source(&wish, channels, N);
        expect_source(&wish, channels, 2);
    }
}

/* Shapes that could be read both ways: [n][3][5][3]. */
static void test_ambiguous_arrays(void **state) {
    (void)state;
    static const float numbers[2 * 3 * 5 * 3];
    static const size_t shape[] = {2, 3, 5, 3};
    static const struct {
        array_type type;
        size_t height, width;
    } cases[] = {{ARRAY_U8, 3, 5}, {ARRAY_F32, 5, 3}};
    for (size_t i = 0; i < LENGTH(cases); i++) {
        npy_writer *w;
        picture_source *s;
        picture_set set;
        assert_ok(npy_create(in_folder("both.npy"), cases[i].type, 4, shape, &w));
        assert_ok(npy_append(w, numbers, 2));
        assert_ok(npy_commit(w));
        const picture_wish wish = all_of(in_folder("both.npy"));
        assert_ok(pictures_open(&wish, &s));
        assert_ok(pictures_read(s, 0, 2, &set));
        assert_int_equal(set.height, cases[i].height);
        assert_int_equal(set.width, cases[i].width);
        pictures_free(s);
    }
}

static void put_png(const char *name, size_t i, size_t channels, size_t height) {
    uint8_t pixels[2 * H * W * 3];
    for (size_t k = 0; k < height * W * channels; k++)
        pixels[k] = pixel(i, k / channels / W, k / channels % W, k % channels);
    assert_ok(png_write(in_folder(name), height, W, (int)channels, pixels, NULL, NULL, 0));
}

static void test_folder(void **state) {
    (void)state;
    char name[64], path[320];
    picture_source *s;
    snprintf(path, sizeof path, "%s", in_folder("f"));
    assert_int_equal(mkdir(path, 0700), 0);
    picture_wish wish = all_of(path);
    refused(pictures_open(&wish, &s), DFL_E_FORMAT, "holds no .png files");
    for (size_t i = N; i-- > 0;) { /* written backwards: the order is that of the names */
        snprintf(name, sizeof name, "f/%zu.%s", i, i % 2 ? "png" : "PNG");
        put_png(name, i, 3, H);
    }
    assert_ok(file_save(in_folder("f/notes.txt"), "no picture", 10));
    assert_ok(file_save(in_folder("f/.hidden.png"), "no picture", 10));
    expect_source(&wish, 3, 3);
    wish.first = 1000;
    wish.count = 5;
    expect_source(&wish, 3, 4);
    wish.count = N + 1;
    refused(pictures_open(&wish, &s), DFL_E_RANGE, "holds 7 pictures; 8 are asked for");
}

/* Of what is in the files and their order, but not of how many are asked for. */
static void test_folder_digest(void **state) {
    (void)state;
    char before[DIGEST_HEX];
    picture_source *s;
    assert_int_equal(mkdir(in_folder("d"), 0700), 0);
    put_png("d/0.png", 0, 1, H);
    put_png("d/1.png", 1, 1, H);
    picture_wish wish = all_of(in_folder("d"));
    assert_ok(pictures_open(&wish, &s));
    memcpy(before, s->digest, sizeof before);
    pictures_free(s);
    wish.count = 1;
    assert_ok(pictures_open(&wish, &s));
    assert_string_equal(s->digest, before);
    pictures_free(s);
    assert_int_equal(rename(in_folder("d/0.png"), in_folder("d/2")), 0);
    assert_int_equal(rename(in_folder("d/1.png"), in_folder("d/0.png")), 0);
    assert_int_equal(rename(in_folder("d/2"), in_folder("d/1.png")), 0);
    assert_ok(pictures_open(&wish, &s));
    assert_string_not_equal(s->digest, before);
    pictures_free(s);
}

/* A set ends where the size changes, and the next begins with the picture that was seen already. */
static void test_folder_of_sizes(void **state) {
    (void)state;
    static const size_t heights[] = {4, 4, 8, 4, 4, 4};
    static const size_t sets[] = {2, 1, 3};
    char name[64];
    picture_source *s;
    picture_set set;
    assert_int_equal(mkdir(in_folder("g"), 0700), 0);
    for (size_t i = 0; i < LENGTH(heights); i++) {
        snprintf(name, sizeof name, "g/%zu.png", i);
        put_png(name, i, 1, heights[i]);
    }
    const picture_wish wish = all_of(in_folder("g"));
    assert_ok(pictures_open(&wish, &s));
    for (size_t k = 0, from = 0; k < LENGTH(sets); from += sets[k++]) {
        assert_ok(pictures_read(s, from, 6, &set));
        assert_int_equal(set.n, sets[k]);
        assert_int_equal(set.height, heights[from]);
        assert_int_equal(set.pixels[0], pixel(from, 0, 0, 0));
        assert_int_equal(set.pixels[set.height * W * (set.n - 1)],
                         pixel(from + set.n - 1, 0, 0, 0));
    }
    pictures_free(s);
}

static void put_idx(const char *name, const char *mode, size_t count, size_t bytes) {
    uint8_t data[16 + N * H * W] = {0, 0, 8, 3, 0, 0, 0, 0, 0, 0, 0, H, 0, 0, 0, W};
    double numbers[N * H * W];
    data[7] = (uint8_t)count;
    fill(false, 1, numbers);
    for (size_t i = 0; i < N * H * W; i++) data[16 + i] = (uint8_t)numbers[i];
    gzFile f = gzopen(in_folder(name), mode);
    assert_non_null(f);
    assert_int_equal(gzwrite(f, data, (unsigned)bytes), bytes);
    assert_int_equal(gzclose(f), Z_OK);
}

static void test_idx(void **state) {
    (void)state;
    static const char *const names[] = {"x-idx3-ubyte.gz", "x-idx3-ubyte"};
    for (size_t i = 0; i < 2; i++) {
        put_idx(names[i], i ? "wbT" : "wb", N, 16 + N * H * W);
        const picture_wish wish = all_of(in_folder(names[i]));
        expect_source(&wish, 1, 3);
        picture_source *s;
        picture_set set; /* back, and forward over some */
        assert_ok(pictures_open(&wish, &s));
        for (size_t k = 0; k < 3; k++) {
            const size_t at[] = {6, 1, 4};
            assert_ok(pictures_read(s, at[k], 1, &set));
            assert_int_equal(set.pixels[W + 1], pixel(at[k], 1, 1, 0));
        }
        pictures_free(s);
    }
}

static void test_refused_arrays(void **state) {
    (void)state;
    static const double nothing[4] = {0, NAN, 0, 0};
    static const struct {
        array_type type;
        int rank;
        size_t shape[4];
        dfl_status status;
        const char *part;
    } arrays[] = {
        {ARRAY_I64, 3, {1, 2, 2}, DFL_E_FORMAT, "64 bits"},
        {ARRAY_F64, 2, {2, 2}, DFL_E_FORMAT, "does not hold pictures"},
        {ARRAY_F64, 4, {1, 2, 2, 1}, DFL_OK, NULL},
        {ARRAY_F64, 4, {1, 2, 1, 2}, DFL_E_FORMAT, "does not hold pictures"},
        {ARRAY_F64, 3, {0, 2, 2}, DFL_E_FORMAT, "holds no pictures"},
        {ARRAY_U8, 3, {4, 0, 1}, DFL_E_FORMAT, "does not hold pictures"},
    };
    picture_source *s;
    picture_set set;
    for (size_t i = 0; i < LENGTH(arrays); i++) {
        npy_writer *w;
        assert_ok(
            npy_create(in_folder("r.npy"), arrays[i].type, arrays[i].rank, arrays[i].shape, &w));
        assert_ok(npy_append(w, nothing, arrays[i].shape[0]));
        assert_ok(npy_commit(w));
        const picture_wish wish = all_of(in_folder("r.npy"));
        const dfl_status status = pictures_open(&wish, &s);
        if (arrays[i].part) {
            refused(status, arrays[i].status, arrays[i].part);
            assert_null(s);
            continue;
        }
        assert_ok(status);
        refused(pictures_read(s, 0, 1, &set), DFL_E_NONFINITE, "no finite number");
        pictures_free(s);
    }
}

static void test_refused_files(void **state) {
    (void)state;
    picture_source *s;
    picture_set set;
    static const struct {
        const char *name;
        dfl_status status;
        const char *part;
    } files[] = {{"nowhere", DFL_E_IO, "nowhere"},
                 {"r.txt", DFL_E_ARG, "none of what pictures are read from"},
                 {"r.npz", DFL_E_FORMAT, "r.npz"},
                 {"cut.gz", DFL_E_FORMAT, "cut off"},
                 {"claim-idx3-ubyte", DFL_E_FORMAT, "65536 pictures of 256 x 256 in 16 bytes"},
                 {"claim.gz", DFL_E_FORMAT, "65536 pictures of 256 x 256"},
                 {"other.gz", DFL_E_FORMAT, "not idx3-ubyte"}};
    assert_ok(file_save(in_folder("r.txt"), "text", 4));
    assert_ok(file_save(in_folder("r.npz"), "text", 4));
    assert_ok(file_save(in_folder("cut.gz"), "\0\0\10", 3));
    static const char claim[] = "\0\0\10\3\0\1\0\0\0\0\1\0\0\0\1";
    assert_ok(file_save(in_folder("claim-idx3-ubyte"), claim, sizeof claim));
    gzFile f = gzopen(in_folder("claim.gz"), "wb");
    assert_int_equal(gzwrite(f, claim, sizeof claim), sizeof claim);
    assert_int_equal(gzclose(f), Z_OK);
    assert_ok(file_save(in_folder("other.gz"), "\0\0\10\1 further numbers", 20));
    for (size_t i = 0; i < LENGTH(files); i++) {
        const picture_wish wish = all_of(in_folder(files[i].name));
        refused(pictures_open(&wish, &s), files[i].status, files[i].part);
    }
    put_idx("short.gz", "wb", N, 16 + 6 * H * W + 3); /* more promised than there is */
    const picture_wish wish = all_of(in_folder("short.gz"));
    assert_ok(pictures_open(&wish, &s));
    assert_ok(pictures_read(s, 0, 6, &set));
    refused(pictures_read(s, 6, 1, &set), DFL_E_FORMAT, "cut off");
    refused(pictures_read(s, 7, 1, &set), DFL_E_RANGE, "there are 7");
    pictures_free(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_png_long_text), cmocka_unit_test(test_png_round_trip),
        cmocka_unit_test(test_png_few_bits),  cmocka_unit_test(test_png_interlaced),
        cmocka_unit_test(test_png_refused),   cmocka_unit_test(test_png_damaged),
        cmocka_unit_test(test_arrays),        cmocka_unit_test(test_ambiguous_arrays),
        cmocka_unit_test(test_folder),        cmocka_unit_test(test_folder_of_sizes),
        cmocka_unit_test(test_idx),           cmocka_unit_test(test_refused_arrays),
        cmocka_unit_test(test_refused_files), cmocka_unit_test(test_folder_digest),
    };
    return cmocka_run_group_tests_name("pictures", tests, folder_make, folder_remove);
}
