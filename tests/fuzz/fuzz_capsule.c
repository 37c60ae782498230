/* A capsule, as a rerun opens it, and the file that a sweep keeps in its folder. Commands of peers are
   only looked at. */
#include "fuzz/fuzz.h"

#include <math.h>
#include <string.h>

#include "eval/sweep.h"

static void check(const capsule *c, const sweep *s) {
    const sweep_way *const way = &s->way[0];
    fuzz_check(*c->model && *c->features && *c->reference, "a place that is none");
    fuzz_check(strlen(c->result.features) == DIGEST_HEX - 1, "no digest of its features");
    fuzz_check(isfinite(c->result.fid), "a distance that is no number");
    fuzz_check(s->nways == 1 && s->ncells == 1 && s->npoints == 1, "more than one cell");
    fuzz_check((way->argv != NULL) != (way->solver != NULL), "a peer with a solver, or neither");
    fuzz_check((way->argv != NULL) != (s->point[0].plan != NULL), "a peer with a plan, or neither");
    if (way->argv) fuzz_check(way->argv[0] != NULL, "a command without a program");
    if (s->point[0].plan) fuzz_run(s->point[0].plan, fuzz_model(FUZZ_SCALAR));
}

/* A sweep whose digests are empty goes on there. */
static void open_folder(const uint8_t *data, size_t size, sweep *s) {
    memset(s, 0, sizeof *s);
    s->folder = fuzz_folder();
    s->frame.tail = "";
    s->frame.samples = 1000;
    fuzz_put("sweep.json", data, size);
    const dfl_status status = sweep_folder_open(s);
    fuzz_outcome(status, status == DFL_OK ? s : NULL);
    for (size_t i = 0; i < s->nways; i++)
        fuzz_check(!s->way[i].wanted, "a solver that nobody asked for");
    fuzz_drop("sweep.json");
    sweep_free(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static sweep s;
    capsule c;
    open_folder(data, size, &s);
    memset(&s, 0, sizeof s);
    const dfl_status status = capsule_open(fuzz_file(data, size), &c, &s);
    fuzz_outcome(status, status == DFL_OK ? &c : NULL);
    if (status == DFL_OK) {
        check(&c, &s);
        capsule_close(&c);
    }
    sweep_free(&s);
    return 0;
}
