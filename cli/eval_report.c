/* What "driftless eval" tells: a table for people, a record for programs, and what a reader of either
   should know about the numbers. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "eval.h"
#include "model/model.h"
#include "plan/plan.h"

enum { BIASED = 2048 }; /* below so many pictures the distance says more about their number */

static uint64_t count_of(const evaluated *e) {
    return e->result.n;
}

static const char *what_of(const evaluated *e) {
    if (e->features) return features_what(e->features);
    if (e->sums.norigins == 1) return e->sums.origin[0].what;
    return e->sums.d ? "pictures of several origins" : "mean and covariance alone";
}

static const char *extractor_of(const eval_job *j) {
    if (j->made.sums.name) return j->made.sums.name;
    return j->real.sums.name ? j->real.sums.name : "unknown";
}

static const char *digest_of(const eval_job *j) {
    if (j->made.sums.name) return j->made.sums.extractor;
    return j->real.sums.name ? j->real.sums.extractor : "";
}

static size_t width_of(const eval_job *j) {
    return j->made.result.g.d ? j->made.result.g.d : j->made.sums.d;
}

/* ---- notes ----------------------------------------------------------------------------------- */

static void note_bias(eval_job *j) {
    const uint64_t made = count_of(&j->made), real = count_of(&j->real);
    const size_t d = width_of(j);
    const uint64_t least = real && real < made ? real : made;
    if (!eval_wants(j, METRIC_FID) || least == 0 || (least >= BIASED && least > d)) return;
    text_add(&j->notes,
             "FID is biased upwards at n = %llu%s: compare it only with values of the same n.\n",
             (unsigned long long)least,
             least <= d ? ", and the covariance has not full rank (n <= d)" : "");
}

static void note_floor(eval_job *j) {
    const bool beside = j->wanted & ~(1U << METRIC_IS);
    if (!beside || !j->reference) return;
    if (!j->real.features)
        text_add(&j->notes, "The floor, real against real, cannot be had: the reference is "
                            "statistics only.\n");
    else if (count_of(&j->real) < 4)
        text_add(&j->notes, "The floor, real against real, cannot be had: the reference is too "
                            "small for two halves.\n");
}

dfl_status eval_notes(eval_job *j) {
    note_bias(j);
    note_floor(j);
    return j->notes.failed ? fail_memory() : DFL_OK;
}

/* ---- for people ------------------------------------------------------------------------------ */

static void add_side(text *out, const char *name, const evaluated *e, uint64_t n) {
    text_add(out, "%-10s ", name);
    if (n) text_add(out, "%llu ", (unsigned long long)n);
    text_add_line(out, what_of(e));
    if (!e->features) text_add(out, "; statistics ");
    if (!e->features) text_add_line(out, e->path);
    text_add(out, "\n");
}

static void add_number(text *out, double x) {
    if (isnan(x))
        text_add(out, " %12s", "-");
    else
        text_add(out, " %12.6g", x);
}

static void add_rows(const eval_job *j, text *out) {
    if (j->list.n == 0) return;
    text_add(out, "\n%-28s %12s %12s %12s\n", "metric", "value", "std. error", "real/real");
    for (size_t i = 0; i < j->list.n; i++) {
        text_add(out, "%-28s", j->list.row[i].name);
        add_number(out, j->list.row[i].value);
        add_number(out, j->list.row[i].error);
        add_number(out, j->list.row[i].floor);
        text_add(out, "\n");
    }
    const uint64_t n = count_of(&j->real);
    if (j->real.features && n >= 4)
        text_add(out, "real/real: the reference in two halves, %llu against %llu\n",
                 (unsigned long long)((n + 1) / 2), (unsigned long long)(n / 2));
}

static void add_notes(const eval_job *j, text *out) {
    const char *line = j->notes.data;
    if (line && *line) text_add(out, "\n");
    while (line && *line) {
        const size_t n = strcspn(line, "\n");
        text one = {0};
        text_add(&one, "%.*s", (int)n, line);
        if (one.data) text_wrap(out, one.data, 0, 0);
        text_free(&one);
        line += n + (line[n] == '\n');
    }
}

static uint64_t made_count(const eval_job *j) {
    return j->made.features ? features_count(j->made.features) : count_of(&j->made);
}

dfl_status eval_page(const eval_job *j, text *out) {
    add_side(out, "generated", &j->made, made_count(j));
    if (j->reference) add_side(out, "reference", &j->real, count_of(&j->real));
    text_add(out, "%-10s ", "extractor");
    text_add_line(out, extractor_of(j));
    text_add(out, ", %zu features", width_of(j));
    if (*digest_of(j)) text_add(out, ", digest %.12s", digest_of(j));
    text_add(out, "\n");
    add_rows(j, out);
    add_notes(j, out);
    return out->failed ? fail_memory() : DFL_OK;
}

/* ---- for programs ---------------------------------------------------------------------------- */

static void add_text(text *out, const char *key, const char *value) {
    text_add(out, "\"%s\": ", key);
    json_add_text(out, value);
}

static void add_real(text *out, const char *key, double x) {
    text_add(out, "\"%s\": ", key);
    json_add_real(out, x);
}

static dfl_status add_origin(text *out, const char *key, const evaluated *e, uint64_t n) {
    text what = {0};
    text_add(&what, "%s", what_of(e));
    if (what.failed) return fail_memory();
    text_tame(what.data);
    text_add(out, ",\n \"%s\": {", key);
    add_text(out, "what", what.data);
    if (n)
        text_add(out, ", \"count\": %llu", (unsigned long long)n);
    else
        text_add(out, ", \"count\": null");
    if (e->features)
        text_add(out, ", \"first\": \"%llu\", \"digest\": \"%s\"",
                 (unsigned long long)features_first(e->features), features_digest(e->features));
    text_add(out, "}");
    text_free(&what);
    return DFL_OK;
}

static dfl_status add_plan(const eval_job *j, text *out) {
    char hex[DIGEST_HEX];
    if (!j->plan) return DFL_OK;
    TRY(model_digest(j->model, hex));
    text_add(out,
             ",\n \"model\": {\"sha256\": \"%s\", \"nfe\": %zu, \"seed\": \"%lld\"},\n "
             "\"plan\": ",
             hex, dfl_plan_nfe(j->plan),
             arg_given(j->args, "seed") ? arg(j->args, "seed")->integer : 0);
    plan_write(j->plan, out);
    return DFL_OK;
}

static void add_metrics(const eval_job *j, text *out) {
    text_add(out, ",\n \"metrics\": {");
    for (size_t i = 0; i < j->list.n; i++) {
        const metric_row *const r = &j->list.row[i];
        text_add(out, "%s\n  \"%s\": {", i ? "," : "", r->key);
        add_real(out, "value", r->value);
        text_add(out, ", ");
        add_real(out, "standard_error", r->error);
        text_add(out, ", ");
        add_real(out, "floor", r->floor);
        text_add(out, "}");
    }
    text_add(out, "\n }");
}

static void add_lines(text *out, const char *key, const char *lines) {
    text_add(out, ",\n \"%s\": [", key);
    for (const char *line = lines, *comma = ""; line && *line; comma = ", ") {
        const size_t n = strcspn(line, "\n");
        text one = {0};
        text_add(&one, "%.*s", (int)n, line);
        if (one.failed) out->failed = true;
        if (one.data) text_tame(one.data);
        text_add(out, "%s", comma);
        json_add_text(out, one.data ? one.data : "");
        text_free(&one);
        line += n + (line[n] == '\n');
    }
    text_add(out, "]");
}

static void add_command(const eval_job *j, text *out) {
    text_add(out, ",\n \"command\": [");
    for (int i = 1; i < j->args->argc; i++) {
        text word = {0};
        text_add(&word, "%s", j->args->argv[i]);
        if (word.failed) out->failed = true;
        if (word.data) text_tame(word.data);
        text_add(out, "%s", i > 1 ? ", " : "");
        json_add_text(out, word.data ? word.data : "");
        text_free(&word);
    }
    text_add(out, "]");
}

dfl_status eval_record(const eval_job *j, text *out) {
    text_add(out, "{\n \"format\": \"driftless-eval/1\",\n \"version\": \"%s\"", dfl_version());
    add_command(j, out);
    TRY(add_origin(out, "generated", &j->made, made_count(j)));
    if (j->reference) TRY(add_origin(out, "reference", &j->real, count_of(&j->real)));
    text_add(out, ",\n \"extractor\": {");
    add_text(out, "name", extractor_of(j));
    text_add(out, ", \"digest\": \"%s\", \"width\": %zu}", digest_of(j), width_of(j));
    TRY(add_plan(j, out));
    add_metrics(j, out);
    add_lines(out, "notes", j->notes.data);
    text_add(out, ",\n \"seconds\": ");
    text_real(out, j->seconds);
    text_add(out, "\n}\n");
    return out->failed ? fail_memory() : DFL_OK;
}
