#include "solver/scheme.h"

#include <string.h>

static bool asks(char letter) {
    return letter == 'e' || letter == 'E';
}

double scheme_share(const char *word) {
    return strchr(word, 'O') ? 2 : 1;
}

solver_claims scheme_claims(const char *word) {
    if (strchr(word, 'O'))
        return (solver_claims){.order = 1, .from = 80, .to = 320, .stochastic = true};
    return (solver_claims){.order = 1, .from = 320, .to = 1280};
}

/* Whether the letters up to the next evaluation need a score: without friction there is none in a
   component, and a plan makes no evaluation for nothing (CLD's position, nu = 0's momentum). */
static bool needed(const phase_par *par, const char *rest) {
    for (const char *c = rest; *c && !asks(*c); c++)
        if (*c == 'A' || *c == 'X' ? par->Gamma > 0 : *c != 'O' && par->nu > 0) return true;
    return false;
}

int scheme_steps(const char *word, const phase_par *par, int nfe) {
    int calls = 0;
    for (const char *c = word; *c; c++) calls += asks(*c) && needed(par, c + 1);
    return calls > 0 ? nfe / calls : nfe;
}

/* `letter` is where the word stands. */
static void execute(scheme *at, symbol *z, const char *letter, scheme_move *move) {
    if (*letter == 'O') {
        symbol_relax(z, at->r, at->t, at->s, opt_real(at->pb->o, "lambda_s"));
    } else if (asks(*letter)) {
        at->asked = *letter == 'e' ? at->t : at->s;
        at->y = 0;
        if (needed(at->par, letter + 1))
            at->y = rows_predict(at->r, symbol_write(z, at->r), at->asked);
    } else {
        move(at, z, *letter);
    }
}

val scheme_fill(const problem *pb, rows *r, val start, const char *word, scheme_move *move) {
    scheme at = {.pb = pb, .r = r, .par = phase_parameters(pb->process), .w = scheme_share(word)};
    symbol z = symbol_of(start);
    if (!strchr(word, 'O') && opt_real(pb->o, "lambda_s") != 1)
        rows_fail(r,
                  fail(DFL_E_COMBINATION,
                       "lambda_s=%g is for schemes with an o, which draw noise; this one does not",
                       opt_real(pb->o, "lambda_s")));
    for (int n = 0; n < pb->steps && r->status == DFL_OK; n++) {
        at.t = pb->t[n];
        at.s = pb->t[n + 1];
        for (const char *c = word; *c; c++) execute(&at, &z, c, move);
        rows_step(r, symbol_write(&z, r), at.s, 1);
    }
    return symbol_write(&z, r);
}
