/* From options to the text of a specification, and plans from and to JSON. */
#include "spec.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "study/stored.h"

enum { PLAN_FILE_MAX = 64 << 20, NOTE_MAX = 1024 };

static const char *const words[] = {
    "solver",          "steps",   "nfe",   "grid",
    "process",         "t-start", "t-end", "dynamic-thresholding-ratio",
    "sample-max-value"};

/* Options without a value: "key=1" in a specification. */
static const char *const flags[] = {"denoise", "published", "thresholding"};

enum { WORDS = sizeof words / sizeof *words, FLAGS = sizeof flags / sizeof *flags };

/* A blank that no quotes or brackets enclose would begin another key of the specification. */
static bool has_loose_blank(const char *s) {
    char quote = 0;
    int depth = 0;
    for (; *s; s++) {
        if (quote) {
            if (*s == quote) quote = 0;
        } else if (*s == '\'' || *s == '"') {
            quote = *s;
        } else {
            depth += (*s == '[') - (*s == ']');
            if (depth == 0 && strchr(" \t\r\n", *s)) return true;
        }
    }
    return false;
}

/* Length of the name that a solver or grid begins with, whose blanks are as good as "_": "DPM++ 2M".
   0 where the text is no name, such as "deis steps=3". */
static size_t name_length(const char *option, const char *value) {
    if (strcmp(option, "solver") != 0 && strcmp(option, "grid") != 0) return 0;
    const size_t n = strcspn(value, ":=");
    return value[n] == '=' ? 0 : n;
}

static void add_key(const char *option, text *out) {
    text_add(out, "%s", out->len ? " " : "");
    for (const char *c = option; *c; c++) text_add(out, "%c", *c == '-' ? '_' : *c);
}

/* The word auto: a name, or the value of one of its options. */
static bool has_auto(const char *s) {
    for (const char *p = s; (p = strstr(p, "auto")) != NULL; p++)
        if ((p == s || strchr(" =@", p[-1])) && (!p[4] || strchr(" ,@", p[4]))) return true;
    return false;
}

static bool says_auto(const args *a, const char *option) {
    return arg_given(a, option) && has_auto(arg(a, option)->text);
}

/* Commands that look nothing up have no --tuned. */
dfl_status spec_refuse_auto(const args *a, const char *option) {
    static const char *const samplers[] = {"solver", "solvers", "grid", "teacher", "teacher-grid"};
    if (command_row(a->command, "--tuned")) return DFL_OK;
    for (size_t i = 0; i < sizeof samplers / sizeof *samplers; i++)
        if (strcmp(option, samplers[i]) == 0 && says_auto(a, option))
            return fail(DFL_E_ARG, "--%s: auto is for sample, plan and eval", option);
    return DFL_OK;
}

dfl_status spec_add(const args *a, const char *const *options, size_t n, bool quotes, text *out) {
    for (size_t i = 0; i < n; i++) {
        const arg_value *v = arg(a, options[i]);
        if (!v->given) continue;
        TRY(spec_refuse_auto(a, options[i]));
        const size_t name = name_length(options[i], v->text);
        const char *const rest = v->text + name;
        if (quotes ? has_loose_blank(rest) : strpbrk(rest, " \t\r\n") != NULL)
            return fail(DFL_E_ARG, "--%s: \"%s\" has a blank%s", options[i], v->text,
                        quotes ? " outside quotes" : "");
        add_key(options[i], out);
        text_add(out, "=");
        for (size_t k = 0; k < name; k++)
            text_add(out, "%c", strchr(" \t\r\n", v->text[k]) ? '_' : v->text[k]);
        text_add(out, "%s", rest);
    }
    text_add(out, "%s", "");
    return out->failed ? fail_memory() : DFL_OK;
}

static dfl_status add_flags(const args *a, text *out) {
    for (int i = 0; i < FLAGS; i++)
        if (arg_given(a, flags[i])) text_add(out, "%s%s=1", out->len ? " " : "", flags[i]);
    return out->failed ? fail_memory() : DFL_OK;
}

/* What nothing reads would be ignored. */
static dfl_status refuse_idle(const args *a) {
    static const char *const limits[] = {"dynamic-thresholding-ratio", "sample-max-value"};
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++)
        if (arg_given(a, limits[i]) && !arg_given(a, "thresholding"))
            return fail(DFL_E_ARG, "--%s goes with --thresholding", limits[i]);
    return DFL_OK;
}

static dfl_status refuse_both(const args *a) {
    dfl_status status;
    spec_is_auto(a, &status);
    TRY(status);
    TRY(refuse_idle(a));
    if (arg_given(a, "steps") && arg_given(a, "nfe"))
        return fail(DFL_E_ARG, "--steps and --nfe are two ways to say one thing: give one of them");
    return DFL_OK;
}

dfl_status spec_make(const args *a, text *out) {
    TRY(refuse_both(a));
    const bool tuned = command_row(a->command, "--tuned") && arg_given(a, "tuned");
    if (tuned && !says_auto(a, "solver") && !says_auto(a, "grid"))
        return fail(DFL_E_ARG, "--tuned says where auto looks; neither --solver nor --grid has it");
    TRY(spec_add(a, words, WORDS, true, out));
    return add_flags(a, out);
}

dfl_status spec_make_rest(const args *a, text *out) {
    enum { CELL = 4 }; /* the words before are those of a cell */
    TRY(refuse_both(a));
    TRY(spec_add(a, words + CELL, WORDS - CELL, true, out));
    return add_flags(a, out);
}

/* Puts tuned values in place of auto, and says so on stderr unless `quiet`. */
static dfl_status resolve(const args *a, const dfl_model *model, bool quiet, text *spec) {
    char note[NOTE_MAX];
    const char *store = arg(a, "tuned")->text;
    size_t need;
    TRY(dfl_tuned_spec(model, store, spec->data, NULL, 0, &need, note, sizeof note));
    char *buf = mem_array(need + 1, 1);
    if (!buf) return fail_memory();
    dfl_status status =
        dfl_tuned_spec(model, store, spec->data, buf, need + 1, NULL, note, sizeof note);
    if (status == DFL_OK) {
        text_free(spec);
        text_add(spec, "%s", buf);
        if (spec->failed) status = fail_memory();
        text_tame(note);
        if (!quiet && *note) fprintf(stderr, "driftless: %s\n", note);
    }
    free(buf);
    return status;
}

/* ---- solver auto ------------------------------------------------------------------------------- */

bool spec_is_auto(const args *a, dfl_status *status) {
    static const char *const kept[] = {"solver", "steps", "nfe"};
    const char *solver = arg(a, "solver")->text;
    *status = DFL_OK;
    if (!solver || strcmp(solver, "auto") != 0) return false;
    for (int i = 0; i < WORDS + FLAGS; i++) {
        const char *option = i < WORDS ? words[i] : flags[i - WORDS];
        bool allowed = false;
        for (int k = 0; k < 3; k++) allowed = allowed || strcmp(option, kept[k]) == 0;
        if (allowed || !arg_given(a, option)) continue;
        *status =
            fail(DFL_E_ARG, "--%s cannot stand beside --solver auto, which settles it", option);
    }
    return true;
}

/* Without a budget, 10 steps; a list of budgets is for --predict. */
static dfl_status read_budget(const args *a, int *nfe) {
    const char *option = arg_given(a, "nfe") ? "nfe" : "steps", *given = arg(a, option)->text;
    long long n = 10;
    if (given && (!text_to_int(given, &n) || n < 1 || n > 100000))
        return fail(DFL_E_ARG, "--%s: \"%s\" is not one whole number from 1 to 100000", option,
                    given);
    *nfe = (int)n;
    return DFL_OK;
}

static dfl_status choose(const args *a, const dfl_model *model, spec_made *made) {
    int nfe = 10;
    TRY(read_budget(a, &nfe));
    stored_choice c;
    dfl_status status = stored_choose(model, nfe, arg(a, "tuned")->text, &c);
    if (status == DFL_OK && !made->quiet && c.note.len) {
        text_tame(c.note.data);
        fprintf(stderr, "driftless: auto: %s\n", c.note.data);
    }
    if (status == DFL_OK && !c.plan) status = dfl_plan_new(model, c.spec.data, &c.plan);
    if (status == DFL_OK) {
        text_free(&made->spec);
        made->plan = c.plan;
        made->spec = c.spec;
        made->file = c.file;
        c = (stored_choice){.note = c.note};
        text_add(&made->spec, "%s", "");
        if (made->spec.failed) status = fail_memory();
    }
    stored_free(&c);
    return status;
}

dfl_status spec_compile(const args *a, const dfl_model *model, spec_made *made) {
    dfl_status status;
    if (spec_is_auto(a, &status)) {
        TRY(status);
        return choose(a, model, made);
    }
    TRY(resolve(a, model, made->quiet, &made->spec));
    return dfl_plan_new(model, made->spec.data, &made->plan);
}

void spec_free(spec_made *made) {
    text_free(&made->spec);
    text_free(&made->file);
}

/* ---- plans from files -------------------------------------------------------------------------- */

static dfl_status refuse(const args *a, const char *option, const char *beside) {
    if (!arg_given(a, option)) return DFL_OK;
    return fail(DFL_E_ARG, "--%s cannot stand beside --%s: the %s has settled it", option, beside,
                strcmp(beside, "plan") == 0 ? "plan" : "table");
}

dfl_status spec_refuse(const args *a, const char *beside) {
    const bool plan = strcmp(beside, "plan") == 0;
    for (int i = 0; i < WORDS; i++)
        if (plan || strcmp(words[i], "process") != 0) TRY(refuse(a, words[i], beside));
    for (int i = 0; i < FLAGS; i++) TRY(refuse(a, flags[i], beside));
    return refuse(a, "tuned", beside);
}

dfl_status plan_load(const char *path, dfl_plan **out) {
    char *data = NULL;
    size_t size = 0;
    *out = NULL;
    TRY(file_read(path, PLAN_FILE_MAX, &data, &size));
    dfl_status status = dfl_plan_from_json(data, size, out);
    free(data);
    if (status == DFL_OK) return DFL_OK;
    if (status != DFL_E_MEMORY) status = DFL_E_FORMAT;
    return fail_in(status, "%s", path);
}

static dfl_status get_warnings(const void *plan, char *buf, size_t cap, size_t *need) {
    return dfl_plan_warnings(plan, buf, cap, need);
}

dfl_status plan_tell_warnings(const dfl_plan *plan) {
    char *lines = NULL;
    TRY(fetch_text(get_warnings, plan, &lines));
    tell_warnings(lines);
    free(lines);
    return DFL_OK;
}

static dfl_status get_json(const void *plan, char *buf, size_t cap, size_t *need) {
    return dfl_plan_to_json(plan, buf, cap, need);
}

dfl_status plan_json(const dfl_plan *plan, char **out) {
    return fetch_text(get_json, plan, out);
}

const char *mixture_path(const char *where) {
    static const char prefix[] = "mixture:";
    return strncmp(where, prefix, sizeof prefix - 1) == 0 ? where + sizeof prefix - 1 : NULL;
}
