/* Pictures: from samples to bytes, from many pictures to a grid, from bytes to a PNG file. */
#include "io/io.h"

#include <math.h>
#include <png.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

/* ---- PNG ------------------------------------------------------------------------------------- */

/* Everything a jump out of libpng passes by lives here, not in local variables, whose values would
   be lost. */
typedef struct {
    file_writer file;
    dfl_status status;
    png_structp png;
    png_infop info;
    png_textp texts;
} painter;

static void on_error(png_structp png, png_const_charp sentence) {
    painter *const p = png_get_error_ptr(png);
    if (p->status == DFL_OK) {
        p->status = fail(DFL_E_IO, "cannot write '%s': %s", p->file.path, sentence);
    }
    png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp sentence) {
    (void)png;
    (void)sentence; /* the library prints nothing */
}

static void on_write(png_structp png, png_bytep data, size_t size) {
    painter *const p = png_get_io_ptr(png);
    p->status = file_write(&p->file, data, size);
    if (p->status != DFL_OK) png_error(png, "writing failed");
}

static void on_flush(png_structp png) {
    (void)png;
}

typedef struct {
    size_t height, width;
    int channels, ntext;
    const uint8_t *pixels;
    const char *const *keys, *const *values;
} picture;

static bool is_ascii(const char *s) {
    while (*s && (unsigned char)*s < 128) s++;
    return !*s;
}

/* tEXt is Latin-1; what isn't ASCII goes into its sister iTXt, which is UTF-8. */
static void fill_texts(const picture *pic, png_textp texts) {
    for (int i = 0; i < pic->ntext; i++) {
        const char *const value = pic->values[i];
        texts[i].compression =
            is_ascii(value) ? PNG_TEXT_COMPRESSION_NONE : PNG_ITXT_COMPRESSION_NONE;
        texts[i].key = (png_charp)pic->keys[i];
        texts[i].text = (png_charp)value;
    }
}

/* The part that libpng may jump out of. */
static dfl_status paint(painter *p, const picture *pic) {
    const size_t stride = pic->width * (size_t)pic->channels;
    if (setjmp(png_jmpbuf(p->png))) return p->status;
    png_set_write_fn(p->png, p, on_write, on_flush);
    png_set_user_limits(p->png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
    png_set_IHDR(p->png, p->info, (png_uint_32)pic->width, (png_uint_32)pic->height, 8,
                 pic->channels == 3 ? PNG_COLOR_TYPE_RGB : PNG_COLOR_TYPE_GRAY, PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    if (pic->ntext > 0) png_set_text(p->png, p->info, p->texts, pic->ntext);
    png_write_info(p->png, p->info);
    for (size_t y = 0; y < pic->height; y++) png_write_row(p->png, pic->pixels + y * stride);
    png_write_end(p->png, p->info);
    return DFL_OK;
}

static dfl_status check_picture(const char *path, const picture *pic) {
    const bool fits = pic->height >= 1 && pic->height <= PNG_UINT_31_MAX && pic->width >= 1 &&
                      pic->width <= PNG_UINT_31_MAX / 8;
    if (!fits) {
        return fail(DFL_E_RANGE, "cannot write '%s': a picture of %zu x %zu pixels", path,
                    pic->height, pic->width);
    }
    if (pic->channels != 1 && pic->channels != 3) {
        return fail(DFL_E_RANGE, "cannot write '%s': %d channels; allowed: 1 or 3", path,
                    pic->channels);
    }
    for (int i = 0; i < pic->ntext; i++) {
        const size_t length = strlen(pic->keys[i]);
        if (length >= 1 && length <= 79 && is_ascii(pic->keys[i])) continue;
        return fail(DFL_E_RANGE, "cannot write '%s': a text key must have 1..79 ASCII characters",
                    path);
    }
    return DFL_OK;
}

dfl_status png_write(const char *path, size_t height, size_t width, int channels,
                     const uint8_t *pixels, const char *const *keys, const char *const *values,
                     int ntext) {
    const picture pic = {height, width, channels, ntext, pixels, keys, values};
    painter p = {0};
    dfl_status status = DFL_OK;
    TRY(check_picture(path, &pic));
    TRY_GOTO(file_create(path, &p.file), done);
    p.png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &p, on_error, on_warning);
    p.info = p.png ? png_create_info_struct(p.png) : NULL;
    p.texts = mem_array(ntext > 0 ? (size_t)ntext : 0, sizeof *p.texts);
    TRY_GOTO(p.info && p.texts ? DFL_OK : fail_memory(), done);
    fill_texts(&pic, p.texts);
    TRY_GOTO(paint(&p, &pic), done);
    status = file_commit(&p.file);
done:
    png_destroy_write_struct(&p.png, &p.info);
    free(p.texts);
    file_discard(&p.file);
    return status;
}

/* ---- samples to pictures --------------------------------------------------------------------- */

static uint8_t to_byte(double x, double lo, double hi) {
    const double level = (x - lo) / (hi - lo) * 255.0;
    if (!(level > 0)) return 0; /* a NaN, too, is black */
    return level < 255 ? (uint8_t)lround(level) : 255;
}

static double value_at(array_type type, const void *samples, size_t i) {
    return type == ARRAY_F32 ? (double)((const float *)samples)[i] : ((const double *)samples)[i];
}

void image_bytes(array_type type, const void *samples, size_t n, size_t channels, size_t height,
                 size_t width, double lo, double hi, uint8_t *dst) {
    const size_t pixels = height * width;
    for (size_t plane = 0; plane < n * channels; plane++) {
        uint8_t *const to = dst + plane / channels * channels * pixels + plane % channels;
        for (size_t i = 0; i < pixels; i++) {
            to[i * channels] = to_byte(value_at(type, samples, plane * pixels + i), lo, hi);
        }
    }
}

dfl_status image_grid(const uint8_t *images, size_t n, size_t height, size_t width, int channels,
                      size_t columns, uint8_t **grid, size_t *gh, size_t *gw) {
    enum { MARGIN = 2 };
    *grid = NULL;
    *gh = *gw = 0;
    if (n == 0 || columns == 0 || channels < 1) {
        return fail(DFL_E_RANGE, "a grid of %zu pictures in %zu columns with %d channels", n,
                    columns, channels);
    }
    if (columns > n) columns = n;
    const size_t rows = (n - 1) / columns + 1, depth = (size_t)channels;
    const size_t most = PTRDIFF_MAX; /* so that no sum below overflows */
    const bool fits = height < most && width < most &&
                      mem_product(rows, height + MARGIN, 1) < most &&
                      mem_product(columns, width + MARGIN, 1) < most;
    const size_t full_height = fits ? rows * (height + MARGIN) + MARGIN : SIZE_MAX;
    const size_t full_width = fits ? columns * (width + MARGIN) + MARGIN : SIZE_MAX;
    uint8_t *const out = mem_array(mem_product(full_height, full_width, depth), 1);
    if (!out) return fail_memory();
    for (size_t line = 0; line < n * height; line++) {
        const size_t image = line / height, y = line % height;
        const size_t top = image / columns * (height + MARGIN) + MARGIN + y;
        const size_t left = image % columns * (width + MARGIN) + MARGIN;
        memcpy(out + (top * full_width + left) * depth, images + line * width * depth,
               width * depth);
    }
    *grid = out;
    *gh = full_height;
    *gw = full_width;
    return DFL_OK;
}
