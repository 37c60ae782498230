/* Order conditions of fitted steps (docs/fitted-plans.md): what fit_space.c asks. */
#ifndef DFL_FIT_ORDER_H
#define DFL_FIT_ORDER_H

#include "study/fit.h"

size_t fit_order(const fit *f); /* 2 or 3; 0: none is asked */
dfl_status fit_order_check(const fit *f);
dfl_status fit_order_check_times(const fit *f); /* after the student's times */

/* Of step n: conditions on a row of coefficients; the base and what may be added, as fit_base() and
   fit_basis() have them. */
size_t fit_order_conditions(const fit *f, size_t n);
void fit_order_base(const fit *f, const double *t, size_t n, double *base);
void fit_order_basis(const fit *f, const double *t, size_t n, double *basis);

#endif
