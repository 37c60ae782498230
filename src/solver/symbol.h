/* A state in the making: a linear combination of values with 2x2 blocks that is carried through
   sub-steps by arithmetic, and written as a row only where a state must exist. */
#ifndef DFL_SYMBOL_H
#define DFL_SYMBOL_H

#include "solver/rows.h"

enum { SYMBOL_MAX = 8 };

typedef struct {
    term terms[SYMBOL_MAX];
    size_t n;
} symbol;

symbol symbol_of(val z);
void symbol_apply(symbol *s, blk P);      /* s <- P s */
void symbol_add(symbol *s, blk Q, val v); /* s <- s + Q v */
/* Writes the row, if one is needed; s is then that value alone. */
val symbol_write(symbol *s, rows *r);

/* Exact Ornstein-Uhlenbeck relaxation from t to s in phase space, position and momentum apart, with
   D = int beta: x <- e^(-Gamma D/2) x + sqrt(1 - e^(-lambda_s Gamma D)) xi_x,
   m <- e^(-nu D/2) m + sqrt(M (1 - e^(-nu D))) xi_m. */
void symbol_relax(symbol *s, rows *r, double from, double to, double lambda_s);

/* The 2 x n block whose row i is c times row i of a, the other row zero. */
blk symbol_row(blk a, int i, double c);

#endif
