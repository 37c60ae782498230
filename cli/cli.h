/* What the files of the program share: the commands, exit codes, and how failures are told. */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include "base/base.h"
#include "options.h"

/* Exit codes, documented in docs/cli.md. CODE_BY_STATUS is none: it asks for code_of(). */
enum {
    CODE_OK = 0,
    CODE_FAILURE = 1,
    CODE_USAGE = 2,
    CODE_MODEL = 3,
    CODE_INTERRUPTED = 130,
    CODE_BY_STATUS = -1
};

/* The exit code that belongs to a status of the library. */
int code_of(dfl_status status);

/* Prints "driftless: " and the thread's message as one line on stderr; returns `code`, or
   code_of(status) for CODE_BY_STATUS. */
int tell_failure(dfl_status status, int code);

/* Prints each line of `lines` as a warning, or as a note, on stderr; NULL: none. */
void tell_warnings(const char *lines);
void tell_notes(const char *lines);

/* Writes text to stdout and flushes it; a failure (full disk, closed pipe) is E_IO. */
dfl_status print_out(const char *data);

/* The same for people: what it quotes from files cannot fool the terminal (text_tame). */
dfl_status print_page(char *page);

/* Writes text to a file, which appears whole or not at all; "-" is stdout. */
dfl_status write_text(const char *path, const char *data);

/* Fetches a text result of the library whole; *out is to be freed. */
dfl_status fetch_text(dfl_status (*get)(const void *object, char *buf, size_t cap, size_t *need),
                      const void *object, char **out);

/* print_out of a text, which is freed. */
dfl_status print_text(text *t);

/* The commands, each in its own file, and the list of all of them. */
extern const command command_sample, command_plan, command_tune, command_stats, command_info;
extern const command command_doctor, command_fit, command_prior, command_eval, command_likelihood;
extern const command command_sweep, command_times;
extern const command command_solvers, command_grids, command_processes;
extern const command command_manual, command_complete;
extern const command *const commands[];
extern const size_t ncommands;
const command *command_named(const char *name); /* NULL: there is none */

#endif
