/* Bytes of pictures to the network's input (resized, grey made RGB, put into the card's range), and
   its answers back. Picture i always sits in row i mod ROWS of a network call, as samples do in
   model/pack.h: the bits of its features depend on nothing else. */
#include "eval/extractor.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "eval/features_card.h"
#include "model/features.h"

enum { ROWS = 32 };

struct extractor {
    bool pixels;
    features_card card;
    char digest[DIGEST_HEX];
    feature_graph *graph;
    resizer *resizer;
    float level[256]; /* value of a byte */
};

/* ---- opening --------------------------------------------------------------------------------- */

static void fill_levels(extractor *e) {
    const double lo = e->card.range[0], hi = e->card.range[1];
    for (int i = 0; i < 256; i++) e->level[i] = (float)(lo + (hi - lo) * i / 255.0);
}

static dfl_status open_pixels(extractor *e) {
    e->pixels = true;
    e->card.range[0] = -1;
    e->card.range[1] = 1;
    e->card.name = text_copy("pixels");
    digest_bytes("pixels", 6, e->digest);
    return e->card.name ? DFL_OK : fail_memory();
}

static dfl_status open_network(extractor *e, const char *folder, int threads) {
    char hex[DIGEST_HEX];
    TRY(features_card_read(folder, &e->card));
    const features_card *const c = &e->card;
    TRY(digest_file(c->file, hex));
    if (strcmp(hex, c->sha256) != 0)
        return fail(DFL_E_MODEL,
                    "%s: the sha256 is %s, but the card says %s; the file was changed or damaged",
                    c->file, hex, c->sha256);
    TRY(features_card_digest(c, e->digest));
    return feature_graph_open(&(feature_wish){c->file,
                                              c->images,
                                              c->features,
                                              c->logits,
                                              3,
                                              {c->shape[0], c->shape[1], c->shape[2]},
                                              c->width,
                                              c->classes,
                                              ROWS,
                                              threads},
                              &e->graph);
}

dfl_status extractor_open(const char *folder, int threads, extractor **out) {
    *out = NULL;
    extractor *const e = mem_array(1, sizeof *e);
    if (!e) return fail_memory();
    const dfl_status status =
        strcmp(folder, "pixels") == 0 ? open_pixels(e) : open_network(e, folder, threads);
    if (status == DFL_OK) {
        fill_levels(e);
        *out = e;
    } else {
        extractor_free(e);
    }
    return status;
}

void extractor_free(extractor *e) {
    if (!e) return;
    feature_graph_free(e->graph);
    resizer_free(e->resizer);
    features_card_free(&e->card);
    free(e);
}

/* ---- what it takes --------------------------------------------------------------------------- */

static dfl_status fit_pixels(extractor *e, size_t height, size_t width, size_t channels) {
    const size_t wanted[] = {channels, height, width};
    if (e->card.width == 0) {
        const size_t numbers = mem_product(channels, height, width);
        if (numbers > FEATURES_MAX)
            return fail(DFL_E_COMBINATION,
                        "pictures of %zu x %zu pixels have %zu numbers; as features, at most %d "
                        "are allowed",
                        width, height, numbers, FEATURES_MAX);
        memcpy(e->card.shape, wanted, sizeof wanted);
        e->card.width = numbers;
    }
    if (memcmp(e->card.shape, wanted, sizeof wanted) == 0) return DFL_OK;
    return fail(DFL_E_COMBINATION,
                "pictures of %zu x %zu pixels with %zu channels beside others of %zu x %zu with "
                "%zu: as features they must be of one size",
                width, height, channels, e->card.shape[2], e->card.shape[1], e->card.shape[0]);
}

dfl_status extractor_fit(extractor *e, size_t height, size_t width, size_t channels) {
    const features_card *const c = &e->card;
    if (e->pixels) return fit_pixels(e, height, width, channels);
    if (channels != c->shape[0] && channels != 1)
        return fail(DFL_E_COMBINATION,
                    "the pictures have %zu channels, and extractor %s takes 1: save them as grey",
                    channels, c->name);
    const bool same = height == c->shape[1] && width == c->shape[2];
    if (same || c->rule != RESIZE_NONE) return DFL_OK;
    return fail(DFL_E_COMBINATION,
                "the pictures have %zu x %zu pixels; extractor %s takes %zu x %zu, and its card "
                "(resize) does not say how to get there",
                width, height, c->name, c->shape[2], c->shape[1]);
}

size_t extractor_width(const extractor *e) {
    return e->card.width;
}

size_t extractor_classes(const extractor *e) {
    return e->card.classes;
}

const char *extractor_name(const extractor *e) {
    return e->card.name;
}

const char *extractor_digest(const extractor *e) {
    return e->digest;
}

/* ---- one call -------------------------------------------------------------------------------- */

/* A picture whose size is right already. */
static void spread(const extractor *e, const picture_set *set, const uint8_t *pixels, float *dst) {
    const size_t area = set->height * set->width;
    for (size_t c = 0; c < set->channels; c++)
        for (size_t i = 0; i < area; i++)
            dst[c * area + i] = e->level[pixels[i * set->channels + c]];
}

/* Resizing comes before the range, on values 0 to 255. */
static dfl_status shrink(extractor *e, const picture_set *set, const uint8_t *pixels, float *dst) {
    const features_card *const c = &e->card;
    const size_t n = set->channels * c->shape[1] * c->shape[2];
    if (!resizer_fits(e->resizer, set->height, set->width, set->channels)) {
        resizer_free(e->resizer);
        TRY(resizer_new(&(resize_wish){c->rule, set->height, set->width, set->channels, c->shape[1],
                                       c->shape[2]},
                        &e->resizer));
    }
    resizer_run(e->resizer, pixels, dst);
    const double lo = c->range[0], hi = c->range[1];
    for (size_t i = 0; i < n; i++) dst[i] = (float)(lo + (hi - lo) * (double)dst[i] / 255.0);
    return DFL_OK;
}

/* Picture i of the set as the network takes it. */
static dfl_status prepare(extractor *e, const picture_set *set, size_t i, float *dst) {
    const uint8_t *const pixels = set->pixels + i * set->height * set->width * set->channels;
    const size_t *const shape = e->card.shape, area = shape[1] * shape[2];
    if (set->height == shape[1] && set->width == shape[2])
        spread(e, set, pixels, dst);
    else
        TRY(shrink(e, set, pixels, dst));
    for (size_t c = set->channels; c < shape[0]; c++)
        memcpy(dst + c * area, dst, area * sizeof *dst);
    return DFL_OK;
}

static dfl_status check_finite(const extractor *e, const float *x, size_t n, uint64_t first) {
    for (size_t i = 0; i < n; i++)
        if (!isfinite(x[i]))
            return fail(DFL_E_NONFINITE,
                        "extractor %s: no finite number for one of the pictures "
                        "from %llu on",
                        e->card.name, (unsigned long long)first);
    return DFL_OK;
}

/* What is called for: pictures as bytes, or as numbers. */
typedef struct {
    uint64_t first;
    size_t n;
    const picture_set *bytes; /* NULL: reals */
    const real_set *reals;
} job;

static void put_reals(const extractor *e, const real_set *set, size_t i, float *dst) {
    const size_t area = set->height * set->width, n = set->channels * area;
    const double lo = e->card.range[0], hi = e->card.range[1];
    for (size_t k = 0; k < n; k++) {
        const double at = (set->x[i * n + k] - set->range[0]) / (set->range[1] - set->range[0]);
        dst[k] = (float)(lo + (hi - lo) * fmin(fmax(at, 0), 1));
    }
    for (size_t c = set->channels; c < e->card.shape[0]; c++)
        memcpy(dst + c * area, dst, area * sizeof *dst);
}

static dfl_status put(extractor *e, const job *j, size_t i, float *dst) {
    if (j->bytes) return prepare(e, j->bytes, i, dst);
    put_reals(e, j->reals, i, dst);
    return DFL_OK;
}

/* n pictures of the set from number `from` on, into rows row .. row + n of a call. */
static dfl_status call(extractor *e, const job *set, size_t from, size_t n, float *features,
                       float *logits) {
    const size_t row = (size_t)((set->first + from) % ROWS), width = e->card.width;
    const size_t size = e->card.shape[0] * e->card.shape[1] * e->card.shape[2];
    float *const input = feature_graph_input(e->graph);
    const float *x = NULL, *y = NULL;
    for (size_t i = 0; i < n; i++) TRY(put(e, set, from + i, input + (row + i) * size));
    for (size_t r = 0; r < ROWS; r++) /* never what a call before left there */
        if (r < row || r >= row + n) memcpy(input + r * size, input + row * size, size * sizeof *x);
    TRY(feature_graph_run(e->graph, &x, &y));
    TRY(check_finite(e, x + row * width, n * width, set->first + from));
    memcpy(features + from * width, x + row * width, n * width * sizeof *x);
    if (!logits || !y) return DFL_OK;
    const size_t classes = e->card.classes;
    TRY(check_finite(e, y + row * classes, n * classes, set->first + from));
    memcpy(logits + from * classes, y + row * classes, n * classes * sizeof *y);
    return DFL_OK;
}

static dfl_status call_all(extractor *e, const job *set, float *features, float *logits) {
    for (size_t from = 0, n = 0; from < set->n; from += n) {
        n = ROWS - (size_t)((set->first + from) % ROWS);
        if (n > set->n - from) n = set->n - from;
        TRY(call(e, set, from, n, features, logits));
    }
    return DFL_OK;
}

dfl_status extractor_run(extractor *e, const picture_set *set, float *features, float *logits) {
    TRY(extractor_fit(e, set->height, set->width, set->channels));
    const size_t size = set->height * set->width * set->channels;
    for (size_t i = 0; e->pixels && i < set->n; i++)
        spread(e, set, set->pixels + i * size, features + i * size);
    if (e->pixels) return DFL_OK;
    return call_all(e, &(job){.first = set->first, .n = set->n, .bytes = set}, features, logits);
}

dfl_status extractor_fit_reals(extractor *e, size_t height, size_t width, size_t channels) {
    const size_t *const shape = e->card.shape;
    TRY(extractor_fit(e, height, width, channels));
    if (height == shape[1] && width == shape[2]) return DFL_OK;
    return fail(DFL_E_COMBINATION,
                "samples of %zu x %zu would have to be resized for extractor %s, which takes "
                "%zu x %zu; that is done to finished pictures only",
                width, height, e->card.name, shape[2], shape[1]);
}

dfl_status extractor_run_reals(extractor *e, const real_set *set, float *features) {
    TRY(extractor_fit_reals(e, set->height, set->width, set->channels));
    for (size_t i = 0; e->pixels && i < set->n; i++)
        put_reals(e, set, i, features + i * e->card.width);
    if (e->pixels) return DFL_OK;
    return call_all(e, &(job){.first = set->first, .n = set->n, .reals = set}, features, NULL);
}
