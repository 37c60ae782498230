/* What every C test includes first: cmocka, with the headers it wants before it. */
#ifndef DFL_CHECK_H
#define DFL_CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* cmocka's macro of this name would hide the library's function; fail_msg() does the same. */
#undef fail

#include "driftless/driftless.h"

#define LENGTH(a) (sizeof(a) / sizeof(a)[0])

/* Ends the test with a sentence. */
#define REFUTE(...) (print_error(__VA_ARGS__), print_error("\n"), _fail(__FILE__, __LINE__))

/* support/check.c. The call succeeded; it failed with this code and a sentence that holds `part`;
   the last sentence holds `part`. */
void assert_ok(dfl_status status);
void refused(dfl_status status, dfl_status expected, const char *part);
void assert_message_has(const char *part);

/* How many cases one is taken of: 1, or what the environment says under this name. For checkers under
   which each case takes long. */
size_t one_of_every(const char *variable);

/* Numbers get a decimal comma, until setlocale() again. Skips the test where no such locale is
   installed. */
void comma_locale(void);

#endif
