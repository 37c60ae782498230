/* "driftless solvers", "grids", "processes": what there is, from the tables that parse it. */
#include <stdlib.h>

#include "cli.h"

static int run_list(const args *a);

static const arg_row rows[] = {ROWS_END};

const command command_solvers = {
    "solvers", "",      "Lists the solvers with their options, defaults and papers.", NULL, 0, 0,
    rows,      run_list};
const command command_grids = {
    "grids", "",      "Lists the time grids with their options and defaults.", NULL, 0, 0,
    rows,    run_list};
const command command_processes = {
    "processes", "",      "Lists the forward processes with their options and defaults.",
    NULL,        0,       0,
    rows,        run_list};

static dfl_status get_family(const void *name, char *buf, size_t cap, size_t *need) {
    return dfl_describe(name, buf, cap, need);
}

static dfl_status print_family(const char *name) {
    char *data = NULL;
    dfl_status status = fetch_text(get_family, name, &data);
    if (status == DFL_OK) status = print_out(data);
    free(data);
    return status;
}

static int run_list(const args *a) {
    /* A command bears the name of its family. */
    dfl_status status = print_family(a->command->name);
    if (status == DFL_OK && a->command == &command_solvers) {
        status = print_out("\nadaptive, for \"driftless sample\" only: no plans, without grid or "
                           "number of steps\n\n");
        if (status == DFL_OK) status = print_family("adaptive");
    }
    return status == DFL_OK ? CODE_OK : tell_failure(status, CODE_FAILURE);
}
