/* What a search for times keeps beside the teacher's states: local errors, which all students of the
   same candidates share, and the trials it has made. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/dense.h"
#include "io/io.h"
#include "study/fit_search.h"

enum { LOCAL = 64 }; /* starts that local errors are measured on, at most */
#define FILE_BYTES ((size_t)1 << 24)

/* ---- names -------------------------------------------------------------------------------------- */

/* What a trial's error depends on, beside its times. */
dfl_status search_names(const fit *f) {
    fit_search *s = f->search;
    text all = {0};
    text_add(&all, "%s starts %zu validation %zu candidates", f->teacher_digest, s->starts,
             s->validation);
    for (size_t i = 0; i < s->points; i++) text_add(&all, " %zu", s->own[i]);
    if (!all.failed) digest_bytes(all.data, all.len, s->local_name);
    for (int i = 0; i < f->spec.n; i++) {
        const opt_value *v = &f->spec.v[i];
        const char *key = v->row->key;
        if (!v->set || strcmp(key, "grid") == 0 || strcmp(key, "compare") == 0 ||
            strcmp(key, "batch") == 0)
            continue;
        text_add(&all, "\n%s=%s", key, v->text);
    }
    if (!all.failed) digest_bytes(all.data, all.len, s->trials_name);
    const dfl_status status = all.failed ? fail_memory() : DFL_OK;
    text_free(&all);
    return status;
}

static dfl_status path_of(const fit *f, const char *kind, const char *digest, const char *ending,
                          text *out) {
    text_add(out, "%s/%s-%.16s%s", f->work, kind, digest, ending);
    return out->failed ? fail_memory() : DFL_OK;
}

/* ---- local errors ------------------------------------------------------------------------------- */

size_t search_local_count(const fit_search *s) {
    return s->starts < LOCAL ? s->starts : LOCAL;
}

/* Predictions [points - 1][count][answer] along the teacher's path. */
static dfl_status outputs_of(const fit *f, double *e) {
    const fit_search *s = f->search;
    const size_t count = search_local_count(s);
    bool clean = true;
    for (size_t k = 0; k + 1 < s->points; k++) {
        clean = clean && fit_tells_clean(f, s->t[k]);
        const fit_asked asked = {count, s->states + k * f->starts * f->state, s->t[k], clean};
        TRY(fit_ask(f, &asked, e + k * count * f->answer));
    }
    return DFL_OK;
}

static dfl_status measure_local(const fit *f, double *triangle) {
    const fit_search *s = f->search;
    const size_t dim = f->dim, count = search_local_count(s), m = s->points;
    const fit_jumping jumping = search_jumping(f);
    const size_t wide = fit_jump_columns(&jumping);
    double *const e = mem_array(mem_product(m - 1, count, f->answer), sizeof *e);
    double *const lines = mem_array(mem_product(dim, wide, 1), sizeof *lines);
    dfl_status status = e && lines ? DFL_OK : fail_memory();
    if (status == DFL_OK) status = outputs_of(f, e);
    for (size_t i = 0; i < count && status == DFL_OK; i++) {
        for (size_t d = 0; d < dim; d++) {
            double *line = lines + d * wide;
            for (size_t k = 0; k < m; k++)
                for (size_t h = 0; h < f->components; h++)
                    *line++ = s->states[(k * f->starts + i) * f->state + h * dim + d];
            for (size_t k = 0; k + 1 < m; k++)
                for (size_t h = 0; h < f->answers; h++)
                    *line++ = e[(k * count + i) * f->answer + h * dim + d];
        }
        status = dense_triangle(wide, dim, lines, triangle);
    }
    free(e);
    free(lines);
    return status;
}

static dfl_status load_local(const char *path, size_t wide, double *triangle) {
    array read = {0};
    TRY(npy_read(path, FILE_BYTES, &read));
    bool good =
        read.type == ARRAY_F64 && read.rank == 2 && read.shape[0] == wide && read.shape[1] == wide;
    for (size_t i = 0; i < wide * wide && good; i++)
        good = isfinite(((const double *)read.data)[i]);
    if (good) memcpy(triangle, read.data, wide * wide * sizeof *triangle);
    array_free(&read);
    if (good) return DFL_OK;
    return fail(DFL_E_FORMAT,
                "%s does not hold the local errors that its name promises; delete it, "
                "and they are measured anew",
                path);
}

static dfl_status save_local(const char *path, size_t wide, const double *triangle) {
    const size_t shape[] = {wide, wide};
    npy_writer *w = NULL;
    TRY(npy_create(path, ARRAY_F64, 2, shape, &w));
    const dfl_status status = npy_append(w, triangle, wide);
    if (status == DFL_OK) return npy_commit(w);
    npy_discard(w);
    return status;
}

dfl_status search_local(const fit *f, double *triangle) {
    const fit_jumping jumping = search_jumping(f);
    const size_t wide = fit_jump_columns(&jumping);
    text path = {0};
    if (!f->work) return measure_local(f, triangle);
    dfl_status status = path_of(f, "local", f->search->local_name, ".npy", &path);
    const bool there = status == DFL_OK && access(path.data, F_OK) == 0;
    if (status == DFL_OK)
        status = there ? load_local(path.data, wide, triangle) : measure_local(f, triangle);
    if (status == DFL_OK && !there) status = save_local(path.data, wide, triangle);
    text_free(&path);
    return status;
}

/* ---- what is known of trials -------------------------------------------------------------------- */

bool search_knows(const fit_search *s, size_t steps, const size_t *at, double *rms) {
    for (size_t i = 0; i < s->nknown; i++) {
        if (memcmp(s->known_at + i * (steps + 1), at, (steps + 1) * sizeof *at) != 0) continue;
        *rms = s->known_rms[i];
        return true;
    }
    return false;
}

dfl_status search_remember(fit_search *s, size_t steps, const size_t *at, double rms) {
    const size_t wide = steps + 1, n = s->nknown;
    if (!mem_grow((void **)&s->known_at, &s->at_cap, (n + 1) * wide, sizeof *s->known_at) ||
        !mem_grow((void **)&s->known_rms, &s->rms_cap, n + 1, sizeof *s->known_rms))
        return fail_memory();
    memcpy(s->known_at + n * wide, at, wide * sizeof *at);
    s->known_rms[n] = rms;
    s->nknown++;
    return DFL_OK;
}

/* A line for each: the indices of its times among the candidates, and its error. */
dfl_status search_save(const fit *f) {
    const fit_search *s = f->search;
    text path = {0}, all = {0};
    if (!f->work) return DFL_OK;
    dfl_status status = path_of(f, "search", s->trials_name, ".txt", &path);
    for (size_t i = 0; i < s->nknown; i++) {
        for (size_t k = 0; k <= f->steps; k++)
            text_add(&all, "%zu ", s->known_at[i * (f->steps + 1) + k]);
        text_real(&all, s->known_rms[i]);
        text_add(&all, "\n");
    }
    if (status == DFL_OK && all.failed) status = fail_memory();
    if (status == DFL_OK) status = file_save(path.data, all.data, all.len);
    text_free(&path);
    text_free(&all);
    return status;
}

static bool read_trial(const fit *f, char *line, size_t *at, double *rms) {
    const fit_search *s = f->search;
    char *rest = line, *word;
    for (size_t k = 0; k <= f->steps; k++) {
        long long i;
        word = strtok_r(rest, " ", &rest);
        if (!word || !text_to_int(word, &i) || i < 0 || (size_t)i >= s->points) return false;
        at[k] = (size_t)i;
        if (k > 0 ? at[k] <= at[k - 1] : i != 0) return false;
    }
    word = strtok_r(rest, " ", &rest);
    return at[f->steps] == s->points - 1 && word && text_to_real(word, rms) && *rms >= 0 &&
           !strtok_r(rest, " ", &rest);
}

dfl_status search_load(fit *f) {
    fit_search *s = f->search;
    text path = {0};
    char *data = NULL;
    size_t size;
    s->nknown = 0;
    if (!f->work) return DFL_OK;
    dfl_status status = path_of(f, "search", s->trials_name, ".txt", &path);
    const bool there = status == DFL_OK && access(path.data, F_OK) == 0;
    if (there) status = file_read(path.data, FILE_BYTES, &data, &size);
    char *rest = data;
    for (char *line; status == DFL_OK && rest && (line = strtok_r(rest, "\n", &rest));) {
        double rms;
        status = read_trial(f, line, s->trial.at, &rms)
                     ? search_remember(s, f->steps, s->trial.at, rms)
                     : fail(DFL_E_FORMAT,
                            "%s does not hold the trials that its name promises; "
                            "delete it, and they are made anew",
                            path.data);
    }
    free(data);
    text_free(&path);
    return status;
}

/* ---- forgetting ----------------------------------------------------------------------------------- */

static dfl_status forget(const fit *f, const char *kind, const char *digest, const char *ending) {
    text path = {0};
    const dfl_status status = path_of(f, kind, digest, ending, &path);
    if (status == DFL_OK) unlink(path.data);
    text_free(&path);
    return status;
}

dfl_status fit_search_forget(const fit *f) {
    fit_search *s = f->search;
    if (!s || !f->work) return DFL_OK;
    TRY(search_names(f));
    TRY(forget(f, "local", s->local_name, ".npy"));
    return forget(f, "search", s->trials_name, ".txt");
}
