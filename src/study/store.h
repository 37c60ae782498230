/* The file that keeps the choices of tuning. */
#ifndef DFL_STORE_H
#define DFL_STORE_H

#include "base/json.h"
#include "study/tune.h"

/* The given path, or tuned.json in the model's folder. */
dfl_status store_path(const dfl_model *model, const char *given, text *out);

/* Reads a store and checks that it belongs to the model. *root is to be given to json_decref;
 *entries is part of it. */
dfl_status store_open(const dfl_model *model, const char *path, json_t **root,
                      const json_t **entries);

#endif
