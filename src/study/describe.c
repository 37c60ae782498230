/* The listings of the families. */
#include <string.h>

#include "grid/grid.h"
#include "solver/solver.h"
#include "study/study.h"

dfl_status dfl_describe(const char *family_name, char *buf, size_t cap, size_t *need) {
    const struct {
        const char *name;
        const family *f;
    } families[] = {{"solvers", &solver_family},
                    {"grids", &grid_family},
                    {"processes", &process_family},
                    {"adaptive", &adaptive_family}};
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++)
        if (family_name && strcmp(family_name, families[i].name) == 0) {
            text out = {0};
            family_describe(families[i].f, &out);
            return text_result(&out, buf, cap, need);
        }
    return fail(DFL_E_ARG, "dfl_describe: '%.40s'; solvers, grids, processes or adaptive is needed",
                family_name ? family_name : "");
}
