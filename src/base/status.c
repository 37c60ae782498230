/* Status codes and the one sentence that goes with a failure. The message is kept per thread, in a
   fixed buffer, so that failing never allocates and never disturbs another thread. */
#include "base/base.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { MESSAGE_CAP = 512 };

static _Thread_local char message[MESSAGE_CAP];

typedef struct {
    dfl_status status;
    const char *name, *text;
} status_row;

static const status_row status_rows[] = {
#define DFL_STATUS(name, value, text) {value, "DFL_" #name, text},
#include "driftless/status.def"
#undef DFL_STATUS
};

static const status_row *status_find(dfl_status status) {
    const size_t n = sizeof status_rows / sizeof status_rows[0];
    for (size_t i = 0; i < n; i++) {
        if (status_rows[i].status == status) return &status_rows[i];
    }
    return NULL;
}

const char *dfl_status_name(dfl_status status) {
    const status_row *row = status_find(status);
    if (row) return row->name;
    return status > 0 ? "callback" : "unknown";
}

const char *dfl_status_text(dfl_status status) {
    const status_row *row = status_find(status);
    if (row) return row->text;
    return status > 0 ? "a callback's own code" : "not a code of this version of driftless";
}

const char *dfl_last_message(void) {
    return message;
}

#define TEXT_OF_(x) #x
#define TEXT_OF(x)  TEXT_OF_(x)

const char *dfl_version(void) {
    return TEXT_OF(DFL_VERSION_MAJOR) "." TEXT_OF(DFL_VERSION_MINOR) "." TEXT_OF(DFL_VERSION_PATCH);
}

/* A sentence cut off by the buffer ends in dots, never in half of a UTF-8 character. */
static void mark_cut(char *s, size_t cap) {
    size_t end = cap - 4;
    while (end > 0 && ((unsigned char)s[end] & 0xC0U) == 0x80U) end--;
    memcpy(s + end, "...", 4);
}

/* Formats into a buffer of its own first: the old message may be among the arguments. */
dfl_status fail(dfl_status status, const char *format, ...) {
    char fresh[MESSAGE_CAP];
    va_list args;
    va_start(args, format);
    const int length = text_vformat(fresh, sizeof fresh, format, args);
    va_end(args);
    if (length < 0) fresh[0] = 0;
    if (length >= MESSAGE_CAP) mark_cut(fresh, sizeof fresh);
    text_tame(fresh);                                               /* sentences quote files */
    for (char *end = fresh; (end = strchr(end, '\n'));) *end = ' '; /* and are one line */
    memcpy(message, fresh, sizeof message);
    return status;
}

dfl_status fail_in(dfl_status status, const char *where, ...) {
    char place[MESSAGE_CAP / 2];
    va_list args;
    va_start(args, where);
    const int length = text_vformat(place, sizeof place, where, args);
    va_end(args);
    if (length < 0) place[0] = 0;
    if (length >= (int)sizeof place) mark_cut(place, sizeof place);
    return fail(status, "%s: %s", place, message);
}

dfl_status fail_memory(void) {
    static const char sentence[] = "out of memory";
    memcpy(message, sentence, sizeof sentence);
    return DFL_E_MEMORY;
}
