/* Integrals over rho on scalar processes. */
#ifndef DFL_OVERRHO_H
#define DFL_OVERRHO_H

#include "process/process.h"

/* A function of time, whose rho is at hand, too. */
typedef double rho_integrand(double t, double rho, const void *user);

/* int_lo^hi f(t(rho)) drho, 0 <= lo, between which the process has no kinks; down to 0 with what rho
   jumps by at t = 0 itself, all of it at t = 0. Infinite where hi is. */
double rho_integrate(const process *p, rho_integrand *f, const void *user, double lo, double hi,
                     int points);

#endif
