#include "solver/symbol.h"

#include <assert.h>
#include <math.h>

#include "process/phase.h"

symbol symbol_of(val z) {
    return (symbol){{{z, blk_real(1)}}, 1};
}

void symbol_apply(symbol *s, blk P) {
    for (size_t i = 0; i < s->n; i++) s->terms[i].c = blk_mul(P, s->terms[i].c);
}

void symbol_add(symbol *s, blk Q, val v) {
    assert(s->n < SYMBOL_MAX);
    s->terms[s->n++] = (term){v, Q};
}

val symbol_write(symbol *s, rows *r) {
    const val z = rows_lin(r, s->terms, s->n);
    *s = symbol_of(z);
    return z;
}

blk symbol_row(blk a, int i, double c) {
    blk only = {a.m, a.n, {0, 0, 0, 0}};
    for (int j = 0; j < a.n; j++) only.v[i * a.n + j] = c * a.v[i * a.n + j];
    return only;
}

void symbol_relax(symbol *s, rows *r, double from, double to, double lambda_s) {
    const phase_par *par = phase_parameters(r->process);
    const double D = phase_integral(r->process, from) - phase_integral(r->process, to);
    symbol_apply(s, blk_2x2(exp(-par->Gamma * D / 2), 0, 0, exp(-par->nu * D / 2)));
    symbol_add(s,
               blk_2x2(sqrt(-expm1(-lambda_s * par->Gamma * D)), 0, 0,
                       sqrt(-par->M * expm1(-par->nu * D))),
               rows_noise(r));
}
