/* Features of pictures by an ONNX network with a card, features.json (docs/features-card.md), or the
   pixels themselves. What comes out for a picture depends on it and its index alone, never on how
   many are asked for at once. */
#ifndef DFL_EXTRACTOR_H
#define DFL_EXTRACTOR_H

#include "eval/pictures.h"

typedef struct extractor extractor;

/* Opens a folder with features.json and its network, which must have the digest that the card
   names; or "pixels": the values of the pictures, [channels][height][width], 0..255 as -1..1.
   threads 0: all cores. E_IO, E_FORMAT, E_KEY, E_RANGE, E_MODEL, E_RUNTIME. */
dfl_status extractor_open(const char *folder, int threads, extractor **out);
void extractor_free(extractor *e); /* NULL is fine */

/* Whether it takes pictures of this size: E_COMBINATION, with a sentence, if not. It fixes the width
   of "pixels", and must be called before it is asked for. */
dfl_status extractor_fit(extractor *e, size_t height, size_t width, size_t channels);

size_t extractor_width(const extractor *e);       /* d; 0: pixels that have not been fitted */
size_t extractor_classes(const extractor *e);     /* 0: no logits */
const char *extractor_name(const extractor *e);   /* of the card, or the folder's name */
const char *extractor_digest(const extractor *e); /* 64 digits: of network, layer, resize, range */

/* features [n][width], logits [n][classes] or NULL. E_COMBINATION if the pictures do not fit,
   E_NONFINITE if the network answers with what is no number, E_MODEL. */
dfl_status extractor_run(extractor *e, const picture_set *bytes, float *features, float *logits);

/* n samples [n][channels][height][width], of values `range`, as the pictures they would be but without
   rounding to bytes; what is beyond the range is at its end. */
typedef struct {
    uint64_t first; /* as of picture_set */
    size_t n, height, width, channels;
    double range[2];
    const double *x;
} real_set;

/* As extractor_fit, E_COMBINATION also if samples of this size would have to be resized. */
dfl_status extractor_fit_reals(extractor *e, size_t height, size_t width, size_t channels);
/* As extractor_run, without logits, of samples that fit so. */
dfl_status extractor_run_reals(extractor *e, const real_set *set, float *features);

#endif
