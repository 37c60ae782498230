/* Pictures that are evaluated: 8-bit, by absolute index, a piece at a time, wherever they come from.
   Samples of a model are always seen as the pictures they would be saved as. */
#ifndef DFL_PICTURES_H
#define DFL_PICTURES_H

#include "base/base.h"

enum { PICTURE_SIDE_MAX = 1 << 14 };

/* n pictures [n][height][width][channels] of one size, channels 1 (grey) or 3 (RGB). */
typedef struct {
    uint64_t first; /* absolute index of the first one: it fixes the row in a network call */
    size_t n, height, width, channels;
    const uint8_t *pixels; /* borrowed */
} picture_set;

#endif
