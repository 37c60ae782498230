/* driftless, the program: finds the command, parses its line, and turns the outcome into an exit
   code. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "output.h"

static int run_version(const args *a);
static int run_help(const args *a);

static const arg_row no_rows[] = {ROWS_END};

static const command command_version = {"version", "",         "Prints the version.", NULL, 0, 0,
                                        no_rows,   run_version};
static const command command_help_ = {
    "help",  "[COMMAND]", "Prints help on the program or on one command.", NULL, 0, 1,
    no_rows, run_help};

const command *const commands[] = {
    &command_sample,  &command_plan,   &command_tune,       &command_fit,     &command_stats,
    &command_prior,   &command_eval,   &command_likelihood, &command_times,   &command_sweep,
    &command_info,    &command_doctor, &command_solvers,    &command_grids,   &command_processes,
    &command_version, &command_help_,  &command_manual,     &command_complete};

enum { COMMANDS = sizeof commands / sizeof *commands };
const size_t ncommands = COMMANDS;

int code_of(dfl_status status) {
    switch (status) {
    case DFL_OK: return CODE_OK;
    case DFL_E_ARG:
    case DFL_E_KEY:
    case DFL_E_RANGE:
    case DFL_E_COMBINATION: return CODE_USAGE;
    case DFL_E_MODEL:
    case DFL_E_RUNTIME: return CODE_MODEL;
    case DFL_E_STOPPED: return CODE_INTERRUPTED;
    default: return CODE_FAILURE;
    }
}

int tell_failure(dfl_status status, int code) {
    fputs("driftless: ", stderr);
    for (const char *p = dfl_last_message(); *p; p++) fputc(*p == '\n' ? ' ' : *p, stderr);
    fputc('\n', stderr);
    return code == CODE_BY_STATUS ? code_of(status) : code;
}

static void tell_lines(const char *kind, const char *lines) {
    char *const copy = lines ? text_copy(lines) : NULL;
    if (copy) text_tame(copy);
    for (const char *p = copy; p && *p;) {
        const size_t n = strcspn(p, "\n");
        if (n > 0) fprintf(stderr, "driftless: %s: %.*s\n", kind, (int)n, p);
        p += n + (p[n] == '\n');
    }
    free(copy);
}

void tell_warnings(const char *lines) {
    tell_lines("warning", lines);
}

void tell_notes(const char *lines) {
    tell_lines("note", lines);
}

dfl_status print_out(const char *data) {
    errno = 0;
    const bool bad = fputs(data, stdout) < 0;
    if (fflush(stdout) != 0 || bad || ferror(stdout))
        return fail(DFL_E_IO, "standard output: %s", strerror(errno ? errno : EIO));
    return DFL_OK;
}

dfl_status print_page(char *page) {
    text_tame(page);
    return print_out(page);
}

dfl_status write_text(const char *path, const char *data) {
    return strcmp(path, "-") == 0 ? print_out(data) : file_save(path, data, strlen(data));
}

dfl_status fetch_text(dfl_status (*get)(const void *, char *, size_t, size_t *), const void *object,
                      char **out) {
    size_t need = 0;
    *out = NULL;
    TRY(get(object, NULL, 0, &need));
    char *buf = mem_array(need + 1, 1);
    if (!buf) return fail_memory();
    const dfl_status status = get(object, buf, need + 1, NULL);
    if (status != DFL_OK)
        free(buf);
    else
        *out = buf;
    return status;
}

dfl_status print_text(text *t) {
    const dfl_status status = t->failed ? fail_memory() : print_out(t->data ? t->data : "");
    text_free(t);
    return status;
}

const command *command_named(const char *name) {
    for (size_t i = 0; i < ncommands; i++)
        if (strcmp(commands[i]->name, name) == 0) return commands[i];
    return NULL;
}

static dfl_status find_command(const char *name, const command **out) {
    const char *names[COMMANDS];
    *out = command_named(name);
    if (*out) return DFL_OK;
    for (int i = 0; i < COMMANDS; i++) names[i] = commands[i]->name;
    const char *close = text_closest(name, names, COMMANDS);
    if (close)
        return fail(DFL_E_ARG, "there is no command \"%s\"; did you mean \"%s\"?", name, close);
    return fail(DFL_E_ARG, "there is no command \"%s\"; \"driftless help\" lists them", name);
}

static void program_help(text *out) {
    text_add(out, "usage: driftless COMMAND [options]\n\n"
                  "Samples pretrained diffusion models in few network evaluations.\n\n"
                  "commands:\n");
    for (int i = 0; i < COMMANDS; i++) {
        text_add(out, "  %-11s", commands[i]->name);
        text_wrap(out, commands[i]->about, 13, 13);
    }
    text_add(out, "\n\"driftless COMMAND --help\" tells more about one of them.\n"
                  "\nexit codes: 0 done, 1 failure, 2 usage, 3 model or runtime cannot be used,\n"
                  "130 interrupted by a signal\n");
}

static int print_help(const command *c) {
    text out = {0};
    if (c)
        command_help(c, &out);
    else
        program_help(&out);
    const dfl_status status = print_text(&out);
    return status == DFL_OK ? CODE_OK : tell_failure(status, CODE_BY_STATUS);
}

static int run_help(const args *a) {
    const command *c = NULL;
    if (a->noperands == 1) {
        const dfl_status status = find_command(a->operand[0], &c);
        if (status != DFL_OK) return tell_failure(status, CODE_USAGE);
    }
    return print_help(c);
}

static int run_version(const args *a) {
    (void)a;
    text out = {0};
    text_add(&out, "driftless %s\n", dfl_version());
    const dfl_status status = print_text(&out);
    return status == DFL_OK ? CODE_OK : tell_failure(status, CODE_BY_STATUS);
}

/* No file has an empty name; a shell may ask for what is to stand in an empty word's place. */
static dfl_status check_words(const args *a) {
    for (int i = 0; i < a->noperands; i++)
        if (!*a->operand[i] && a->command != &command_complete)
            return fail(DFL_E_ARG, "usage: driftless %s %s; a word there is empty",
                        a->command->name, a->command->operands);
    return args_check_operands(a);
}

static int run_command(const command *c, int argc, char *const *argv) {
    args a;
    dfl_status status = args_parse(c, argc - 2, argv + 2, &a);
    if (status == DFL_OK && a.help) return print_help(c);
    if (status == DFL_OK) status = check_words(&a);
    if (status == DFL_OK) status = output_check_apart(&a);
    if (status != DFL_OK) return tell_failure(status, CODE_USAGE);
    a.argc = argc;
    a.argv = argv;
    return c->run(&a);
}

/* A caller may close the standard streams; a file that was opened next would take their number, and
   sentences for people would go into it. What is closed reads as empty, and refuses to be written. */
static bool streams_are_open(void) {
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDONLY) != fd) return false;
    return true;
}

int main(int argc, char **argv) {
    if (!streams_are_open()) return CODE_FAILURE;
    /* A reader that went away must not kill a run whose pictures are not yet on disk. */
    signal(SIGPIPE, SIG_IGN);
    /* Nor may a limit on file sizes: the write fails with a sentence, and no half file stays. */
    signal(SIGXFSZ, SIG_IGN);
    if (argc < 2) {
        fail(DFL_E_ARG, "no command given; \"driftless help\" lists them");
        return tell_failure(DFL_E_ARG, CODE_USAGE);
    }
    const char *name = argv[1];
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) return print_help(NULL);
    if (strcmp(name, "--version") == 0) name = "version";
    const command *c = NULL;
    const dfl_status status = find_command(name, &c);
    if (status != DFL_OK) return tell_failure(status, CODE_USAGE);
    return run_command(c, argc, argv);
}
