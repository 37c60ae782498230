/* "driftless manual": the manual pages in mdoc, from the tables that parse options and print --help.
   The build keeps them as files for "make install". */
#include <string.h>

#include "cli.h"
#include "grid/grid.h"
#include "solver/solver.h"
#include "study/study.h"

static int run_manual(const args *a);

static const arg_row table[] = {ROWS_END};

const command command_manual = {
    "manual",
    "[driftless|driftless-samplers]",
    "Prints a manual page: the program's, or that of solvers, grids and processes.",
    "example:\n  driftless manual | man -l -\n",
    0,
    1,
    table,
    run_manual};

/* Of the words that do not come from tables. */
#define PAGE_DATE "November 25, 2026"

/* Lines of text as roff takes them: no macros, minus signs, backslashes as such. */
static void add_lines(text *out, const char *lines) {
    bool fresh = true;
    for (const char *p = lines; *p; p++) {
        if (fresh && (*p == '.' || *p == '\'')) text_add(out, "\\&");
        if (*p == '-')
            text_add(out, "\\-");
        else if (*p == '\\')
            text_add(out, "\\e");
        else
            text_add(out, "%c", *p);
        fresh = *p == '\n';
    }
    if (!fresh) text_add(out, "\n");
}

/* Every sentence on a line of its own: roff sets the space behind it. */
static void add_words(text *out, const char *words) {
    text lines = {0};
    for (const char *p = words; *p; p++) {
        const bool ends = p > words && p[-1] == '.' && *p == ' ' && !(p[1] >= 'a' && p[1] <= 'z');
        text_add(&lines, "%c", ends ? '\n' : *p);
    }
    if (lines.failed) out->failed = true;
    if (lines.data) add_lines(out, lines.data);
    text_free(&lines);
}

static void add_literal(text *out, const char *lines) {
    text_add(out, ".Bd -literal\n");
    add_lines(out, lines);
    text_add(out, ".Ed\n");
}

static void add_head(text *out, const char *name, int section, const char *about) {
    text_add(out, ".Dd " PAGE_DATE "\n.Dt ");
    for (const char *p = name; *p; p++) text_add(out, "%c", *p >= 'a' && *p <= 'z' ? *p - 32 : *p);
    text_add(out, " %d\n.Os driftless %s\n.Sh NAME\n.Nm %s\n.Nd %s\n", section, dfl_version(), name,
             about);
}

/* ---- driftless(1) ---------------------------------------------------------------------------------- */

static void add_option(text *out, const arg_row *option) {
    text_add(out, ".It ");
    if (option->letter) text_add(out, "Fl %c , ", option->letter);
    text_add(out, "Fl \\-%s", option->name);
    if (option->alias) text_add(out, " , Fl \\-%s", option->alias);
    if (option->value) text_add(out, " Ar %s", option->value);
    text_add(out, "\n");
    text words = {0};
    text_add(&words, "%s", option->help);
    if (option->kind == ARG_INT || option->kind == ARG_REAL)
        text_add(&words, "; from %.15g to %.15g", option->min, option->max);
    if (option->fallback) text_add(&words, " (default: %s)", option->fallback);
    if (words.failed) out->failed = true;
    if (words.data) add_words(out, words.data);
    text_free(&words);
}

static void add_command(text *out, const command *c) {
    text usage = {0};
    text_add(&usage, "driftless %s %s", c->name, c->operands);
    if (usage.failed) out->failed = true;
    text_add(out, ".Ss %s\n", c->name);
    if (usage.data) add_literal(out, usage.data);
    text_free(&usage);
    text_add(out, ".Pp\n");
    add_words(out, c->about);
    if (strcmp(c->rows->name, "help") != 0) {
        text_add(out, ".Bl -tag -width Ds\n");
        for (const arg_row *option = c->rows; option->name; option++) add_option(out, option);
        text_add(out, ".El\n");
    }
    if (c->notes) add_literal(out, c->notes);
}

static void add_program(text *out) {
    add_head(out, "driftless", 1, "samples pretrained diffusion models in few network evaluations");
    text_add(out, ".Sh SYNOPSIS\n.Nm\n.Ar command\n.Op Ar options\n.Sh DESCRIPTION\n");
    add_words(
        out,
        "A sampler is compiled to a linear plan, and one executor runs it on a network. Sample "
        "i depends on the plan, the network, the seed, i and its class, not on batch size, "
        "number of threads or where a run begins. A MODEL is a folder with model.json and an "
        "ONNX network, or mixture:FILE.json, an analytic Gaussian mixture.");
    text_add(out, ".Pp\n");
    add_words(out, "Options are written --key value or --key=value, short ones -n 64 or -n64. -- "
                   "ends the options. Every command takes --help. An option that is given twice, "
                   "or that does not exist, is refused.");
    text_add(out, ".Sh COMMANDS\n");
    for (size_t i = 0; i < ncommands; i++) add_command(out, commands[i]);
    text_add(out, ".Sh ENVIRONMENT\n.Bl -tag -width Ds\n.It Ev DRIFTLESS_OPENVINO\n");
    add_words(out, "path of OpenVINO's C library (libopenvino_c.so); without it, the one that was "
                   "there when driftless was built, then the system's");
    text_add(out, ".El\n.Sh EXIT STATUS\n.Bl -tag -width Ds\n"
                  ".It 0\ndone\n"
                  ".It 1\nfailure: a file, memory, a number that is not finite\n"
                  ".It 2\nusage: an option or value that is not understood or not allowed\n"
                  ".It 3\nthe model, its network or the network runtime cannot be used\n"
                  ".It 130\ninterrupted by a signal\n.El\n"
                  ".Sh SEE ALSO\n.Xr libdriftless 3 ,\n.Xr driftless-samplers 7\n");
}

/* ---- driftless-samplers(7) ------------------------------------------------------------------------- */

static void add_family(text *out, const char *title, const char *words, const family *f) {
    text list = {0};
    family_describe(f, &list);
    if (list.failed) out->failed = true;
    text_add(out, ".Sh %s\n", title);
    add_words(out, words);
    if (list.data) add_literal(out, list.data);
    text_free(&list);
}

static void add_samplers(text *out) {
    add_head(out, "driftless-samplers", 7, "solvers, time grids and processes of driftless");
    text_add(out, ".Sh DESCRIPTION\n");
    add_words(out, "Each is written NAME:key=value,... and has the options that are listed here: "
                   "key, what it takes, default, meaning. A value with blanks, commas or colons "
                   "stands in quotes; a list of numbers is [1,0.5]. The program takes them after "
                   "--solver, --grid and --process, the library as words of dfl_plan_new: "
                   "solver=deis:order=3 grid=power:kappa=2 steps=10.");
    add_family(out, "SOLVERS", "How a step is made.", &solver_family);
    add_family(out, "ADAPTIVE SOLVERS",
               "Steps sample by sample: no plans, without grid and number "
               "of steps.",
               &adaptive_family);
    add_family(out, "GRIDS", "The times of the steps.", &grid_family);
    add_family(out, "PROCESSES", "How data became noise.", &process_family);
    text_add(out, ".Sh SEE ALSO\n.Xr driftless 1 ,\n.Xr libdriftless 3\n");
}

static int run_manual(const args *a) {
    const char *page = a->noperands ? a->operand[0] : "driftless";
    text out = {0};
    dfl_status status = DFL_OK;
    if (strcmp(page, "driftless") == 0)
        add_program(&out);
    else if (strcmp(page, "driftless-samplers") == 0)
        add_samplers(&out);
    else
        status = fail(DFL_E_ARG,
                      "there is no manual page \"%s\"; choose driftless or "
                      "driftless-samplers",
                      page);
    if (status == DFL_OK) status = print_text(&out);
    return status == DFL_OK ? CODE_OK : tell_failure(status, CODE_BY_STATUS);
}
