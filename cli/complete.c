/* "driftless complete": what may stand in place of the last word of a command line. The scripts in
   completion/ hand it the line, so that a shell offers what this program takes. Everything comes
   from the tables that parse it.

   Each line of the answer is WORD, a tab, and a few words of help. A line "files", without a tab,
   stands for the names of files. */
#include <string.h>

#include "cli.h"
#include "grid/grid.h"
#include "solver/solver.h"
#include "study/study.h"

static int run_complete(const args *a);

static const arg_row table[] = {ROWS_END};

const command command_complete = {
    "complete",
    "-- WORD...",
    "Prints what may stand in place of the last word of a command line; shells call it.",
    "in bash, from the sources:\n  source cli/completion/driftless.bash\n",
    0,
    OPERANDS_MAX,
    table,
    run_complete};

/* What is completed: `word` begins with `done`, which every offer repeats. */
typedef struct {
    const char *word;
    size_t done; /* length */
    text *out;
} place;

static void offer(const place *p, const char *word, size_t n, const char *end, const char *help) {
    const char *typed = p->word + p->done;
    const size_t length = strlen(typed), tail = strlen(end);
    if (length > n + tail || strncmp(typed, word, length < n ? length : n) != 0) return;
    if (length > n && strncmp(typed + n, end, length - n) != 0) return;
    const char *stop = strstr(help, ". "); /* one sentence is enough */
    text_add(p->out, "%.*s%.*s%s\t%.*s\n", (int)p->done, p->word, (int)n, word, end,
             (int)(stop ? stop - help : (ptrdiff_t)strlen(help)), help);
}

static void offer_word(const place *p, const char *word, const char *help) {
    offer(p, word, strlen(word), "", help);
}

static void offer_files(const place *p) {
    text_add(p->out, "files\n");
}

/* Each of "a|b|c". */
static void offer_choices(const place *p, const char *choices, const char *help) {
    for (const char *at = choices; *at;) {
        const size_t n = strcspn(at, "|");
        offer(p, at, n, "", help);
        at += n + (at[n] == '|');
    }
}

/* ---- "name:key=value,..." ------------------------------------------------------------------------ */

static void offer_value(const place *p, const opt_row *option) {
    if (option->type == OPT_BOOL) offer_choices(p, "0|1", option->help);
    if ((option->type == OPT_CHOICE || option->type == OPT_REAL) && option->choices)
        offer_choices(p, option->choices, option->help);
}

/* The word up to p->done is "name:" and whole items; what follows is the item to complete. */
static void offer_item(const place *p, const opt_row *options) {
    const char *item = p->word + p->done;
    const size_t n = strcspn(item, "=");
    for (const opt_row *option = options; option->key; option++) {
        const place value = {p->word, p->done + n + 1, p->out};
        if (item[n] != '=')
            offer(p, option->key, strlen(option->key), "=", option->help);
        else if (strlen(option->key) == n && strncmp(option->key, item, n) == 0)
            offer_value(&value, option);
    }
}

static void offer_names(const place *p, const family *f) {
    for (size_t i = 0; i < f->n; i++) {
        const family_row *option = f->rows[i];
        offer_word(p, option->name, option->about);
        if (option->options->key && strcmp(p->word + p->done, option->name) == 0)
            offer(p, option->name, strlen(option->name), ":", "with options");
    }
    for (size_t i = 0; i < f->naliases; i++) offer_word(p, f->aliases[i].name, f->aliases[i].spec);
}

static void offer_spec(const place *p, const family *f) {
    const char *spec = p->word + p->done, *name = spec;
    if (!strchr(spec, ':')) {
        offer_names(p, f);
        return;
    }
    size_t length = strcspn(spec, ":"), end = strlen(p->word);
    for (size_t i = 0; i < f->naliases; i++)
        if (strlen(f->aliases[i].name) == length && !strncmp(f->aliases[i].name, spec, length)) {
            name = f->aliases[i].spec;
            length = strcspn(name, ":");
            break;
        }
    while (p->word[end - 1] != ':' && p->word[end - 1] != ',') end--;
    const place item = {p->word, end, p->out};
    for (size_t i = 0; i < f->n; i++)
        if (strlen(f->rows[i]->name) == length && !strncmp(f->rows[i]->name, name, length))
            offer_item(&item, f->rows[i]->options);
}

/* ---- options and operands ------------------------------------------------------------------------ */

/* Words that stand beside files or names. */
static void offer_words(const place *p, const command *c, const arg_row *option) {
    static const struct {
        const command *c; /* NULL: any */
        const char *option, *words;
    } list[] = {{&command_fit, "grid", "search"},
                {&command_likelihood, "prior", "standard|exact"},
                {&command_plan, "predict", "card"},
                {&command_plan, "solvers", "all"},
                {&command_plan, "grids", "usual"},
                {NULL, "features", "fashion-classifier|mnist-lenet5|pixels"}};
    const bool sampler = strcmp(option->name, "solver") == 0 || strcmp(option->name, "grid") == 0;
    for (size_t i = 0; i < sizeof list / sizeof *list; i++)
        if ((!list[i].c || list[i].c == c) && strcmp(option->name, list[i].option) == 0)
            offer_choices(p, list[i].words, option->help);
    if (sampler && command_row(c, "--tuned")) offer_word(p, "auto", "what is kept for the model");
}

static void offer_argument(const place *p, const command *c, const arg_row *option) {
    static const struct {
        const char *option;
        const family *f;
    } specs[] = {{"solver", &solver_family},  {"grid", &grid_family},
                 {"solvers", &solver_family}, {"grids", &grid_family},
                 {"teacher", &solver_family}, {"teacher-grid", &grid_family},
                 {"process", &process_family}};
    offer_words(p, c, option);
    if (option->kind == ARG_CHOICE) offer_choices(p, option->value, option->help);
    if (option->kind == ARG_FILE || option->kind == ARG_OUTPUT) offer_files(p);
    for (size_t i = 0; option->kind == ARG_TEXT && i < sizeof specs / sizeof *specs; i++)
        if (strcmp(option->name, specs[i].option) == 0) offer_spec(p, specs[i].f);
    if (c == &command_sample && strcmp(option->name, "solver") == 0)
        offer_spec(p, &adaptive_family);
}

static void offer_options(const place *p, const command *c) {
    for (const arg_row *option = c->rows; option->name; option++) {
        const place bare = {p->word, p->done + 2, p->out};
        if (strncmp(p->word, "--", 2) != 0) {
            text_add(p->out, "--%s\t%s\n", option->name, option->help);
            continue;
        }
        offer_word(&bare, option->name, option->help);
        if (option->alias) offer_word(&bare, option->alias, option->help);
    }
}

static void offer_commands(const place *p) {
    for (size_t i = 0; i < ncommands; i++) offer_word(p, commands[i]->name, commands[i]->about);
}

/* Words in lower case stand for themselves, COMMAND for the commands, others for files. What follows
   an option, up to the next alternative, is no operand. */
static void offer_operands(const place *p, const command *c) {
    static const char between[] = " |[],", lower[] = "abcdefghijklmnopqrstuvwxyz-";
    bool files = false, named = false;
    for (const char *at = c->operands; *at;) {
        if (*at == '-') at += strcspn(at, "|");
        const size_t n = strcspn(at, between);
        if (n == strlen("COMMAND") && strncmp(at, "COMMAND", n) == 0) {
            offer_commands(p);
            named = true;
        } else if (n > 0 && strspn(at, lower) >= n) {
            if (strncmp(at, "options", n) != 0) offer(p, at, n, "", c->name);
        } else if (n > 0) {
            files = true;
        }
        at += n + (at[n] != 0);
    }
    if (files && !named) offer_files(p);
}

/* ---- the command --------------------------------------------------------------------------------- */

/* word[0] names the command; word[n - 1] is to be completed. */
static void complete(const char *const *word, int n, text *out) {
    const place whole = {word[n - 1], 0, out};
    const command *c = command_named(word[0]);
    bool operands = false;
    if (n == 1) {
        offer_commands(&whole);
        offer_word(&whole, "--help", "what there is");
        offer_word(&whole, "--version", "the version");
    }
    if (n == 1 || !c) return;
    for (int i = 1; i < n - 1; i++) operands = operands || strcmp(word[i], "--") == 0;
    const char *before = operands || n == 2 ? "" : word[n - 2];
    const arg_row *option = command_row(c, before);
    const bool apart = option && option->kind != ARG_FLAG && !strchr(before, '=') &&
                       (before[1] == '-' || !before[2]); /* its value is the next word */
    const arg_row *own = operands ? NULL : command_row(c, whole.word);
    const char *equals = strchr(whole.word, '=');
    if (apart) {
        offer_argument(&whole, c, option);
    } else if (own && equals && whole.word[1] == '-') {
        const place value = {whole.word, (size_t)(equals + 1 - whole.word), out};
        offer_argument(&value, c, own);
    } else if (!operands && whole.word[0] == '-') {
        offer_options(&whole, c);
    } else {
        offer_operands(&whole, c);
    }
}

static int run_complete(const args *a) {
    text out = {0};
    if (a->noperands > 0) complete(a->operand, a->noperands, &out);
    const dfl_status status = print_text(&out);
    return status == DFL_OK ? CODE_OK : tell_failure(status, CODE_BY_STATUS);
}
