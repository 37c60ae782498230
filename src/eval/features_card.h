/* The card of a feature network, features.json; docs/features-card.md documents the keys. */
#ifndef DFL_FEATURES_CARD_H
#define DFL_FEATURES_CARD_H

#include "eval/resize.h"

enum { FEATURES_MAX = 1 << 14 }; /* numbers of a picture */

typedef struct {
    char *name, *file; /* absolute path, inside the folder */
    char sha256[DIGEST_HEX];
    char *images, *features, *logits, *layer; /* names in the graph; logits, layer may be NULL */
    size_t shape[3];                          /* channels, height, width */
    double range[2];                          /* of bytes 0 and 255 */
    resize_rule rule;
    size_t width, classes;
} features_card;

/* Reads features.json of a folder; a stranger's. E_IO, E_FORMAT, E_KEY, E_RANGE. */
dfl_status features_card_read(const char *folder, features_card *out);
/* The same from text; the file is then only a name, not looked for. */
dfl_status features_card_parse(const char *where, const char *json, size_t length,
                               features_card *out);
void features_card_free(features_card *c);

/* 64 digits of all that features depend on: network, its output, size, range, resizing. */
dfl_status features_card_digest(const features_card *c, char hex[DIGEST_HEX]);

extern const char resize_words[]; /* "none|bilinear|bicubic" */

#endif
