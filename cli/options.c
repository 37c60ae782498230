/* The parser of command lines and the printer of --help, both driven by a command's table. */
#include "options.h"

#include <assert.h>
#include <string.h>

enum { HELP_COLUMN = 29, NAMES_MAX = 2 * ARGS_MAX };

static int row_count(const command *c) {
    int n = 0;
    while (c->rows[n].name) n++;
    assert(n <= ARGS_MAX);
    return n;
}

static bool same_word(const char *word, const char *s, size_t n) {
    return word && strlen(word) == n && memcmp(word, s, n) == 0;
}

static int find_long(const command *c, const char *s, size_t n) {
    for (int i = 0; c->rows[i].name; i++)
        if (same_word(c->rows[i].name, s, n) || same_word(c->rows[i].alias, s, n)) return i;
    return -1;
}

static int find_letter(const command *c, char letter) {
    for (int i = 0; c->rows[i].name; i++)
        if (c->rows[i].letter == letter) return i;
    return -1;
}

const arg_row *command_row(const command *c, const char *word) {
    int i = -1;
    if (strncmp(word, "--", 2) == 0)
        i = find_long(c, word + 2, strcspn(word + 2, "="));
    else if (word[0] == '-' && word[1])
        i = find_letter(c, word[1]);
    return i < 0 ? NULL : &c->rows[i];
}

static dfl_status unknown_option(const command *c, const char *shown, const char *word) {
    const char *names[NAMES_MAX];
    size_t n = 0;
    for (int i = 0; c->rows[i].name; i++) {
        names[n++] = c->rows[i].name;
        if (c->rows[i].alias) names[n++] = c->rows[i].alias;
    }
    const char *close = word ? text_closest(word, names, n) : NULL;
    if (close)
        return fail(DFL_E_ARG, "%s has no option %s; did you mean --%s?", c->name, shown, close);
    return fail(DFL_E_ARG, "%s has no option %s; \"driftless %s --help\" lists them", c->name,
                shown, c->name);
}

static bool is_choice(const char *choices, const char *word) {
    for (const char *p = choices; *p;) {
        const size_t n = strcspn(p, "|");
        if (same_word(word, p, n)) return true;
        p += n + (p[n] == '|');
    }
    return false;
}

static dfl_status check_value(arg_value *v, const char *shown) {
    const arg_row *row = v->row;
    switch (row->kind) {
    case ARG_INT:
        if (text_to_int(v->text, &v->integer) && (double)v->integer >= row->min &&
            (double)v->integer <= row->max) {
            v->real = (double)v->integer;
            return DFL_OK;
        }
        return fail(DFL_E_ARG, "%s: \"%s\" is not a whole number from %.15g to %.15g", shown,
                    v->text, row->min, row->max);
    case ARG_REAL:
        if (text_to_real(v->text, &v->real) && v->real >= row->min && v->real <= row->max)
            return DFL_OK;
        return fail(DFL_E_ARG, "%s: \"%s\" is not a number from %g to %g", shown, v->text, row->min,
                    row->max);
    case ARG_CHOICE:
        if (is_choice(row->value, v->text)) return DFL_OK;
        return fail(DFL_E_ARG, "%s: \"%s\" is not one of %s", shown, v->text, row->value);
    case ARG_TEXT:
    case ARG_FILE:
    case ARG_OUTPUT:
        if (*v->text) return DFL_OK;
        return fail(DFL_E_ARG, "%s: its value %s is empty", shown, row->value);
    case ARG_FLAG: break;
    }
    return DFL_OK;
}

/* `value` is NULL where none was attached to the option; *next is then the candidate. */
static dfl_status take(args *a, int i, const char *shown, const char *value, const char *next,
                       int *used) {
    arg_value *v = &a->value[i];
    const arg_row *row = v->row;
    if (v->given) return fail(DFL_E_ARG, "%s is given twice", shown);
    if (row->kind == ARG_FLAG) {
        if (value) return fail(DFL_E_ARG, "%s takes no value", shown);
    } else if (!value) {
        if (!next || strncmp(next, "--", 2) == 0)
            return fail(DFL_E_ARG, "%s needs a value: %s", shown, row->value);
        value = next;
        *used = 2;
    }
    v->given = true;
    v->text = value;
    return check_value(v, shown);
}

static dfl_status parse_long(args *a, const char *word, const char *next, int *used) {
    const char *name = word + 2;
    const size_t n = strcspn(name, "=");
    const char *value = name[n] ? name + n + 1 : NULL;
    char shown[64], bare[64];
    if (n + 3 > sizeof shown) return fail(DFL_E_ARG, "%s has no such option", a->command->name);
    memcpy(bare, name, n);
    bare[n] = 0;
    memcpy(shown, "--", 2);
    memcpy(shown + 2, bare, n + 1);
    const int i = find_long(a->command, name, n);
    if (i < 0) return unknown_option(a->command, shown, bare);
    return take(a, i, shown, value, next, used);
}

static dfl_status parse_short(args *a, const char *word, const char *next, int *used) {
    const char shown[3] = {'-', word[1], 0};
    const int i = find_letter(a->command, word[1]);
    if (i < 0) return unknown_option(a->command, word, NULL);
    return take(a, i, shown, word[2] ? word + 2 : NULL, next, used);
}

static dfl_status parse_operand(args *a, const char *word) {
    if (a->noperands == a->command->operands_max)
        return fail(DFL_E_ARG, "%s has no place for \"%s\"", a->command->name, word);
    a->operand[a->noperands++] = word;
    return DFL_OK;
}

dfl_status args_parse(const command *c, int argc, char *const *argv, args *out) {
    *out = (args){.command = c};
    const int nrows = row_count(c);
    for (int i = 0; i < nrows; i++) out->value[i].row = &c->rows[i];
    bool options = true;
    for (int i = 0; i < argc && !out->help;) {
        const char *word = argv[i], *next = i + 1 < argc ? argv[i + 1] : NULL;
        int used = 1;
        if (options && strcmp(word, "--") == 0)
            options = false;
        else if (options && strncmp(word, "--", 2) == 0)
            TRY(parse_long(out, word, next, &used));
        else if (options && word[0] == '-' && word[1])
            TRY(parse_short(out, word, next, &used));
        else
            TRY(parse_operand(out, word));
        out->help = arg(out, "help")->given;
        i += used;
    }
    return DFL_OK;
}

const arg_value *arg(const args *a, const char *name) {
    const int i = find_long(a->command, name, strlen(name));
    assert(i >= 0);
    return &a->value[i];
}

bool arg_given(const args *a, const char *name) {
    return arg(a, name)->given;
}

dfl_status args_check_operands(const args *a) {
    if (a->noperands >= a->command->operands_min) return DFL_OK;
    return fail(DFL_E_ARG, "usage: driftless %s %s", a->command->name, a->command->operands);
}

/* ---- help ------------------------------------------------------------------------------------ */

static void row_help(const arg_row *row, text *out) {
    const size_t start = out->len;
    if (row->letter)
        text_add(out, "  -%c, --%s", row->letter, row->name);
    else
        text_add(out, "      --%s", row->name);
    if (row->value) text_add(out, " %s", row->value);
    size_t column = out->len - start;
    if (column + 2 > HELP_COLUMN) {
        text_add(out, "\n");
        column = 0;
    }
    text_add(out, "%*s", (int)(HELP_COLUMN - column), "");
    text words = {0};
    text_add(&words, "%s", row->help);
    if (row->fallback) text_add(&words, " (default %s)", row->fallback);
    if (row->alias) text_add(&words, "; also --%s", row->alias);
    if (words.failed) out->failed = true;
    if (words.data) text_wrap(out, words.data, HELP_COLUMN, HELP_COLUMN);
    text_free(&words);
}

void command_help(const command *c, text *out) {
    text_add(out, "usage: driftless %s", c->name);
    if (*c->operands) text_add(out, " ");
    text_wrap(out, c->operands, strlen("usage: driftless ") + strlen(c->name) + 1, 8);
    if (!*c->operands) text_add(out, "\n");
    text_add(out, "\n");
    text_wrap(out, c->about, 0, 0);
    text_add(out, "\noptions:\n");
    for (const arg_row *row = c->rows; row->name; row++) row_help(row, out);
    if (c->notes) text_add(out, "\n%s", c->notes);
}
