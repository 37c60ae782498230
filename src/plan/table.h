/* Published tables of coefficients as plans: docs/plan-format.md. */
#ifndef DFL_TABLE_H
#define DFL_TABLE_H

#include "grid/grid.h"
#include "plan/plan.h"

enum { TABLE_STEPS_MAX = 10000, TABLE_OUTPUTS_MAX = 32 };

/* x' = x_coefficient x + sum over k of c[k] y_k: y_0 the output at `from`, y_1 that of the step
   before, and so on. */
typedef struct {
    double from, to; /* of the table's quantity */
    double x, c[TABLE_OUTPUTS_MAX];
    size_t outputs; /* of c, at least 1 */
} table_step;

typedef struct {
    grid_unit unit;
    prediction predicts; /* what the outputs y are */
    table_step *steps;   /* [n] */
    size_t n, cap;
    char *source; /* NULL: the table does not say */
} plan_table;

/* A CSV file, or JSON where it begins with a brace. E_IO, E_FORMAT, E_KEY, E_RANGE. */
dfl_status table_read(const char *path, plan_table *out);
void table_free(plan_table *t);

/* The plan of a table for a scalar process and a network. `title` stands for where it comes from. The
   size of the largest violation of consistency, and its step from 0: how far one step takes the
   state of a constant x_0 and n off its label. It is told in the plan's meta, and in a warning where
   it is more than rounding of printed digits, 1e-3. */
typedef struct {
    double violation;
    size_t worst;
} table_check;
dfl_status table_plan(const plan_table *t, const plan_source *to, const char *title,
                      table_check *check, dfl_plan **out);

#endif
