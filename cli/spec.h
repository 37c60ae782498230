/* The options that describe a sampler, shared by "sample" and "plan", and what is made of them. */
#ifndef CLI_SPEC_H
#define CLI_SPEC_H

#include "model/model.h"
#include "options.h"

/* Rows of the option table. */
/* clang-format off */
#define SPEC_BUDGET                                                                                \
    {0, "nfe", NULL, "N", NULL, "budget of network evaluations per sample, in place of --steps",   \
     ARG_INT, 1, 1e5}
#define SPEC_BUDGETS                                                                               \
    {0, "nfe", NULL, "N[,N...]", NULL,                                                             \
     "budget of network evaluations per sample, in place of --steps; several with --predict",      \
     ARG_TEXT, 0, 0}
#define SPEC_SOLVER(AUTO)                                                                          \
    {0, "solver", "sampling-method", "TEXT", "deis", "solver and its options, e.g. deis:order=2"   \
     AUTO, ARG_TEXT, 0, 0},                                                                        \
    {0, "steps", NULL, "N", "10", "number of steps", ARG_INT, 1, 1e5}
#define SPEC_REST                                                                                  \
    {0, "grid", "scheduler", "TEXT", "power:kappa=2", "time grid and its options", ARG_TEXT, 0, 0},\
    {0, "process", NULL, "TEXT", "the card's", "forward process and its options", ARG_TEXT, 0, 0}, \
    {0, "t-start", NULL, "T", "the card's t_max", "time to start from", ARG_REAL, 0, 1},           \
    {0, "t-end", NULL, "T", "the card's t_min", "time to end at", ARG_REAL, 0, 1},                 \
    {0, "denoise", NULL, NULL, NULL, "one more evaluation, to land on clean samples", ARG_FLAG,    \
     0, 0},                                                                                        \
    {0, "published", NULL, NULL, NULL, "solver, grid and end that the card names, where not given",\
     ARG_FLAG, 0, 0},                                                                              \
    {0, "thresholding", NULL, NULL, NULL, "dynamic thresholding of predicted clean samples",       \
     ARG_FLAG, 0, 0},                                                                              \
    {0, "dynamic-thresholding-ratio", NULL, "Q", "0.995", "quantile that is the threshold",        \
     ARG_REAL, 0.01, 1},                                                                           \
    {0, "sample-max-value", NULL, "V", "1", "least threshold", ARG_REAL, 1e-3, 1e3}
#define SPEC_ROWS SPEC_ROWS_WITH(SPEC_BUDGET)
#define SPEC_ROWS_WITH(BUDGET)                                                                     \
    SPEC_SOLVER("; auto: the best plan kept in MODEL/plans for the budget, else the best solver "  \
                "known"),                                                                          \
    BUDGET,                                                                                        \
    SPEC_REST,                                                                                     \
    {0, "tuned", NULL, "FILE", "MODEL/tuned.json", "where auto in --solver or --grid looks",       \
     ARG_FILE, 0, 0}
/* Of a command that does not look up auto. */
#define SPEC_ROWS_PLAIN SPEC_SOLVER(""), SPEC_BUDGET, SPEC_REST
/* clang-format on */

/* Adds key=value for each of the options that is given, apart by blanks; a key is its option with _
   for -. E_ARG if a value has a blank, be it in quotes or, where `quotes` may shield it, not. */
dfl_status spec_add(const args *a, const char *const *options, size_t n, bool quotes, text *out);

/* E_ARG where an option of a sampler says auto to a command that does not look it up. */
dfl_status spec_refuse_auto(const args *a, const char *option);

/* The text that dfl_plan_new reads. E_ARG where the options contradict each other. */
dfl_status spec_make(const args *a, text *out);

/* The same without what --solvers, --grids and a list of budgets say cell by cell. */
dfl_status spec_make_rest(const args *a, text *out);

/* --solver auto, beside which only --steps, --nfe and --tuned may stand: E_ARG in *status. */
bool spec_is_auto(const args *a, dfl_status *status);

/* A plan for the model: of the specification, with tuned values in place of auto, or for --solver
   auto whatever is best for the budget. Says on stderr what was looked up, unless `quiet`. */
typedef struct {
    bool quiet;
    text spec; /* as spec_make left it; then what the plan was made from */
    text file; /* the plan's file, if it was a stored one */
    dfl_plan *plan;
} spec_made;
dfl_status spec_compile(const args *a, const dfl_model *model, spec_made *made);
void spec_free(spec_made *made); /* all but the plan */

/* E_ARG if any of the options above stands beside "plan", a plan that was read from a file, or, but for
   --process, beside "import", a table of coefficients. */
dfl_status spec_refuse(const args *a, const char *beside);

/* A plan from a file's JSON text; what is wrong with it is E_FORMAT or E_IO, never a usage error.
 */
dfl_status plan_load(const char *path, dfl_plan **out);

/* What the plan's makers warn of, on standard error. */
dfl_status plan_tell_warnings(const dfl_plan *plan);

/* The plan as JSON text, to be freed. */
dfl_status plan_json(const dfl_plan *plan, char **out);

/* "mixture:FILE.json" gives FILE.json, anything else NULL. */
const char *mixture_path(const char *where);

#endif
