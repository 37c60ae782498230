/* Models as the command line asks for them. */
#ifndef CLI_OPEN_H
#define CLI_OPEN_H

#include "model/model.h"
#include "options.h"

/* The first operand, on as many threads as --threads says. */
dfl_status open_model(const args *a, dfl_model **out);

#define GUIDANCE_ROWS                                                                              \
    {                                                                                              \
        'g',      "guidance", NULL, "W", NULL, "classifier-free guidance; 1 is none",              \
        ARG_REAL, -1e3,       1e3},                                                                \
    {                                                                                              \
        0, "classifier-guidance", NULL, "W", NULL,                                                 \
            "scale of the gradient of the model's classifier; 0 is none", ARG_REAL, -1e3, 1e3      \
    }

/* Puts --guidance, and --classifier-guidance around it, around *model where they are given; on
   failure the model is gone and *model NULL. */
dfl_status guide_model(const args *a, dfl_model **model);

/* The label that the word of --class means: index, name or null. E_COMBINATION, E_RANGE. */
dfl_status find_class(const card *c, const char *word, int64_t *out);

#endif
