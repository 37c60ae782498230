/* Networks that come with the program, found by their names. */
#ifndef CLI_SHIPPED_H
#define CLI_SHIPPED_H

#include "options.h"

/* The folder of the extractor that --features asks for: the folder it names; else, for a name without
   a slash, the one that was installed or built with the program under it; without the option
   fashion-classifier. "pixels" stays as it is. E_IO if there is none. */
dfl_status shipped_extractor(const args *a, text *out);

#define SHIPPED_EXTRACTOR_ROW                                                                      \
    {                                                                                              \
        'f', "features", NULL, "FOLDER", "fashion-classifier",                                     \
            "extractor: a folder with features.json, the name of one that comes with the program " \
            "(fashion-classifier, mnist-lenet5), or pixels",                                       \
            ARG_FILE, 0, 0                                                                         \
    }

#endif
