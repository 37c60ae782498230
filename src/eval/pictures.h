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

/* Where pictures come from; implementations embed this as their first member. */
typedef struct picture_source picture_source;
struct picture_source {
    text what;      /* for people: "pictures of folder DIR" */
    uint64_t first; /* index of picture 0 */
    size_t count;
    char digest[DIGEST_HEX]; /* of what is read, so that another folder is not taken for it */
    /* At least one and at most n pictures of one size from number `from` on (0 <= from < count);
       the pixels are the source's until the next call. */
    dfl_status (*read)(picture_source *self, size_t from, size_t n, picture_set *out);
    void (*free)(picture_source *self); /* all but the block itself and `what` */
};

typedef struct {
    const char *path;
    uint64_t first;  /* index of the first picture: cut sets join up */
    size_t count;    /* the first so many; 0: all */
    double range[2]; /* of numbers that are not bytes */
} picture_wish;

/* A folder of PNG files in the order of their names, .npz (arr_0), .npy, or idx3-ubyte, plain or .gz.
   Arrays are u8 [n][H][W][C], [n][C][H][W] or [n][H][W], or float with the same shapes, C in {1, 3};
   if both ends fit, bytes have the channels last, as guided-diffusion writes, and numbers first, as
   "driftless sample" does. */
dfl_status pictures_open(const picture_wish *wish, picture_source **out);

/* Samples of a model, drawn as they are asked for; model and plan are borrowed. */
typedef struct {
    dfl_model *model;
    const dfl_plan *plan;
    uint64_t seed, first;
    size_t count, batch;
    const char *start, *start_name; /* ",prior=FILE...": options of the run, "" for none; what tells
                                       these starts from others */
    int (*watch)(void *user, double pictures); /* told how far each step came; not 0 ends the run */
    void *user;
} drawn_wish;
dfl_status pictures_drawn(const drawn_wish *wish, picture_source **out);

dfl_status pictures_read(picture_source *s, size_t from, size_t n, picture_set *out);
void pictures_free(picture_source *s); /* NULL is fine */

/* For implementations: all pictures of arrays have one layout. */
typedef struct {
    int type; /* an array_type */
    size_t n, height, width, channels;
    bool channels_first;
} picture_layout;

#endif
