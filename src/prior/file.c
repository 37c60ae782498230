/* The file of a prior, docs/prior-format.md: an .npz whose arrays say what they are. What is read is
   a stranger's: every array must have the shape that the others imply, and form_finish checks the
   numbers. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "prior/flow.h"

static const char format[] = "driftless-prior/1";

enum { OWN = 6, ARRAYS = OWN + FORM_FIELDS, WORD_MAX = 64 };
enum { A_FORMAT, A_KIND, A_STATE, A_LABELS, A_SHAPE, A_GATE };
static const char *const own_names[OWN] = {"format", "kind", "state", "labels", "shape", "gate"};

/* ---- reading --------------------------------------------------------------------------------- */

typedef struct {
    const char *path;
    array at[ARRAYS];
} input;

static dfl_status missing(const input *in, const char *name) {
    return fail(DFL_E_FORMAT, "%s: there is no array '%s'", in->path, name);
}

/* A word, kept as bytes. */
static dfl_status get_word(const input *in, int i, char word[WORD_MAX + 1]) {
    const array *const a = &in->at[i];
    if (a->rank < 0) return missing(in, own_names[i]);
    if (a->type != ARRAY_U8 || a->rank != 1 || a->shape[0] > WORD_MAX)
        return fail(DFL_E_FORMAT, "%s: '%s' is not a word of at most %d bytes", in->path,
                    own_names[i], WORD_MAX);
    memcpy(word, a->data, a->shape[0]);
    word[a->shape[0]] = 0;
    text_tame(word);
    return DFL_OK;
}

static dfl_status get_kind(const input *in, kind *out) {
    char word[WORD_MAX + 1];
    TRY(get_word(in, A_FORMAT, word));
    if (strcmp(word, format) != 0)
        return fail(DFL_E_FORMAT, "%s: format \"%s\" is not %s", in->path, word, format);
    TRY(get_word(in, A_KIND, word));
    for (int i = 0; i < KINDS; i++)
        if (strcmp(word, kind_names[i]) == 0) {
            *out = (kind)i;
            return DFL_OK;
        }
    return fail(DFL_E_FORMAT, "%s: kind \"%s\"; allowed: gauss, diag, full, tied, pcagmm, ppca, fa",
                in->path, word);
}

static const array *field_array(const input *in, const char *name) {
    for (int i = 0; i < FORM_FIELDS; i++)
        if (strcmp(form_fields[i].name, name) == 0) return &in->at[OWN + i];
    return NULL;
}

/* Length of dimension `axis` of an array that the kind needs. */
static dfl_status get_size(const input *in, const char *name, int axis, size_t *out) {
    const array *const a = field_array(in, name);
    if (!a || a->rank < 0) return missing(in, name);
    if (a->rank <= axis)
        return fail(DFL_E_FORMAT, "%s: '%s' has too few dimensions", in->path, name);
    *out = a->shape[axis];
    return DFL_OK;
}

static dfl_status get_labels(const input *in, size_t k, int64_t *classes) {
    enum { LABEL_MAX = 1 << 20 };
    const array *const a = &in->at[A_LABELS];
    int64_t most = -1;
    *classes = 0;
    if (a->rank < 0) return DFL_OK;
    if (a->type != ARRAY_I64 || a->rank != 1 || a->shape[0] != k)
        return fail(DFL_E_FORMAT, "%s: 'labels' is not int64 [%zu], a label for each component",
                    in->path, k);
    const int64_t *const label = a->data;
    for (size_t i = 0; i < k; i++) {
        if (label[i] < 0 || label[i] >= LABEL_MAX)
            return fail(DFL_E_FORMAT, "%s: component %zu has label %lld; allowed: 0 to %d",
                        in->path, i, (long long)label[i], LABEL_MAX - 1);
        if (label[i] > most) most = label[i];
    }
    *classes = most + 1;
    return DFL_OK;
}

static dfl_status get_wish(const input *in, form_wish *wish) {
    *wish = (form_wish){0};
    TRY(get_kind(in, &wish->kind));
    TRY(get_size(in, "weights", 0, &wish->k));
    if (wish->kind == KIND_PCAGMM) {
        TRY(get_size(in, "basis", 1, &wish->d));
        TRY(get_size(in, "means", 1, &wish->q));
    } else {
        TRY(get_size(in, "means", 1, &wish->d));
        if (wish->kind == KIND_PPCA || wish->kind == KIND_FA)
            TRY(get_size(in, "factors", 2, &wish->q));
    }
    return get_labels(in, wish->k, &wish->classes);
}

/* Every array has the shape that the others imply: before any room is made for them. */
static dfl_status check_shapes(const input *in, const form_wish *wish) {
    const prior sizes = {
        .kind = wish->kind, .d = wish->d, .k = wish->k, .q = wish->q, .classes = wish->classes};
    if (wish->q > wish->d || wish->k < 1)
        return fail(DFL_E_FORMAT, "%s: %zu components, rank %zu in %zu dimensions cannot be",
                    in->path, wish->k, wish->q, wish->d);
    for (int i = 0; i < FORM_FIELDS; i++) {
        const form_field *const f = &form_fields[i];
        const array *const a = &in->at[OWN + i];
        if (!form_has(&sizes, f)) {
            if (a->rank < 0) continue;
            return fail(DFL_E_FORMAT, "%s: a prior of kind %s has no array '%s'", in->path,
                        kind_names[wish->kind], f->name);
        }
        if (a->rank < 0) return missing(in, f->name);
        bool fits = a->rank == (int)strlen(f->shape);
        for (int j = 0; j < a->rank && fits; j++)
            fits = a->shape[j] == form_size(&sizes, f->shape[j]);
        if (!fits)
            return fail(DFL_E_FORMAT,
                        "%s: '%s' does not have the shape that the other arrays imply", in->path,
                        f->name);
    }
    return DFL_OK;
}

/* Into doubles; the memory of an array of doubles is taken over. */
static dfl_status take(const input *in, const char *name, array *a, double **out) {
    const size_t n = array_count(a);
    if (a->type == ARRAY_F64) {
        free(*out);
        *out = a->data;
        a->data = NULL;
        return DFL_OK;
    }
    if (a->type != ARRAY_F32)
        return fail(DFL_E_FORMAT, "%s: '%s' is not float32 or float64", in->path, name);
    const float *const x = a->data;
    for (size_t i = 0; i < n; i++) (*out)[i] = (double)x[i];
    return DFL_OK;
}

static dfl_status take_fields(input *in, prior *p) {
    for (int i = 0; i < FORM_FIELDS; i++) {
        const form_field *const f = &form_fields[i];
        if (form_has(p, f)) TRY(take(in, f->name, &in->at[OWN + i], form_place(p, f)));
    }
    return DFL_OK;
}

static dfl_status take_reals(const input *in, int i, size_t n, const double **out) {
    const array *const a = &in->at[i];
    if (a->type != ARRAY_F64 || array_count(a) != n)
        return fail(DFL_E_FORMAT, "%s: '%s' is not float64 with %zu numbers", in->path,
                    own_names[i], n);
    *out = a->data;
    return DFL_OK;
}

static dfl_status take_shape(const input *in, prior *p) {
    const array *const a = &in->at[A_SHAPE];
    if (a->rank < 0) return DFL_OK;
    size_t product = 1;
    if (a->type != ARRAY_I64 || a->rank != 1 || a->shape[0] > ARRAY_RANK_MAX)
        return fail(DFL_E_FORMAT, "%s: 'shape' is not int64 of at most %d numbers", in->path,
                    ARRAY_RANK_MAX);
    const int64_t *const shape = a->data;
    p->rank = (int)a->shape[0];
    for (int i = 0; i < p->rank; i++) {
        p->shape[i] = shape[i] > 0 ? (size_t)shape[i] : SIZE_MAX;
        product = mem_product(product, p->shape[i], 1);
    }
    if (p->rank == 0 || product == p->d) return DFL_OK;
    return fail(DFL_E_FORMAT, "%s: 'shape' is not that of %zu numbers", in->path, p->d);
}

static dfl_status take_gate(const input *in, prior *p) {
    const array *const a = &in->at[A_GATE];
    const double *x = NULL;
    if (a->rank < 0) return DFL_OK;
    if (a->rank != 2 || a->shape[0] > PRIOR_GATES_MAX || a->shape[1] != 4)
        return fail(DFL_E_FORMAT, "%s: 'gate' is not [at most %d][4]", in->path, PRIOR_GATES_MAX);
    TRY(take_reals(in, A_GATE, a->shape[0] * 4, &x));
    p->ngate = a->shape[0];
    for (size_t i = 0; i < p->ngate; i++, x += 4) {
        if (!(x[0] > 0 && x[1] >= 0 && x[3] >= 0 && isfinite(x[0] + x[1] + x[2] + x[3])))
            return fail(DFL_E_FORMAT, "%s: row %zu of 'gate' has numbers that cannot be", in->path,
                        i);
        p->gate[i] = (gate_row){x[0], x[1], x[2], x[3]};
    }
    return DFL_OK;
}

static dfl_status assemble(input *in, prior **out) {
    form_wish wish;
    const double *state = NULL;
    TRY(get_wish(in, &wish));
    TRY(check_shapes(in, &wish));
    dfl_status status = form_new(&wish, out);
    if (status != DFL_OK) return fail_in(status, "%s", in->path);
    prior *const p = *out;
    TRY(take_fields(in, p));
    if (wish.classes) memcpy(p->label, in->at[A_LABELS].data, p->k * sizeof *p->label);
    if (in->at[A_STATE].rank < 0) return missing(in, "state");
    TRY(take_reals(in, A_STATE, 2, &state));
    p->a = state[0];
    p->b = state[1];
    TRY(take_shape(in, p));
    TRY(take_gate(in, p));
    status = form_check_basis(p);
    if (status == DFL_OK) status = form_finish(p);
    return status == DFL_OK ? DFL_OK : fail_in(status, "%s", in->path);
}

static void all_names(const char *names[ARRAYS]) {
    memcpy(names, own_names, sizeof own_names);
    for (int i = 0; i < FORM_FIELDS; i++) names[OWN + i] = form_fields[i].name;
}

bool prior_is_folder(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

dfl_status prior_file(const char *path, text *out) {
    text_add(out, prior_is_folder(path) ? "%s/prior.json" : "%s", path);
    return out->failed ? fail_memory() : DFL_OK;
}

dfl_status prior_digest(const char *path, char hex[DIGEST_HEX]) {
    text file = {0};
    dfl_status status = prior_file(path, &file);
    if (status == DFL_OK) status = digest_file(file.data, hex);
    text_free(&file);
    return status;
}

dfl_status prior_own_time(const char *path, double *t) {
    flow_card card;
    *t = NAN;
    if (!prior_is_folder(path)) return DFL_OK;
    TRY(flow_card_read(path, &card));
    *t = card.t;
    flow_card_free(&card);
    return DFL_OK;
}

dfl_status prior_read(const char *path, prior **out) {
    if (prior_is_folder(path)) return flow_read(path, out);
    const char *names[ARRAYS];
    input in = {.path = path};
    *out = NULL;
    all_names(names);
    TRY(npz_read(path, names, ARRAYS, true, PRIOR_BYTES_MAX, in.at));
    const dfl_status status = assemble(&in, out);
    for (int i = 0; i < ARRAYS; i++) array_free(&in.at[i]);
    if (status == DFL_OK) return DFL_OK;
    prior_free(*out);
    *out = NULL;
    return status;
}

static dfl_status state_of_flow(const char *folder, double *a, double *b) {
    flow_card card;
    TRY(flow_card_read(folder, &card));
    *a = card.a;
    *b = card.b;
    flow_card_free(&card);
    return DFL_OK;
}

dfl_status prior_read_state(const char *path, double *a, double *b) {
    if (prior_is_folder(path)) return state_of_flow(path, a, b);
    input in = {.path = path};
    const double *state = NULL;
    TRY(npz_read(path, &own_names[A_STATE], 1, true, 1024, &in.at[A_STATE]));
    dfl_status status =
        in.at[A_STATE].rank < 0 ? missing(&in, "state") : take_reals(&in, A_STATE, 2, &state);
    if (status == DFL_OK && !(state[0] > 0 && state[1] >= 0 && isfinite(state[0] + state[1])))
        status = fail(DFL_E_FORMAT, "%s: 'state' %g, %g: a is above 0, b not below", path, state[0],
                      state[1]);
    if (status == DFL_OK) {
        *a = state[0];
        *b = state[1];
    }
    array_free(&in.at[A_STATE]);
    return status;
}

/* ---- writing --------------------------------------------------------------------------------- */

static named_array word(const char *name, const char *s) {
    return (named_array){name, {ARRAY_U8, 1, {strlen(s)}, (void *)s}};
}

dfl_status prior_write(const prior *p, const char *path) {
    named_array a[ARRAYS];
    int n = 0;
    int64_t shape[ARRAY_RANK_MAX];
    double state[2] = {p->a, p->b};
    _Static_assert(sizeof(gate_row) == 4 * sizeof(double),
                   "rows of the gate are written as they are");
    for (int i = 0; i < p->rank; i++) shape[i] = (int64_t)p->shape[i];
    a[n++] = word("format", format);
    a[n++] = word("kind", kind_names[p->kind]);
    a[n++] = (named_array){"state", {ARRAY_F64, 1, {2}, state}};
    if (p->classes) a[n++] = (named_array){"labels", {ARRAY_I64, 1, {p->k}, p->label}};
    if (p->rank) a[n++] = (named_array){"shape", {ARRAY_I64, 1, {(size_t)p->rank}, shape}};
    if (p->ngate) a[n++] = (named_array){"gate", {ARRAY_F64, 2, {p->ngate, 4}, (void *)p->gate}};
    for (int i = 0; i < FORM_FIELDS; i++) {
        const form_field *const f = &form_fields[i];
        if (!form_has(p, f)) continue;
        named_array one = {f->name, {.type = ARRAY_F64, .rank = (int)strlen(f->shape)}};
        for (int j = 0; j < one.value.rank; j++) one.value.shape[j] = form_size(p, f->shape[j]);
        one.value.data = *form_place((prior *)p, f);
        a[n++] = one;
    }
    return npz_write(path, a, n);
}
