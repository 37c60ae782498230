/* Reading PNG pictures of strangers: the header is judged before anything is unpacked, a picture
   that cannot come out of its file is refused before memory is taken for it, and what libpng finds
   wrong becomes one sentence. */
#include "io/io.h"

#include <png.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_MAX = 1 << 28, SIDE_MAX = 1 << 14, PIXELS_MAX = 1 << 26, CHUNK_MAX = 1 << 23 };

/* Everything a jump out of libpng passes by lives here, not in local variables, whose values would
   be lost. */
typedef struct {
    const char *path;
    const char *data;
    size_t size, at;
    dfl_status status;
    bool starved;
    png_structp png;
    png_infop info;
    bitmap out;
} viewer;

static void on_error(png_structp png, png_const_charp sentence) {
    viewer *const v = png_get_error_ptr(png);
    if (v->status == DFL_OK)
        v->status = v->starved ? fail_memory()
                               : fail(DFL_E_FORMAT, "'%s' is no picture that can be read: %s",
                                      v->path, sentence);
    png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp sentence) {
    (void)png;
    (void)sentence; /* the library prints nothing */
}

static png_voidp on_malloc(png_structp png, png_alloc_size_t size) {
    viewer *const v = png_get_mem_ptr(png);
    /* libpng takes the room that a chunk claims before it has read it. Rows and windows are smaller. */
    if (size > CHUNK_MAX) return NULL;
    void *const block = malloc(size);
    if (!block) v->starved = true;
    return block;
}

static void on_free(png_structp png, png_voidp block) {
    (void)png;
    free(block);
}

static void on_read(png_structp png, png_bytep to, size_t size) {
    viewer *const v = png_get_io_ptr(png);
    if (size > v->size - v->at) png_error(png, "it is cut off");
    memcpy(to, v->data + v->at, size);
    v->at += size;
}

/* Deflating never makes less than a byte of 1032: what claims more is not worth its memory. */
static dfl_status check_size(const viewer *v, size_t bits) {
    enum { EXPANSION_MAX = 1032 };
    const size_t height = v->out.height, width = v->out.width;
    if (height > SIDE_MAX || width > SIDE_MAX || height * width > PIXELS_MAX)
        return fail(DFL_E_FORMAT,
                    "'%s' has %zu x %zu pixels; at most %d a side and %d in all are allowed",
                    v->path, width, height, SIDE_MAX, PIXELS_MAX);
    if (height * ((width * bits + 7) / 8) / EXPANSION_MAX > v->size)
        return fail(DFL_E_FORMAT, "'%s': %zu x %zu pixels cannot come out of %zu bytes", v->path,
                    width, height, v->size);
    return DFL_OK;
}

/* Grey and RGB of up to 8 bits, and palettes, lose nothing; what would is refused. */
static dfl_status check_kind(const viewer *v) {
    const int color = png_get_color_type(v->png, v->info);
    if (png_get_bit_depth(v->png, v->info) > 8)
        return fail(DFL_E_FORMAT, "'%s' has 16 bits a channel; 8 are needed: save it again",
                    v->path);
    if (color & PNG_COLOR_MASK_ALPHA || png_get_valid(v->png, v->info, PNG_INFO_tRNS))
        return fail(DFL_E_FORMAT, "'%s' has transparency; save it again as grey or RGB without",
                    v->path);
    return DFL_OK;
}

static dfl_status judge(viewer *v) {
    const size_t channels = png_get_channels(v->png, v->info);
    v->out.height = png_get_image_height(v->png, v->info);
    v->out.width = png_get_image_width(v->png, v->info);
    v->out.channels = png_get_color_type(v->png, v->info) & PNG_COLOR_MASK_COLOR ? 3 : 1;
    TRY(check_size(v, channels * png_get_bit_depth(v->png, v->info)));
    TRY(check_kind(v));
    v->out.pixels = mem_array(v->out.height * v->out.width, (size_t)v->out.channels);
    return v->out.pixels ? DFL_OK : fail_memory();
}

/* Chunks of any size that say nothing about the pixels are passed over, not held in memory. */
static void pass_over(viewer *v) {
    static const png_byte names[] = "tEXt\0zTXt\0iTXt\0iCCP\0eXIf\0sPLT";
    png_set_chunk_malloc_max(v->png, 0); /* libpng would refuse them by their size; see on_malloc */
    png_set_keep_unknown_chunks(v->png, PNG_HANDLE_CHUNK_NEVER, names, sizeof names / 5);
}

/* The part that libpng may jump out of. */
static dfl_status view(viewer *v) {
    if (setjmp(png_jmpbuf(v->png))) return v->status;
    png_set_user_limits(v->png, PNG_UINT_31_MAX, PNG_UINT_31_MAX); /* ours come with a sentence */
    pass_over(v);
    png_set_read_fn(v->png, v, on_read);
    png_read_info(v->png, v->info);
    v->status = judge(v);
    if (v->status != DFL_OK) return v->status;
    png_set_expand(v->png);
    const int passes = png_set_interlace_handling(v->png);
    png_read_update_info(v->png, v->info);
    const size_t stride = v->out.width * (size_t)v->out.channels;
    if (png_get_rowbytes(v->png, v->info) != stride) png_error(v->png, "its rows do not add up");
    for (int pass = 0; pass < passes; pass++)
        for (size_t y = 0; y < v->out.height; y++)
            png_read_row(v->png, v->out.pixels + y * stride, NULL);
    png_read_end(v->png, NULL);
    return DFL_OK;
}

static dfl_status view_bytes(viewer *v) {
    if (v->size < 8 || png_sig_cmp((png_const_bytep)v->data, 0, 8))
        return fail(DFL_E_FORMAT, "'%s' is not a PNG file", v->path);
    v->png = png_create_read_struct_2(PNG_LIBPNG_VER_STRING, v, on_error, on_warning, v, on_malloc,
                                      on_free);
    v->info = v->png ? png_create_info_struct(v->png) : NULL;
    const dfl_status status = v->info ? view(v) : fail_memory();
    png_destroy_read_struct(&v->png, &v->info, NULL);
    return status;
}

dfl_status png_read(const char *path, bitmap *out) {
    viewer v = {.path = path};
    char *data = NULL;
    *out = (bitmap){0};
    TRY(file_read(path, FILE_MAX, &data, &v.size));
    v.data = data;
    const dfl_status status = view_bytes(&v);
    free(data);
    if (status == DFL_OK)
        *out = v.out;
    else
        free(v.out.pixels);
    return status;
}

void bitmap_free(bitmap *b) {
    free(b->pixels);
    *b = (bitmap){0};
}
