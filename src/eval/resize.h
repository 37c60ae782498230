/* Pictures of bytes to the size a feature network takes, without aliasing: as Pillow's
   Image.resize on floating-point channels, which clean-fid uses (arXiv 2104.11222). */
#ifndef DFL_RESIZE_H
#define DFL_RESIZE_H

#include "base/base.h"

typedef enum { RESIZE_NONE, RESIZE_BILINEAR, RESIZE_BICUBIC } resize_rule;

typedef struct resizer resizer;

/* From pictures [height][width][channels] to [channels][out_height][out_width]. */
typedef struct {
    resize_rule rule; /* not NONE */
    size_t height, width, channels, out_height, out_width;
} resize_wish;

dfl_status resizer_new(const resize_wish *wish, resizer **out);
void resizer_free(resizer *r); /* NULL is fine */
bool resizer_fits(const resizer *r, size_t height, size_t width, size_t channels);

/* One picture; values 0..255, which bicubic may pass. */
void resizer_run(resizer *r, const uint8_t *pixels, float *dst);

#endif
