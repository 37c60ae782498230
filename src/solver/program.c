/* Growing and freeing the arrays of a program. */
#include "solver/rows.h"

#include <stdlib.h>
#include <string.h>

void program_free(program *p) {
    for (size_t i = 0; i < p->nkernels; i++) {
        free(p->kernels[i].pi);
        free(p->kernels[i].data);
    }
    for (size_t i = 0; i < p->nnames; i++) free(p->names[i]);
    free(p->rows);
    free(p->terms);
    free(p->comp);
    free(p->inputs);
    free(p->outputs);
    free(p->kernels);
    free(p->names);
    memset(p, 0, sizeof *p);
}

/* Room for `more` entries behind the n that are there. */
#define GROW(array, n, cap, more)                                                                  \
    (mem_grow((void **)&(array), &(cap), (n) + (more), sizeof *(array)) ? DFL_OK : fail_memory())

dfl_status program_add_row(program *p, const row *r, const term *terms) {
    TRY(GROW(p->rows, p->nrows, p->rows_cap, 1));
    TRY(GROW(p->terms, p->nterms, p->terms_cap, r->nsrc));
    row *added = &p->rows[p->nrows++];
    *added = *r;
    added->src = p->nterms;
    if (r->nsrc) memcpy(p->terms + p->nterms, terms, r->nsrc * sizeof *terms);
    p->nterms += r->nsrc;
    return DFL_OK;
}

dfl_status program_add_value(program *p, int components, val *id) {
    TRY(GROW(p->comp, p->nvalues, p->comp_cap, 1));
    *id = (val)p->nvalues;
    p->comp[p->nvalues++] = (uint8_t)components;
    return DFL_OK;
}

dfl_status program_add_input(program *p, const plan_input *in) {
    TRY(GROW(p->inputs, p->ninputs, p->inputs_cap, 1));
    p->inputs[p->ninputs++] = *in;
    return DFL_OK;
}

dfl_status program_add_output(program *p, val v) {
    TRY(GROW(p->outputs, p->noutputs, p->outputs_cap, 1));
    p->outputs[p->noutputs++] = v;
    return DFL_OK;
}

dfl_status program_add_kernel(program *p, const mix_kernel *k) {
    const dfl_status status = GROW(p->kernels, p->nkernels, p->kernels_cap, 1);
    if (status == DFL_OK) {
        p->kernels[p->nkernels++] = *k;
        return DFL_OK;
    }
    free(k->pi);
    free(k->data);
    return status;
}

dfl_status program_add_name(program *p, const char *name) {
    TRY(GROW(p->names, p->nnames, p->names_cap, 1));
    char *copy = text_copy(name);
    if (!copy) return fail_memory();
    p->names[p->nnames++] = copy;
    return DFL_OK;
}
