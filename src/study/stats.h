/* Statistics that come from elsewhere; gathering, saving and merging are in the public header. */
#ifndef DFL_STATS_H
#define DFL_STATS_H

#include "base/base.h"

/* Takes ratios that were published as an array NAME_ratio_by_t of an .npz; they belong to no model
   that could be named. */
dfl_status stats_import(const char *npz, const char *name, const char *path);

#endif
