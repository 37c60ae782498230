/* Resampling by a filter whose support grows with the reduction, columns first, then rows.
 *
 * Output j of n_out from n_in values: scale s = n_in/n_out, filter scale f = max(s, 1), centre
 * c = (j + 1/2) s; every input i with its middle i + 1/2 within support * f of c has the weight
 *
 *   w_i = k((i + 1/2 - c)/f),  normalised to sum 1;
 *
 * k is the triangle (bilinear, support 1) or the cubic convolution with a = -1/2 (bicubic, support
 * 2; R. Keys, IEEE Trans. ASSP 29, 1981). The window's ends are rounded as Pillow's are
 * (src/libImaging/Resample.c, "precompute_coeffs"), sums are in double, and the result of a pass is
 * kept as float, as in Pillow's mode F. */
#include "eval/resize.h"

#include <math.h>
#include <stdlib.h>

/* The weights of one axis: output j sums count[j] inputs from first[j] on. */
typedef struct {
    size_t in, out, most;
    size_t *first, *count; /* [out] */
    double *weight;        /* [out][most] */
} axis;

struct resizer {
    resize_wish wish;
    axis x, y;
    float *wide; /* [height][out_width] of one channel */
};

static double triangle(double x) {
    x = fabs(x);
    return x < 1 ? 1 - x : 0;
}

static double cubic(double x) {
    const double a = -0.5;
    x = fabs(x);
    if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
    if (x < 2) return ((x - 5) * x + 8) * a * x - 4 * a;
    return 0;
}

static const struct {
    double (*kernel)(double x);
    double support;
} filters[] = {[RESIZE_BILINEAR] = {triangle, 1}, [RESIZE_BICUBIC] = {cubic, 2}};

static void fill(axis *a, resize_rule rule) {
    const double scale = (double)a->in / (double)a->out, wide = scale > 1 ? scale : 1;
    const double support = filters[rule].support * wide;
    for (size_t j = 0; j < a->out; j++) {
        const double centre = ((double)j + 0.5) * scale;
        const double low = floor(centre - support + 0.5), high = floor(centre + support + 0.5);
        const size_t first = low > 0 ? (size_t)low : 0;
        const size_t end = high < (double)a->in ? (size_t)high : a->in;
        double *const w = a->weight + j * a->most, sum = 0;
        for (size_t i = first; i < end; i++)
            sum += w[i - first] = filters[rule].kernel(((double)i + 0.5 - centre) / wide);
        for (size_t i = first; i < end; i++) w[i - first] /= sum;
        a->first[j] = first;
        a->count[j] = end - first;
    }
}

static dfl_status make_axis(axis *a, resize_rule rule, size_t in, size_t out) {
    const double scale = (double)in / (double)out;
    a->in = in;
    a->out = out;
    a->most = 2 * (size_t)ceil(filters[rule].support * (scale > 1 ? scale : 1)) + 1;
    a->first = mem_array(out, sizeof *a->first);
    a->count = mem_array(out, sizeof *a->count);
    a->weight = mem_array(mem_product(out, a->most, 1), sizeof *a->weight);
    if (!a->first || !a->count || !a->weight) return fail_memory();
    fill(a, rule);
    return DFL_OK;
}

static void free_axis(axis *a) {
    free(a->first);
    free(a->count);
    free(a->weight);
}

dfl_status resizer_new(const resize_wish *wish, resizer **out) {
    *out = NULL;
    resizer *const r = mem_array(1, sizeof *r);
    if (!r) return fail_memory();
    r->wish = *wish;
    dfl_status status = make_axis(&r->x, wish->rule, wish->width, wish->out_width);
    if (status == DFL_OK) status = make_axis(&r->y, wish->rule, wish->height, wish->out_height);
    if (status == DFL_OK) {
        r->wide = mem_array(mem_product(wish->height, wish->out_width, 1), sizeof *r->wide);
        if (!r->wide) status = fail_memory();
    }
    if (status == DFL_OK)
        *out = r;
    else
        resizer_free(r);
    return status;
}

void resizer_free(resizer *r) {
    if (!r) return;
    free_axis(&r->x);
    free_axis(&r->y);
    free(r->wide);
    free(r);
}

bool resizer_fits(const resizer *r, size_t height, size_t width, size_t channels) {
    return r && r->wish.height == height && r->wish.width == width && r->wish.channels == channels;
}

static void across(const resizer *r, const uint8_t *pixels) {
    const size_t channels = r->wish.channels;
    for (size_t y = 0; y < r->wish.height; y++) {
        const uint8_t *const row = pixels + y * r->wish.width * channels;
        for (size_t j = 0; j < r->x.out; j++) {
            const double *const w = r->x.weight + j * r->x.most;
            const uint8_t *const from = row + r->x.first[j] * channels;
            double sum = 0;
            for (size_t i = 0; i < r->x.count[j]; i++) sum += w[i] * from[i * channels];
            r->wide[y * r->x.out + j] = (float)sum;
        }
    }
}

static void down(const resizer *r, float *dst) {
    for (size_t j = 0; j < r->y.out; j++) {
        const double *const w = r->y.weight + j * r->y.most;
        const float *const from = r->wide + r->y.first[j] * r->x.out;
        for (size_t x = 0; x < r->x.out; x++) {
            double sum = 0;
            for (size_t i = 0; i < r->y.count[j]; i++) sum += w[i] * (double)from[i * r->x.out + x];
            dst[j * r->x.out + x] = (float)sum;
        }
    }
}

void resizer_run(resizer *r, const uint8_t *pixels, float *dst) {
    for (size_t c = 0; c < r->wish.channels; c++) {
        across(r, pixels + c);
        down(r, dst + c * r->y.out * r->x.out);
    }
}
