#include "check.h"

#include <locale.h>
#include <stdlib.h>
#include <string.h>

void assert_ok(dfl_status status) {
    if (status != DFL_OK) REFUTE("%s: %s", dfl_status_name(status), dfl_last_message());
}

void refused(dfl_status status, dfl_status expected, const char *part) {
    if (status != expected || !strstr(dfl_last_message(), part))
        print_error("%s: %s\n", dfl_status_name(status), dfl_last_message());
    assert_int_equal(status, expected);
    assert_non_null(strstr(dfl_last_message(), part));
}

void assert_message_has(const char *part) {
    if (!strstr(dfl_last_message(), part)) REFUTE("'%s' is not in '%s'", part, dfl_last_message());
}

size_t one_of_every(const char *variable) {
    const char *const every = getenv(variable);
    const long n = every ? strtol(every, NULL, 10) : 1;
    return n > 1 ? (size_t)n : 1;
}

void comma_locale(void) {
    static const char *const names[] = {"de_DE.UTF-8", "de_DE.utf8", "de_DE", "fr_FR.UTF-8"};
    for (size_t i = 0; i < LENGTH(names); i++)
        if (setlocale(LC_NUMERIC, names[i])) return;
    skip();
}
